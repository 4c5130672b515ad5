"""What a rule sees in the figures: signals. Pure.

A signal is there while the figure has not fallen clearly below the threshold; `is_over` says
whether it reaches the threshold itself. What is over opens an incident, what is there keeps it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final, Protocol
from uuid import UUID

from monitoring.figures import AccountFigures, EndpointFigures, SourceFigures, main_cause
from monitoring.judging import span
from monitoring.kinds import KINDS, MIN_ATTEMPTS, SHORT_WINDOW, SUCCESS_TARGET_PERCENT, Kind

MAX_FAILED_CHECKS: Final = (
    2  # active checks may fail so often before the endpoint counts as failing
)
NAME_CHARACTERS: Final = 100  # of a name in a title

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
    def subscription_id(self) -> UUID | None: ...
    @property
    def source_id(self) -> UUID | None: ...


@dataclass(frozen=True, slots=True)
class Signal:
    """A problem that a rule sees at one moment. `key` names the rule and the problem."""

    key: str
    cause: str
    is_over: bool
    value: float
    title: str
    text: str
    subscription_id: UUID | None = None
    source_id: UUID | None = None
    figures: Mapping[str, Any] = field(default_factory=dict)

    @property
    def problem(self) -> str:
        return parts_of(self.key)[1]


@dataclass(frozen=True, slots=True)
class _Seen:
    """A figure with what it means; `is_over` where it is not the figure alone that decides."""

    value: float
    what: str
    text: str
    cause: str = ""
    is_over: bool | None = None


def signals_of(
    rule: Rule,
    figures: AccountFigures,
    now: datetime,
    *,
    leaves: frozenset[UUID] = frozenset(),
    targets: Mapping[UUID, float] | None = None,
) -> list[Signal]:
    """What the rule sees. `leaves` are endpoints and sources that other rules of its kind are for;
    `targets` the objectives of subscriptions, in percent, where they have one."""
    found: list[Signal] = []
    for endpoint in figures.endpoints:
        if endpoint.id in leaves or endpoint.why_not_judged or not _is_for(rule, endpoint, None):
            continue
        target = (targets or {}).get(endpoint.id, SUCCESS_TARGET_PERCENT)
        for seen in _ENDPOINT.get(Kind(rule.kind), _nothing)(rule, endpoint, now, target):
            found += _signal(rule, endpoint.id, endpoint.name, seen, subscription_id=endpoint.id)
    for source in figures.sources:
        if source.id in leaves or source.why_not_judged or not _is_for(rule, None, source):
            continue
        for seen in _SOURCE.get(Kind(rule.kind), _nothing)(rule, source, now, 0.0):
            found += _signal(rule, source.id, source.name, seen, source_id=source.id)
    if rule.kind == Kind.QUEUE_NOT_DRAINED:
        for family, age in sorted(figures.queues.items()):
            what = f"The {family} queue is not drained"
            seen = _Seen(age, what, f"Its oldest due work has waited for {span(age)}.", family)
            found += _signal(rule, None, "", seen)
    return found


# What an endpoint that fails has for sure: its objective is missed, and its answers may take long.
_FOLLOWS_FROM_FAILING: Final = (Kind.OBJECTIVE_MISSED, Kind.LATENCY_ABOVE)


def without_repeats(found: Sequence[tuple[Rule, Signal]]) -> list[Signal]:
    """The signals of an account's rules, where what only follows from another opens nothing.

    What is open already because of it stays so.
    """
    failing = {
        signal.subscription_id
        for rule, signal in found
        if rule.kind == Kind.ENDPOINT_FAILING and signal.is_over
    }
    return [
        replace(signal, is_over=False)
        if rule.kind in _FOLLOWS_FROM_FAILING and signal.subscription_id in failing
        else signal
        for rule, signal in found
    ]


def problem_of(subject: UUID | None, cause: str) -> str:
    """What names a problem, whichever rules see it: the endpoint or source, and the cause."""
    return f"{subject.hex if subject else 'hub'}:{cause}"


def key_of(rule_id: UUID, problem: str) -> str:
    """What names a rule's own sight of a problem."""
    return f"{rule_id.hex}:{problem}"


def parts_of(key: str) -> tuple[UUID, str]:
    """The rule, and the problem."""
    rule, _, problem = key.partition(":")
    return UUID(hex=rule), problem


def _is_for(rule: Rule, endpoint: EndpointFigures | None, source: SourceFigures | None) -> bool:
    if rule.subscription_id is None and rule.source_id is None:
        return True
    if endpoint is not None:
        return endpoint.id == rule.subscription_id
    return source is not None and source.id == rule.source_id


def _signal(
    rule: Rule, subject: UUID | None, name: str, seen: _Seen, **ids: UUID
) -> Iterator[Signal]:
    is_low = rule.kind == Kind.EXPIRING  # the less is left, the worse it is
    eased = rule.threshold * KINDS[Kind(rule.kind)].eases
    is_over = seen.value <= rule.threshold if is_low else seen.value >= rule.threshold
    if seen.is_over is not None:
        is_over = seen.is_over or is_over
    is_there = is_over or (seen.value <= eased if is_low else seen.value >= eased)
    if not is_there:
        return
    yield Signal(
        key=key_of(rule.id, problem_of(subject, seen.cause or rule.kind)),
        cause=seen.cause,
        is_over=is_over,
        value=round(seen.value, 1),
        title=seen.what.format(_short(name))[:200],
        text=seen.text,
        figures={
            "value": round(seen.value, 1),
            "unit": KINDS[Kind(rule.kind)].unit,
            "threshold": rule.threshold,
            "window_seconds": rule.window_seconds if KINDS[Kind(rule.kind)].windows else None,
        },
        **ids,
    )


def _short(name: str) -> str:
    return name if len(name) <= NAME_CHARACTERS else f"{name[:NAME_CHARACTERS]}…"


Looks = Callable[[Rule, Any, datetime, float], Iterator[_Seen]]


def _nothing(rule: Rule, figures: Any, now: datetime, target: float) -> Iterator[_Seen]:
    return iter(())


def _failing(rule: Rule, figures: EndpointFigures, now: datetime, target: float) -> Iterator[_Seen]:
    window = figures.over(rule.window_seconds)
    percent = window.failed_percent or 0.0
    is_counted = window.attempts >= MIN_ATTEMPTS
    in_a_row = figures.consecutive_failures >= MIN_ATTEMPTS
    is_let_alone = figures.breaker != "closed"
    fails_checks = figures.check.failures > MAX_FAILED_CHECKS
    is_certain = in_a_row or is_let_alone or fails_checks
    if not is_counted and not is_certain:
        return
    cause = main_cause(window.by_cause) or _main_cause_of_longer(figures)
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
    yield _Seen(
        percent if is_counted else 100.0 if is_certain else 0.0,
        f"{{}} is failing: {_CAUSE_WORDS[cause]}",
        f"{'; '.join(facts)}.",
        cause,
        is_over=is_certain or None,
    )


def _main_cause_of_longer(figures: EndpointFigures) -> str:
    for _, window in sorted(figures.windows.items()):
        if cause := main_cause(window.by_cause):
            return cause
    return ""


def _dead_letters(
    rule: Rule, figures: EndpointFigures, now: datetime, target: float
) -> Iterator[_Seen]:
    count = figures.dead_letters.get(rule.window_seconds, 0)
    yield _Seen(
        count,
        "Deliveries to {} are given up",
        f"{count:,} deliveries were given up within the last {span(rule.window_seconds)}. They "
        "wait among the dead letters and can be redelivered.",
    )


def _dead_receipts(
    rule: Rule, figures: SourceFigures, now: datetime, target: float
) -> Iterator[_Seen]:
    count = figures.dead_receipts.get(rule.window_seconds, 0)
    yield _Seen(
        count,
        "Receipts of {} die",
        f"{count:,} receipts died within the last {span(rule.window_seconds)}: no try of their "
        "processing succeeded. They wait among the dead receipts.",
    )


def _backlog(rule: Rule, figures: EndpointFigures, now: datetime, target: float) -> Iterator[_Seen]:
    if figures.is_window_closed:
        return
    yield _Seen(
        figures.backlog_age_seconds,
        "Deliveries to {} wait",
        f"{figures.backlog:,} deliveries are due; the oldest has waited for "
        f"{span(figures.backlog_age_seconds)}.",
    )


def _processing_backlog(
    rule: Rule, figures: SourceFigures, now: datetime, target: float
) -> Iterator[_Seen]:
    yield _Seen(
        figures.backlog_age_seconds,
        "Receipts of {} wait to be processed",
        f"{figures.backlog:,} receipts are due; the oldest has waited for "
        f"{span(figures.backlog_age_seconds)}.",
    )


def _latency(rule: Rule, figures: EndpointFigures, now: datetime, target: float) -> Iterator[_Seen]:
    window = figures.over(rule.window_seconds)
    if window.p95_ms is None or window.attempts < MIN_ATTEMPTS:
        return
    yield _Seen(
        window.p95_ms,
        "{} is slow",
        f"One in twenty of {window.attempts:,} attempts of the last {span(rule.window_seconds)} "
        f"took {window.p95_ms:,.0f} ms or longer.",
    )


def _objective(
    rule: Rule, figures: EndpointFigures, now: datetime, target: float
) -> Iterator[_Seen]:
    long = figures.over(rule.window_seconds)
    short = figures.over(SHORT_WINDOW.get(rule.window_seconds, rule.window_seconds))
    if long.attempts < MIN_ATTEMPTS or not short.attempts:
        return
    budget = max(100 - target, 0.001)  # percent that may fail; an objective of all has none
    burn = min((long.failed_percent or 0) / budget, (short.failed_percent or 0) / budget)
    yield _Seen(
        burn,
        "{} misses its objective",
        f"{long.success_percent or 0:.2f} % of {long.attempts:,} attempts of the last "
        f"{span(rule.window_seconds)} succeeded; the objective is {target:g} %. The error budget "
        f"burns {burn:,.1f} times as fast as it may.",
    )


def _silent(rule: Rule, figures: SourceFigures, now: datetime, target: float) -> Iterator[_Seen]:
    times = figures.silence_times
    if times is None or figures.last_received_at is None:
        return
    yield _Seen(
        times,
        "{} is silent",
        f"Nothing has come since {figures.last_received_at:%Y-%m-%d %H:%M} UTC. At this time of "
        f"the week a silence of {span(figures.usual_silence_seconds or 0)} is usual.",
    )


def _signatures(
    rule: Rule, figures: SourceFigures, now: datetime, target: float
) -> Iterator[_Seen]:
    window = figures.over(rule.window_seconds)
    yield _Seen(
        window.signature_failures,
        "Calls of {} cannot be proved",
        f"{window.signature_failures:,} of {window.received:,} calls of the last "
        f"{span(rule.window_seconds)} could not be proved to be the sender's: a secret was changed "
        "on one side, or somebody else calls.",
    )


def _ends(
    rule: Rule, figures: EndpointFigures | SourceFigures, now: datetime, target: float
) -> Iterator[_Seen]:
    for name, moment in sorted(figures.ends.items()):
        left = (moment - now) / timedelta(days=1)
        verb = "has ended" if left <= 0 else "ends"
        yield _Seen(
            left,
            f"{_END_WORDS[name]} {verb} on {moment:%Y-%m-%d}",
            f"It {verb} on {moment:%Y-%m-%d %H:%M} UTC.",
            name,
        )


_ENDPOINT: Final[dict[Kind, Looks]] = {
    Kind.ENDPOINT_FAILING: _failing,
    Kind.DEAD_LETTERS_RISING: _dead_letters,
    Kind.BACKLOG_OLD: _backlog,
    Kind.LATENCY_ABOVE: _latency,
    Kind.OBJECTIVE_MISSED: _objective,
    Kind.EXPIRING: _ends,
}
_SOURCE: Final[dict[Kind, Looks]] = {
    Kind.DEAD_LETTERS_RISING: _dead_receipts,
    Kind.BACKLOG_OLD: _processing_backlog,
    Kind.SOURCE_SILENT: _silent,
    Kind.SIGNATURE_FAILURES_RISING: _signatures,
    Kind.EXPIRING: _ends,
}
