"""Sets of HTTP status codes as people write them: `500-599,429,!501`. Pure."""

from __future__ import annotations

import re
from functools import lru_cache

_PART = re.compile(r"(!?)([1-9]\d\d)(?:-([1-9]\d\d))?", re.ASCII)


@lru_cache(maxsize=1024)
def parse_statuses(text: str) -> frozenset[int]:
    """The codes meant: ranges and single ones, less those after a `!`, wherever they stand.

    Where everything is after a `!`, all others are meant. Raises ValueError.
    """
    wanted: set[int] = set()
    unwanted: set[int] = set()
    for part in text.replace(" ", "").split(","):
        found = _PART.fullmatch(part)
        if found is None:
            raise ValueError(f"{part[:20]!r} is no status code or range, such as 500-599")
        first, last = int(found[2]), int(found[3] or found[2])
        if first > last:
            raise ValueError(f"{part[:20]!r} ends before it begins")
        (unwanted if found[1] else wanted).update(range(first, last + 1))
    return frozenset((wanted or set(range(100, 1000))) - unwanted)
