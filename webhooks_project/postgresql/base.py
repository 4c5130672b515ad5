from __future__ import annotations

import re
import select
from datetime import datetime
from functools import lru_cache
from itertools import count
from typing import Any, Final

from django.conf import settings
from django.db.backends.postgresql import base
from django.db.backends.postgresql.operations import DatabaseOperations as Operations
from django.db.backends.postgresql.psycopg_any import BaseTzLoader
from psycopg import RawCursor
from psycopg.adapt import AdaptersMap

# How often the driver is to see a statement before it is kept by itself: never. Only what is asked
# for is; to all others Django gives their values as text.
NEVER: Final = 1 << 62
PLACEHOLDER: Final = re.compile("%[s%]")
KEPT_TEXTS: Final = 1024


class MomentLoader(BaseTzLoader):  # type: ignore[misc]
    """Django's takes the text apart by a pattern, in Python."""

    def load(self, data: Any) -> datetime:
        text = str(data, "ascii")
        if text.endswith("+00") and text[10] == " ":  # four digits of a year
            return datetime.fromisoformat(text).replace(tzinfo=self.timezone)
        found: datetime = super().load(data)
        return found


class KeepingCursor(base.CursorMixin, RawCursor[Any]):
    """The driver looks for the placeholders of a statement with many of them each time."""

    def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
        if params is not None:
            query = _with_numbers(query)
        return super().execute(query, params, prepare=True, **options)


@lru_cache(maxsize=KEPT_TEXTS)
def _with_numbers(query: str) -> str:
    """The statement with the server's own placeholders, `$1` and so on, for `%s`."""
    numbers = count(1)
    return PLACEHOLDER.sub(lambda found: f"${next(numbers)}" if found[0] == "%s" else "%", query)


@lru_cache
def _adapters(template: AdaptersMap, timezone: Any) -> AdaptersMap:
    """How values come and go: as Django has it, but for moments."""
    adapters = AdaptersMap(template)
    loader = type("MomentLoader", (MomentLoader,), {"timezone": timezone})
    adapters.register_loader("timestamptz", loader)
    return adapters


class DatabaseOperations(Operations):
    def last_executed_query(self, cursor: Any, sql: Any, params: Any) -> Any:
        return super().last_executed_query(cursor, sql, params) or sql


class DatabaseWrapper(base.DatabaseWrapper):
    ops_class = DatabaseOperations

    def get_connection_params(self) -> dict[str, Any]:
        params = super().get_connection_params()
        if settings.USE_TZ:
            params["context"] = _adapters(params["context"], self.timezone)
        return params

    def kept_cursor(self) -> Any:
        """See lib/cursors.py."""
        if not settings.WEBHOOKS_PREPARED_STATEMENTS:
            return self.cursor()
        self.ensure_connection()
        opened: Any = self.connection
        if opened.prepare_threshold is None:
            opened.prepare_threshold = NEVER
        with self.wrap_database_errors:
            return self._prepare_cursor(KeepingCursor(opened))  # type: ignore[attr-defined]

    def is_usable(self) -> bool:
        """Whether the connection, kept since the last request, still lives.

        Django asks the server, a round trip before each request's first. A server that ended or
        restarted has closed the connection, which this end's socket tells for nothing: so the
        server is asked only where there is something to read that nobody asked for.
        """
        return _is_quiet(self.connection) or super().is_usable()


def _is_quiet(connection: Any) -> bool:
    """Whether nothing has come by a connection that waits for nothing, nor its end."""
    if connection is None or connection.closed:
        return False
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN | select.POLLPRI)
    return not poll.poll(0)
