"""What each kind of rule looks at: a figure with what it means. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Protocol
from uuid import UUID

from monitoring.figures import (
    DAY,
    EndpointFigures,
    FindingFigures,
    SourceFigures,
    main_cause,
)
from monitoring.judging import span
from monitoring.kinds import MIN_ATTEMPTS, SHORT_WINDOW, Kind
from monitoring.rising import rise_of
from monitoring.shrinking import stuck_seconds

MAX_FAILED_CHECKS: Final = (
    2  # active checks may fail so often before the endpoint counts as failing
)

# The end that comes to what is paused or disabled, too: of the others nobody needs to hear then.
ITS_OWN_END: Final = "subscription"
BACKLOG: Final = "backlog"  # the cause of what waits, whichever rule sees it
# Who was told by another: outgoing/expiry.py says to people that a subscription has ended.
TOLD_OTHERWISE: Final = frozenset({"expired"})

_CAUSE_WORDS: Final = {
    "unreachable": "it cannot be reached",
    "tls": "no TLS connection comes about",
    "too_slow": "it does not answer in time",
    "answers_5xx": "it answers with errors of its own (5xx)",
    "answers_4xx": "it refuses what it is sent (4xx)",
    "answers_otherwise": "its answers are no success",
    "not_sendable": "the hub cannot make the request",
    "check": "active checks fail",
}
_END_WORDS: Final = {
    "certificate": "The certificate of {}",
    "client_certificate": "The client certificate for {}",
    "secret": "The last secret of {}",
    "subscription": "{}",
}


class Rule(Protocol):
    """What is asked of a rule; an AlertRule is one."""

    @property
    def id(self) -> UUID: ...
    @property
    def kind(self) -> str: ...
    @property
    def threshold(self) -> float: ...
    @property
    def window_seconds(self) -> int: ...
    @property
    def rise_factor(self) -> float | None: ...
    @property
    def subscription_id(self) -> UUID | None: ...
    @property
    def source_id(self) -> UUID | None: ...


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure with what it means.

    `is_over` where it is not the figure that decides whether the threshold is reached; `threshold`
    where that is not the rule's; `more` is what else an incident keeps of it.
    """

    value: float
    what: str
    text: str
    cause: str = ""
    is_over: bool | None = None
    threshold: float | None = None
    more: Mapping[str, Any] = field(default_factory=dict)


Looks = Callable[[Rule, Any, datetime, float], Iterator[Figure]]


def _failing(
    rule: Rule, figures: EndpointFigures, now: datetime, target: float
) -> Iterator[Figure]:
    window = figures.over(rule.window_seconds)
    percent = window.failed_percent or 0.0
    is_counted = window.attempts >= MIN_ATTEMPTS
    in_a_row = figures.consecutive_failures >= MIN_ATTEMPTS
    is_let_alone = figures.breaker != "closed"
    fails_checks = figures.check.failures > MAX_FAILED_CHECKS
    is_certain = in_a_row or is_let_alone or fails_checks
    if not is_counted and not is_certain:
        return
    cause = main_cause(window.by_cause) or _main_cause_of_longer(figures) or figures.known_cause
    if not cause or (fails_checks and not in_a_row and not is_let_alone and not percent):
        cause = "check" if fails_checks else cause or "answers_otherwise"
    facts = []
    if window.attempts:
        facts.append(
            f"{window.failed:,} of {window.attempts:,} attempts of the last "
            f"{span(rule.window_seconds)} failed"
        )
    if in_a_row and figures.failing_since is not None:
        facts.append(f"none has succeeded since {figures.failing_since:%Y-%m-%d %H:%M} UTC")
    if is_let_alone:
        facts.append("it is let alone for now, and tried with one attempt now and then")
    if figures.check.failures:
        facts.append(f"the last active check found: {figures.check.problem or 'a problem'}")
    # Failures that no window has any more are long past: they keep an incident, and open none.
    is_past = not (is_let_alone or fails_checks or figures.windows)
    yield Figure(
        percent if is_counted else 100.0 if is_certain else 0.0,
        f"{{}} is failing: {_CAUSE_WORDS[cause]}",
        f"{'; '.join(facts)}.",
        cause,
        is_over=not is_past if is_certain else None,
    )


def windows_of(rule: Rule) -> frozenset[int]:
    """The windows of counted attempts or calls that it goes by, in seconds."""
    match Kind(rule.kind):
        case Kind.ENDPOINT_FAILING | Kind.LATENCY_ABOVE:
            return frozenset({rule.window_seconds})
        case Kind.OBJECTIVE_MISSED:
            short = SHORT_WINDOW.get(rule.window_seconds, rule.window_seconds)
            return frozenset({rule.window_seconds, short})
        case Kind.SIGNATURE_FAILURES_RISING:
            is_held_against_day = rule.rise_factor is not None
            return frozenset({rule.window_seconds, *([DAY] if is_held_against_day else [])})
    return frozenset()


def _main_cause_of_longer(figures: EndpointFigures) -> str:
    for _, window in sorted(figures.windows.items()):
        if cause := main_cause(window.by_cause):
            return cause
    return ""


def _rising(
    rule: Rule,
    figures: EndpointFigures | SourceFigures,
    count: int,
    of_day: int,
    what: str,
    text: str,
    more: str,
) -> Figure:
    """A count of the window, held against the day's where the rule asks whether it rises."""
    rise = rise_of(
        count=count,
        of_day=of_day,
        seconds=rule.window_seconds,
        least=rule.threshold,
        factor=rule.rise_factor,
        before=figures.usual_before.get(rule.kind),
    )
    if rise is None:
        return Figure(count, what, f"{text}. {more}")
    return Figure(
        count,
        what,
        f"{text}; {rise.in_words(rule.window_seconds)}. {more}",
        threshold=rise.needed,
        more={"usual": round(rise.usual, 2), "rise_factor": rise.factor},
    )


def _dead_letters(
    rule: Rule, figures: EndpointFigures, now: datetime, target: float
) -> Iterator[Figure]:
    count = figures.dead_letters.get(rule.window_seconds, 0)
    yield _rising(
        rule,
        figures,
        count,
        figures.dead_letters.get(DAY, 0),
        "Deliveries to {} are given up",
        f"{count:,} deliveries were given up within the last {span(rule.window_seconds)}",
        "They wait among the dead letters and can be redelivered.",
    )


def _dead_receipts(
    rule: Rule, figures: SourceFigures, now: datetime, target: float
) -> Iterator[Figure]:
    count = figures.dead_receipts.get(rule.window_seconds, 0)
    yield _rising(
        rule,
        figures,
        count,
        figures.dead_receipts.get(DAY, 0),
        "Receipts of {} die",
        f"{count:,} receipts died within the last {span(rule.window_seconds)}: no try of their "
        "processing succeeded",
        "They wait among the dead receipts.",
    )


def _backlog(
    rule: Rule, figures: EndpointFigures, now: datetime, target: float
) -> Iterator[Figure]:
    if figures.is_window_closed:
        return
    yield Figure(
        figures.backlog_age_seconds,
        "Deliveries to {} wait",
        f"{figures.backlog:,} deliveries are due; the oldest has waited for "
        f"{span(figures.backlog_age_seconds)}.",
        BACKLOG,
    )


def _processing_backlog(
    rule: Rule, figures: SourceFigures, now: datetime, target: float
) -> Iterator[Figure]:
    yield Figure(
        figures.backlog_age_seconds,
        "Receipts of {} wait to be processed",
        f"{figures.backlog:,} receipts are due; the oldest has waited for "
        f"{span(figures.backlog_age_seconds)}.",
        BACKLOG,
    )


def _not_shrinking(
    rule: Rule, figures: EndpointFigures | SourceFigures, now: datetime, target: float
) -> Iterator[Figure]:
    low = figures.backlog_low
    if low is None:
        return
    what, due = "Deliveries to {}", "deliveries"
    if isinstance(figures, SourceFigures):
        what, due = "Receipts of {}", "receipts"
    yield Figure(
        stuck_seconds(low, figures.backlog_age_seconds, now),
        f"{what} wait and get no fewer",
        f"{figures.backlog:,} {due} are due, the oldest for {span(figures.backlog_age_seconds)}. "
        f"Since {low.since:%Y-%m-%d %H:%M} UTC there were never fewer than {low.count:,}.",
        BACKLOG,
    )


def _latency(
    rule: Rule, figures: EndpointFigures, now: datetime, target: float
) -> Iterator[Figure]:
    window = figures.over(rule.window_seconds)
    if window.p95_ms is None or window.attempts < MIN_ATTEMPTS:
        return
    yield Figure(
        window.p95_ms,
        "{} is slow",
        f"One in twenty of {window.attempts:,} attempts of the last {span(rule.window_seconds)} "
        f"took {window.p95_ms:,.0f} ms or longer.",
    )


def _objective(
    rule: Rule, figures: EndpointFigures, now: datetime, target: float
) -> Iterator[Figure]:
    long = figures.over(rule.window_seconds)
    short = figures.over(SHORT_WINDOW.get(rule.window_seconds, rule.window_seconds))
    if long.attempts < MIN_ATTEMPTS or not short.attempts:
        return
    budget = max(100 - target, 0.001)  # percent that may fail; an objective of all has none
    burn = min((long.failed_percent or 0) / budget, (short.failed_percent or 0) / budget)
    yield Figure(
        burn,
        "{} misses its objective",
        f"{long.success_percent or 0:.2f} % of {long.attempts:,} attempts of the last "
        f"{span(rule.window_seconds)} succeeded; the objective is {target:g} %. The error budget "
        f"burns {burn:,.1f} times as fast as it may.",
    )


def _silent(rule: Rule, figures: SourceFigures, now: datetime, target: float) -> Iterator[Figure]:
    times = figures.silence_times
    if times is None or figures.last_received_at is None:
        return
    yield Figure(
        times,
        "{} is silent",
        f"Nothing has come since {figures.last_received_at:%Y-%m-%d %H:%M} UTC. At this time of "
        f"the week a silence of {span(figures.usual_silence_seconds or 0)} is usual.",
    )


def _signatures(
    rule: Rule, figures: SourceFigures, now: datetime, target: float
) -> Iterator[Figure]:
    if DAY in windows_of(rule) & figures.uncounted and rule.kind not in figures.usual_before:
        return  # what is usual is not known; it is not nothing
    window = figures.over(rule.window_seconds)
    yield _rising(
        rule,
        figures,
        window.signature_failures,
        figures.over(DAY).signature_failures,
        "Calls of {} cannot be proved",
        f"{window.signature_failures:,} of {window.received:,} calls of the last "
        f"{span(rule.window_seconds)} could not be proved to be the sender's",
        "A secret was changed on one side, or somebody else calls.",
    )


def _ends(
    rule: Rule, figures: EndpointFigures | SourceFigures, now: datetime, target: float
) -> Iterator[Figure]:
    for name, moment in sorted(figures.ends.items()):
        if figures.why_not_judged and name != ITS_OWN_END:
            continue
        left = (moment - now) / timedelta(days=1)
        verb = "has ended" if left <= 0 else "ends"
        yield Figure(
            left,
            f"{_END_WORDS[name]} {verb} on {moment:%Y-%m-%d}",
            f"It {verb} on {moment:%Y-%m-%d %H:%M} UTC.",
            name,
        )


def looks_at_finding(finding: FindingFigures, now: datetime) -> Iterator[Figure]:
    """For how many hours it stands."""
    if finding.kind in TOLD_OTHERWISE:
        return
    yield Figure(
        (now - finding.since) / timedelta(hours=1),
        f"{{}}: {finding.kind.replace('_', ' ')}",
        finding.text,
        finding.kind,
    )


def looks_at_queues(queues: Mapping[str, float]) -> Iterator[Figure]:
    """The age of each of the hub's queues, in seconds."""
    for family, age in sorted(queues.items()):
        yield Figure(
            age,
            f"The {family} queue is not drained",
            f"Its oldest due work has waited for {span(age)}.",
            family,
        )


OF_ENDPOINTS: Final[dict[Kind, Looks]] = {
    Kind.ENDPOINT_FAILING: _failing,
    Kind.DEAD_LETTERS_RISING: _dead_letters,
    Kind.BACKLOG_OLD: _backlog,
    Kind.BACKLOG_NOT_SHRINKING: _not_shrinking,
    Kind.LATENCY_ABOVE: _latency,
    Kind.OBJECTIVE_MISSED: _objective,
    Kind.EXPIRING: _ends,
}
OF_SOURCES: Final[dict[Kind, Looks]] = {
    Kind.DEAD_LETTERS_RISING: _dead_receipts,
    Kind.BACKLOG_OLD: _processing_backlog,
    Kind.BACKLOG_NOT_SHRINKING: _not_shrinking,
    Kind.SOURCE_SILENT: _silent,
    Kind.SIGNATURE_FAILURES_RISING: _signatures,
    Kind.EXPIRING: _ends,
}
