"""What one look saw of an account's problems, and what was known of them before."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

from django.db.models import Q

from monitoring.models import AlertRule, Incident, Sighting
from monitoring.rules import Signal
from monitoring.steps import WAVERS_WITHIN

# Incidents that one turn opens: what a mass outage opens must not keep anybody from being told, nor
# one account the others. What is left is opened in the next.
MOST_OPENED: Final = 300
LEAST_OPENED: Final = 5  # of each account, whatever the others have

Status = Incident.Status


@dataclass(frozen=True, slots=True)
class Seen:
    """What one look at an account saw: signals by key, and what was looked at.

    `rules` are those that are on, by id; `broken` those that could not be asked: of their problems
    nothing is known now. Those that are `blind` go by what is not all counted yet: what they see is
    so, of what they do not see nothing is known. `subjects` are the endpoints and sources that are
    judged, `idle` those that are paused or disabled; of the `stale` the end of the certificate is
    not known any more.
    """

    account_id: UUID
    signals: Mapping[str, Signal]
    rules: Mapping[UUID, AlertRule]
    subjects: Collection[UUID]
    broken: Collection[UUID] = frozenset()
    blind: Collection[UUID] = frozenset()
    idle: Collection[UUID] = frozenset()
    stale: Collection[UUID] = frozenset()


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of one account's problems: incidents and their rules by problem, sightings by
    the key of a signal."""

    incidents: dict[str, Incident] = field(default_factory=dict)  # open or acknowledged
    rules: dict[str, set[UUID]] = field(default_factory=lambda: defaultdict(set))
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
    """What is known of these accounts' problems, in four queries."""
    found = {key: Known() for key in account_ids}
    rows = Incident.objects.filter(account__in=account_ids).order_by()
    for incident in rows.exclude(status=Status.RESOLVED):
        found[incident.account_id].incidents[incident.key] = incident
    parts = Incident.rules.through.objects.filter(
        ~Q(incident__status=Status.RESOLVED), incident__account__in=account_ids
    )
    for account_id, problem, rule_id in parts.values_list(
        "incident__account", "incident__key", "alertrule"
    ):
        found[account_id].rules[problem].add(rule_id)
    for sighting in Sighting.objects.filter(account__in=account_ids):
        found[sighting.account_id].sightings[sighting.key] = sighting
    recovered = rows.filter(
        resolution=Incident.Resolution.RECOVERED, resolved_at__gte=now - WAVERS_WITHIN
    )
    for incident in recovered.order_by("resolved_at"):
        found[incident.account_id].recovered[incident.key] = incident
    return found
