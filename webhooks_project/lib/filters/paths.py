"""The values that a path selects in a document."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import islice
from typing import Any, Final, NamedTuple

from webhooks_project.lib.filters.errors import FilterNotAcceptable

PATH_LENGTH: Final = 256  # characters
PATH_SEGMENTS: Final = 32
ELEMENTS: Final = 10_000  # of arrays that a clause looks at, on the way and at the end of its path
_SEGMENT_PARTS = re.compile(r"\\(.?)|(\.)|([^\\.]+)", re.DOTALL)
_ARRAY_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")
ABSENT: Final[Any] = object()


class Segment(NamedTuple):
    name: str
    element_number: int | None  # what it selects in an array, where it can


def segments_of(path: str, pointer: str) -> list[Segment]:
    """`a.b\\.c` as a and b.c: a backslash takes the next dot, dollar or backslash as it is."""
    if len(path) > PATH_LENGTH:
        message = f"A path has at most {PATH_LENGTH} characters."
        raise FilterNotAcceptable(message, reason="path_too_long", path=pointer)
    names = [""]
    for escaped, dot, text in _SEGMENT_PARTS.findall(path):
        if dot:
            names.append("")
        elif text or (escaped and escaped in ".$\\"):
            names[-1] += text or escaped
        else:
            message = "A backslash in a path stands before a dot, a dollar or a backslash."
            raise FilterNotAcceptable(message, reason="bad_path", path=pointer)
    if not all(names):
        message = "A path has a name on each side of each dot."
        raise FilterNotAcceptable(message, reason="bad_path", path=pointer)
    if len(names) > PATH_SEGMENTS:
        message = f"A path has at most {PATH_SEGMENTS} names."
        raise FilterNotAcceptable(message, reason="path_too_long", path=pointer)
    return [Segment(n, int(n) if _ARRAY_INDEX.fullmatch(n) else None) for n in names]


def values_from(value: Any, path: Sequence[Segment], n: int = 0) -> list[Any]:
    """The values that the segments from `n` on select: none, one or, through arrays, several.

    In an array a number selects the element; any other name is looked up in each element that is
    an object. Of all arrays together, ELEMENTS are looked at.
    """
    found: list[Any] = []
    _collect(value, path, n, found, ELEMENTS)
    return found


def _collect(value: Any, path: Sequence[Segment], n: int, found: list[Any], left: int) -> int:
    """Add the values to `found`. Returns how many elements may still be looked at."""
    while n < len(path):
        name, element_number = path[n]
        if isinstance(value, dict):
            if name not in value:
                return left
            value = value[name]
        elif not isinstance(value, list):
            return left
        elif element_number is not None:
            if element_number >= len(value):
                return left
            value = value[element_number]
        else:
            for element in islice(value, left):
                left -= 1
                if isinstance(element, dict) and name in element:
                    left = _collect(element[name], path, n + 1, found, left)
                if left <= 0:
                    break
            return left
        n += 1
    found.append(value)
    return left


def values_at(document: object, path: str) -> list[Any]:
    """The values at a filter's path: none, one or, through arrays, several.

    Raises FilterNotAcceptable where the path is none.
    """
    return values_from(document, _kept_segments(path))


@lru_cache(maxsize=4096)
def _kept_segments(path: str) -> list[Segment]:
    return segments_of(path, "")
