from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.db import OperationalError, connection, transaction

from outgoing import retries
from outgoing.models import Delivery, Retry
from outgoing.retries import release_due_retries
from tests.factories import make_delivery, make_retry
from tests.outgoing.pump import Turn

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 4, 5, 6, 7, 123456, tzinfo=UTC)
STEP = timedelta(microseconds=1)


@pytest.fixture
def woken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    families: list[str] = []
    monkeypatch.setattr(retries, "wake", families.append)
    return families


def test_puts_a_due_retry_behind_first_attempts() -> None:
    due_at = NOW - timedelta(minutes=3)
    row = make_retry(due_at=due_at).delivery
    assert release_due_retries(NOW) == 1
    row.refresh_from_db()
    assert (row.status, row.lane, row.trigger) == ("pending", Delivery.Lane.AGAIN, "retry")
    assert row.next_attempt_at == due_at
    assert row.attempt_count == 1
    assert not Retry.objects.exists()


def test_leaves_what_is_not_due_yet() -> None:
    make_retry(due_at=NOW + STEP)
    assert not Retry.objects.all().any_due(NOW)
    assert release_due_retries(NOW) == 0
    assert Retry.objects.count() == 1
    assert Delivery.objects.get().lane is None
    assert Retry.objects.all().any_due(NOW + STEP)


def test_releases_the_longest_overdue_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "RELEASE_ROWS", 2)
    made = [make_retry(due_at=NOW - timedelta(hours=hours)) for hours in (1, 3, 2)]
    assert release_due_retries(NOW) == 2
    assert Retry.objects.get() == made[0]
    assert release_due_retries(NOW) == 1
    assert release_due_retries(NOW) == 0


@pytest.mark.parametrize("status", ["delivered", "cancelled", "exhausted", "held"])
def test_puts_back_nothing_that_ended_meanwhile(status: str) -> None:
    retry = make_retry(make_delivery(status=status), due_at=NOW)
    release_due_retries(NOW)
    row = Delivery.objects.get(pk=retry.pk)
    assert (row.status, row.lane) == (status, None)
    assert not Retry.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_wakes_the_delivery_queue_once_there_is_something(woken: list[str]) -> None:
    release_due_retries(NOW)
    assert woken == []
    make_retry(due_at=NOW)
    make_retry(due_at=NOW)
    release_due_retries(NOW)
    assert woken == ["delivery"]


def test_a_pump_releases_until_its_turn_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "RELEASE_ROWS", 2)
    for _ in range(5):
        make_retry(due_at=NOW)
    turn = Turn(until=lambda: turn.passes > 4)
    assert retries.run_retry_pump(turn) == 5
    assert Delivery.objects.filter(lane=Delivery.Lane.AGAIN).count() == 5


@pytest.mark.django_db(transaction=True)
def test_a_pump_outlives_a_database_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [OperationalError("away"), 3, OperationalError("away"), 2]

    def release(_: datetime) -> int:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(retries, "release_due_retries", release)
    monkeypatch.setattr(retries, "LOOK_SECONDS", 0)
    make_retry(due_at=NOW)
    turn = Turn(until=lambda: turn.passes > 4)
    assert retries.run_retry_pump(turn) == 5


@pytest.mark.django_db(transaction=True)
def test_one_whose_delivery_is_locked_is_left_to_who_holds_it(woken: list[str]) -> None:
    """Redelivering locks the delivery, and then ends its Retry: nobody may hold that meanwhile."""
    if connection.vendor != "postgresql":
        pytest.skip("one writer at a time")
    row = make_retry(due_at=NOW).delivery
    found: list[int] = []

    def release() -> None:
        found.append(release_due_retries(NOW))
        connection.close()

    with transaction.atomic():
        Delivery.objects.select_for_update().get(pk=row.pk)
        thread = threading.Thread(target=release)
        thread.start()
        thread.join(10)
        assert found == [0]
        assert Retry.objects.filter(pk=row.pk).delete()[0] == 1
    assert release_due_retries(NOW) == 0
    assert woken == []
