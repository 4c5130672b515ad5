"""The command that carries past events again."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.core.management import CommandError, call_command

from monitoring.models import AuditEntry
from outgoing.models import Delivery, Replay
from tests.factories import make_account, make_delivery, make_event, make_subscription
from webhooks_project.accounts.models import Account
from webhooks_project.lib.ids import new_id

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def frozen_clock() -> Any:
    with time_machine.travel(NOW, tick=False):
        yield


def replay_events(*arguments: str) -> list[str]:
    out = io.StringIO()
    call_command("replay_events", *arguments, stdout=out)
    return out.getvalue().splitlines()


def past(account: Account, **fields: Any) -> Delivery:
    hours = fields.pop("hours", 2)
    event = make_event(
        account,
        type=fields.pop("type", "invoice.paid"),
        created_at=NOW - timedelta(hours=hours),
    )
    subscription = fields.pop("subscription", None) or make_subscription(account, name="Shop")
    return make_delivery(event, subscription, **{"status": "delivered"} | fields)


def taken() -> set[Delivery]:
    return set(Delivery.objects.filter(trigger="replay", lane=Delivery.Lane.AGAIN))


def test_a_dry_run_says_what_would_be_carried_and_changes_nothing() -> None:
    account = make_account()
    shop = make_subscription(account, name="Shop")
    for status in ("delivered", "delivered", "exhausted"):
        past(account, subscription=shop, status=status)
    past(account, subscription=shop, type="order.made")
    before = list(Delivery.objects.order_by("pk").values())
    assert replay_events("--since", "2026-03-04T00:00", "--dry-run") == [
        "       2 × invoice.paid to Shop, now delivered",
        "       1 × invoice.paid to Shop, now exhausted",
        "       1 × order.made to Shop, now delivered",
        "4 deliveries would be redelivered",
    ]
    assert list(Delivery.objects.order_by("pk").values()) == before
    assert not Replay.objects.exists()
    assert not AuditEntry.objects.exists()


def test_a_run_carries_them_and_ends_with_a_count() -> None:
    account = make_account(slug="acme")
    rows = {past(account) for _ in range(3)}
    past(make_account())
    (line,) = replay_events("--since", "2026-03-04T00:00Z", "--account", "acme")
    replay = Replay.objects.get()
    assert line == f"3 deliveries redelivered, replay {replay.pk}"
    assert taken() == rows
    assert (replay.status, replay.planned_count, replay.redelivered_count) == ("finished", 3, 3)
    assert (replay.since, replay.until) == (datetime(2026, 3, 4, tzinfo=UTC), NOW)
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.actor_kind, entry.actor_label) == (
        "replay.planned",
        "command",
        "replay_events",
    )


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ((), {"a", "b", "c", "d"}),
        (("--type", "invoice.paid"), {"a", "b", "c"}),
        (("--type", "order.*"), {"d"}),
        (("--type", "*"), {"a", "b", "c", "d"}),
        (("--type", "nothing"), set()),
        (("--until", "2026-03-04T08:00"), {"b"}),
        (("--until", "2026-03-04T07:00"), set()),
    ],
)
def test_carries_what_was_selected(arguments: tuple[str, ...], names: set[str]) -> None:
    account = make_account()
    rows = {
        "a": past(account),
        "b": past(account, hours=5),
        "c": past(account, hours=4),
        "d": past(account, type="order.made"),
    }
    past(account, hours=13)
    lines = replay_events("--since", "2026-03-04T00:00", *arguments)
    assert lines[-1].startswith(f"{len(names)} deliveries redelivered, replay ")
    assert taken() == {rows[name] for name in names}


def test_carries_to_one_subscription() -> None:
    account = make_account()
    mine = past(account)
    past(account)
    replay_events("--since", "2026-03-04", "--subscription", str(mine.subscription_id))
    assert taken() == {mine}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "--since"),
        (("--since", "yesterday"), "'yesterday' is no ISO 8601 moment"),
        (("--since", "2026-13-01T00:00"), "is no ISO 8601 moment"),
        (("--since", "2026-03-04T13:00"), "--until must be after --since"),
        (
            ("--since", "2026-03-04T01:00", "--until", "2026-03-04T01:00"),
            "--until must be after --since",
        ),
        (("--since", "2026-03-04T00:00", "--account", "nobody"), "there is no account nobody"),
        (
            ("--since", "2026-03-04T00:00", "--subscription", str(new_id())),
            "there is no subscription",
        ),
    ],
)
def test_refuses_what_makes_no_sense(arguments: tuple[str, ...], message: str) -> None:
    past(make_account())
    with pytest.raises(CommandError, match=message):
        replay_events(*arguments)
    assert taken() == set()
    assert not Replay.objects.exists()
