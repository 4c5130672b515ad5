"""Triggers that keep the audit chain as it was written, on PostgreSQL and SQLite.

They stop whoever uses the hub's own database role by mistake or by an injection; who owns the
tables can drop them, which is what the anchors are for. A migration that makes a table anew takes
its triggers along on SQLite, so they are made again after each `migrate`.
"""

from __future__ import annotations

from typing import Any, Final

from django.db import connection as default_connection

TABLES: Final = ("monitoring_auditentry", "monitoring_auditanchor")
MESSAGE: Final = "the audit chain is only ever added to"
_FUNCTION: Final = "monitoring_refuse_change"
# What makes an entry the one that it is, where SQLite's INSERT OR REPLACE would take its place
# without a delete that a trigger sees.
_KEYS: Final = {
    "monitoring_auditentry": "id = NEW.id OR account_id = NEW.account_id "
    "AND sequence = NEW.sequence",
    "monitoring_auditanchor": "id = NEW.id OR number = NEW.number",
}


def protect(connection: Any = default_connection) -> None:
    """Make the triggers that are not there. Does nothing on a database that has none."""
    _run(connection, {"postgresql": _postgresql, "sqlite": _sqlite})


def unprotect(connection: Any = default_connection) -> None:
    """Take the triggers away, for going back before them and for tests that forge."""
    _run(connection, {"postgresql": _postgresql_drop, "sqlite": _sqlite_drop})


def missing_triggers(connection: Any = default_connection) -> list[str]:
    """The triggers that should be there and are not, or are switched off."""
    query = {
        # Those that fire in a session that is no replica's: O is by default, A is always.
        "postgresql": "SELECT tgname FROM pg_trigger WHERE tgenabled IN ('O', 'A')",
        "sqlite": "SELECT name FROM sqlite_master WHERE type = 'trigger'",
    }.get(connection.vendor)
    if query is None:
        return []
    with connection.cursor() as cursor:
        cursor.execute(query)
        known = {row[0] for row in cursor.fetchall()}
    return [name for name in _names(connection.vendor) if name not in known]


def _run(connection: Any, statements: dict[str, Any]) -> None:
    make = statements.get(connection.vendor)
    if make is None:
        return
    with connection.cursor() as cursor:
        for statement in make():
            cursor.execute(statement)


def _names(vendor: str) -> list[str]:
    endings = {"postgresql": ("change", "truncate"), "sqlite": ("update", "delete", "replace")}
    return [f"{table}_no_{ending}" for table in TABLES for ending in endings[vendor]]


def _postgresql() -> list[str]:
    made = [
        f"CREATE OR REPLACE FUNCTION {_FUNCTION}() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{MESSAGE}' USING ERRCODE = 'restrict_violation'; END $$"
    ]
    for table in TABLES:
        made += [
            f"DROP TRIGGER IF EXISTS {table}_no_change ON {table}",
            f"CREATE TRIGGER {table}_no_change BEFORE UPDATE OR DELETE ON {table} "
            f"FOR EACH ROW EXECUTE FUNCTION {_FUNCTION}()",
            f"DROP TRIGGER IF EXISTS {table}_no_truncate ON {table}",
            f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION {_FUNCTION}()",
        ]
    return made


def _postgresql_drop() -> list[str]:
    dropped = [
        f"DROP TRIGGER IF EXISTS {table}_no_{ending} ON {table}"
        for table in TABLES
        for ending in ("change", "truncate")
    ]
    return [*dropped, f"DROP FUNCTION IF EXISTS {_FUNCTION}()"]


def _sqlite() -> list[str]:
    refuse = f"BEGIN SELECT RAISE(ABORT, '{MESSAGE}'); END"
    made = []
    for table in TABLES:
        taken = f"EXISTS (SELECT 1 FROM {table} WHERE {_KEYS[table]})"  # noqa: S608 - names of ours
        made += [
            f"CREATE TRIGGER IF NOT EXISTS {table}_no_update BEFORE UPDATE ON {table} {refuse}",
            f"CREATE TRIGGER IF NOT EXISTS {table}_no_delete BEFORE DELETE ON {table} {refuse}",
            f"CREATE TRIGGER IF NOT EXISTS {table}_no_replace BEFORE INSERT ON {table} "
            f"WHEN {taken} {refuse}",
        ]
    return made


def _sqlite_drop() -> list[str]:
    return [f"DROP TRIGGER IF EXISTS {name}" for name in _names("sqlite")]
