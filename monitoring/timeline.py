"""The lines of an incident's timeline."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from monitoring.models import Incident, IncidentEntry

MAX_TEXT_LENGTH: Final = 1_000


def add_entry(
    incident: Incident, kind: IncidentEntry.Kind, text: str, now: datetime, who: str = ""
) -> IncidentEntry:
    """Add a line; `who` where a person said or did it."""
    return IncidentEntry.objects.create(
        incident=incident,
        kind=kind,
        text=text[:MAX_TEXT_LENGTH],
        actor_label=who[:200],
        created_at=now,
    )
