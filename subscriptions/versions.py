"""Major versions of event types: bringing new data back to what a reader stays with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from uuid import UUID

from subscriptions.models import EventSchema

Downgrades = Mapping[int, str]  # major version: JSONata that makes its data into the one before


def downgrades_of(types: Mapping[UUID, Iterable[str]]) -> dict[tuple[UUID, str], dict[int, str]]:
    """For each (account, event type) the expressions by major version, in one query.

    Of several minor versions the latest with an expression counts.
    """
    rows = (
        EventSchema.objects.filter(
            event_type__account_id__in=list(types),
            event_type__name__in={name for names in types.values() for name in names},
        )
        .exclude(downgrade="")
        .order_by("version")
        .values_list("event_type__account_id", "event_type__name", "major", "downgrade")
    )
    found: dict[tuple[UUID, str], dict[int, str]] = {}
    for account_id, name, major, expression in rows:
        found.setdefault((account_id, name), {})[major] = expression
    return found


def steps_down(downgrades: Downgrades, *, major: int, to: int) -> list[str] | None:
    """The expressions that bring data of one major version to an older one; None if one lacks."""
    steps = [downgrades.get(number) for number in range(major, to, -1)]
    return None if None in steps else [step for step in steps if step is not None]
