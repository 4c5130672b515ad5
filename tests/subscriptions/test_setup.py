"""The set-up: asked for, claimed, written down."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine

from monitoring.models import AuditEntry
from subscriptions import setup
from subscriptions.errors import ExpiryNotAcceptable, StateNotAllowed
from subscriptions.models import SigningSecret, Subscription
from subscriptions.renewal import renew_subscription
from subscriptions.services import change_subscription, set_status
from subscriptions.setup import (
    LEASE,
    Name,
    SetupClaim,
    activate_subscription,
    claim_due_setups,
    create_with_setup,
    failed,
    finish_setup,
    ok,
    request_setup,
    skipped,
)
from tests.factories import make_account, make_subscription

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 4, 5, 6, 7, 123456, tzinfo=UTC)
URL = "http://127.0.0.1:8009/hook"
NEW: dict[str, Any] = {"name": "Shop", "url": URL, "event_types": ["a"]}
Status = Subscription.Status


@pytest.fixture(autouse=True)
def _frozen() -> Any:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def hinted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    families: list[str] = []
    monkeypatch.setattr(setup, "send_hint", families.append)
    return families


def actions() -> list[str]:
    return list(AuditEntry.objects.order_by("sequence").values_list("action", flat=True))


def claim_one(**fields: Any) -> SetupClaim:
    make_subscription(**{"status": Status.VERIFYING, "setup_due_at": NOW} | fields)
    (claim,) = claim_due_setups(NOW, 10)
    return claim


def finish(claim: SetupClaim, *steps: setup.Step) -> Subscription | None:
    return finish_setup(claim=claim, steps=steps, certificate_expires_at=None)


# --- asked for ------------------------------------------------------------------------------------


def test_a_new_one_is_verifying_and_its_set_up_due_after_the_commit(
    hinted: list[str], django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        made = create_with_setup(account=make_account(), **NEW)
        assert hinted == []
    assert hinted == ["monitoring"]
    row = Subscription.objects.get()
    assert (row.status, row.setup_due_at, row.challenge) == (Status.VERIFYING, NOW, "")
    assert made.subscription.status == Status.VERIFYING
    assert SigningSecret.objects.get().secret == made.secret
    assert actions() == [
        "subscription.created", "subscription.verifying", "subscription.setup_requested",
    ]  # fmt: skip


def test_one_that_is_not_to_be_activated_is_a_draft(hinted: list[str]) -> None:
    create_with_setup(account=make_account(), activate=False, **NEW)
    row = Subscription.objects.get()
    assert (row.status, row.setup_due_at) == (Status.DRAFT, None)
    assert actions() == ["subscription.created"]


def test_verification_can_be_skipped_and_that_is_audited() -> None:
    create_with_setup(account=make_account(asks_for_ownership=True), skip_verification=True, **NEW)
    row = Subscription.objects.get()
    assert (row.status, row.setup_due_at) == (Status.ACTIVE, None)
    assert row.status_reason == "activated without verification"
    assert actions()[1:] == ["subscription.verification_skipped", "subscription.active"]


def test_an_end_that_is_over_is_refused() -> None:
    with pytest.raises(ExpiryNotAcceptable):
        create_with_setup(account=make_account(), expires_at=NOW, **NEW)
    assert not Subscription.objects.exists()


@pytest.mark.parametrize(("days", "noticed"), [(30, None), (10, 14), (2, 3)])
def test_notices_that_would_come_at_once_do_not_come(days: int, noticed: int | None) -> None:
    create_with_setup(account=make_account(), expires_at=NOW + timedelta(days=days), **NEW)
    row = Subscription.objects.get()
    assert (row.expires_at, row.expiry_noticed_days) == (NOW + timedelta(days=days), noticed)


@pytest.mark.parametrize("status", [Status.ACTIVE, Status.PAUSED, Status.DISABLED])
def test_one_in_use_is_set_up_again_without_a_change_of_its_status(status: Status) -> None:
    request_setup(subscription=make_subscription(status=status))
    row = Subscription.objects.get()
    assert (row.status, row.setup_due_at) == (status, NOW)
    assert actions() == ["subscription.setup_requested"]


@pytest.mark.parametrize("status", [Status.EXPIRED, Status.ARCHIVED])
def test_what_has_ended_is_not_set_up(status: Status) -> None:
    with pytest.raises(StateNotAllowed):
        request_setup(subscription=make_subscription(status=status))
    assert Subscription.objects.get().setup_due_at is None
    assert actions() == []


def test_a_draft_is_activated_unverified_only_on_that_word() -> None:
    draft = make_subscription(status=Status.DRAFT)
    with pytest.raises(StateNotAllowed):
        activate_subscription(subscription=draft)
    assert Subscription.objects.get().status == Status.DRAFT
    activate_subscription(subscription=draft, skip_verification=True)
    assert Subscription.objects.get().status == Status.ACTIVE


@pytest.mark.parametrize("status", sorted(set(Status) - {Status.DRAFT, Status.VERIFYING}))
def test_only_drafts_are_activated(status: Status) -> None:
    with pytest.raises(StateNotAllowed):
        activate_subscription(subscription=make_subscription(status=status), skip_verification=True)
    assert Subscription.objects.get().status == status
    assert actions() == []


# --- claimed --------------------------------------------------------------------------------------


def test_the_longest_waiting_is_claimed_first_and_each_once() -> None:
    rows = [make_subscription(setup_due_at=NOW - timedelta(seconds=age)) for age in (1, 3, 2)]
    make_subscription(setup_due_at=NOW + timedelta(seconds=1))
    assert [c.subscription for c in claim_due_setups(NOW, 2)] == [rows[1], rows[2]]
    assert [c.subscription for c in claim_due_setups(NOW, 2)] == [rows[0]]
    assert claim_due_setups(NOW, 2) == []


def test_one_whose_process_was_lost_is_claimed_again_and_the_late_one_changes_nothing() -> None:
    late = claim_one()
    assert claim_due_setups(NOW + LEASE - timedelta(seconds=1), 10) == []
    (again,) = claim_due_setups(NOW + LEASE, 10)
    assert finish(late, ok(Name.ENDPOINT, "")) is None
    assert Subscription.objects.get().status == Status.VERIFYING
    assert finish(again, ok(Name.ENDPOINT, "")) is not None
    assert Subscription.objects.get().status == Status.ACTIVE


# --- written down ---------------------------------------------------------------------------------


def test_without_a_failure_it_is_active() -> None:
    claim = claim_one()
    finish(claim, ok(Name.ENDPOINT, "fine"), skipped(Name.CERTIFICATE, "none"))
    row = Subscription.objects.get()
    assert (row.status, row.setup_due_at) == (Status.ACTIVE, None)
    assert [(step["step"], step["outcome"]) for step in row.setup] == [
        ("endpoint", "ok"), ("certificate", "skipped"), ("activation", "ok"),
        ("health_check", "ok"), ("analytics", "ok"),
    ]  # fmt: skip
    assert row.setup[0] == {
        "step": "endpoint",
        "outcome": "ok",
        "detail": "fine",
        "at": NOW.isoformat().replace("+00:00", "Z"),
    }
    assert actions() == ["subscription.active"]


def test_with_a_failure_it_is_a_draft_that_says_why() -> None:
    claim = claim_one(challenge="c")
    finish(claim, ok(Name.ENDPOINT, "fine"), failed(Name.TEST_DELIVERY, "it answered 500"))
    row = Subscription.objects.get()
    assert (row.status, row.status_reason) == (
        Status.DRAFT, "test_delivery failed: it answered 500",
    )  # fmt: skip
    assert [step["outcome"] for step in row.setup] == ["ok", "failed", *["skipped"] * 3]
    assert row.challenge == "c"


def test_a_health_check_that_is_switched_off_is_skipped() -> None:
    finish(claim_one(checks_health=False), ok(Name.ENDPOINT, ""))
    by_step = {step["step"]: step for step in Subscription.objects.get().setup}
    assert by_step["health_check"]["outcome"] == "skipped"
    assert by_step["health_check"]["detail"] == "checks_health is off"


def test_of_a_paused_one_only_the_findings_change() -> None:
    finish(claim_one(status=Status.PAUSED), failed(Name.TEST_DELIVERY, "no"))
    row = Subscription.objects.get()
    assert (row.status, row.setup[0]["outcome"]) == (Status.PAUSED, "failed")
    assert actions() == []


def test_archived_meanwhile_it_stays_archived() -> None:
    claim = claim_one()
    set_status(subscription=claim.subscription, status=Status.ARCHIVED)
    assert finish(claim, ok(Name.ENDPOINT, "")) is None
    row = Subscription.objects.get()
    assert (row.status, row.setup) == (Status.ARCHIVED, [])


def test_with_another_url_meanwhile_it_is_set_up_once_more() -> None:
    claim = claim_one()
    Subscription.objects.update(url="http://127.0.0.1:8010/")
    assert finish(claim, ok(Name.ENDPOINT, "")) is None
    row = Subscription.objects.get()
    assert (row.status, row.setup, row.setup_due_at) == (Status.VERIFYING, [], NOW)


# --- ownership ------------------------------------------------------------------------------------


def test_where_the_account_asks_a_challenge_is_to_be_echoed() -> None:
    account = make_account(asks_for_ownership=True)
    create_with_setup(account=account, **NEW)
    row = Subscription.objects.get()
    assert len(row.challenge) == 32
    with pytest.raises(StateNotAllowed, match="owns it"):
        set_status(subscription=row, status=Status.ACTIVE)
    (claim,) = claim_due_setups(NOW, 1)
    finish(claim, ok(Name.OWNERSHIP, ""))
    row.refresh_from_db()
    assert (row.status, row.challenge) == (Status.ACTIVE, "")


def test_a_new_url_has_to_prove_its_owner_while_deliveries_are_held() -> None:
    row = make_subscription(make_account(asks_for_ownership=True))
    change_subscription(subscription=row, url="http://127.0.0.1:8010/")
    row.refresh_from_db()
    assert (row.status, row.setup_due_at) == (Status.VERIFYING, NOW)
    assert row.challenge
    assert Status.VERIFYING in Subscription.HOLDING


def test_a_paused_one_with_a_new_url_is_not_resumed_before_it_is_proved() -> None:
    row = make_subscription(make_account(asks_for_ownership=True), status=Status.PAUSED)
    change_subscription(subscription=row, url="http://127.0.0.1:8010/")
    with pytest.raises(StateNotAllowed, match="owns it"):
        set_status(subscription=row, status=Status.ACTIVE)
    (claim,) = claim_due_setups(NOW, 1)
    finish(claim, ok(Name.OWNERSHIP, ""))
    assert set_status(subscription=row, status=Status.ACTIVE).status == Status.ACTIVE


def test_an_expired_one_with_a_new_url_is_verified_when_it_is_renewed() -> None:
    row = make_subscription(make_account(asks_for_ownership=True), status=Status.EXPIRED)
    change_subscription(subscription=row, url="http://127.0.0.1:8010/")
    row.refresh_from_db()
    assert (row.status, row.setup_due_at) == (Status.EXPIRED, None)
    renew_subscription(subscription=row, days=30)
    (claim,) = claim_due_setups(NOW, 1)
    assert claim.subscription.status == Status.VERIFYING
    finish(claim, ok(Name.OWNERSHIP, ""))
    assert Subscription.objects.get().status == Status.ACTIVE


@pytest.mark.parametrize(
    ("asks", "change"), [(False, {"url": "http://127.0.0.1:8010/"}), (True, {"name": "New"})]
)
def test_other_changes_ask_for_nothing(asks: bool, change: dict[str, str]) -> None:
    row = make_subscription(make_account(asks_for_ownership=asks))
    change_subscription(subscription=row, **change)
    row.refresh_from_db()
    assert (row.status, row.setup_due_at, row.challenge) == (Status.ACTIVE, None, "")
