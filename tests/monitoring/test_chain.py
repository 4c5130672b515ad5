"""What is wrong with a run of entries: every way to change one, several at a time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitoring.chain import FORMAT, GENESIS, Kind, breaches_of, hash_of

NOW = datetime(2026, 3, 14, 15, 9, 26, 535_897, tzinfo=UTC)


@dataclass(frozen=True)
class Made:
    sequence: int
    previous_hash: str
    account_id: str = "an account"
    created_at: datetime = NOW
    actor_kind: str = "user"
    actor_id: str = "7"
    actor_label: str = "ann"
    actor_address: str = "192.0.2.1"
    actor_session: str = "5e55"
    actor_agent: str = "Browser"
    action: str = "thing.changed"
    object_type: str = "some.thing"
    object_id: str = "1"
    before: str = "{}"
    after: str = "{}"
    format: int = FORMAT
    hash: str = ""


def sealed(entry: Made) -> Made:
    return replace(entry, hash=hash_of(entry))


def chain(length: int, first: int = 1, previous: str = GENESIS) -> list[Made]:
    entries = []
    for number in range(first, first + length):
        moment = NOW + timedelta(seconds=number)
        entry = sealed(Made(number, previous, created_at=moment, format=2 - number % 2))
        entries.append(entry)
        previous = entry.hash
    return entries


def found(entries: list[Made], **options: Any) -> list[tuple[str, int, int | None]]:
    ordered = sorted(entries, key=lambda entry: entry.sequence)
    return [
        (item.kind.value, item.sequence, item.until) for item in breaches_of(ordered, **options)
    ]


def at(entries: list[Made], number: int, /, **changes: Any) -> list[Made]:
    return [replace(item, **changes) if item.sequence == number else item for item in entries]


def without(entries: list[Made], *sequences: int) -> list[Made]:
    return [item for item in entries if item.sequence not in sequences]


@pytest.mark.parametrize("length", [0, 1, 7])
def test_a_chain_as_it_was_written_holds(length: int) -> None:
    assert found(chain(length)) == []


def test_a_run_may_begin_anywhere() -> None:
    whole = chain(9)
    assert found(whole[4:], first=5, previous_hash=whole[3].hash) == []
    assert found(whole[4:], first=5, previous_hash=whole[2].hash) == [("changed", 5, None)]
    assert found(whole[5:], first=5, previous_hash=whole[3].hash) == [("removed", 5, None)]


@pytest.mark.parametrize(
    "changes",
    [
        {"action": "thing.forged"}, {"actor_label": "eve"}, {"actor_session": ""},
        {"actor_agent": "x"}, {"after": '{"a": 1}'}, {"before": "{ }"}, {"hash": "1" * 64},
        {"previous_hash": "1" * 64}, {"created_at": NOW}, {"account_id": "another"},
        {"format": 1}, {"format": 9},
    ],
)  # fmt: skip
def test_says_which_entry_was_changed(changes: dict[str, Any]) -> None:
    assert found(at(chain(7), 4, **changes)) == [("changed", 4, None)]


def test_says_of_an_entry_that_was_written_anew_with_its_hash() -> None:
    entries = chain(7)
    entries[3] = sealed(replace(entries[3], action="thing.forged"))
    assert found(entries) == [("changed", 4, None)]
    entries = chain(7)
    entries[0] = sealed(replace(entries[0], previous_hash="1" * 64))
    assert found(entries) == [("changed", 1, None)]


@pytest.mark.parametrize(
    ("removed", "expected"),
    [
        ((1,), [("removed", 1, None)]),
        ((4,), [("removed", 4, None)]),
        ((2, 3, 4), [("removed", 2, 4)]),
        ((1, 2, 5), [("removed", 1, 2), ("removed", 5, None)]),
        ((7,), []),  # what no anchor names
    ],
)
def test_says_which_were_removed(
    removed: tuple[int, ...], expected: list[tuple[str, int, int | None]]
) -> None:
    assert found(without(chain(7), *removed)) == expected


def test_says_which_was_removed_where_the_later_ones_were_numbered_anew() -> None:
    entries = [
        replace(item, sequence=item.sequence - (item.sequence > 3)) for item in without(chain(6), 3)
    ]
    assert found(entries) == [
        ("removed", 3, None), ("reordered", 3, None), ("reordered", 4, None),
        ("reordered", 5, None),
    ]  # fmt: skip


def test_says_which_stand_in_each_others_place() -> None:
    places = {2: 5, 5: 2}
    entries = [
        replace(item, sequence=places.get(item.sequence, item.sequence)) for item in chain(7)
    ]
    assert found(entries) == [("reordered", 2, None), ("reordered", 5, None)]
    ordered = sorted(entries, key=lambda entry: entry.sequence)
    assert [item.text for item in breaches_of(ordered)] == [
        "it was written as entry 5", "it was written as entry 2",
    ]  # fmt: skip


def test_an_entry_moved_beyond_the_end_leaves_no_gap() -> None:
    assert found(at(chain(4), 2, sequence=9)) == [("reordered", 9, None)]


def test_lines_in_another_order_are_said() -> None:
    entries = chain(5)
    entries[1], entries[2] = entries[2], entries[1]
    assert [(item.kind, item.sequence) for item in breaches_of(entries)] == [(Kind.REORDERED, 2)]
    entries = chain(3)
    twice = [*entries[:2], entries[1], entries[2]]
    assert [(item.kind, item.sequence) for item in breaches_of(twice)] == [(Kind.REORDERED, 2)]


def test_goes_on_behind_the_first() -> None:
    entries = without(at(at(chain(20), 3, action="x"), 15, after="[]"), 8, 9)
    entries = [
        replace(item, sequence={18: 19, 19: 18}.get(item.sequence, item.sequence))
        for item in entries
    ]
    assert found(entries) == [
        ("changed", 3, None), ("removed", 8, 9), ("changed", 15, None), ("reordered", 18, None),
        ("reordered", 19, None),
    ]  # fmt: skip


def test_an_anchor_notices_a_cut_tail_and_a_chain_written_anew() -> None:
    entries = chain(7)
    anchors = {5: entries[4].hash, 7: entries[6].hash}
    assert found(entries, anchors=anchors) == []
    assert found(entries[:5], anchors=anchors) == [("tail_cut", 6, 7)]
    assert found(entries[:6], anchors=anchors) == [("tail_cut", 7, None)]
    assert found([], anchors=anchors) == [("tail_cut", 1, 7)]
    forged = chain(7, previous=GENESIS)
    forged[2] = sealed(replace(forged[2], action="forged"))
    for number in range(3, 7):
        forged[number] = sealed(replace(forged[number], previous_hash=forged[number - 1].hash))
    assert found(forged) == []  # it holds in itself
    assert found(forged, anchors=anchors) == [("rewritten", 5, None), ("rewritten", 7, None)]


def test_many_suspects_are_still_said_in_time() -> None:
    entries = [replace(item, action="x") for item in chain(3_000)]
    assert len(found(entries)) == 3_000


changed = st.integers(1, 30)


@settings(max_examples=200, deadline=None)
@given(st.sets(changed, max_size=4), st.sets(changed, max_size=4))
def test_says_exactly_what_was_changed_and_removed(altered: set[int], removed: set[int]) -> None:
    entries = chain(31)  # the last stays, so that nothing before it is a tail
    for number in altered:
        entries = at(entries, number, action="forged")
    entries = without(entries, *removed)
    said: set[tuple[str, int]] = set()
    for kind, sequence, until in found(entries):
        said |= {(kind, number) for number in range(sequence, (until or sequence) + 1)}
    assert said == {("changed", number) for number in altered - removed} | {
        ("removed", number) for number in removed
    }


@settings(max_examples=100, deadline=None)
@given(st.permutations(range(1, 9)))
def test_says_of_every_entry_in_anothers_place(order: list[int]) -> None:
    entries = [replace(item, sequence=place) for item, place in zip(chain(8), order, strict=True)]
    elsewhere = [place for place in sorted(order) if order.index(place) + 1 != place]
    assert found(entries) == [("reordered", place, None) for place in elsewhere]
