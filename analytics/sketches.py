"""Latencies as sketches: counts in bins of which each is so wide a share of its value.

The bins are those of a DDSketch (https://www.vldb.org/pvldb/vol12/p2195-masson.pdf), by a library.
A sketch is stored as the pairs of its bins, in order: two stored ones written behind each other are
the sketch of both. Sums of whole numbers, so the same in whatever order they were merged.
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from collections.abc import Hashable, Mapping
from hashlib import blake2b
from threading import Lock
from typing import Final

from ddsketch.mapping import LogarithmicMapping

ACCURACY: Final = 0.009  # of a percentile, relative to the true one
ZERO: Final = -32_768  # the bin of what is too short to measure
MIN_MS: Final = 1e-6
MAX_MS: Final = 1e12

_MAPPING: Final = LogarithmicMapping(ACCURACY)
_PAIR: Final = struct.Struct("<hI")
_MAX_COUNT: Final = 2**32 - 1
_MANY_BYTES: Final = 3_000  # as several months of one endpoint have
_KEPT: Final = 8_192  # sums of a process, of a kilobyte each

Bins = dict[int, int]


def bin_of(milliseconds: float) -> int:
    """The bin that a duration falls into."""
    if milliseconds < MIN_MS:
        return ZERO
    return _MAPPING.key(min(milliseconds, MAX_MS))


def add_bins(bins: Bins, more: Mapping[int, int]) -> None:
    """Count what another sketch has into this one."""
    get = bins.get
    for number, count in more.items():
        bins[number] = get(number, 0) + count


def add_stored(bins: Bins, stored: bytes) -> None:
    """Count what a stored sketch has, or several behind each other, into this one."""
    if len(stored) < _MANY_BYTES:
        _add_pairs(bins, stored)
    else:
        add_merged(bins, MERGED.of(stored))


def add_merged(bins: Bins, stored: bytes) -> None:
    """The same of a single one, which is quicker where there is nothing yet."""
    if not bins:
        bins.update(_PAIR.iter_unpack(stored))
        if len(bins) * _PAIR.size == len(stored):
            return
        bins.clear()  # a count too large for one pair has several
    _add_pairs(bins, stored)


def _add_pairs(bins: Bins, stored: bytes) -> None:
    get = bins.get
    for number, count in _PAIR.iter_unpack(stored):
        bins[number] = get(number, 0) + count


class _Merged:
    """The sums of many sketches, by what tells that those are the same as at an earlier look.

    A year of an endpoint is some thousand pairs, and those of its past months and days are the same
    at each look: to know them again costs a tenth of adding them up.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, bytes] = OrderedDict()
        self._lock = Lock()

    def known(self, key: Hashable) -> bytes | None:
        with self._lock:
            if (known := self._kept.get(key)) is not None:
                self._kept.move_to_end(key)
            return known

    def keep(self, key: Hashable, many: bytes) -> bytes:
        """The sum of sketches behind each other, which is known by that key from now on."""
        bins: Bins = {}
        _add_pairs(bins, many)
        made = stored(bins)
        with self._lock:
            self._kept[key] = made
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return made

    def of(self, many: bytes) -> bytes:
        """By a digest of the bytes."""
        key = blake2b(many, digest_size=16).digest()
        known = self.known(key)
        return self.keep(key, many) if known is None else known


MERGED: Final = _Merged()


def stored(bins: Mapping[int, int]) -> bytes:
    """The bytes of a sketch: the same for the same counts."""
    pack = _PAIR.pack
    parts = []
    for number in sorted(bins):
        count = bins[number]
        while count > _MAX_COUNT:
            parts.append(pack(number, _MAX_COUNT))
            count -= _MAX_COUNT
        if count:
            parts.append(pack(number, count))
    return b"".join(parts)


def percentile(bins: Mapping[int, int], percent: float) -> float | None:
    """The smallest duration, in milliseconds, that so many percent are no longer than.

    Off by at most ACCURACY of it. None where nothing was counted.
    """
    total = sum(bins.values())
    if not total:
        return None
    tenths = round(percent * 10)
    rank = max(1, -(-total * tenths // 1000))  # rounded up, in whole numbers
    for number in sorted(bins):
        rank -= bins[number]
        if rank <= 0:
            return 0.0 if number == ZERO else float(_MAPPING.value(number))
    raise AssertionError("the ranks of a sketch end with its total")
