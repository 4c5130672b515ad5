"""Sketches give percentiles within 1 %, and the same bytes in whatever order they were made."""

from __future__ import annotations

from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics import sketches
from analytics.sketches import ZERO, Bins, add_bins, add_stored, bin_of, percentile, stored

DURATIONS = st.lists(st.floats(0.001, 1e9), min_size=1, max_size=60)


def sketch(values: list[float]) -> Bins:
    bins: Bins = {}
    for value in values:
        number = bin_of(value)
        bins[number] = bins.get(number, 0) + 1
    return bins


@given(values=DURATIONS, percent=st.sampled_from([1, 50, 95, 99, 99.9, 100]))
def test_percentiles_are_within_one_percent(values: list[float], percent: float) -> None:
    exact = sorted(values)[max(0, ceil(len(values) * round(percent * 10) / 1000) - 1)]
    found = percentile(sketch(values), percent)
    assert found is not None
    assert abs(found - exact) <= 0.01 * exact


@given(parts=st.lists(DURATIONS, min_size=1, max_size=5), order=st.randoms())
def test_merging_in_any_order_gives_the_bytes_of_all_at_once(
    parts: list[list[float]], order: object
) -> None:
    whole = stored(sketch([value for part in parts for value in part]))
    order.shuffle(parts)
    merged: Bins = {}
    for part in parts:
        add_stored(merged, stored(sketch(part)))
    assert stored(merged) == whole
    behind_each_other: Bins = {}
    add_stored(behind_each_other, b"".join(stored(sketch(part)) for part in parts))
    assert behind_each_other == merged


def test_counts_beyond_four_billion_are_kept() -> None:
    bins = {7: 2**32 + 5, 9: 1}
    again: Bins = {}
    add_stored(again, stored(bins))
    assert again == bins
    add_bins(again, {7: 1})
    assert again[7] == 2**32 + 6


@pytest.mark.parametrize(("value", "expected"), [(0.0, 0.0), (-3.0, 0.0), (1e-9, 0.0)])
def test_what_is_too_short_to_measure_is_nothing(value: float, expected: float) -> None:
    assert bin_of(value) == ZERO
    assert percentile(sketch([value]), 50) == expected


def test_what_never_ends_still_has_a_bin() -> None:
    assert percentile({bin_of(float("inf")): 1}, 50) == pytest.approx(1e12, rel=0.01)


def test_of_nothing_there_is_no_percentile() -> None:
    assert percentile({}, 95) is None
    assert stored({}) == b""


def test_many_sketches_behind_each_other_are_the_sum_at_each_look() -> None:
    once = {number: number % 7 + 1 for number in range(-200, 800)}
    many = stored(once) * 3
    for _ in range(2):  # the second time it is known
        bins = {5: 1}
        add_stored(bins, many)
        assert bins == {number: 3 * count + (number == 5) for number, count in once.items()}
        bins = {}
        add_stored(bins, many)
        assert bins == {number: 3 * count for number, count in once.items()}
    other: dict[int, int] = {}
    add_stored(other, many + stored({9_000: 4}))
    assert other == {number: 3 * count for number, count in once.items()} | {9_000: 4}


def test_counts_too_large_for_a_pair_are_added_up() -> None:
    most = 2**32 - 1
    many = stored(dict.fromkeys(range(600), 3) | {7: most}) * 2
    bins: dict[int, int] = {}
    add_stored(bins, many)
    assert bins == dict.fromkeys(range(600), 6) | {7: 2 * most}


def test_no_more_sums_are_kept_than_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sketches, "_KEPT", 2)
    merged = sketches._Merged()
    for number in (1, 2, 1, 3, 1):
        assert merged.of(stored({number: 1}) * 2) == stored({number: 2})
    assert list(merged._kept.values()) == [stored({3: 2}), stored({1: 2})]
