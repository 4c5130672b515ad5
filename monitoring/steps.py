"""What follows for a problem from whether it is seen: from a signal to an incident and back.

Pure. Nothing is opened for what is seen once, nothing is resolved by one good minute, and what
wavers is one incident.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from monitoring.rules import Signal

# Rules are looked at once a minute: what was not looked at for longer was not seen all the while.
BREAK: Final = timedelta(minutes=5)
# What comes back so soon after it recovered wavers: its new incident needs more patience.
WAVERS_WITHIN: Final = timedelta(hours=1)
# What a person resolved although it is still seen is left in peace for so long.
PEACE: Final = timedelta(hours=1)
MOST_PATIENCE: Final = 8  # times as long as the rule says


class Step(StrEnum):
    NOTHING = "nothing"
    WATCH = "watch"  # it is seen; nothing is opened yet
    FORGET = "forget"  # it was seen, and is not any more, before anything was opened
    OPEN = "open"
    OPEN_AGAIN = "open_again"  # it recovered lately, and is back
    STAY = "stay"  # it is open, and seen
    RELAPSE = "relapse"  # it was recovering, and is seen again
    RECOVER = "recover"  # it is not seen any more, for the first time
    WAIT = "wait"  # it is not seen any more, not for long enough
    HOVER = "hover"  # it was recovering, and is near its threshold: being well begins anew
    RESOLVE = "resolve"


@dataclass(frozen=True, slots=True)
class Timing:
    """What the rule says of times."""

    opens_after: timedelta
    resolves_after: timedelta


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of one problem before this look at it.

    Of one that is not open: since when it is seen without a break, when it was seen last, until
    when a person wants no more of it, and when its last incident recovered. Of one that is open:
    since when it is not seen. `relapses` is how often it has come back.
    """

    is_open: bool = False
    seen_since: datetime | None = None
    last_seen_at: datetime | None = None
    quiet_until: datetime | None = None
    recovered_at: datetime | None = None
    well_since: datetime | None = None
    relapses: int = 0


def next_step(facts: Facts, signal: Signal | None, timing: Timing, now: datetime) -> Step:
    """What is to be done about the problem, `signal` being what is seen of it now."""
    if facts.is_open:
        return _step_of_open(facts, signal, timing, now)
    if signal is None:
        return Step.NOTHING if facts == Facts(recovered_at=facts.recovered_at) else Step.FORGET
    if facts.quiet_until is not None and now < facts.quiet_until:
        return Step.NOTHING
    if not signal.is_over:
        return Step.FORGET if facts.seen_since is not None else Step.NOTHING
    since = now if _was_interrupted(facts, now) else facts.seen_since or now
    if now - since < timing.opens_after:
        return Step.WATCH
    recovered_at = facts.recovered_at
    if recovered_at is not None and now - recovered_at <= WAVERS_WITHIN:
        return Step.OPEN_AGAIN
    return Step.OPEN


def seen_since(facts: Facts, now: datetime) -> datetime:
    """Since when a problem that is watched is seen without a break."""
    return now if _was_interrupted(facts, now) else facts.seen_since or now


def patience(timing: Timing, relapses: int) -> timedelta:
    """How long a problem must not be seen before its incident is resolved.

    Twice as long for each time that it came back, up to eight times.
    """
    times: int = 2 ** min(relapses, 10)
    return timing.resolves_after * min(times, MOST_PATIENCE)


def _was_interrupted(facts: Facts, now: datetime) -> bool:
    return facts.last_seen_at is None or now - facts.last_seen_at > BREAK


def _step_of_open(facts: Facts, signal: Signal | None, timing: Timing, now: datetime) -> Step:
    if facts.well_since is None:
        if signal is not None:
            return Step.STAY
        return Step.RECOVER if patience(timing, facts.relapses) else Step.RESOLVE
    if signal is not None:
        # What is still there, if not over the threshold, is no relapse, and is not well either.
        return Step.RELAPSE if signal.is_over else Step.HOVER
    if now - facts.well_since >= patience(timing, facts.relapses):
        return Step.RESOLVE
    return Step.WAIT
