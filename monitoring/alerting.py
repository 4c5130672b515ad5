"""Telling an account's people of an incident."""

from __future__ import annotations

from monitoring import journal
from monitoring.models import Incident, IncidentEntry
from webhooks_project.accounts.models import Role
from webhooks_project.lib import clock


def tell(incident: Incident, moment: IncidentEntry.Kind) -> int:
    """Queue what people are told of it at this moment: opened, escalated or resolved.

    Part of the caller's transaction. Returns how many messages were queued.
    """
    made = journal.record_notification(
        account_id=incident.account_id,
        kind=f"incident.{moment.value}",
        recipients=[Role.OPERATOR.value],
        title=f"{incident.title} ({moment.value})",
        text=incident.text or incident.title,
        subject=incident,
    )
    if made:
        IncidentEntry.objects.create(
            incident=incident,
            kind=IncidentEntry.Kind.TOLD,
            text=f"{len(made)} people were told by e-mail.",
            created_at=clock.now(),
        )
    return len(made)
