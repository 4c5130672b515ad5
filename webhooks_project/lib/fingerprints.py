"""Telling failures that are alike: the same texts but for numbers, ids and times."""

from __future__ import annotations

import hashlib
import re
from typing import Final

READ_CHARACTERS: Final = 2_000  # of one text; what stands behind tells no more
KEPT_CHARACTERS: Final = 200  # of it, once normalised

_VARYING: Final = re.compile(
    r"""
    (?P<uuid>\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b)
    | (?P<time>\b\d{4}-\d\d-\d\d(?:[t ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:z|[+-]\d\d:?\d\d)?)?
      | \b\d\d:\d\d:\d\d(?:[.,]\d+)?
      | \b(?:(?:mon|tue|wed|thu|fri|sat|sun)\w*,?\ +)?\d{1,2}[ -]
        (?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)\w*[ -]\d{2,4}\b)
    | (?P<hex>\b0x[0-9a-f]+\b | (?<![0-9a-z])(?=[a-f]*\d)[0-9a-f]{8,}(?![0-9a-z]))
    | (?P<number>\d+)
    """,
    re.VERBOSE | re.ASCII,
)


def normalised(text: str) -> str:
    """The text in lower case, with `<uuid>`, `<time>`, `<hex>` and `<number>` in place of such.

    White space is one blank; the first 200 characters of what comes of it.
    """
    found = _VARYING.sub(lambda match: f"<{match.lastgroup}>", text[:READ_CHARACTERS].lower())
    return " ".join(found.split())[:KEPT_CHARACTERS]


def fingerprint_of(*facts: object, text: str = "") -> str:
    """32 hex digits that are the same for the same facts and an alike text."""
    told = "\x00".join([*(str(fact) for fact in facts), normalised(text)])
    return hashlib.sha256(told.encode("utf-8", "replace")).hexdigest()[:32]
