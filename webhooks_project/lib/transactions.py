"""A transaction for code of which nobody knows how long it takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections, transaction


@contextmanager
def atomic_from_first_statement() -> Iterator[None]:
    """`transaction.atomic`, begun with the first statement also on SQLite.

    There ours take the write lock as they begin, so that one which waits for a third party before
    it touches the database would keep everybody else from writing. PostgreSQL's driver begins with
    the first statement anyway. Within another transaction it is a savepoint of that.
    """
    connection: Any = connections[DEFAULT_DB_ALIAS]
    if connection.vendor != "sqlite" or connection.in_atomic_block:
        with transaction.atomic():
            yield
        return
    begin: Callable[[], None] = connection._start_transaction_under_autocommit

    def begin_before(
        execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]
    ) -> Any:
        if not connection.connection.in_transaction and not sql.startswith("BEGIN"):
            begin()
        return execute(sql, params, many, context)

    with ExitStack() as stack:
        connection._start_transaction_under_autocommit = lambda: None
        try:
            stack.enter_context(transaction.atomic())
        finally:
            del connection._start_transaction_under_autocommit
        with connection.execute_wrapper(begin_before):
            yield
