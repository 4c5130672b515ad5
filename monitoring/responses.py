"""What people do with incidents: acknowledge, resolve and comment. Each is audited."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from django.db import transaction

from monitoring import journal
from monitoring.alerting import tell
from monitoring.errors import CommentNotAcceptable, IncidentResolved
from monitoring.models import Incident, IncidentEntry, Sighting
from monitoring.rules import key_of
from monitoring.steps import PEACE
from monitoring.timeline import MAX_TEXT_LENGTH, add_entry
from webhooks_project.lib import clock
from webhooks_project.lib.actor import current_actor

MAX_COMMENT_LENGTH: Final = MAX_TEXT_LENGTH

Entry = IncidentEntry.Kind
Status = Incident.Status


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
    add_entry(incident, Entry.ACKNOWLEDGED, "Somebody is at it.", now, who)
    _audit(incident, "acknowledged")
    tell(incident, Entry.ACKNOWLEDGED)
    return incident


@transaction.atomic
def resolve_incident(*, incident: Incident, comment: str = "") -> Incident:
    """Close it by a person's word. Where the problem is still seen, nothing is opened for an hour,
    unless it goes and comes back, or a more severe rule sees it. Resolved already is left as it is.

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
    for rule_id in incident.rules.values_list("pk", flat=True):
        Sighting.objects.update_or_create(
            account_id=incident.account_id,
            key=key_of(rule_id, incident.key),
            defaults={"seen_since": None, "last_seen_at": None, "quiet_until": now + PEACE},
        )
    add_entry(incident, Entry.RESOLVED, comment or "By a person's word.", now, who)
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
    entry = add_entry(incident, Entry.COMMENTED, text, clock.now(), who)
    _audit(incident, "commented", {"comment": text})
    return entry


def _locked(incident: Incident) -> Incident:
    return Incident.objects.select_for_update().get(pk=incident.pk)


def _check_comment(text: str) -> None:
    if not text.strip() or len(text) > MAX_COMMENT_LENGTH or "\x00" in text:
        raise CommentNotAcceptable


def _audit(incident: Incident, done: str, more: Mapping[str, Any] | None = None) -> None:
    journal.record_change(
        account_id=incident.account_id,
        action=f"incident.{done}",
        subject=incident,
        after={"title": incident.title, "status": incident.status, **(more or {})},
    )
