"""What publishing has to know of an account: its catalogue, and who hears a type."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from subscriptions.matching import Hearer, heard, heard_by, hearers_among
from subscriptions.schemas import Catalogue, catalogue_of, catalogues
from webhooks_project.lib.prepared import rows_of_both


def look_up(
    wanted: Iterable[tuple[UUID, str, str]],
) -> tuple[Catalogue, dict[tuple[UUID, str], list[Hearer]]]:
    """All that judging and matching these (account, event type, version asked for) takes.

    One query for both, and more where a schema is new to this process or somebody stays with an
    older version.
    """
    asked = set(wanted)
    types: dict[UUID, set[str]] = {}
    for account_id, name, _ in asked:
        types.setdefault(account_id, set()).add(name)
    if not asked:
        return catalogue_of((), ()), {}
    names = {name for _, name, _ in asked}
    known, hearing = rows_of_both(catalogues, (list(types), list(names)), heard, heard_by(types))
    return catalogue_of(asked, known), hearers_among(types, hearing)
