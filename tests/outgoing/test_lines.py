"""Fairness among subscriptions, in memory."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outgoing.lines import FIRSTS_BEFORE_AGAIN, Lines, UnderWay, Work
from outgoing.models import Delivery
from outgoing.payload import PLAIN, Message
from outgoing.querysets import Claim

FIRST, AGAIN = Delivery.Lane.FIRST, Delivery.Lane.AGAIN
A, B, C, D = (UUID(int=number) for number in range(1, 5))
NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
ENDPOINT: Any = object()  # whose turn it is does not depend on it


def work(subscription_id: UUID, lane: int = FIRST) -> Work:
    claim = Claim(
        delivery_id=uuid4(),
        event_id=uuid4(),
        subscription_id=subscription_id,
        trigger="first",
        attempt_count=0,
        attempts_before=0,
        replay_id=None,
        due_at=NOW,
        order_key=None,
        created_at=NOW,
        asked_at=None,
        token=uuid4(),
    )
    return Work(claim, lane, message(), ENDPOINT)


def message(data: bytes | None = b"{}") -> Message:
    return Message(uuid4(), uuid4(), "a", NOW, "", data)


def lines_with(*works: Work, capacity: int = 64, cap: int = 1000) -> Lines:
    lines = Lines(capacity=capacity, cap=lambda _: cap)
    for item in works:
        lines.add(item)
    return lines


def take_all(lines: Lines) -> list[Work]:
    taken = []
    while (item := lines.take()) is not None:
        taken.append(item)
    return taken


def whose(works: list[Work]) -> list[UUID]:
    return [item.claim.subscription_id for item in works]


def test_keeps_the_order_of_one_subscription() -> None:
    works = [work(A) for _ in range(10)]
    assert take_all(lines_with(*works)) == works


def test_subscriptions_take_turns() -> None:
    works = [work(A) for _ in range(4)] + [work(B), work(B), work(C)]
    assert whose(take_all(lines_with(*works))) == [A, B, C, A, B, A, A]


@pytest.mark.parametrize("cap", [1, 2, 5])
def test_a_subscription_has_no_more_under_way_than_it_may(cap: int) -> None:
    lines = lines_with(*[work(A) for _ in range(10)], cap=cap)
    taken = take_all(lines)
    assert len(taken) == cap
    lines.ended(taken.pop())
    assert len(take_all(lines)) == 1


def test_the_capacity_is_never_exceeded() -> None:
    lines = lines_with(*[work(UUID(int=number)) for number in range(100)], capacity=8)
    assert len(take_all(lines)) == 8
    assert lines.ready == 92


def test_the_last_quarter_is_for_those_with_nothing_under_way() -> None:
    """A receiver that hangs takes three quarters and no more; a newcomer finds room at once."""
    lines = lines_with(*[work(A) for _ in range(100)], capacity=8)
    assert len(take_all(lines)) == 6
    lines.add(work(B))
    lines.add(work(B))
    lines.add(work(C))
    assert whose(take_all(lines)) == [B, C]
    lines.add(work(D))
    assert lines.take() is None


def test_attempts_again_use_half_of_the_capacity() -> None:
    backlog = [work(UUID(int=number), AGAIN) for number in range(100, 200)]
    lines = lines_with(*backlog, capacity=8)
    assert len(take_all(lines)) == 4
    lines.add(work(A))
    assert whose(take_all(lines)) == [A]


def test_attempts_again_go_on_as_they_end() -> None:
    lines = lines_with(*[work(UUID(int=number), AGAIN) for number in range(100, 110)], capacity=4)
    taken = take_all(lines)
    assert len(taken) == 2
    lines.ended(taken[0])
    assert len(take_all(lines)) == 1


def test_a_capacity_of_one_still_tries_again() -> None:
    lines = lines_with(work(A, AGAIN), capacity=1)
    assert whose(take_all(lines)) == [A]


def test_three_first_ones_go_before_one_again() -> None:
    lines = lines_with(
        *[work(A, AGAIN) for _ in range(3)], *[work(A, FIRST) for _ in range(9)], capacity=64
    )
    lanes = [item.lane for item in take_all(lines)]
    assert lanes == [FIRST, FIRST, FIRST, AGAIN] * 3
    assert FIRSTS_BEFORE_AGAIN == 3


def test_says_which_subscriptions_have_enough_waiting() -> None:
    lines = lines_with(work(A), work(A), work(B), cap=2)
    assert lines.full() == [A]
    assert lines.startable == 3
    lines.take()
    assert lines.full() == []
    assert lines.startable == 2


def test_gives_back_what_was_not_started() -> None:
    works = [work(A), work(A), work(B, AGAIN), work(B)]
    lines = lines_with(*works, cap=1)
    started = lines.take()
    assert started == works[0]
    rest = lines.drain()
    assert {item.claim.delivery_id for item in rest} == {
        item.claim.delivery_id for item in works[1:]
    }
    assert (lines.take(), lines.ready, lines.drain()) == (None, 0, [])
    lines.ended(works[0])
    lines.add(work(A))
    assert whose(take_all(lines)) == [A]


def test_takes_one_subscription_out_alone() -> None:
    works = [work(A), work(B), work(A, AGAIN)]
    lines = lines_with(*works, cap=1)
    assert lines.take() is works[0]
    assert lines.waiting() == [A, B]
    assert lines.withdraw(A) == [works[2]]
    assert lines.waiting() == [B]
    assert take_all(lines) == [works[1]]
    lines.ended(works[0])
    lines.add(works[2])
    assert take_all(lines) == [works[2]]


def test_takes_out_one_whose_turn_it_is() -> None:
    lines = lines_with(work(A), work(B), work(A))
    assert whose(lines.withdraw(A)) == [A, A]
    assert (whose(take_all(lines)), lines.ready, lines.startable) == ([B], 0, 0)


def test_goes_by_a_cap_that_was_changed() -> None:
    caps = {A: 3, B: 3}
    lines = Lines(capacity=64, cap=caps.__getitem__)
    for item in (work(A) for _ in range(9)):
        lines.add(item)
    taken = take_all(lines)
    assert len(taken) == 3
    lines.ended(taken.pop())  # so that it has a turn
    caps[A] = 1
    lines.notice_cap(A)
    assert (take_all(lines), lines.startable) == ([], 0)
    lines.ended(taken.pop())
    lines.ended(taken.pop())
    assert len(take_all(lines)) == 1
    caps[A] = 3
    lines.notice_cap(A)
    assert len(take_all(lines)) == 2


# --- how much more to claim -----------------------------------------------------------------------


def test_wants_as_much_as_it_could_start() -> None:
    lines = lines_with(capacity=4)
    assert lines.wants(FIRST)
    assert lines.wants(AGAIN)
    for number in range(4):
        assert lines.wants(FIRST)
        lines.add(work(UUID(int=number)))
    assert not lines.wants(FIRST)
    taken = take_all(lines)
    assert not lines.wants(FIRST)
    lines.ended(taken.pop())
    assert lines.wants(FIRST)


def test_what_hangs_keeps_nobody_from_being_claimed() -> None:
    """Much waits that each receiver would allow, and none of it may start: there is room."""
    lines = lines_with(*[work(A) for _ in range(50)], *[work(B) for _ in range(50)], capacity=8)
    assert len(take_all(lines)) == 6
    assert lines.startable == 0
    assert lines.wants(FIRST)
    assert sorted(lines.full()) == [A, B]
    lines.add(work(C))
    lines.add(work(C))
    assert lines.startable == 1
    assert whose(take_all(lines)) == [C]


def test_attempts_again_keep_no_first_ones_from_being_claimed() -> None:
    backlog = [work(UUID(int=number), AGAIN) for number in range(100, 200)]
    lines = lines_with(*backlog, capacity=8)
    taken = take_all(lines)
    assert len(taken) == 4
    assert lines.wants(FIRST)
    assert not lines.wants(AGAIN)  # enough of them wait
    lines.ended(taken.pop())
    assert lines.startable == 1
    assert lines.wants(FIRST)


def test_as_many_attempts_again_are_wanted_as_may_start() -> None:
    lines = lines_with(capacity=8)
    for number in range(4):
        assert lines.wants(AGAIN)
        lines.add(work(UUID(int=number), AGAIN))
    assert not lines.wants(AGAIN)
    assert lines.wants(FIRST)


# --- messages -------------------------------------------------------------------------------------


def test_a_body_is_made_once_for_all_deliveries_of_an_event() -> None:
    one = message(b'{"n": 1}')
    body = one.body_for(PLAIN)
    assert body == b'{"type":"a","timestamp":"2026-03-04T05:06:07Z","data":{"n": 1}}'
    assert one.body_for(PLAIN) is body


def test_there_is_no_body_before_the_data_is_read() -> None:
    with pytest.raises(ValueError, match="not read yet"):
        message(None).body_for(PLAIN)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(1, 4), st.sampled_from([FIRST, AGAIN])),
        st.tuples(st.just("take"), st.just(0), st.just(0)),
        st.tuples(st.just("end"), st.integers(0, 50), st.just(0)),
        st.tuples(st.just("drain"), st.just(0), st.just(0)),
        st.tuples(st.just("withdraw"), st.integers(1, 4), st.just(0)),
    ),
    max_size=120,
)


@given(STEPS, st.integers(1, 9), st.integers(1, 5))
def test_nothing_is_lost_and_nothing_is_doubled(
    steps: list[tuple[str, int, int]], capacity: int, cap: int
) -> None:
    lines = lines_with(capacity=capacity, cap=cap)
    added: set[UUID] = set()
    seen: Counter[UUID] = Counter()
    under_way: list[Work] = []
    for step, number, lane in steps:
        if step == "add":
            item = work(UUID(int=number), lane)
            added.add(item.claim.delivery_id)
            lines.add(item)
        elif step == "take" and (taken := lines.take()):
            seen[taken.claim.delivery_id] += 1
            under_way.append(taken)
        elif step == "end" and under_way:
            lines.ended(under_way.pop(number % len(under_way)))
        elif step == "drain":
            seen.update(item.claim.delivery_id for item in lines.drain())
        elif step == "withdraw" and UUID(int=number) in lines.waiting():
            seen.update(item.claim.delivery_id for item in lines.withdraw(UUID(int=number)))
        if lines.startable == 0:
            # Then none may start, and the other way round.
            assert lines.take() is None
        assert len(under_way) <= capacity
        each = Counter(whose(under_way))
        assert all(count <= cap for count in each.values())
        assert sum(item.lane == AGAIN for item in under_way) <= max(1, capacity // 2)
    while len(seen) < len(added):
        taken_now = take_all(lines)
        assert taken_now or under_way, "work waits and nothing is under way"
        seen.update(item.claim.delivery_id for item in taken_now)
        under_way += taken_now
        while under_way:
            lines.ended(under_way.pop())
    assert set(seen) == added
    assert set(seen.values()) <= {1}
    assert (lines.take(), lines.startable, lines.drain()) == (None, 0, [])


# --- what hangs -----------------------------------------------------------------------------------


def test_what_hangs_makes_room_for_others_and_none_for_its_own() -> None:
    hanging = [UUID(int=100 + n) for n in range(16)]
    lines = lines_with(*(work(key) for key in hanging for _ in range(20)), capacity=16)
    taken = take_all(lines)
    assert len(taken) == 16
    assert lines.take() is None
    for item in taken:
        lines.set_apart(item)
    # A quarter of the room is for those that hang, and the rest for everybody else.
    assert len(take_all(lines)) == 4
    for item in (work(A) for _ in range(20)):
        lines.add(item)
    assert lines.wants(FIRST)
    assert [item.claim.subscription_id for item in take_all(lines)] == [A] * 8


def test_no_more_hang_apart_than_twice_the_room() -> None:
    lines = Lines(capacity=8, cap=lambda _: 1000)
    apart = 0
    for key in range(100):
        lines.add(work(UUID(int=100 + key)))
        item = lines.take()
        if item is None:
            break
        lines.set_apart(item)
        apart += item.is_apart
    assert apart == 16
    assert key == 16 + 8  # and after those as many as ever


def test_the_end_of_what_hung_gives_everything_back() -> None:
    lines = lines_with(*(work(A) for _ in range(40)), capacity=16)
    taken = take_all(lines)
    assert len(taken) == 12
    for item in taken[:5]:
        lines.set_apart(item)
    for item in taken:
        lines.ended(item)
    again = take_all(lines)
    assert len(again) == 12
    for item in again:
        lines.ended(item)
    assert (lines._in_flight, lines._apart, lines._hanging_in_flight) == (0, 0, 0)


def test_setting_apart_what_has_ended_changes_nothing() -> None:
    lines = lines_with(work(A))
    (item,) = take_all(lines)
    lines.ended(item)
    lines.set_apart(item)
    assert (lines._in_flight, lines._apart, item.is_apart) == (0, 0, False)


def test_knows_what_is_under_way_for_long_and_says_each_once() -> None:
    under_way = UnderWay()
    long_ago, ended, new = work(A), work(B), work(C)
    for item, since in ((long_ago, 1.0), (ended, 1.5), (new, 3.0)):
        under_way.start(item, since)
    under_way.end(ended)
    assert under_way.take_older(3.0) == [long_ago]
    assert under_way.take_older(3.0) == []
    under_way.end(long_ago)
    assert under_way.take_older(3.1) == [new]
