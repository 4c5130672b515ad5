"""What publishing has to know of an account: its catalogue, and who hears a type.

A process keeps what it was told of a type for as long as the account's generation is the one that
was read with it. Nothing that is kept goes by the time of day.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Final
from uuid import UUID

from django.db import transaction

from subscriptions.matching import Hearer, heard, heard_by, hearers_among
from subscriptions.schemas import Catalogue, KnownType, catalogue_of, catalogues, entries_of
from webhooks_project.accounts.models import Generations
from webhooks_project.lib.prepared import rows_of_both

MAX_KEPT: Final = 20_000  # types, hearers and schemas, in each process

Key = tuple[UUID, str]  # an account, and an event type


@dataclass(frozen=True, slots=True)
class _Told:
    """What an account has to say of a type. `size` is how much of what may be kept it is."""

    generation: UUID | None
    unknown_event_types: str | None
    known: KnownType | None
    hearers: Sequence[Hearer]

    @property
    def size(self) -> int:
        return 1 + len(self.hearers) + (len(self.known.schemas) if self.known else 0)


def look_up(
    wanted: Iterable[tuple[UUID, str, str]], *, generations: Generations | None = None
) -> tuple[Catalogue, dict[Key, Sequence[Hearer]]]:
    """All that judging and matching these (account, event type, version asked for) takes.

    One query for both, and more where a schema is new to this process or somebody stays with an
    older version. `generations` are those of accounts that the caller has read just now: of a type
    that was asked about in the same generation, nothing is asked. In a transaction they say
    nothing, and all is asked.
    """
    asked = set(wanted)
    if generations and transaction.get_autocommit():
        keys = {(account_id, name) for account_id, name, _ in asked}
        told = {key: known for key in keys if (known := _kept.get(key, generations.get(key[0])))}
        missing = keys - told.keys()
        if missing:
            fresh = _ask(missing)
            _kept.put(fresh)
            told |= fresh
    else:
        told = _ask({(account_id, name) for account_id, name, _ in asked})
    settings = {
        account_id: each.unknown_event_types
        for (account_id, _), each in told.items()
        if each.unknown_event_types is not None
    }
    types = {key: each.known for key, each in told.items() if each.known is not None}
    return catalogue_of(asked, settings, types), {key: each.hearers for key, each in told.items()}


def forget() -> None:
    """Ask about everything anew."""
    _kept.clear()


def _ask(keys: Iterable[Key]) -> dict[Key, _Told]:
    """What the accounts say at present, with the generation in which they say it.

    What is read by a later statement may be newer than the generation. Then that has ended already,
    for all whose call begins after this.
    """
    types: dict[UUID, set[str]] = {}
    for account_id, name in keys:
        types.setdefault(account_id, set()).add(name)
    if not types:
        return {}
    names = {name for each in types.values() for name in each}
    rows, hearing = rows_of_both(catalogues, (list(types), list(names)), heard, heard_by(types))
    entries = entries_of(rows)
    hearers = hearers_among(types, hearing)
    return {
        (account_id, name): _Told(
            entries.generations.get(account_id),
            entries.unknown_event_types.get(account_id),
            entries.types.get((account_id, name)),
            hearers[account_id, name],
        )
        for account_id, each in types.items()
        for name in each
    }


class _Kept:
    """What a process was told, the last used of it."""

    def __init__(self) -> None:
        self._told: OrderedDict[Key, _Told] = OrderedDict()
        self._size = 0
        self._changing = Lock()

    def get(self, key: Key, generation: UUID | None) -> _Told | None:
        with self._changing:
            known = self._told.get(key)
            if known is None or known.generation != generation:
                return None
            self._told.move_to_end(key)
            return known

    def put(self, told: Mapping[Key, _Told]) -> None:
        with self._changing:
            for key, each in told.items():
                before = self._told.pop(key, None)
                self._size -= before.size if before else 0
                if each.generation is None or each.size > MAX_KEPT:
                    continue
                self._told[key] = each
                self._size += each.size
            while self._size > MAX_KEPT:
                self._size -= self._told.popitem(last=False)[1].size

    def clear(self) -> None:
        with self._changing:
            self._told.clear()
            self._size = 0


_kept: Final = _Kept()
