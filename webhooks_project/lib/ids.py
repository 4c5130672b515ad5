"""Primary keys that we make ourselves: time-ordered, so no insert waits for a RETURNING."""

from datetime import datetime
from typing import Final
from uuid import UUID, SafeUUID

from uuid_utils.compat import uuid7

_RANDOM_A: Final = 0xFFF << 64
_RANDOM_B: Final = (1 << 62) - 1
_LOW_BIT: Final = 1 << 31
_UNKNOWN: Final = SafeUUID.unknown


def new_id() -> UUID:
    """A fresh UUIDv7 (RFC 9562): rows made later sort later."""
    return uuid7()


def new_ids(count: int) -> list[UUID]:
    """So many fresh UUIDv7s, each sorting after the one before it.

    Those after the first count up from it, as RFC 9562, 6.2, "Monotonic Random", has it: to draw
    each anew costs four times as much.
    """
    if not count:
        return []
    first = new_id().int & ~_LOW_BIT  # so that this many never carry into what is not random
    return [uuid_of_int(first + number) for number in range(count)]


def uuid_of_int(value: int) -> UUID:
    """`UUID(int=value)` for a number of 128 bits, without the checks."""
    made = object.__new__(UUID)
    object.__setattr__(made, "int", value)
    object.__setattr__(made, "is_safe", _UNKNOWN)
    return made


def new_id_at(moment: datetime) -> UUID:
    """A fresh UUIDv7 that sorts as if made at a moment to come, less than 49 days ahead.

    Of several for one moment those made later sort later.
    """
    fresh = new_id().int
    at_ms = int(moment.timestamp() * 1000)
    ahead_ms = max(0, at_ms - (fresh >> 80))
    # The counter of those made in one millisecond comes first in the 74 bits beside the time.
    counter = ((fresh & _RANDOM_A) >> 64 << 62 | fresh & _RANDOM_B) >> 32
    rest = (0xFFFFFFFF - ahead_ms) << 42 | counter
    return UUID(int=at_ms << 80 | 7 << 76 | rest >> 62 << 64 | 2 << 62 | rest & _RANDOM_B)
