"""Incidents: opened and resolved as the rules' signals say, and what people do with them.

Each change of one is a transaction of its own, so that one that fails keeps no other from its
turn. Two nodes at once open one incident and tell once: the database has room for one open incident
with a key, and who moves one on holds its row.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import structlog
from django.db import IntegrityError, transaction

from monitoring import journal
from monitoring.alerting import tell
from monitoring.errors import CommentNotAcceptable, IncidentResolved
from monitoring.kinds import Kind
from monitoring.models import AlertRule, Incident, IncidentEntry, Sighting
from monitoring.models.incidents import Severity
from monitoring.rules import Signal, rule_of_key
from monitoring.steps import PEACE, WAVERS_WITHIN, Facts, Step, Timing, next_step, seen_since
from webhooks_project.lib import clock
from webhooks_project.lib.actor import current_actor

log = structlog.get_logger(__name__)

MAX_COMMENT_LENGTH: Final = 1_000
# Incidents that one turn opens: what a mass outage opens must not keep anybody from being told, nor
# one account the others. What is left is opened in the next.
MOST_OPENED: Final = 300
LEAST_OPENED: Final = 5  # of each account, whatever the others have
# Comings and goings of one incident that stand in its timeline; after them it has the count alone.
SHOWN_RELAPSES: Final = 10

Entry = IncidentEntry.Kind
Status = Incident.Status


@dataclass(frozen=True, slots=True)
class Seen:
    """What one look at an account saw: signals by key, and what was looked at.

    `rules` are those that are on, by id; `broken` those that could not be asked: of their problems
    nothing is known now. `subjects` are the endpoints and sources that are judged.
    """

    account_id: UUID
    signals: Mapping[str, Signal]
    rules: Mapping[UUID, AlertRule]
    subjects: Collection[UUID]
    broken: Collection[UUID] = frozenset()


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of one account's problems, by key."""

    incidents: dict[str, Incident] = field(default_factory=dict)  # open or acknowledged
    sightings: dict[str, Sighting] = field(default_factory=dict)
    recovered: dict[str, Incident] = field(default_factory=dict)  # lately


@dataclass(slots=True)
class Openings:
    """How many incidents may be opened in one turn, over all accounts."""

    left: int = MOST_OPENED

    def take(self, wanted: int) -> int:
        """How many of those one account may open now."""
        taken = min(wanted, max(self.left, LEAST_OPENED))
        self.left -= taken
        return taken


def known_problems(account_ids: Collection[UUID], now: datetime) -> dict[UUID, Known]:
    """What is known of these accounts' problems, in three queries."""
    found = {key: Known() for key in account_ids}
    rows = Incident.objects.filter(account__in=account_ids).order_by()
    for incident in rows.exclude(status=Status.RESOLVED):
        found[incident.account_id].incidents[incident.key] = incident
    for sighting in Sighting.objects.filter(account__in=account_ids):
        found[sighting.account_id].sightings[sighting.key] = sighting
    recovered = rows.filter(
        resolution=Incident.Resolution.RECOVERED, resolved_at__gte=now - WAVERS_WITHIN
    )
    for incident in recovered.order_by("resolved_at"):
        found[incident.account_id].recovered[incident.key] = incident
    return found


def follow(seen: Seen, known: Known, now: datetime, openings: Openings | None = None) -> int:
    """Do what follows from what was seen. Returns how many incidents were opened or resolved.

    Where more would be opened than `openings` has left, the rest is watched on.
    """
    steps = _within(openings or Openings(), list(_steps(seen, known, now)), seen, known)
    _note_sightings(seen, known, steps, now)
    _note_open([(known.incidents[key], seen.signals[key]) for key, step in steps
                if step == Step.STAY], now)  # fmt: skip
    changed = sum(
        _safely(_carry_out, step, seen, key, known, now)
        for key, step in steps
        if step in (Step.OPEN, Step.OPEN_AGAIN, Step.RELAPSE, Step.RECOVER, Step.RESOLVE)
    )
    return changed + sum(_safely(_end_as_gone, incident, now) for incident in _gone(seen, known))


def _steps(seen: Seen, known: Known, now: datetime) -> Iterator[tuple[str, Step]]:
    for key in sorted({*seen.signals, *known.incidents, *known.sightings}):
        rule_id = rule_of_key(key)
        rule = seen.rules.get(rule_id)
        if rule_id in seen.broken or (rule is None and key not in known.sightings):
            continue
        incident = known.incidents.get(key)
        if incident is not None and _is_gone(incident, seen):
            continue
        timing = Timing(
            opens_after=timedelta(seconds=rule.opens_after_seconds if rule else 0),
            resolves_after=timedelta(seconds=rule.resolves_after_seconds if rule else 0),
        )
        yield key, next_step(_facts(key, known), seen.signals.get(key), timing, now)


def _within(
    openings: Openings, steps: Sequence[tuple[str, Step]], seen: Seen, known: Known
) -> list[tuple[str, Step]]:
    """The steps, with as many openings as may be: the critical ones first, then those that are seen
    for the longest."""

    def rank(key: str) -> tuple[bool, bool, float, str]:
        sighting = known.sightings.get(key)
        since = sighting.seen_since if sighting else None
        is_critical = seen.rules[rule_of_key(key)].severity == Severity.CRITICAL
        return not is_critical, since is None, since.timestamp() if since else 0.0, key

    opening = [key for key, step in steps if step in (Step.OPEN, Step.OPEN_AGAIN)]
    count = openings.take(len(opening))
    if count == len(opening):
        return list(steps)
    log.warning(
        "not all incidents were opened", account_id=str(seen.account_id), left=len(opening) - count
    )
    later = set(sorted(opening, key=rank)[count:])
    return [(key, Step.WATCH if key in later else step) for key, step in steps]


def _facts(key: str, known: Known) -> Facts:
    incident = known.incidents.get(key)
    if incident is not None:
        return Facts(is_open=True, well_since=incident.well_since, relapses=incident.relapse_count)
    sighting, recovered = known.sightings.get(key), known.recovered.get(key)
    return Facts(
        seen_since=sighting.seen_since if sighting else None,
        last_seen_at=sighting.last_seen_at if sighting else None,
        quiet_until=sighting.quiet_until if sighting else None,
        recovered_at=recovered.resolved_at if recovered else None,
    )


def _is_gone(incident: Incident, seen: Seen) -> bool:
    """Whether its rule is off or no more, or what it is about is not judged."""
    rule_id = rule_of_key(incident.key)
    if rule_id in seen.broken:
        return False
    subject = incident.subscription_id or incident.source_id
    return rule_id not in seen.rules or (subject is not None and subject not in seen.subjects)


def _gone(seen: Seen, known: Known) -> list[Incident]:
    return [incident for incident in known.incidents.values() if _is_gone(incident, seen)]


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


def _note_open(stays: Sequence[tuple[Incident, Signal]], now: datetime) -> None:
    """Keep what is seen now, and the worst that was seen."""
    for incident, signal in stays:
        incident.last_seen_at = now
        incident.figures = _figures_with(incident, signal)
    if stays:
        Incident.objects.bulk_update(
            [incident for incident, _ in stays], ["last_seen_at", "figures"], batch_size=200
        )


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


def _carry_out(step: Step, seen: Seen, key: str, known: Known, now: datetime) -> bool:
    rule = seen.rules[rule_of_key(key)]
    if step in (Step.OPEN, Step.OPEN_AGAIN):
        last = known.recovered[key] if step == Step.OPEN_AGAIN else None
        return _open(seen.account_id, rule, seen.signals[key], last, now)
    incident = known.incidents[key]
    if step == Step.RELAPSE:
        return _relapse(incident.pk, now)
    if step == Step.RECOVER:
        return _recover(incident.pk, now)
    return _end(incident, Incident.Resolution.RECOVERED, "It is not seen any more.", now)


@transaction.atomic
def _open(
    account_id: UUID, rule: AlertRule, signal: Signal, last: Incident | None, now: datetime
) -> bool:
    """Open an incident; `last` is the one that was about the same and recovered lately."""
    try:
        with transaction.atomic():
            incident = Incident.objects.create(
                account_id=account_id,
                rule=rule,
                kind=rule.kind,
                severity=rule.severity,
                key=signal.key,
                subscription_id=signal.subscription_id,
                source_id=signal.source_id,
                cause=signal.cause,
                title=signal.title,
                text=signal.text,
                figures={**signal.figures, "peak": signal.value},
                opened_at=now,
                last_seen_at=now,
                relapse_count=last.relapse_count + 1 if last else 0,
            )
    except IntegrityError:  # another node was first
        return False
    Sighting.objects.filter(account=account_id, key=signal.key).delete()
    text = signal.text or signal.title
    if last is not None and last.resolved_at is not None:
        minutes = max(1, round((now - last.resolved_at).total_seconds() / 60))
        text = f"It is back, {minutes} min after it was resolved. {text}"
    _add_entry(incident, Entry.OPENED, text, now)
    tell(incident, Entry.OPENED)
    log.info("incident opened", incident_id=str(incident.pk), kind=incident.kind)
    return True


@transaction.atomic
def _relapse(key: UUID, now: datetime) -> bool:
    incident = Incident.objects.select_for_update().get(pk=key)
    if incident.status == Status.RESOLVED or incident.well_since is None:
        return False
    incident.well_since = None
    incident.last_seen_at = now
    incident.relapse_count += 1
    incident.save(update_fields=["well_since", "last_seen_at", "relapse_count"])
    if incident.relapse_count <= SHOWN_RELAPSES:
        _add_entry(incident, Entry.RELAPSED, "It is seen again.", now)
    return False


@transaction.atomic
def _recover(key: UUID, now: datetime) -> bool:
    incident = Incident.objects.select_for_update().get(pk=key)
    if incident.status == Status.RESOLVED or incident.well_since is not None:
        return False
    incident.well_since = now
    incident.save(update_fields=["well_since"])
    if incident.relapse_count <= SHOWN_RELAPSES:
        text = "It is not seen any more; it is resolved if that stays so."
        _add_entry(incident, Entry.RECOVERING, text, now)
    return False


def _end_as_gone(incident: Incident, now: datetime) -> bool:
    text = "What it is about, or the rule that opened it, is not active any more."
    return _end(incident, Incident.Resolution.GONE, text, now)


@transaction.atomic
def _end(known: Incident, resolution: Incident.Resolution, text: str, now: datetime) -> bool:
    incident = Incident.objects.select_for_update().get(pk=known.pk)
    if incident.status == Status.RESOLVED:
        return False
    if resolution == Incident.Resolution.RECOVERED and incident.well_since != known.well_since:
        return False  # another look has seen it meanwhile
    incident.status = Status.RESOLVED
    incident.resolved_at = now
    incident.resolution = resolution
    incident.save(update_fields=["status", "resolved_at", "resolution"])
    _add_entry(incident, Entry.RESOLVED, text, now)
    tell(incident, Entry.RESOLVED)
    log.info("incident resolved", incident_id=str(incident.pk), resolution=resolution)
    return True


# --- what people do -------------------------------------------------------------------------------


@transaction.atomic
def acknowledge_incident(*, incident: Incident) -> Incident:
    """Say that somebody is at it: it is escalated no further. Twice is once.

    Raises IncidentResolved.
    """
    incident = _locked(incident)
    if incident.status == Status.RESOLVED:
        raise IncidentResolved
    if incident.status == Status.ACKNOWLEDGED:
        return incident
    now, who = clock.now(), current_actor.get().label
    incident.status = Status.ACKNOWLEDGED
    incident.acknowledged_at, incident.acknowledged_by = now, who[:200]
    incident.save(update_fields=["status", "acknowledged_at", "acknowledged_by"])
    _add_entry(incident, Entry.ACKNOWLEDGED, "Somebody is at it.", now, who)
    _audit(incident, "acknowledged")
    tell(incident, Entry.ACKNOWLEDGED)
    return incident


@transaction.atomic
def resolve_incident(*, incident: Incident, comment: str = "") -> Incident:
    """Close it by a person's word. Where the problem is still seen, nothing is opened for an hour,
    unless it goes and comes back. Resolved already is left as it is.

    Raises CommentNotAcceptable.
    """
    if comment:
        _check_comment(comment)
    incident = _locked(incident)
    if incident.status == Status.RESOLVED:
        return incident
    now, who = clock.now(), current_actor.get().label
    incident.status = Status.RESOLVED
    incident.resolution = Incident.Resolution.PERSON
    incident.resolved_at, incident.resolved_by = now, who[:200]
    incident.save(update_fields=["status", "resolution", "resolved_at", "resolved_by"])
    Sighting.objects.update_or_create(
        account_id=incident.account_id,
        key=incident.key,
        defaults={"seen_since": None, "last_seen_at": None, "quiet_until": now + PEACE},
    )
    _add_entry(incident, Entry.RESOLVED, comment or "By a person's word.", now, who)
    _audit(incident, "resolved", {"comment": comment} if comment else {})
    tell(incident, Entry.RESOLVED)
    return incident


@transaction.atomic
def comment_incident(*, incident: Incident, text: str) -> IncidentEntry:
    """Add a person's words to its timeline, also after it is resolved.

    Raises CommentNotAcceptable.
    """
    _check_comment(text)
    incident = _locked(incident)
    who = current_actor.get().label
    entry = _add_entry(incident, Entry.COMMENTED, text, clock.now(), who)
    _audit(incident, "commented", {"comment": text})
    return entry


def _locked(incident: Incident) -> Incident:
    return Incident.objects.select_for_update().get(pk=incident.pk)


def _check_comment(text: str) -> None:
    if not text.strip() or len(text) > MAX_COMMENT_LENGTH or "\x00" in text:
        raise CommentNotAcceptable


def _add_entry(
    incident: Incident, kind: Entry, text: str, now: datetime, who: str = ""
) -> IncidentEntry:
    return IncidentEntry.objects.create(
        incident=incident,
        kind=kind,
        text=text[:MAX_COMMENT_LENGTH],
        actor_label=who[:200],
        created_at=now,
    )


def _audit(incident: Incident, done: str, more: Mapping[str, Any] | None = None) -> None:
    journal.record_change(
        account_id=incident.account_id,
        action=f"incident.{done}",
        subject=incident,
        after={"title": incident.title, "status": incident.status, **(more or {})},
    )
