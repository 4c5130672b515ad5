"""The life of a subscription, by way of the API."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from outgoing.models import Delivery
from outgoing.setups import run_due_setups
from subscriptions.models import Subscription
from tests.api.calls import Api
from tests.factories import make_account, make_api_key, make_delivery, make_event, make_subscription
from tests.lib.receiver import answer, receiver, status
from webhooks_project.accounts.models import Account
from webhooks_project.lib import clock

pytestmark = pytest.mark.django_db(transaction=True)

URL = "http://127.0.0.1:8009/hook"
NEW = {"name": "Shop", "url": URL, "event_types": ["order.made"]}


@pytest.fixture
def account() -> Account:
    return make_account()


@pytest.fixture
def api(account: Account) -> Api:
    return Api(make_api_key(account, "operator").text)


@pytest.fixture
def developer(account: Account) -> Api:
    return Api(make_api_key(account, "developer").text)


def steps(shown: Any) -> dict[str, str]:
    return {step["step"]: step["outcome"] for step in shown["setup"]}


# --- creation -------------------------------------------------------------------------------------


def test_from_creation_to_the_first_delivery(developer: Api) -> None:
    with receiver(answer()) as there:
        made = developer.post("subscriptions", {**NEW, "url": there.url}).json
        assert (made["status"], made["setup"]) == ("verifying", [])
        event = developer.post("outgoing/events", {"type": "order.made", "data": {}})
        assert len(event.json["deliveries"]) == 1
        assert there.arrived == []  # nothing within the requests
        run_due_setups()
    shown = developer.get(f"subscriptions/{made['id']}").json
    assert (shown["status"], shown["status_reason"]) == ("active", "")
    assert steps(shown) == {
        "endpoint": "ok", "permission": "ok", "configuration": "ok", "certificate": "skipped",
        "test_delivery": "ok", "ownership": "skipped", "activation": "ok", "health_check": "ok",
        "analytics": "ok",
    }  # fmt: skip
    assert set(shown["setup"][0]) == {"step", "outcome", "detail", "at"}


def test_a_set_up_that_failed_is_shown_and_run_again(developer: Api) -> None:
    answers = iter([status(500), status(200)])

    def script(line: Any) -> None:
        while line.read():
            line.send(next(answers))

    with receiver(script) as there:
        path = (
            f"subscriptions/{developer.post('subscriptions', {**NEW, 'url': there.url}).json['id']}"
        )
        run_due_setups()
        shown = developer.get(path).json
        assert (shown["status"], steps(shown)["test_delivery"]) == ("draft", "failed")
        assert shown["status_reason"].startswith("test_delivery failed: it answered 500")
        assert developer.post(f"{path}/verify").json["status"] == "verifying"
        run_due_setups()
        assert developer.get(path).json["status"] == "active"


def test_a_draft_waits_for_a_word(developer: Api) -> None:
    made = developer.post("subscriptions", {**NEW, "activate": False})
    assert (made.status, made.json["status"]) == (201, "draft")
    assert run_due_setups() == 0


def test_an_operator_may_skip_verification_and_a_developer_not(api: Api, developer: Api) -> None:
    refused = developer.post("subscriptions", {**NEW, "skip_verification": True})
    assert (refused.status, refused.code) == (403, "permission_denied")
    assert not Subscription.objects.exists()
    made = api.post("subscriptions", {**NEW, "skip_verification": True})
    assert (made.status, made.json["status"]) == (201, "active")


@pytest.mark.parametrize(
    ("body", "status_code", "after"),
    [
        ({"skip_verification": True}, 200, "active"),
        ({"skip_verification": False}, 409, "draft"),
        ({}, 400, "draft"),
    ],
)
def test_activation_without_verification_is_said_explicitly(
    api: Api, account: Account, body: Any, status_code: int, after: str
) -> None:
    row = make_subscription(account, status="draft")
    assert api.post(f"subscriptions/{row.pk}/activate", body).status == status_code
    assert Subscription.objects.get().status == after


def test_an_end_at_creation(developer: Api) -> None:
    late = (clock.now() - timedelta(days=1)).isoformat()
    refused = developer.post("subscriptions", {**NEW, "expires_at": late})
    assert (refused.status, refused.code) == (400, "expiry_not_acceptable")
    end = (clock.now() + timedelta(days=30)).replace(microsecond=0)
    made = developer.post("subscriptions", {**NEW, "expires_at": end.isoformat()})
    assert (made.status, Subscription.objects.get().expires_at) == (201, end)


# --- renewal --------------------------------------------------------------------------------------


def test_renews_an_expired_one(developer: Api, account: Account) -> None:
    row = make_subscription(account, status="expired", expires_at=clock.now())
    shown = developer.post(f"subscriptions/{row.pk}/renew", {"days": 10}).json
    assert shown["status"] == "active"
    row.refresh_from_db()
    assert timedelta(days=9) < row.expires_at - clock.now() <= timedelta(days=10)
    assert developer.post(f"subscriptions/{row.pk}/renew", {"expires_at": None}).status == 200
    row.refresh_from_db()
    assert row.expires_at is None


@pytest.mark.parametrize(
    "body",
    [{}, {"days": 0}, {"days": 3651}, {"days": 1, "expires_at": None}, {"expires_at": "soon"}],
)
def test_a_renewal_that_says_nothing_clear_is_refused(
    developer: Api, account: Account, body: Any
) -> None:
    row = make_subscription(account, status="expired", expires_at=clock.now())
    assert developer.post(f"subscriptions/{row.pk}/renew", body).status == 400
    row.refresh_from_db()
    assert row.status == "expired"


# --- moves that are not allowed -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "verb"),
    [
        ("draft", "pause"), ("draft", "disable"), ("draft", "resume"), ("verifying", "pause"),
        ("expired", "pause"), ("expired", "resume"), ("expired", "verify"), ("archived", "pause"),
        ("archived", "resume"), ("archived", "verify"), ("archived", "disable"),
        ("disabled", "pause"),
    ],
)  # fmt: skip
def test_a_move_that_is_not_in_the_table_is_a_conflict(
    api: Api, account: Account, status: str, verb: str
) -> None:
    row = make_subscription(account, status=status)
    refused = api.post(f"subscriptions/{row.pk}/{verb}")
    assert (refused.status, refused.code) == (409, "state_not_allowed")
    assert Subscription.objects.get().status == status


@pytest.mark.parametrize(
    ("status", "verb"), [("paused", "pause"), ("disabled", "disable"), ("active", "resume")]
)
def test_the_same_word_again_changes_nothing(
    api: Api, account: Account, status: str, verb: str
) -> None:
    row = make_subscription(account, status=status, status_reason="because")
    assert api.post(f"subscriptions/{row.pk}/{verb}").json["status_reason"] == "because"


# --- resuming -------------------------------------------------------------------------------------


def test_resuming_skips_what_is_older_than_said(api: Api, account: Account) -> None:
    row = make_subscription(account, status="paused")
    now = clock.now()
    for hours in (3, 1):
        make_delivery(
            make_event(account), row, status="held", created_at=now - timedelta(hours=hours)
        )
    body = {"skip_older_than": (now - timedelta(hours=2)).isoformat()}
    shown = api.post(f"subscriptions/{row.pk}/resume", body).json
    assert (shown["status"], shown["skipped_count"]) == ("active", 1)
    found = Delivery.objects.order_by("created_at").values_list("status", flat=True)
    assert list(found) == ["cancelled", "held"]


def test_resuming_skips_nothing_unless_that_is_said(api: Api, account: Account) -> None:
    row = make_subscription(account, status="paused")
    make_delivery(make_event(account), row, status="held")
    assert api.post(f"subscriptions/{row.pk}/resume").json["skipped_count"] == 0
    assert api.post(f"subscriptions/{row.pk}/resume", {"skip_older_than": "x"}).status == 400
    assert Delivery.objects.get().status == "held"


# --- the doctor -----------------------------------------------------------------------------------


def test_examines_an_endpoint(developer: Api, account: Account) -> None:
    with receiver(answer()) as there:
        row = make_subscription(account, url=there.url)
        shown = developer.post(f"subscriptions/{row.pk}/diagnose").json
    assert {name: shown[name] for name in ("verifies", "is_quick", "answers_rightly")} == {
        "verifies": False, "is_quick": True, "answers_rightly": True,
    }  # fmt: skip
    assert [(probe["name"], probe["status"], probe["verdict"]) for probe in shown["probes"]] == [
        ("right", 200, "ok"), ("tampered", 200, "failed"), ("stale", 200, "failed"),
        ("duplicate", 200, "ok"), ("unknown_type", 200, "ok"),
    ]  # fmt: skip
    assert set(shown["probes"][0]) == {"name", "status", "milliseconds", "verdict", "advice"}
