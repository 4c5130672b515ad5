"""What a rule sees in the figures: signals. Pure.

A signal is there while the figure has not fallen clearly below the threshold; `is_over` says
whether it reaches the threshold itself. What is over opens an incident, what is there keeps it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from monitoring.figures import AccountFigures, EndpointFigures, SourceFigures
from monitoring.kinds import KINDS, SUCCESS_TARGET_PERCENT, Kind
from monitoring.looks import (
    OF_ENDPOINTS,
    OF_SOURCES,
    Figure,
    Rule,
    looks_at_finding,
    looks_at_queues,
    windows_of,
)

NAME_CHARACTERS: Final = 100  # of a name in a title


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
    kind = Kind(rule.kind)
    found: list[Signal] = []
    for endpoint in figures.endpoints if kind in OF_ENDPOINTS else ():
        if (
            endpoint.id in leaves
            or (endpoint.why_not_judged and kind != Kind.EXPIRING)
            or not _is_about(rule, endpoint.id, None)
        ):
            continue
        target = (targets or {}).get(endpoint.id, SUCCESS_TARGET_PERCENT)
        for seen in OF_ENDPOINTS[kind](rule, endpoint, now, target):
            found += _signal(rule, endpoint.id, endpoint.name, seen, subscription_id=endpoint.id)
    for source in figures.sources if kind in OF_SOURCES else ():
        if source.id in leaves or source.why_not_judged or not _is_about(rule, None, source.id):
            continue
        for seen in OF_SOURCES[kind](rule, source, now, 0.0):
            found += _signal(rule, source.id, source.name, seen, source_id=source.id)
    for finding in figures.findings if kind == Kind.SETUP_WRONG else ():
        subject = finding.subscription_id or finding.source_id
        if (subject in leaves) or not _is_about(rule, finding.subscription_id, finding.source_id):
            continue
        for seen in looks_at_finding(finding, now):
            ids = {"subscription_id": finding.subscription_id, "source_id": finding.source_id}
            found += _signal(rule, subject, finding.name, seen, **ids)
    if kind == Kind.QUEUE_NOT_DRAINED:
        for seen in looks_at_queues(figures.queues):
            found += _signal(rule, None, "", seen)
    return found


def is_blind(rule: Rule, figures: AccountFigures) -> bool:
    """Whether not all is counted that the rule goes by: what it sees is so, what it does not see is
    not known."""
    kind = Kind(rule.kind)
    items: list[EndpointFigures | SourceFigures] = [
        *(figures.endpoints if kind in OF_ENDPOINTS else ()),
        *(figures.sources if kind in OF_SOURCES else ()),
    ]
    return any(windows_of(rule) & item.uncounted for item in items)


# What an endpoint that fails has for sure: its objective is missed, its answers may take long, and
# what is to go to it piles up.
_FOLLOWS_FROM_FAILING: Final = (
    Kind.OBJECTIVE_MISSED, Kind.LATENCY_ABOVE, Kind.BACKLOG_NOT_SHRINKING,
)  # fmt: skip


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


def _is_about(rule: Rule, subscription_id: UUID | None, source_id: UUID | None) -> bool:
    if rule.subscription_id is None and rule.source_id is None:
        return True
    return (rule.subscription_id, rule.source_id) == (subscription_id, source_id)


def _signal(
    rule: Rule, subject: UUID | None, name: str, seen: Figure, **ids: UUID | None
) -> Iterator[Signal]:
    facts = KINDS[Kind(rule.kind)]
    is_low = rule.kind == Kind.EXPIRING  # the less is left, the worse it is
    threshold = rule.threshold if seen.threshold is None else seen.threshold
    eased = threshold * facts.eases
    is_over = seen.value <= threshold if is_low else seen.value >= threshold
    if seen.is_over is not None:
        is_over = seen.is_over
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
            "unit": facts.unit,
            "threshold": round(threshold, 1),
            "window_seconds": rule.window_seconds if facts.windows else None,
            **seen.more,
        },
        **ids,
    )


def _short(name: str) -> str:
    return name if len(name) <= NAME_CHARACTERS else f"{name[:NAME_CHARACTERS]}…"
