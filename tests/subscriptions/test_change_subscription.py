from __future__ import annotations

from datetime import UTC, datetime, timedelta

import orjson
import pytest
import time_machine

from monitoring.models import AuditEntry
from subscriptions.errors import (
    EndpointNotAcceptable,
    EventTypeMalformed,
    GraceNotAcceptable,
    StateNotAllowed,
)
from subscriptions.models import SigningSecret, SubscribedType, Subscription
from subscriptions.services import change_subscription, rotate_secret, set_status
from tests.factories import SIGNING_SECRET, make_subscription
from webhooks_project.lib.actor import Actor, current_actor

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
Status = Subscription.Status


def test_changes_what_is_named_and_nothing_else() -> None:
    subscription = make_subscription(event_types=("a", "b"), name="old")
    kept = SubscribedType.objects.get(pattern="a").pk
    change_subscription(
        subscription=subscription, name="new", timeout_seconds=5, event_types=["a", "c.*"]
    )
    stored = Subscription.objects.get()
    assert (stored.name, stored.timeout_seconds, stored.max_in_flight) == ("new", 5, None)
    assert stored.url == subscription.url
    assert stored.event_types == ["a", "c.*"]
    assert SubscribedType.objects.get(pattern="a").pk == kept
    assert SigningSecret.objects.get().secret == SIGNING_SECRET


def test_the_audit_shows_what_was_and_what_is() -> None:
    subscription = make_subscription(event_types=("a",), name="old")
    token = current_actor.set(Actor("user", "7", "ann", "192.0.2.1"))
    try:
        change_subscription(subscription=subscription, name="new", event_types=["b"])
    finally:
        current_actor.reset(token)
    entry = AuditEntry.objects.get()
    before, after = orjson.loads(entry.before), orjson.loads(entry.after)
    assert {key for key in before if before[key] != after[key]} == {"name", "event_types"}
    assert (before["name"], after["name"]) == ("old", "new")
    assert (before["event_types"], after["event_types"]) == (["a"], ["b"])
    assert (entry.action, entry.actor_kind, entry.actor_id) == ("subscription.changed", "user", "7")
    assert (entry.actor_label, entry.actor_address) == ("ann", "192.0.2.1")


def test_refuses_a_forbidden_endpoint() -> None:
    subscription = make_subscription()
    url = subscription.url
    with pytest.raises(EndpointNotAcceptable):
        change_subscription(subscription=subscription, name="new", url="http://10.0.0.1/")
    assert Subscription.objects.values_list("url", "name").get() == (url, "Receiver")
    assert AuditEntry.objects.count() == 0


def test_refuses_what_is_no_event_type() -> None:
    subscription = make_subscription(event_types=("a",))
    with pytest.raises(EventTypeMalformed):
        change_subscription(subscription=subscription, event_types=["not a type"])
    assert Subscription.objects.get().event_types == ["a"]
    assert AuditEntry.objects.count() == 0


@pytest.mark.parametrize("field", ["status", "account", "account_id", "id", "secret"])
def test_changes_nothing_that_is_not_meant_to_be(field: str) -> None:
    with pytest.raises(TypeError, match=f"not changeable: {field}"):
        change_subscription(subscription=make_subscription(), **{field: "x"})
    assert AuditEntry.objects.count() == 0


# --- secrets --------------------------------------------------------------------------------------


def valid_secrets(moment: datetime) -> list[str]:
    return [row.secret for row in SigningSecret.objects.valid(moment)]


def test_a_rotation_signs_with_both_secrets_for_a_day_and_then_with_the_new_one() -> None:
    with time_machine.travel(NOW - timedelta(days=9), tick=False):
        subscription = make_subscription()
    with time_machine.travel(NOW, tick=False):
        new = rotate_secret(subscription=subscription).secret
    assert new != SIGNING_SECRET
    end = NOW + timedelta(hours=24)
    assert valid_secrets(NOW) == [new, SIGNING_SECRET]
    assert valid_secrets(end - timedelta(microseconds=1)) == [new, SIGNING_SECRET]
    assert valid_secrets(end) == [new]


def test_a_second_rotation_does_not_lengthen_the_life_of_the_first_secret() -> None:
    with time_machine.travel(NOW, tick=False) as traveller:
        subscription = make_subscription()
        traveller.shift(3600)
        second = rotate_secret(subscription=subscription).secret
        traveller.shift(3600)
        third = rotate_secret(subscription=subscription).secret
    assert valid_secrets(NOW + timedelta(hours=24)) == [third, second, SIGNING_SECRET]
    assert valid_secrets(NOW + timedelta(hours=25)) == [third, second]
    assert valid_secrets(NOW + timedelta(hours=26)) == [third]


def test_a_rotation_without_grace_ends_the_old_secret_at_once() -> None:
    with time_machine.travel(NOW, tick=False):
        subscription = make_subscription()
        new = rotate_secret(subscription=subscription, grace=timedelta()).secret
        assert valid_secrets(NOW) == [new]


def kinds(moment: datetime) -> list[str]:
    return [row.kind for row in SigningSecret.objects.valid(moment)]


@time_machine.travel(NOW, tick=False)
def test_a_key_of_another_kind_signs_beside_the_old_secrets() -> None:
    subscription = make_subscription()
    made = rotate_secret(subscription=subscription, kind=SigningSecret.Kind.ED25519)
    row = SigningSecret.objects.get(kind="ed25519")
    assert (row.secret, row.public_key) == (made.secret, made.public_key)
    assert made.secret.startswith("whsk_")
    assert made.public_key.startswith("whpk_")
    assert kinds(NOW + timedelta(days=8)) == ["ed25519", "hmac"]
    shared = rotate_secret(subscription=subscription)
    assert shared.public_key == ""
    assert kinds(NOW + timedelta(days=8)) == ["hmac", "ed25519"]


@time_machine.travel(NOW, tick=False)
def test_a_key_that_replaces_all_ends_both_kinds() -> None:
    subscription = make_subscription()
    rotate_secret(subscription=subscription, kind=SigningSecret.Kind.ED25519)
    new = rotate_secret(
        subscription=subscription,
        kind=SigningSecret.Kind.ED25519,
        grace=timedelta(days=7),
        replaces_all=True,
    )
    end = NOW + timedelta(days=7)
    assert kinds(end - timedelta(microseconds=1)) == ["ed25519", "ed25519", "hmac"]
    assert valid_secrets(end) == [new.secret]


@time_machine.travel(NOW, tick=False)
def test_a_rotation_without_grace_also_ends_what_was_in_its_grace() -> None:
    subscription = make_subscription()
    rotate_secret(subscription=subscription)
    new = rotate_secret(subscription=subscription, grace=timedelta())
    assert valid_secrets(NOW) == [new.secret]


@pytest.mark.parametrize("grace", [timedelta(seconds=-1), timedelta(days=7, seconds=1)])
def test_a_grace_is_at_most_seven_days(grace: timedelta) -> None:
    subscription = make_subscription()
    with pytest.raises(GraceNotAcceptable):
        rotate_secret(subscription=subscription, grace=grace)
    assert SigningSecret.objects.get().expires_at is None
    assert AuditEntry.objects.count() == 0


def test_a_rotation_is_audited_without_its_secret() -> None:
    made = rotate_secret(subscription=make_subscription())
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.after) == (
        "subscription.secret_rotated",
        '{"grace_seconds":86400.0,"kind":"hmac","replaces_all":false}',
    )
    assert made.secret not in repr(made)


# --- status ---------------------------------------------------------------------------------------


@time_machine.travel(NOW, tick=False)
@pytest.mark.parametrize(
    ("before", "status", "paused_at", "disabled_at"),
    [
        (Status.ACTIVE, Status.PAUSED, NOW, None),
        (Status.PAUSED, Status.DISABLED, None, NOW),
        (Status.PAUSED, Status.ACTIVE, None, None),
        (Status.PAUSED, Status.ARCHIVED, None, None),
    ],
)
def test_keeps_the_moment_and_the_reason_of_a_status(
    before: Status, status: Status, paused_at: datetime | None, disabled_at: datetime | None
) -> None:
    made = make_subscription(status=before, paused_at=NOW - timedelta(days=1))
    set_status(subscription=made, status=status, reason="because " + "x" * 300)
    stored = Subscription.objects.get()
    assert (stored.status, stored.paused_at, stored.disabled_at) == (status, paused_at, disabled_at)
    assert stored.status_reason == ("because " + "x" * 300)[:200]
    entry = AuditEntry.objects.get()
    assert entry.action == f"subscription.{status}"
    assert orjson.loads(entry.before)["status"] == before
    assert orjson.loads(entry.after)["status"] == status


@pytest.mark.parametrize("status", [item for item in Status if item != Status.ARCHIVED])
def test_an_archived_subscription_stays_archived(status: Status) -> None:
    subscription = make_subscription(status=Status.ARCHIVED)
    with pytest.raises(StateNotAllowed) as caught:
        set_status(subscription=subscription, status=status)
    assert caught.value.status == 409
    assert Subscription.objects.get().status == Status.ARCHIVED
    assert AuditEntry.objects.count() == 0


def test_goes_by_the_status_in_the_database_and_not_by_a_stale_row() -> None:
    stale = make_subscription()
    set_status(subscription=Subscription.objects.get(), status=Status.ARCHIVED)
    with pytest.raises(StateNotAllowed):
        set_status(subscription=stale, status=Status.ACTIVE)
