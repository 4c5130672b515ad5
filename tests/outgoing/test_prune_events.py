"""Events lose their data, and then go, when their account keeps them no longer."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.core.management import call_command
from django.db import connection
from django.db.models import OuterRef, Subquery
from django.test.utils import CaptureQueriesContext

from outgoing.models import Attempt, Delivery, Event, Replay, Retry
from outgoing.retention import PrunedEvents, count_prunable_events, key_kept, prune_events
from outgoing.tasks import prune
from tests.factories import make_account, make_attempt, make_delivery, make_event, make_subscription
from webhooks_project import batches
from webhooks_project.accounts.models import Account

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def _frozen(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(batches, "PAUSE_SECONDS", 0)
    with time_machine.travel(NOW, tick=False):
        yield


def keeping(*, rows: int | None = None, bodies: int | None = None) -> Account:
    return make_account(event_days=rows, event_body_days=bodies)


def old(account: Account, *statuses: str, days: int = 40, **fields: Any) -> Event:
    event = make_event(account, created_at=NOW - days * DAY, **fields)
    for status in statuses:
        delivery = make_delivery(event, make_subscription(account), status=status)
        make_attempt(
            delivery,
            started_at=event.created_at,
            request_headers={"a": "b"},
            response_headers={"c": "d"},
        )
    return event


def test_an_event_goes_with_all_that_came_of_it() -> None:
    account = keeping(rows=30)
    old(account, "delivered", "exhausted", "cancelled")
    old(account)
    young = old(account, "delivered", days=29)
    others = old(make_account(), "delivered")
    assert count_prunable_events() == PrunedEvents(events=2)
    assert prune_events() == PrunedEvents(events=2)
    assert set(Event.objects.all()) == {young, others}
    assert (Delivery.objects.count(), Attempt.objects.count(), Retry.objects.count()) == (2, 2, 0)
    assert prune_events() == PrunedEvents()


def test_data_goes_and_the_history_stays() -> None:
    account = keeping(bodies=30)
    event = old(account, "delivered", metadata={"a": "b"})
    assert count_prunable_events() == PrunedEvents(bodies=1)
    assert prune_events() == PrunedEvents(bodies=1)
    event.refresh_from_db()
    assert (event.payload, event.body_pruned_at, event.has_body) == (None, NOW, False)
    assert event.metadata == {"a": "b"}
    attempt = Attempt.objects.get()
    assert bytes(attempt.response_body) == b""
    assert (attempt.request_headers, attempt.response_headers) == ({}, {})
    assert (attempt.status_code, attempt.response_bytes, attempt.duration_ms) == (200, 2, 12.5)
    assert prune_events() == PrunedEvents()


def test_what_is_deleted_is_not_counted_as_emptied_too() -> None:
    account = keeping(rows=30, bodies=10)
    old(account)
    old(account, days=20)
    assert count_prunable_events() == prune_events() == PrunedEvents(bodies=1, events=1)


@pytest.mark.parametrize("status", ["pending", "delivering", "held"])
@pytest.mark.parametrize("kept", [{"rows": 30}, {"bodies": 30}])
def test_what_is_still_to_be_delivered_stays(status: str, kept: dict[str, int]) -> None:
    old(keeping(**kept), "delivered", status)
    assert count_prunable_events() == prune_events() == PrunedEvents()


def test_what_waits_in_quarantine_stays() -> None:
    old(keeping(rows=30, bodies=20), quarantined_at=NOW)
    assert prune_events() == PrunedEvents()


@pytest.mark.parametrize(
    ("fields", "hours"),
    [
        ({"retry_policy": "quick"}, 24),
        ({"retry_policy": "custom", "retry_schedule": [36_000, 144_000]}, 60),
    ],
)
def test_a_key_is_kept_for_a_day_and_as_long_as_retries_last(
    fields: dict[str, Any], hours: int
) -> None:
    account = keeping(rows=1)
    make_subscription(account, **fields)
    assert key_kept(account=account) == timedelta(hours=hours)
    for minutes in (-1, 1):
        make_event(
            account,
            created_at=NOW - max(timedelta(hours=hours), DAY) - timedelta(minutes=minutes),
            idempotency_key=f"k{minutes}",
        )
    old(account, days=2)
    assert prune_events() == PrunedEvents(events=2)
    assert Event.objects.get().idempotency_key == "k-1"


def test_what_a_running_replay_may_take_stays() -> None:
    account = keeping(rows=30)
    wanted = old(account, type="order.made")
    old(account)
    replay = Replay.objects.create(
        account=account, since=NOW - 60 * DAY, until=NOW, event_type="order.*", created_at=NOW,
        status="running", paused_at=NOW,
    )  # fmt: skip
    assert prune_events() == PrunedEvents(events=1)
    assert Event.objects.get() == wanted
    replay.status = "finished"
    replay.save()
    assert prune_events() == PrunedEvents(events=1)


def test_in_batches_the_oldest_first_and_no_data_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "BATCH_ROWS", 2)
    account = keeping(rows=30)
    events = [old(account, days=days) for days in (40, 60, 50)]
    left: list[set[Event]] = []
    with CaptureQueriesContext(connection) as queries:
        prune_events(progress=lambda _: left.append(set(Event.objects.only("pk"))))
    assert left == [{events[0]}, set()]
    assert not [query for query in queries if '"data",' in query["sql"]]


def test_each_hour_for_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    old(keeping(rows=30))
    assert prune() == 1


def test_the_command_counts_and_then_prunes() -> None:
    def run(*given: str) -> list[str]:
        out = io.StringIO()
        call_command("prune_events", *given, stdout=out)
        return out.getvalue().splitlines()

    account = make_account(slug="acme", event_days=30, event_body_days=10, dead_letter_days=7)
    old(account)
    old(account, days=20)
    old(account, "exhausted", days=8)
    old(account, "exhausted", days=6)
    old(keeping(rows=30))
    other = old(make_account(dead_letter_days=7), "exhausted", days=8)
    published = Event.objects.filter(pk=OuterRef("event")).values("created_at")
    Delivery.objects.update(exhausted_at=Subquery(published))
    assert run("--account", "acme", "--dry-run") == [
        "1 events would be emptied, 1 deleted, 1 dead letters discarded",
    ]  # fmt: skip
    assert run("--account", "acme", "--dry-run", "--json") == [
        '{"bodies":1,"events":1,"dead_letters":1}',
    ]  # fmt: skip
    assert Event.objects.count() == 6
    assert run("--account", "acme") == [
        "1 of 3 pruned", "2 of 3 pruned", "3 of 3 pruned",
        "1 events emptied, 1 deleted, 1 dead letters discarded",
    ]  # fmt: skip
    assert Event.objects.count() == 5
    dead = Delivery.objects.filter(status="exhausted").values_list("event__created_at", "event")
    assert sorted(at for at, _ in dead) == [NOW - 8 * DAY, NOW - 6 * DAY]
    assert other.pk in {key for _, key in dead}
    assert run("--account", "acme", "--json") == ['{"bodies":0,"events":0,"dead_letters":0}']
