"""A pump's place: one at a time, renewed, given up, taken over."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine

from webhooks_project import pumps, queues
from webhooks_project.models import Heartbeat
from webhooks_project.pumps import STALE_SECONDS, take_place

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


@pytest.fixture(autouse=True)
def traveller() -> Iterator[Any]:
    with time_machine.travel(NOW, tick=False) as moving:
        yield moving


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Moves the process's own clock."""
    state = {"now": 1000.0}
    monkeypatch.setattr(pumps.time, "monotonic", lambda: state["now"])

    def tick(seconds: float) -> None:
        state["now"] += seconds

    return tick


def hints() -> int:
    return queues._broker("delivery").queue_size()


def test_a_place_is_taken_and_then_free_again(settings: Any) -> None:
    settings.HUB_NODE = "node-1"
    with take_place("delivery") as place:
        assert place is not None
        assert place.name == "node-1/delivery/0"
        row = Heartbeat.objects.get()
        assert (row.host, row.cluster, row.family, row.slot) == ("node-1", "hub", "delivery", 0)
        assert row.token is not None
        assert (row.pid, row.started_at, row.beat_at) == (os.getpid(), NOW, NOW)
    assert Heartbeat.objects.get().token is None
    with take_place("delivery") as place:
        assert place is not None
    assert Heartbeat.objects.count() == 1


def test_a_second_pump_finds_no_place() -> None:
    with take_place("delivery") as first, take_place("delivery") as second:
        assert first is not None
        assert second is None
        assert first.goes_on()
    assert hints() == 1


def test_there_are_as_many_places_as_pumps_are_wanted(settings: Any) -> None:
    settings.WEBHOOKS_DELIVERY_PUMPS = 2
    with (
        take_place("delivery") as one,
        take_place("delivery") as two,
        take_place("delivery") as three,
    ):
        assert one is not None
        assert two is not None
        assert (one.slot, two.slot, three) == (0, 1, None)


def test_families_nodes_and_clusters_have_places_of_their_own(settings: Any) -> None:
    with take_place("delivery") as one, take_place("retry") as two:
        settings.HUB_NODE = "another"
        with take_place("delivery") as three:
            settings.WEBHOOKS_SHARED_CLUSTER = False
            with take_place("delivery") as four:
                assert None not in (one, two, three, four)


def test_a_place_that_is_not_renewed_is_taken_over(traveller: Any, ticking: Any) -> None:
    with take_place("delivery") as frozen:
        assert frozen is not None
        traveller.move_to(NOW + timedelta(seconds=STALE_SECONDS))
        with take_place("delivery") as too_early:
            assert too_early is None
        traveller.move_to(NOW + timedelta(seconds=STALE_SECONDS, microseconds=1))
        with take_place("delivery") as second:
            assert second is not None
            ticking(1)
            assert not frozen.goes_on()
            frozen.leave()
            assert second.goes_on()
            assert Heartbeat.objects.get().token is not None


def test_a_place_is_renewed_each_second(traveller: Any, ticking: Any) -> None:
    with take_place("delivery") as place:
        assert place is not None
        beats = []
        for seconds in (0, 0.5, 0.6, 1.0):
            ticking(seconds)
            traveller.shift(seconds)
            assert place.goes_on()
            beats.append((Heartbeat.objects.get().beat_at - NOW).total_seconds())
        assert beats == [0, 0, 1.1, 2.1]


def test_looking_often_costs_little(ticking: Any, django_assert_num_queries: Any) -> None:
    with take_place("delivery") as place:
        assert place is not None
        with django_assert_num_queries(1):
            assert all(place.goes_on() for _ in range(50))


def test_a_turn_is_over_after_its_time(settings: Any, ticking: Any) -> None:
    settings.WEBHOOKS_TURN_SECONDS = 60
    with take_place("delivery") as place:
        assert place is not None
        ticking(59.999)
        assert place.goes_on()
        ticking(0.001)
        assert not place.goes_on()
        assert Heartbeat.objects.get().token is not None
    assert Heartbeat.objects.get().token is None


def test_the_next_pump_is_called_when_one_leaves() -> None:
    with take_place("delivery") as place:
        assert place is not None
        place.leave()
        assert Heartbeat.objects.get().token is None
        assert hints() == 1
        place.leave()
    assert hints() == 1


def test_a_pump_that_broke_calls_nobody() -> None:
    """What broke it would break the next at once; the supervisor's hint is soon enough."""
    with pytest.raises(RuntimeError), take_place("delivery"):
        raise RuntimeError
    assert Heartbeat.objects.get().token is None
    assert hints() == 0


def test_a_node_that_stops_takes_no_more_and_calls_nobody(ticking: Any) -> None:
    with take_place("delivery") as place:
        assert place is not None
        assert place.goes_on()
        Heartbeat.objects.update(stop_requested_at=NOW)
        ticking(1)
        assert not place.goes_on()
    row = Heartbeat.objects.get()
    assert (row.token, row.stop_requested_at) == (None, NOW)
    assert hints() == 0
    with take_place("delivery") as again:
        assert again is None


def test_a_place_that_was_taken_away_is_not_fought_for(ticking: Any) -> None:
    with take_place("delivery") as place:
        assert place is not None
        Heartbeat.objects.all().delete()
        ticking(1)
        assert not place.goes_on()
        assert not place.goes_on()
    assert not Heartbeat.objects.exists()


def test_handlers_have_places_beside_that_of_the_receipts(settings: Any) -> None:
    settings.WEBHOOKS_HANDLER_PUMPS = 2
    slots = []
    with ExitStack() as stack:
        for _ in range(4):
            place = stack.enter_context(take_place("processing"))
            slots.append(place and place.slot)
    assert slots == [0, 1, 2, None]


def beats() -> list[Any]:
    return list(Heartbeat.objects.values_list("beat_at", flat=True))


@pytest.mark.django_db(transaction=True)
def test_a_place_is_kept_while_its_pump_is_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pumps, "BEAT_SECONDS", 0.02)
    with take_place("delivery") as place:
        assert place is not None
        Heartbeat.objects.update(beat_at=None, stop_requested_at=NOW)
        with place.kept(10):
            wait_until(lambda: beats() == [NOW])
        Heartbeat.objects.update(beat_at=None)
        time.sleep(0.1)
        assert beats() == [None]


@pytest.mark.django_db(transaction=True)
def test_a_place_is_kept_no_longer_than_was_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pumps, "BEAT_SECONDS", 0.02)
    with take_place("delivery") as place:
        assert place is not None
        Heartbeat.objects.update(beat_at=None)
        with place.kept(0.01):
            time.sleep(0.2)
        assert beats() == [None]


def wait_until(is_so: Callable[[], bool]) -> None:
    for _ in range(500):
        if is_so():
            return
        time.sleep(0.01)
    raise AssertionError("it did not come about")
