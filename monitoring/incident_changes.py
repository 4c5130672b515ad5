"""What becomes of one incident: each change of it a transaction of its own.

Two nodes at once open one incident and tell once: the database has room for one open incident with
a key, and who moves one on holds its row.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID

import structlog
from django.db import IntegrityError, transaction

from monitoring.alerting import tell
from monitoring.kinds import KINDS, Kind
from monitoring.models import AlertRule, Incident, IncidentEntry, Notification, Sighting
from monitoring.models.incidents import Severity
from monitoring.rules import Signal
from monitoring.timeline import add_entry

log = structlog.get_logger(__name__)

# Comings and goings of one incident that stand in its timeline; after them it has the count alone.
SHOWN_RELAPSES: Final = 10

Entry = IncidentEntry.Kind
Moment = Notification.Moment
Status = Incident.Status


@transaction.atomic
def open_incident(
    rule: AlertRule, signal: Signal, last: Incident | None, now: datetime
) -> Incident | None:
    """Open an incident; `last` is the one that was about the same and recovered lately."""
    try:
        with transaction.atomic():
            incident = Incident.objects.create(
                account_id=rule.account_id,
                rule=rule,
                kind=rule.kind,
                severity=rule.severity,
                key=signal.problem,
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
        return None
    incident.rules.add(rule)
    Sighting.objects.filter(account=rule.account_id, key=signal.key).delete()
    text = signal.text or signal.title
    if last is not None and last.resolved_at is not None:
        minutes = max(1, round((now - last.resolved_at).total_seconds() / 60))
        text = f"It is back, {minutes} min after it was resolved. {text}"
    add_entry(incident, Entry.OPENED, text, now)
    tell(incident, Moment.OPENED)
    log.info("incident opened", incident_id=str(incident.pk), kind=incident.kind)
    return incident


@transaction.atomic
def join(known: Incident, rule: AlertRule, signal: Signal, now: datetime) -> None:
    """Let a further rule hold the incident. One that is more severe leads from now on."""
    incident = Incident.objects.select_for_update().get(pk=known.pk)
    if incident.status == Status.RESOLVED or incident.rules.filter(pk=rule.pk).exists():
        return
    incident.rules.add(rule)
    Sighting.objects.filter(account=rule.account_id, key=signal.key).delete()
    incident.last_seen_at = now
    if incident.well_since is not None:
        incident.well_since = None
        incident.relapse_count += 1
    is_worse = rule.severity == Severity.CRITICAL and incident.severity != Severity.CRITICAL
    if is_worse:
        incident.rule, incident.kind, incident.severity = rule, rule.kind, rule.severity
        incident.title, incident.text = signal.title, signal.text
        incident.figures = {**signal.figures, "peak": signal.value}
        incident.raised_at, incident.escalated_at = now, None
    reminds = KINDS[Kind(rule.kind)].reminds and (incident.raised_at or incident.opened_at) < now
    incident.round += is_worse or reminds
    incident.save()
    text = f"{rule.name} sees it too{', and makes it critical' if is_worse else ''}. {signal.text}"
    add_entry(incident, Entry.JOINED, text.strip(), now)
    if is_worse:
        tell(incident, Moment.RAISED)
    elif reminds:
        tell(incident, Moment.REMINDED)
    else:
        tell(incident, Moment.OPENED)  # those whom its own rules alone do not reach
    log.info("incident joined", incident_id=str(incident.pk), kind=rule.kind)


@transaction.atomic
def relapse(key: UUID, now: datetime) -> bool:
    """It is over its threshold again. The timeline says so a few times."""
    incident = Incident.objects.select_for_update().get(pk=key)
    if incident.status == Status.RESOLVED or incident.well_since is None:
        return False
    incident.well_since = None
    incident.last_seen_at = now
    incident.relapse_count += 1
    incident.save(update_fields=["well_since", "last_seen_at", "relapse_count"])
    if incident.relapse_count <= SHOWN_RELAPSES:
        add_entry(incident, Entry.RELAPSED, "It is seen again.", now)
    return False


@transaction.atomic
def hover(key: UUID, now: datetime) -> bool:
    """It is well since now at the earliest. The timeline says nothing: no look was worse."""
    incident = Incident.objects.select_for_update().get(pk=key)
    if incident.status == Status.RESOLVED or incident.well_since is None:
        return False
    incident.well_since = now
    incident.last_seen_at = now
    incident.save(update_fields=["well_since", "last_seen_at"])
    return False


@transaction.atomic
def recover(known: Incident, now: datetime) -> bool:
    """It is not seen any more. Nothing where it was seen after `known` was read."""
    incident = Incident.objects.select_for_update().get(pk=known.pk)
    if incident.status == Status.RESOLVED or incident.well_since is not None:
        return False
    if _was_seen_since(known, incident):
        return False
    incident.well_since = now
    incident.save(update_fields=["well_since"])
    if incident.relapse_count <= SHOWN_RELAPSES:
        text = "It is not seen any more; it is resolved if that stays so."
        add_entry(incident, Entry.RECOVERING, text, now)
    return False


def _was_seen_since(known: Incident, incident: Incident) -> bool:
    """Whether another look, or another rule in this one, has seen it after it was read."""
    before = (known.well_since, known.last_seen_at)
    return (incident.well_since, incident.last_seen_at) != before


@transaction.atomic
def end(known: Incident, resolution: Incident.Resolution, text: str, now: datetime) -> bool:
    """Resolve it and tell. False where it is already, or has not recovered after all."""
    incident = Incident.objects.select_for_update().get(pk=known.pk)
    if incident.status == Status.RESOLVED:
        return False
    if resolution == Incident.Resolution.RECOVERED and _was_seen_since(known, incident):
        return False
    incident.status = Status.RESOLVED
    incident.resolved_at = now
    incident.resolution = resolution
    incident.save(update_fields=["status", "resolved_at", "resolution"])
    add_entry(incident, Entry.RESOLVED, text, now)
    tell(incident, Entry.RESOLVED)
    log.info("incident resolved", incident_id=str(incident.pk), resolution=resolution)
    return True
