"""Incidents: opened and resolved as the rules' signals say.

A problem is an endpoint or source and a cause, and has one incident at a time: the rule that sees
it first opens it, others that see it too join, and it is resolved once none of them sees it.

Each change of one (`monitoring/incident_changes.py`) is a transaction of its own, so that one that
fails keeps no other from its turn.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import structlog

from monitoring.figures import CERTIFICATE
from monitoring.incident_changes import end, hover, join, open_incident, recover, relapse
from monitoring.kinds import Kind
from monitoring.looks import ITS_OWN_END
from monitoring.models import AlertRule, Incident, Sighting
from monitoring.models.incidents import Severity
from monitoring.problems import Known, Openings, Seen
from monitoring.rules import Signal, key_of, parts_of
from monitoring.steps import Facts, Step, Timing, next_step, seen_since
from subscriptions.certificates import STALE_DAYS

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Move:
    """What is to be done about an open incident, of which `signal` is seen."""

    incident: Incident
    signal: Signal | None
    step: Step


def follow(seen: Seen, known: Known, now: datetime, openings: Openings | None = None) -> int:
    """Do what follows from what was seen. Returns how many incidents were opened or resolved.

    Where more would be opened than `openings` has left, the rest is watched on.
    """
    gone = [incident for incident in known.incidents.values() if _is_gone(incident, seen, known)]
    changed = sum(_safely(_end_as_gone, incident, seen, now) for incident in gone)
    for incident in gone:
        known.incidents.pop(incident.key)
    moves = list(_moves(seen, known, now))
    steps = _within(openings or Openings(), list(_steps(seen, known, now)), seen, known)
    _note_sightings(seen, known, steps, now)
    _note_open(moves, now)
    opening = sorted(
        (key for key, step in steps if step in (Step.OPEN, Step.OPEN_AGAIN)),
        # Of the rules that see one problem at once, the most severe opens its incident.
        key=lambda key: (_is_warning(key, seen), key),
    )
    changed += sum(_safely(_open_or_join, key, seen, known, now) for key in opening)
    return changed + sum(_safely(_carry_out, move, now) for move in moves)


def _moves(seen: Seen, known: Known, now: datetime) -> Iterator[_Move]:
    """What is to be done about each open incident, by what its rules see."""
    for problem, incident in sorted(known.incidents.items()):
        ids = known.rules[problem]
        rules = [rule for key in ids if (rule := seen.rules.get(key)) is not None]
        signal = _signal_of(incident, rules, seen)
        if signal is None and ids & {*seen.broken, *seen.blind}:
            continue
        timing = Timing(
            opens_after=timedelta(),
            resolves_after=timedelta(
                seconds=max((rule.resolves_after_seconds for rule in rules), default=0)
            ),
        )
        facts = Facts(is_open=True, well_since=incident.well_since, relapses=incident.relapse_count)
        yield _Move(incident, signal, next_step(facts, signal, timing, now))


def _signal_of(incident: Incident, rules: Sequence[AlertRule], seen: Seen) -> Signal | None:
    """What its rules see of it: in the words of the one that leads, where that sees it still."""
    signals = {
        rule.pk: signal
        for rule in sorted(rules, key=lambda rule: (rule.severity, rule.name))
        if (signal := seen.signals.get(key_of(rule.pk, incident.key))) is not None
    }
    if not signals:
        return None
    leading = signals.get(incident.rule_id) if incident.rule_id else None
    first = leading or next(iter(signals.values()))
    return replace(first, is_over=any(signal.is_over for signal in signals.values()))


def _steps(seen: Seen, known: Known, now: datetime) -> Iterator[tuple[str, Step]]:
    """What is to be done about each sight of a problem whose rule has no part in an incident."""
    peaces = _peaces(seen, known)
    for key in sorted({*seen.signals, *known.sightings}):
        rule_id, problem = parts_of(key)
        if rule_id in seen.broken or (rule_id in seen.blind and key not in seen.signals):
            continue
        if problem in known.incidents and rule_id in known.rules[problem]:
            continue
        rule = seen.rules.get(rule_id)
        timing = Timing(
            opens_after=timedelta(seconds=rule.opens_after_seconds if rule else 0),
            resolves_after=timedelta(),
        )
        facts = _facts(key, known)
        if facts.quiet_until is None and rule is not None:
            facts = replace(facts, quiet_until=peaces.get((problem, rule.severity)))
        yield key, next_step(facts, seen.signals.get(key), timing, now)


def _peaces(seen: Seen, known: Known) -> dict[tuple[str, str], datetime]:
    """Until when a person wants no more of a problem, by rules of that severity: of those that held
    its incident, and of all that are no more severe than one of them."""
    found: dict[tuple[str, str], datetime] = {}
    for key, sighting in known.sightings.items():
        rule_id, problem = parts_of(key)
        rule = seen.rules.get(rule_id)
        if rule is None or sighting.quiet_until is None:
            continue
        is_critical = rule.severity == Severity.CRITICAL
        for severity in Severity if is_critical else (Severity.WARNING,):
            name = (problem, severity.value)
            found[name] = max(sighting.quiet_until, found.get(name, sighting.quiet_until))
    return found


def _within(
    openings: Openings, steps: Sequence[tuple[str, Step]], seen: Seen, known: Known
) -> list[tuple[str, Step]]:
    """The steps, with as many openings as may be: the critical ones first, then those that are seen
    for the longest."""

    def rank(key: str) -> tuple[bool, bool, float, str]:
        sighting = known.sightings.get(key)
        since = sighting.seen_since if sighting else None
        return _is_warning(key, seen), since is None, since.timestamp() if since else 0.0, key

    opening = sorted(
        (
            key
            for key, step in steps
            if step in (Step.OPEN, Step.OPEN_AGAIN) and parts_of(key)[1] not in known.incidents
        ),
        key=rank,
    )
    problems = list(dict.fromkeys(parts_of(key)[1] for key in opening))
    count = openings.take(len(problems))
    if count == len(problems):
        return list(steps)
    log.warning(
        "not all incidents were opened", account_id=str(seen.account_id), left=len(problems) - count
    )
    later = {key for key in opening if parts_of(key)[1] in set(problems[count:])}
    return [(key, Step.WATCH if key in later else step) for key, step in steps]


def _is_warning(key: str, seen: Seen) -> bool:
    return seen.rules[parts_of(key)[0]].severity != Severity.CRITICAL


def _facts(key: str, known: Known) -> Facts:
    sighting, recovered = known.sightings.get(key), known.recovered.get(parts_of(key)[1])
    return Facts(
        seen_since=sighting.seen_since if sighting else None,
        last_seen_at=sighting.last_seen_at if sighting else None,
        quiet_until=sighting.quiet_until if sighting else None,
        recovered_at=recovered.resolved_at if recovered else None,
    )


def _is_gone(incident: Incident, seen: Seen, known: Known) -> bool:
    """Whether its rules are off or no more, or what it is about is not judged, or not known."""
    rules = known.rules[incident.key]
    if rules & set(seen.broken):
        return False
    if not rules & set(seen.rules):
        return True
    subject = incident.subscription_id or incident.source_id
    # What is wrong with the set-up is so of what is not judged, too.
    if subject is None or incident.kind == Kind.SETUP_WRONG:
        return False
    if incident.kind == Kind.EXPIRING and incident.cause == ITS_OWN_END and subject in seen.idle:
        return False
    return subject not in seen.subjects or _is_stale(incident, seen)


def _is_stale(incident: Incident, seen: Seen) -> bool:
    """Whether it is about the end of a certificate that nobody has seen for long."""
    is_of_certificate = incident.kind == Kind.EXPIRING and incident.cause == CERTIFICATE
    return is_of_certificate and incident.subscription_id in seen.stale


def _note_sightings(
    seen: Seen, known: Known, steps: Sequence[tuple[str, Step]], now: datetime
) -> None:
    over = [known.sightings[key].pk for key, step in steps
            if step == Step.FORGET and key in known.sightings]  # fmt: skip
    if over:
        Sighting.objects.filter(pk__in=over).delete()
    watched = [
        Sighting(
            account_id=seen.account_id,
            key=key,
            seen_since=seen_since(_facts(key, known), now),
            last_seen_at=now,
        )
        for key, step in steps
        if step == Step.WATCH
    ]
    if watched:
        Sighting.objects.bulk_create(
            watched,
            update_conflicts=True,
            unique_fields=["account", "key"],
            update_fields=["seen_since", "last_seen_at", "quiet_until"],
        )


def _note_open(moves: Sequence[_Move], now: datetime) -> None:
    """Keep what is seen now, and the worst that was seen."""
    stays = []
    for move in moves:
        if move.step == Step.STAY and move.signal is not None:
            move.incident.last_seen_at = now
            move.incident.figures = _figures_with(move.incident, move.signal)
            stays.append(move.incident)
    if stays:
        Incident.objects.bulk_update(stays, ["last_seen_at", "figures"], batch_size=200)


def _figures_with(incident: Incident, signal: Signal) -> dict[str, Any]:
    worse = min if incident.kind == Kind.EXPIRING else max
    peak = worse(signal.value, incident.figures.get("peak", signal.value))
    return {**signal.figures, "peak": peak}


def _safely(work: Any, *args: Any) -> int:
    """Do it; where it fails say so in the log, and go on with the others."""
    try:
        return int(work(*args))
    except Exception:
        log.exception("an incident was not moved on")
        return 0


def _carry_out(move: _Move, now: datetime) -> bool:
    if move.step == Step.RELAPSE:
        return relapse(move.incident.pk, now)
    if move.step == Step.HOVER:
        return hover(move.incident.pk, now)
    if move.step == Step.RECOVER:
        return recover(move.incident, now)
    if move.step == Step.RESOLVE:
        text = "It is not seen any more."
        return end(move.incident, Incident.Resolution.RECOVERED, text, now)
    return False


def _open_or_join(key: str, seen: Seen, known: Known, now: datetime) -> bool:
    rule, signal = seen.rules[parts_of(key)[0]], seen.signals[key]
    incident = known.incidents.get(signal.problem)
    if incident is not None:
        join(incident, rule, signal, now)
        return False
    opened = open_incident(rule, signal, known.recovered.get(signal.problem), now)
    if opened is None:
        return False
    known.incidents[opened.key] = opened
    return True


def _end_as_gone(incident: Incident, seen: Seen, now: datetime) -> bool:
    text = "What it is about, or the rule that opened it, is not active any more."
    if incident.subscription_id in seen.subjects and _is_stale(incident, seen):
        text = (
            f"Its certificate was not seen for {STALE_DAYS} days: whether it was renewed is not "
            "known."
        )
    return end(incident, Incident.Resolution.GONE, text, now)
