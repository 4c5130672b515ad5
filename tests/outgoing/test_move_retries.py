"""What an operator does with retries: bring forward, postpone, cancel; and their counts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
import time_machine

from monitoring.models import AuditEntry
from outgoing import retries
from outgoing.errors import StateNotAllowed
from outgoing.models import Retry
from outgoing.retries import (
    MAX_POSTPONED,
    bring_forward,
    cancel_retry,
    count_by_due_time,
    postpone,
    release_due_retries,
)
from tests.factories import make_retry

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def _frozen() -> Any:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def woken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    families: list[str] = []
    monkeypatch.setattr(retries, "wake", families.append)
    return families


def test_one_that_is_brought_forward_is_released_at_once(
    woken: list[str], django_capture_on_commit_callbacks: Any
) -> None:
    retry = make_retry(due_at=NOW + HOUR)
    assert release_due_retries(NOW) == 0
    with django_capture_on_commit_callbacks(execute=True):
        assert bring_forward(retry=retry).due_at == NOW
    assert woken == ["retry"]
    assert release_due_retries(NOW) == 1
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.object_id) == ("retry.brought_forward", str(retry.pk))
    assert datetime.fromisoformat(orjson.loads(entry.before)["due_at"]) == NOW + HOUR
    assert datetime.fromisoformat(orjson.loads(entry.after)["due_at"]) == NOW


def test_one_that_is_postponed_waits_until_then() -> None:
    retry = make_retry(due_at=NOW)
    postpone(retry=retry, until=NOW + HOUR)
    assert release_due_retries(NOW + HOUR - timedelta(microseconds=1)) == 0
    assert release_due_retries(NOW + HOUR) == 1
    assert AuditEntry.objects.get().action == "retry.postponed"


@pytest.mark.parametrize(
    "until", [NOW - HOUR, NOW, NOW + MAX_POSTPONED + timedelta(microseconds=1)]
)
def test_is_postponed_to_the_next_thirty_days_only(until: datetime) -> None:
    retry = make_retry(due_at=NOW + HOUR)
    with pytest.raises(StateNotAllowed):
        postpone(retry=retry, until=until)
    retry.refresh_from_db()
    assert retry.due_at == NOW + HOUR
    assert not AuditEntry.objects.exists()


def test_one_that_was_released_meanwhile_is_not_moved() -> None:
    retry = make_retry(due_at=NOW)
    Retry.objects.all().delete()
    for move in (bring_forward, lambda retry: postpone(retry=retry, until=NOW + HOUR)):
        with pytest.raises(StateNotAllowed):
            move(retry=retry)
    assert not Retry.objects.exists()
    assert not AuditEntry.objects.exists()


def test_one_that_is_cancelled_leaves_its_delivery_given_up() -> None:
    retry = make_retry(due_at=NOW + HOUR)
    assert cancel_retry(retry=retry).status == "cancelled"
    assert not Retry.objects.exists()
    assert AuditEntry.objects.get().action == "delivery.cancelled"


@pytest.mark.parametrize(
    ("seconds", "bucket"),
    [
        (-86_400, "overdue"),
        (0, "overdue"),
        (1, "within_1_minute"),
        (60, "within_1_minute"),
        (61, "within_10_minutes"),
        (600, "within_10_minutes"),
        (601, "within_1_hour"),
        (3_600, "within_1_hour"),
        (3_601, "within_6_hours"),
        (21_600, "within_6_hours"),
        (21_601, "later"),
    ],
)
def test_counts_each_once_by_when_it_is_due(seconds: int, bucket: str) -> None:
    make_retry(due_at=NOW + timedelta(seconds=seconds))
    counts = count_by_due_time(Retry.objects.all())
    assert list(counts) == [
        "overdue", "within_1_minute", "within_10_minutes", "within_1_hour", "within_6_hours",
        "later",
    ]  # fmt: skip
    assert {name: count for name, count in counts.items() if count} == {bucket: 1}
