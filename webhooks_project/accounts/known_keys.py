"""The keys that calls are made by, as this process read them.

A key is kept for as long as its account's generation is the one that was read with it: the database
is asked for that alone, with each call. A call that stores something by the key may leave that to
the statement that stores: see `StaleGeneration`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS, connections, transaction

from webhooks_project.accounts.models import ApiKey, Generation, Generations, generation_of
from webhooks_project.lib.prepared import Prepared
from webhooks_project.lib.sql import Condition

MAX_KEPT: Final = 10_000

_COLUMNS: Final = [column.attname for column in ApiKey._meta.concrete_fields]
_rows = Prepared(
    lambda prefixes: ApiKey.objects.filter(prefix__in=prefixes).values_list(
        generation_of("account_id"), *_COLUMNS
    )
)
_generations = Prepared(
    lambda accounts: Generation.objects.filter(account_id__in=accounts).values_list("value")
)
_values = Prepared(
    lambda accounts: Generation.objects.filter(account_id__in=accounts).values_list(
        "account_id", "value"
    )
)
_STILL: Final = (
    f"EXISTS (SELECT 1 FROM {Generation._meta.db_table} WHERE account_id = %s AND value = %s)"  # noqa: S608 - our own name
)
_ACCOUNT: Final = _COLUMNS.index("account_id")
_kept: dict[str, tuple[UUID, Sequence[Any]]] = {}


class StaleGeneration(Exception):
    """What was to be stored goes by what was kept of an account that has changed: nothing is."""


def known_key_of(prefix: str) -> ApiKey | None:
    """The key with this prefix as it was read last, which nobody has confirmed; None where it is
    not known, or a generation says nothing."""
    kept = _kept.get(prefix) if transaction.get_autocommit() else None
    if kept is None:
        return None
    api_key = _made(*kept)
    api_key.is_confirmed = False
    return api_key


def is_current(generations: Generations) -> bool:
    """Whether these are the accounts' generations now."""
    rows = _values.rows(list(generations)) if generations else []
    return dict(rows) == generations


def still(generations: Generations) -> Condition:
    """That these are the accounts' generations, for the statement that stores by them."""
    is_hex = connections[DEFAULT_DB_ALIAS].vendor == "sqlite"
    values = [value for pair in sorted(generations.items()) for value in pair]
    return Condition(
        " AND ".join([_STILL] * len(generations)),
        [value.hex if is_hex and value else value for value in values],
    )


def key_of(prefix: str) -> ApiKey | None:
    """The key with this prefix, as it is now, with its account's generation.

    When it was used last may be older than what is stored, by as much as nobody notes it.
    """
    may_keep = transaction.get_autocommit()  # else a generation says nothing
    kept = _kept.get(prefix) if may_keep else None
    if kept is not None and _generations.rows([kept[1][_ACCOUNT]]) == [(kept[0],)]:
        return _made(*kept)
    for generation, *columns in _rows.rows([prefix]):
        if may_keep and generation is not None:
            if len(_kept) >= MAX_KEPT:
                _kept.clear()
            _kept[prefix] = (generation, columns)
        return _made(generation, columns)
    return None


def forget_key(prefix: str) -> None:
    """Read it anew with the next call."""
    _kept.pop(prefix, None)


def forget() -> None:
    """Read every key anew."""
    _kept.clear()


def _made(generation: UUID | None, columns: Sequence[Any]) -> ApiKey:
    # Each call has one of its own: what it hangs on it is no other's.
    api_key = ApiKey.from_db(DEFAULT_DB_ALIAS, _COLUMNS, columns)
    api_key.generation = generation
    return api_key
