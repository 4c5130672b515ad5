"""The audit chain as such: how an entry is hashed, and what is wrong with a run of entries.

Pure: an entry is anything with an entry's fields, from the database or from an export.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Protocol

import orjson

GENESIS: Final = "0" * 64  # what the first entry of an account follows
FORMAT: Final = 2  # of the entries that are written now
# The fields that a hash is over, in their order, by the entry's format. A format once used stays:
# entries are never written anew.
_FIRST: Final = ("previous_hash", "account", "sequence", "created_at", "actor_kind", "actor_id",
                 "actor_label", "actor_address")  # fmt: skip
_LAST: Final = ("action", "object_type", "object_id", "before", "after")
FIELDS: Final[Mapping[int, tuple[str, ...]]] = {
    1: (*_FIRST, *_LAST),
    2: (*_FIRST, "actor_session", "actor_agent", *_LAST, "format"),
}
MAX_SUSPECTS: Final = 2_000  # for which is tried whether they belong elsewhere
MAX_TRIES: Final = 2_000  # of each, nearest first


class Entry(Protocol):
    """What an entry has, whether it is a row or a line of a file."""

    @property
    def sequence(self) -> int: ...
    @property
    def previous_hash(self) -> str: ...
    @property
    def hash(self) -> str: ...


class Kind(StrEnum):
    """What is wrong at a place of a chain."""

    CHANGED = "changed"  # the entry is not what was written
    REMOVED = "removed"  # there is none, and there was
    REORDERED = "reordered"  # the entry was written with another number
    TAIL_CUT = "tail_cut"  # entries that an anchor names, or the file's end, are not there
    REWRITTEN = "rewritten"  # it holds in itself, and an anchor says that it was another


@dataclass(frozen=True, slots=True)
class Breach:
    """One thing wrong: at the entry `sequence`, or from there to `until`."""

    kind: Kind
    sequence: int
    text: str
    until: int | None = None


def fields_of(number: int) -> tuple[str, ...]:
    """The fields that the hash of an entry of this format is over.

    One of a format that never was is taken for one of the newest: what it had before somebody
    changed it, its fields do not give its hash any more.
    """
    return FIELDS.get(number, FIELDS[FORMAT])


def hashed_fields(entry: Any) -> list[Any]:
    """The values that an entry's hash is over, as they go into it."""
    return [_hashed(entry, name) for name in fields_of(entry.format)]


def hash_of(entry: Any) -> str:
    """SHA-256, in hex, over the previous hash and every field of the entry, as JSON without
    spaces."""
    return hash_of_fields(hashed_fields(entry))


def hash_of_fields(fields: list[Any]) -> str:
    return hashlib.sha256(orjson.dumps(fields)).hexdigest()


def _hashed(entry: Any, name: str) -> Any:
    if name == "account":
        return str(entry.account_id)
    value = getattr(entry, name)
    return value.isoformat(timespec="microseconds") if isinstance(value, datetime) else value


class _Moved:
    """An entry as it would be with another number."""

    __slots__ = ("_entry", "sequence")

    def __init__(self, entry: Any, sequence: int) -> None:
        self._entry = entry
        self.sequence = sequence

    def __getattr__(self, name: str) -> Any:
        return getattr(self._entry, name)


@dataclass(slots=True)
class _Walk:
    """What is known of a chain so far."""

    first: int
    expected: int
    last_hash: str
    end: int  # the highest number that an entry truly has
    gaps: list[tuple[int, int]]
    suspects: list[Any]
    found: list[Breach]
    last_is_suspect: bool = False


def breaches_of(
    entries: Iterable[Any],
    *,
    first: int = 1,
    previous_hash: str = GENESIS,
    anchors: Mapping[int, str] | None = None,
    last: int = 0,
) -> list[Breach]:
    """Everything wrong with the entries of one account, in order of their numbers.

    `entries` come in order and are read once. They begin at `first`, which follows
    `previous_hash`. `anchors` are hashes by number, kept elsewhere; `last` is the number that the
    run must reach at least. What nobody kept elsewhere cannot be missed at the end: a chain cut
    there, or written anew as a whole, holds in itself.
    """
    anchors = {number: text for number, text in (anchors or {}).items() if number >= first}
    walk = _Walk(first, first, previous_hash, first - 1, [], [], [])
    for entry in entries:
        _step(walk, entry)
        wanted = anchors.get(entry.sequence)
        if wanted is not None and wanted != entry.hash:
            walk.found.append(
                Breach(Kind.REWRITTEN, entry.sequence, "an anchor has another hash for it")
            )
    _place_suspects(walk)
    walk.found += _tail(walk, max([last, *anchors]))
    # One entry may show in two ways that it was changed; it is said once.
    once = {(breach.sequence, breach.kind): breach for breach in reversed(walk.found)}
    return [once[key] for key in sorted(once)]


def _step(walk: _Walk, entry: Any) -> None:
    if entry.sequence < walk.expected:
        walk.found.append(
            Breach(Kind.REORDERED, entry.sequence, "it stands behind later ones, or twice")
        )
        _fill(walk, entry.sequence)
        return
    follows_known = entry.sequence == walk.expected
    if not follows_known:
        walk.gaps.append((walk.expected, entry.sequence - 1))
    if entry.hash != hash_of(entry):
        walk.suspects.append(entry)
        walk.last_is_suspect = True
    else:
        # Where the one before is a suspect it is reported for itself.
        if follows_known and entry.previous_hash != walk.last_hash and not walk.last_is_suspect:
            walk.found.append(_not_followed(entry, walk.first))
        walk.last_is_suspect = False
        walk.end = entry.sequence
    walk.last_hash = entry.hash
    walk.expected = entry.sequence + 1


def _not_followed(entry: Any, first: int) -> Breach:
    if entry.sequence == first:
        return Breach(Kind.CHANGED, first, "it does not follow what the chain begins with")
    return Breach(
        Kind.CHANGED,
        entry.sequence - 1,
        f"it was written anew, hash and all: entry {entry.sequence} follows another",
    )


def _place_suspects(walk: _Walk) -> None:
    """Of each that does not bear its own hash: was it changed, or does it belong elsewhere?"""
    places = _places(walk)
    taken: set[int] = set()
    left: set[int] = set()
    for entry in walk.suspects:
        place = _belongs_at(entry, places) if len(walk.suspects) <= MAX_SUSPECTS else None
        if place is None:
            walk.found.append(
                Breach(Kind.CHANGED, entry.sequence, "its fields do not give its hash")
            )
            walk.end = max(walk.end, entry.sequence)
            continue
        walk.found.append(
            Breach(Kind.REORDERED, entry.sequence, f"it was written as entry {place}")
        )
        taken.add(place)
        left.add(entry.sequence)
    for place in taken:
        _fill(walk, place)
    # Where something else stands now, the entry that stood there is gone.
    walk.gaps += [(place, place) for place in left - taken]
    walk.end = max([walk.end, *taken])
    for begin, end in _joined(walk.gaps):
        if begin > walk.end:
            break  # left behind by what was moved there, or the tail
        end = min(end, walk.end)
        what = "it is" if begin == end else f"{begin} to {end} are"
        walk.found.append(
            Breach(Kind.REMOVED, begin, f"{what} not there", None if begin == end else end)
        )


def _places(walk: _Walk) -> list[int]:
    """The numbers that a suspect may have had: those of other suspects, the gaps, and beyond the
    end, where entries were removed and the later ones moved down."""
    places = {entry.sequence for entry in walk.suspects}
    for begin, end in walk.gaps:
        places.update(range(begin, min(end, begin + MAX_TRIES) + 1))
    beyond = min(len(walk.suspects), MAX_TRIES) + 1
    places.update(range(walk.expected, walk.expected + beyond))
    return sorted(places)


def _belongs_at(entry: Any, places: list[int]) -> int | None:
    nearest = sorted(places, key=lambda place: abs(place - entry.sequence))[:MAX_TRIES]
    for place in nearest:
        if place != entry.sequence and hash_of(_Moved(entry, place)) == entry.hash:
            return place
    return None


def _fill(walk: _Walk, place: int) -> None:
    gaps = []
    for begin, end in walk.gaps:
        if not begin <= place <= end:
            gaps.append((begin, end))
            continue
        if begin < place:
            gaps.append((begin, place - 1))
        if place < end:
            gaps.append((place + 1, end))
    walk.gaps = gaps


def _joined(gaps: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """The gaps in order, neighbours as one."""
    open_gap: tuple[int, int] | None = None
    for begin, end in sorted(gaps):
        if open_gap is not None and begin <= open_gap[1] + 1:
            open_gap = (open_gap[0], max(open_gap[1], end))
            continue
        if open_gap is not None:
            yield open_gap
        open_gap = (begin, end)
    if open_gap is not None:
        yield open_gap


def _tail(walk: _Walk, last: int) -> list[Breach]:
    if last <= walk.end:
        return []
    begin = walk.end + 1
    what = "it was" if begin == last else f"{begin} to {last} were"
    return [
        Breach(Kind.TAIL_CUT, begin, f"{what} there and is not", None if begin == last else last)
    ]
