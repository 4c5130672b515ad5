"""The keys that calls are made by, as this process read them.

A key is kept for as long as its account's generation is the one that was read with it: the database
is asked for that alone, with each call.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS, transaction

from webhooks_project.accounts.models import ApiKey, Generation, generation_of
from webhooks_project.lib.prepared import Prepared

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
_ACCOUNT: Final = _COLUMNS.index("account_id")
_kept: dict[str, tuple[UUID, Sequence[Any]]] = {}


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
