"""When to try again."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

# After the first attempt, seconds to each next one; about 27 hours and a half in all. The same
# steps as Svix's published schedule, so that receivers meet what they know.
SCHEDULE_SECONDS: Final = (5, 300, 1_800, 7_200, 18_000, 36_000, 36_000)
QUICK_SECONDS: Final = (5, 30, 120, 300, 900)  # over in half an hour, for what is stale soon
# Over a week, for endpoints that may be away for a weekend.
PATIENT_SECONDS: Final = (60, 600, 3_600, 21_600, 43_200, *(86_400,) * 6)
JITTER: Final = 0.2  # each delay is spread by this part up and down, so that crowds disperse
OVERLOAD_SECONDS: Final = 60  # a receiver that says "too much" is left alone at least this long


def delay_seconds(
    number: int,
    *,
    schedule: Sequence[float] = SCHEDULE_SECONDS,
    overloaded: bool = False,
    retry_after_seconds: float | None = None,
    rand: Callable[[], float] = random.random,
) -> float | None:
    """Seconds from attempt `number` (1 is the first) to the next; None when there is none left.

    The jitter is ±20 % of the scheduled delay. `overloaded` waits a minute at least.
    `retry_after_seconds` is honoured by waiting longer, never shorter, and no longer than the
    schedule's next two steps together.
    """
    if number > len(schedule):
        return None
    step = float(schedule[number - 1])
    delay = step * (1 - JITTER + 2 * JITTER * rand())
    if overloaded:
        delay = max(delay, float(OVERLOAD_SECONDS))
    if retry_after_seconds is not None:
        following = schedule[number] if number < len(schedule) else step
        delay = max(delay, min(retry_after_seconds, step + following))
    return delay


def retry_after_seconds(value: str, *, now: datetime) -> float | None:
    """Seconds that a Retry-After header asks for (RFC 9110, 10.2.3); None where it is malformed."""
    text = value.strip()
    if text.isascii() and text.isdigit() and len(text) <= 9:
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())
