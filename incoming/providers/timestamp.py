"""When a call says it was signed, and whether that is near enough to when it arrived."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from incoming.providers.call import Cause, Refused

LAST_MOMENT: Final = 253_402_300_799  # Unix seconds, the end of year 9999: no date is later
UNITS: Final = ("s", "ms", "iso", "any")

_DIGITS = re.compile(r"\d{1,16}", re.ASCII)
# RFC 3339, which `fromisoformat` alone does not hold to: it also takes dates and week numbers.
_RFC3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:?\d\d)", re.ASCII
)


def parse_timestamp(text: str, unit: str) -> float | None:
    """Unix seconds from `s`, `ms` or `iso` text (RFC 3339 with a zone); None where it is not.
    `any` is `iso` or `s`."""
    if unit == "any":
        unit = "s" if _DIGITS.fullmatch(text) else "iso"
    if unit == "iso":
        if not _RFC3339.fullmatch(text):
            return None
        try:
            return datetime.fromisoformat(text.upper()).timestamp()
        except (ValueError, OverflowError):
            return None
    if not _DIGITS.fullmatch(text):
        return None
    seconds = int(text) / 1000 if unit == "ms" else float(text)
    return seconds if seconds <= LAST_MOMENT else None


def write_timestamp(moment: float, unit: str) -> str:
    """Unix seconds as text that `parse_timestamp` takes, without a fraction of a second but for
    `ms`; `any` is written as `iso`."""
    if unit == "ms":
        return str(int(moment * 1000))
    if unit in ("iso", "any"):
        return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return str(int(moment))


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far a signed timestamp may lie from the arrival, in seconds; None: not bounded."""

    past_seconds: int | None = 300
    future_seconds: int | None = 300

    def or_chosen(self, seconds: int | None) -> Tolerance:
        """The source's own tolerance where it sets one. It bounds the past in any case; the
        future stays open where the third party's rule leaves it open."""
        if seconds is None:
            return self
        return Tolerance(seconds, None if self.future_seconds is None else seconds)

    def check(self, signed_at: float, *, now: float) -> Refused | None:
        """Refuse a timestamp outside; exactly at a bound is inside. Both in Unix seconds."""
        if self.past_seconds is not None and now - signed_at > self.past_seconds:
            return Refused(Cause.TIMESTAMP_TOO_OLD)
        if self.future_seconds is not None and signed_at - now > self.future_seconds:
            return Refused(Cause.TIMESTAMP_IN_FUTURE)
        return None


FIVE_MINUTES: Final = Tolerance()
UNBOUNDED: Final = Tolerance(None, None)
