"""Cursors for statements that come again and again."""

from __future__ import annotations

from typing import Any


def kept_cursor(connection: Any) -> Any:
    """A cursor whose statements PostgreSQL parses and plans once for this connection.

    For statements of constant text: each other text is kept too, a hundred on a connection. On
    another database it is a cursor as any other.
    """
    made = getattr(connection, "kept_cursor", connection.cursor)
    return made()
