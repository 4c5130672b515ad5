"""When to try again."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from itertools import accumulate
from typing import Any, Final

from webhooks_project.lib.faults import Fault

# After the first attempt, seconds to each next one; about 27 hours and a half in all. The same
# steps as Svix's published schedule, so that receivers meet what they know.
SCHEDULE_SECONDS: Final = (5, 300, 1_800, 7_200, 18_000, 36_000, 36_000)
QUICK_SECONDS: Final = (5, 30, 120, 300, 900)  # over in half an hour, for what is stale soon
# Over a week, for endpoints that may be away for a weekend.
PATIENT_SECONDS: Final = (60, 600, 3_600, 21_600, 43_200, *(86_400,) * 6)
JITTER: Final = 0.2  # each delay is spread by this part up and down, so that crowds disperse
OVERLOAD_SECONDS: Final = 60  # a receiver that says "too much" is left alone at least this long
MAX_STEPS: Final = 50
MAX_STEP_SECONDS: Final = 30 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Schedule:
    """Seconds from each attempt to the next, each spread by the part `jitter` up and down."""

    steps: tuple[int, ...] = SCHEDULE_SECONDS
    jitter: float = JITTER


@dataclass(frozen=True, slots=True)
class PlannedAttempt:
    """An attempt if all before it fail at once: seconds after the first, as jitter may have it."""

    number: int
    after_seconds: float
    earliest_seconds: float
    latest_seconds: float


def preview(schedule: Schedule, *, max_age_seconds: int | None = None) -> list[PlannedAttempt]:
    """When each attempt would be, the first at 0. One that chance alone may put beyond the maximum
    age is told with that as its latest."""
    found = []
    for number, after in enumerate(accumulate(schedule.steps, initial=0), start=1):
        earliest, latest = after * (1 - schedule.jitter), after * (1 + schedule.jitter)
        if max_age_seconds is not None:
            if earliest > max_age_seconds:
                break
            latest = min(latest, max_age_seconds)
        found.append(PlannedAttempt(number, min(after, latest), earliest, latest))
    return found


def parse_schedule(document: Any) -> Schedule:
    """A schedule as a subscription says it. Raises Fault.

    A list of seconds, or an object: `{"kind": "exponential", "base": 5, "factor": 2, "cap": 3600,
    "attempts": 10}` waits base, base × factor, base × factor² … seconds and never more than the
    cap; `{"kind": "linear", "base": 60, "step": 60, "cap": 3600, "attempts": 10}` base, base + step
    …; `{"kind": "fixed", "seconds": [60, 600]}` is the list. `attempts` are all, the first
    included; `jitter` is 0.2 unless it is given, `cap` thirty days.
    """
    if isinstance(document, list):
        return Schedule(_seconds(document, ""))
    if not isinstance(document, dict):
        raise Fault("not_a_schedule", "must be a list of seconds or an object with a kind")
    kind = document.get("kind")
    names = _NAMES.get(kind) if isinstance(kind, str) else None
    if names is None:
        raise Fault("unknown_kind", f"must be one of {', '.join(_NAMES)}", path="/kind")
    for name in document:
        if name not in names:
            raise Fault("unknown_name", f"a {kind} schedule has no such thing", path=f"/{name}")
    jitter = _number(document, "jitter", 0, 1, default=JITTER)
    if kind == "fixed":
        if not isinstance(document.get("seconds"), list):
            raise Fault("required", "must be a list of seconds", path="/seconds")
        return Schedule(_seconds(document["seconds"], "/seconds"), jitter)
    base = _whole(document, "base", 1, MAX_STEP_SECONDS)
    cap = _whole(document, "cap", 1, MAX_STEP_SECONDS, default=MAX_STEP_SECONDS)
    count = _whole(document, "attempts", 1, MAX_STEPS + 1) - 1
    if kind == "linear":
        step = _whole(document, "step", 0, MAX_STEP_SECONDS)
        return Schedule(tuple(min(base + step * index, cap) for index in range(count)), jitter)
    factor = _number(document, "factor", 1, 100)
    # Capped one by one: the power itself would soon be too large for a number.
    delay, steps = float(base), []
    for _ in range(count):
        steps.append(round(min(delay, cap)))
        delay = min(delay * factor, cap)
    return Schedule(tuple(steps), jitter)


_NAMES: Final = {
    "fixed": ("kind", "seconds", "jitter"),
    "exponential": ("kind", "base", "factor", "cap", "attempts", "jitter"),
    "linear": ("kind", "base", "step", "cap", "attempts", "jitter"),
}


def _seconds(steps: list[Any], path: str) -> tuple[int, ...]:
    if len(steps) > MAX_STEPS:
        raise Fault("too_many", f"at most {MAX_STEPS} are taken", path=path)
    for index, step in enumerate(steps):
        if type(step) is not int or not 1 <= step <= MAX_STEP_SECONDS:
            message = f"must be whole seconds, from 1 to {MAX_STEP_SECONDS:,}"
            raise Fault("out_of_range", message, path=f"{path}/{index}")
    return tuple(steps)


def _whole(
    document: dict[str, Any], name: str, lowest: int, highest: int, default: int | None = None
) -> int:
    value = document.get(name, default)
    if value is None:
        raise Fault("required", "is needed", path=f"/{name}")
    if type(value) is not int or not lowest <= value <= highest:
        message = f"must be a whole number from {lowest} to {highest:,}"
        raise Fault("out_of_range", message, path=f"/{name}")
    return value


def _number(
    document: dict[str, Any], name: str, lowest: int, highest: int, default: float | None = None
) -> float:
    value = document.get(name, default)
    if value is None:
        raise Fault("required", "is needed", path=f"/{name}")
    if type(value) not in (int, float) or not lowest <= value <= highest:
        raise Fault("out_of_range", f"must be from {lowest} to {highest}", path=f"/{name}")
    return float(value)


def delay_seconds(
    number: int,
    *,
    schedule: Sequence[float] = SCHEDULE_SECONDS,
    jitter: float = JITTER,
    overloaded: bool = False,
    retry_after_seconds: float | None = None,
    rand: Callable[[], float] = random.random,
) -> float | None:
    """Seconds from attempt `number` (1 is the first) to the next; None when there is none left.

    The delay is spread by the part `jitter` up and down, a fifth by default. `overloaded` waits a
    minute at least. `retry_after_seconds` is honoured by waiting longer, never shorter, and no
    longer than the schedule's next two steps together.
    """
    if number > len(schedule):
        return None
    step = float(schedule[number - 1])
    delay = step * (1 - jitter + 2 * jitter * rand())
    if overloaded:
        delay = max(delay, float(OVERLOAD_SECONDS))
    if retry_after_seconds is not None:
        following = schedule[number] if number < len(schedule) else step
        delay = max(delay, min(retry_after_seconds, step + following))
    return delay


def retry_after_seconds(value: str, *, now: datetime) -> float | None:
    """Seconds that a Retry-After header asks for (RFC 9110, 10.2.3); None where it is malformed."""
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text)  # infinite for what is too large, and honoured as far as any is
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())
