"""How well an endpoint or a source does, by its figures and the account's thresholds. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from monitoring.figures import DAY, FIVE_MINUTES, HOUR, EndpointFigures, SourceFigures
from monitoring.models import HealthCheck
from monitoring.thresholds import Limits

State = HealthCheck.State
RANKS: Final = {State.HEALTHY: 0, State.DEGRADED: 1, State.FAILING: 2, State.DOWN: 3}
_WINDOW_WORDS: Final = {FIVE_MINUTES: "the last 5 minutes", HOUR: "the last hour"}
# By these it is judged; by a day's figures only whether anything is known of it.
JUDGED_BY: Final = frozenset(_WINDOW_WORDS)
_END_WORDS: Final = {
    "certificate": "the endpoint's certificate ends",
    "client_certificate": "the client certificate ends",
    "secret": "the last secret ends",
    "subscription": "the subscription ends",
}


@dataclass(frozen=True, slots=True)
class Judgement:
    """The state that the figures ask for, and in words why it is not a better one."""

    state: State
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Standing:
    """The state that is taken, and the one that the figures ask for, each since when."""

    state: State
    since: datetime
    wanted: State
    wanted_since: datetime


Found = tuple[State, str]


def judge_endpoint(figures: EndpointFigures, limits: Limits, now: datetime) -> Judgement:
    """The worst state that any figure asks for; unknown where nothing was tried for a day."""
    if figures.why_not_judged:
        return Judgement(State.UNKNOWN, (figures.why_not_judged,))
    found = [
        *_of_failures(figures, limits, now),
        *_of_rates(figures, limits),
        *_of_check(figures, limits),
        *_of_backlog(
            0.0 if figures.is_window_closed else figures.backlog_age_seconds, "deliveries", limits
        ),
        *_of_ends(figures.ends, limits, now),
    ]
    if found:
        return _worst(found)
    if figures.uncounted & JUDGED_BY:
        return Judgement(State.UNKNOWN, ("not all attempts are counted yet",))
    was_checked = figures.check.checked_at is not None and now - figures.check.checked_at <= (
        timedelta(days=1)
    )
    if not figures.over(DAY).attempts and not was_checked:
        return Judgement(State.UNKNOWN, ("nothing was sent to it for a day",))
    return Judgement(State.HEALTHY)


def judge_source(figures: SourceFigures, limits: Limits, now: datetime) -> Judgement:
    """The worst state that any figure asks for; unknown where it has never heard anything."""
    if figures.why_not_judged:
        return Judgement(State.UNKNOWN, (figures.why_not_judged,))
    found = [
        *_of_arrivals(figures, limits),
        *_of_silence(figures, limits),
        *_of_backlog(figures.backlog_age_seconds, "receipts", limits),
        *_of_ends(figures.ends, limits, now),
    ]
    end = figures.ends.get("secret")
    if end is not None and end <= now:
        found.append((State.DOWN, "every secret has ended: no call can be proved"))
    if found:
        return _worst(found)
    if figures.last_received_at is None:
        return Judgement(State.UNKNOWN, ("nothing has come from it yet",))
    if figures.uncounted & JUDGED_BY:
        return Judgement(State.UNKNOWN, ("not all calls are counted yet",))
    return Judgement(State.HEALTHY)


def not_better(judgement: Judgement, state: State, reasons: Sequence[str]) -> Judgement:
    """The judgement of what is not all counted: it may be worse than the state before, whose
    reasons are kept where it would be a better one."""
    if state == State.UNKNOWN:
        return judgement
    if judgement.state == State.UNKNOWN or RANKS[judgement.state] < RANKS[state]:
        return Judgement(state, tuple(reasons))
    return judgement


def next_standing(
    standing: Standing | None, wanted: State, limits: Limits, now: datetime
) -> Standing:
    """What follows when the figures ask for `wanted`.

    A worse or a better state is taken once the figures have asked for one without a break; what is
    known, or not known any more, is taken at once.
    """
    if standing is None:
        return Standing(wanted, now, wanted, now)
    if wanted == standing.state:
        return replace(standing, wanted=wanted, wanted_since=now)
    if State.UNKNOWN in (wanted, standing.state):
        return Standing(wanted, now, wanted, now)
    is_worse = RANKS[wanted] > RANKS[standing.state]
    was_asked = standing.wanted not in (standing.state, State.UNKNOWN) and is_worse == (
        RANKS[standing.wanted] > RANKS[standing.state]
    )
    since = standing.wanted_since if was_asked else now
    patience = limits["worsens_after_seconds" if is_worse else "recovers_after_seconds"]
    if now - since >= timedelta(seconds=patience):
        return Standing(wanted, now, wanted, now)
    return replace(standing, wanted=wanted, wanted_since=since)


def _worst(found: list[Found]) -> Judgement:
    found.sort(key=lambda item: -RANKS[item[0]])
    return Judgement(found[0][0], tuple(dict.fromkeys(reason for _, reason in found)))


def _of_failures(figures: EndpointFigures, limits: Limits, now: datetime) -> Iterator[Found]:
    count, since = figures.consecutive_failures, figures.failing_since
    if figures.breaker != "closed":
        yield State.FAILING, "it is let alone for failing too much (its breaker is open)"
    if since is None or count < limits["degraded_failures"]:
        return
    text = f"{count:,} failures without a success since {since:%Y-%m-%d %H:%M} UTC"
    is_old = now - since >= timedelta(seconds=limits["down_seconds"])
    if count >= limits["down_failures"] and is_old:
        yield State.DOWN, text
    elif count >= limits["failing_failures"]:
        yield State.FAILING, text
    else:
        yield State.DEGRADED, text


def _of_rates(figures: EndpointFigures, limits: Limits) -> Iterator[Found]:
    for seconds, words in _WINDOW_WORDS.items():
        window = figures.over(seconds)
        percent = window.success_percent
        if percent is None or window.attempts < limits["min_attempts"]:
            continue
        text = f"{percent:.1f} % of {window.attempts:,} attempts of {words} succeeded"
        if percent < limits["failing_success_percent"]:
            yield State.FAILING, text
        elif percent < limits["degraded_success_percent"]:
            yield State.DEGRADED, text
    window = figures.over(FIVE_MINUTES)
    is_counted = window.attempts >= limits["min_attempts"] and window.p95_ms is not None
    if is_counted and window.p95_ms > limits["degraded_p95_ms"]:  # type: ignore[operator]
        yield State.DEGRADED, f"one in twenty attempts takes longer than {window.p95_ms:,.0f} ms"


def _of_check(figures: EndpointFigures, limits: Limits) -> Iterator[Found]:
    check = figures.check
    if not check.failures:
        return
    state = State.DOWN if check.failures >= limits["down_checks"] else State.DEGRADED
    times = "check" if check.failures == 1 else f"{check.failures} checks"
    yield state, f"the last {times} found: {check.problem or 'a problem'}"


def _of_backlog(age_seconds: float, what: str, limits: Limits) -> Iterator[Found]:
    text = f"due {what} have waited for {span(age_seconds)}"
    if age_seconds >= limits["failing_backlog_seconds"]:
        yield State.FAILING, text
    elif age_seconds >= limits["degraded_backlog_seconds"]:
        yield State.DEGRADED, text


def _of_ends(ends: Mapping[str, datetime], limits: Limits, now: datetime) -> Iterator[Found]:
    for name, moment in sorted(ends.items()):
        if moment - now <= timedelta(days=limits["ending_days"]):
            yield State.DEGRADED, f"{_END_WORDS[name]} on {moment:%Y-%m-%d %H:%M} UTC"


def _of_arrivals(figures: SourceFigures, limits: Limits) -> Iterator[Found]:
    hour = figures.over(HOUR)
    percent = hour.refused_percent
    if percent is not None and hour.received >= limits["min_receipts"]:
        text = f"{percent:.1f} % of {hour.received:,} calls of the last hour were refused"
        if percent >= 100:
            yield State.DOWN, text
        elif percent > limits["failing_refused_percent"]:
            yield State.FAILING, text
        elif percent > limits["degraded_refused_percent"]:
            yield State.DEGRADED, text
    if hour.signature_failures >= limits["degraded_signature_failures"]:
        yield (
            State.DEGRADED,
            f"{hour.signature_failures:,} calls of the last hour could not be proved",
        )
    dead = figures.dead_receipts.get(HOUR, 0)
    if dead >= limits["degraded_dead_receipts"]:
        yield State.DEGRADED, f"{dead:,} receipts died in the last hour"


def _of_silence(figures: SourceFigures, limits: Limits) -> Iterator[Found]:
    times = figures.silence_times
    if times is None or times < limits["degraded_silence_times"]:
        return
    state = State.FAILING if times >= limits["failing_silence_times"] else State.DEGRADED
    yield (
        state,
        f"silent for {span(figures.silent_seconds or 0)}; "
        f"usual are {span(figures.usual_silence_seconds or 0)}",
    )


def span(seconds: float) -> str:
    """`45 s`, `12 min`, `3.5 h`, `2.5 days`."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7_200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.1f} days"
