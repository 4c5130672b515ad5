"""JSON as it was written: parts of a text byte for byte, and whether two texts mean the same.

A parser turns an integer of more than 64 bits into a float; the bytes keep it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Decimal, DecimalException
from typing import Any, Final

import orjson

_SPACE: Final = re.compile(rb"[ \t\n\r]*")
_STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"')
_PLAIN: Final = re.compile(rb"[^,\]} \t\n\r]++")
# What stands between two brackets; brackets within strings are none.
_FLAT: Final = re.compile(rb'(?:[^"\[\]{}]++|"(?:[^"\\]++|\\.)*+")*+')


def members(text: bytes) -> dict[str, bytes]:
    """The values of an object by name, as they are written; of equal names the last.

    The text must have been parsed before.
    """
    found: dict[str, bytes] = {}
    position = _after_space(text, _after_space(text, 0) + 1)
    while text[position] != ord("}"):
        name = _STRING.match(text, position)
        assert name is not None  # noqa: S101 - it was parsed
        position = _after_space(text, _after_space(text, name.end()) + 1)
        end = _end_of_value(text, position)
        found[orjson.loads(name[0])] = text[position:end]
        position = _next(text, end)
    return found


def items(text: bytes) -> Iterator[bytes]:
    """The values of an array as they are written. The text must have been parsed before."""
    position = _after_space(text, _after_space(text, 0) + 1)
    while text[position] != ord("]"):
        end = _end_of_value(text, position)
        yield text[position:end]
        position = _next(text, end)


def is_same(one: bytes, other: bytes) -> bool:
    """Whether two JSON texts mean the same: space, the order of names and how a number is written
    aside. Texts nested too deeply for that are the same where their bytes are."""
    if one == other:
        return True
    try:
        return bool(_exactly(one) == _exactly(other))
    except RecursionError:
        return False


def _exactly(text: bytes) -> Any:
    return json.loads(text, parse_int=_number, parse_float=_number)


def _number(text: str) -> tuple[Decimal | str]:
    # A tuple, which nothing else in JSON becomes: for Python, True is 1.
    try:
        return (Decimal(text),)
    except DecimalException:
        return (text,)


def _next(text: bytes, end: int) -> int:
    """Where the next value or name begins, or the bracket that closes stands."""
    position = _after_space(text, end)
    return _after_space(text, position + 1) if text[position] == ord(",") else position


def _end_of_value(text: bytes, position: int) -> int:
    first = text[position]
    if first not in b"[{":
        match = (_STRING if first == ord('"') else _PLAIN).match(text, position)
        assert match is not None  # noqa: S101 - it was parsed
        return match.end()
    depth = 0
    while True:
        depth += 1 if text[position] in b"[{" else -1
        if not depth:
            return position + 1
        flat = _FLAT.match(text, position + 1)
        assert flat is not None  # noqa: S101 - it matches anything
        position = flat.end()


def _after_space(text: bytes, position: int) -> int:
    match = _SPACE.match(text, position)
    assert match is not None  # noqa: S101 - it matches anything
    return match.end()
