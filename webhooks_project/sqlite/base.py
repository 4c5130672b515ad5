from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from django.db.backends.sqlite3 import base

KEPT_TEXTS: Final = 1024
LONGEST_KEPT: Final = 8192  # characters


class KeepingCursor(base.SQLiteCursorWrapper):
    """Django looks for the placeholders each time, which takes as long as a small statement."""

    def convert_query(self, query: str, *, param_names: list[str] | None = None) -> str:
        if param_names is None and len(query) <= LONGEST_KEPT:
            return _with_question_marks(query)
        return super().convert_query(query, param_names=param_names)


@lru_cache(maxsize=KEPT_TEXTS)
def _with_question_marks(query: str) -> str:
    return base.FORMAT_QMARK_REGEX.sub("?", query).replace("%%", "%")


class DatabaseWrapper(base.DatabaseWrapper):
    def create_cursor(self, name: str | None = None) -> Any:
        return self.connection.cursor(factory=KeepingCursor)
