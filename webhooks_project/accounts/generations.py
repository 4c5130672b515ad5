"""An account's generation: a value that is drawn anew with each change of what publishing reads.

The database itself draws it, in the transaction that changes something, whoever changes it and by
whatever statement. So who reads the same value again knows that all is as it was; and none comes
again, not even one whose transaction was rolled back. On PostgreSQL it is drawn as the transaction
commits, so that nobody waits for another's for longer than that takes: within the transaction that
changes something, the value says nothing.

While `migrate` changes tables the triggers are away, and with them all generations, so that nothing
is taken for what it was. A database without triggers has none at all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.db import transaction

from webhooks_project.accounts.models import Account, Generation

TABLE: Final = Generation._meta.db_table
ACCOUNTS: Final = Account._meta.db_table
_PREFIX: Final = "generation_"  # of all triggers and functions that are made here
_VALUE: Final = {"postgresql": "gen_random_uuid()", "sqlite": "lower(hex(randomblob(16)))"}
_TRIGGERS: Final = {
    # Those that fire in a session that is no replica's: O is by default, A is always.
    "postgresql": "SELECT tgname FROM pg_trigger "  # noqa: S608 - names of our own, as below
    f"WHERE starts_with(tgname, '{_PREFIX}') AND tgenabled IN ('O', 'A')",
    "sqlite": "SELECT name FROM sqlite_master "  # noqa: S608
    f"WHERE type = 'trigger' AND substr(name, 1, {len(_PREFIX)}) = '{_PREFIX}'",
}


@dataclass(frozen=True)
class Watched:
    """A table whose changes are an account's: rows that come or go, and changes of these columns.

    `account` is SQL for the account of a row, which is written `{row}`.
    """

    table: str
    columns: Sequence[str]
    account: str = "{row}.account_id"


def watch(connection: Any, tables: Sequence[Watched]) -> None:
    """Make the triggers, and a generation for each account. Does nothing where they are there."""
    if connection.vendor not in _VALUE:
        return
    functions, triggers = _statements(connection.vendor, tables)
    if _known(connection) == triggers.keys():
        return
    with transaction.atomic(using=connection.alias):
        unwatch(connection)
        with connection.cursor() as cursor:
            for statement in [*functions.values(), *triggers.values()]:
                cursor.execute(statement)
            cursor.execute(
                f"INSERT INTO {TABLE} (account_id, value) "  # noqa: S608
                f"SELECT id, {_VALUE[connection.vendor]} FROM {ACCOUNTS}"
            )


def unwatch(connection: Any) -> None:
    """Take the triggers away, and with them all generations."""
    if connection.vendor not in _VALUE:
        return
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                "SELECT proname FROM pg_proc WHERE starts_with(proname, %s) "
                "AND pronamespace = current_schema()::regnamespace",
                [_PREFIX],
            )
            for (name,) in cursor.fetchall():
                cursor.execute(f"DROP FUNCTION {name}() CASCADE")
        else:
            for name in _known(connection):
                cursor.execute(f"DROP TRIGGER {name}")
        # After the triggers: who is to draw one at its commit holds their tables, and not its row.
        cursor.execute(f"DELETE FROM {TABLE}")  # noqa: S608


def _known(connection: Any) -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute(_TRIGGERS[connection.vendor])
        return {name for (name,) in cursor.fetchall()}


def _statements(vendor: str, tables: Sequence[Watched]) -> tuple[dict[str, str], dict[str, str]]:
    """Those that make the functions and the triggers, by name: a name stands for its statement's
    text, so that another text is another trigger, which is not there yet."""
    if vendor == "sqlite":
        return {}, _named(_sqlite(tables))
    functions: dict[str, str] = {}
    triggers: list[str] = []
    for body, events in _postgresql(tables):
        made = _named([f"CREATE FUNCTION @() RETURNS trigger LANGUAGE plpgsql AS $$ {body} $$"])
        functions |= made
        triggers += [f"{event} EXECUTE FUNCTION {next(iter(made))}()" for event in events]
    return functions, _named(triggers)


def _named(statements: Sequence[str]) -> dict[str, str]:
    found = {}
    for statement in statements:
        name = f"{_PREFIX}{hashlib.sha256(statement.encode()).hexdigest()[:16]}"
        found[name] = statement.replace("@", name)
    return found


def _is_changed(each: Watched, differs: str) -> str:
    return " OR ".join(f'OLD."{name}" {differs} NEW."{name}"' for name in each.columns)


def _of(each: Watched) -> str:
    return ", ".join(f'"{name}"' for name in each.columns)


def _sqlite(tables: Sequence[Watched]) -> list[str]:
    value = _VALUE["sqlite"]

    def draw(each: Watched, *rows: str) -> str:
        accounts = ", ".join(each.account.format(row=row) for row in rows)
        update = f"UPDATE {TABLE} SET value = {value} WHERE account_id IN ({accounts});"  # noqa: S608
        return f"BEGIN {update} END"

    insert = f"INSERT INTO {TABLE} (account_id, value) VALUES (NEW.id, {value});"  # noqa: S608
    delete = f"DELETE FROM {TABLE} WHERE account_id = OLD.id;"  # noqa: S608
    again = f"UPDATE {TABLE} SET value = {value} WHERE account_id = NEW.account_id;"  # noqa: S608
    made = [
        f'CREATE TRIGGER @ AFTER INSERT ON "{ACCOUNTS}" BEGIN {insert} END',
        f'CREATE TRIGGER @ AFTER DELETE ON "{ACCOUNTS}" BEGIN {delete} END',
        # What is written into the table itself is no value that was there before.
        f"CREATE TRIGGER @ AFTER INSERT ON {TABLE} BEGIN {again} END",
        f"CREATE TRIGGER @ AFTER UPDATE ON {TABLE} BEGIN {again} END",
    ]
    for each in tables:
        made.append(
            f'CREATE TRIGGER @ AFTER UPDATE OF {_of(each)} ON "{each.table}" '
            f"WHEN {_is_changed(each, 'IS NOT')} {draw(each, 'OLD', 'NEW')}"
        )
        if each.table != ACCOUNTS:
            made += [
                f'CREATE TRIGGER @ AFTER INSERT ON "{each.table}" {draw(each, "NEW")}',
                f'CREATE TRIGGER @ AFTER DELETE ON "{each.table}" {draw(each, "OLD")}',
            ]
    return made


def _postgresql(tables: Sequence[Watched]) -> list[tuple[str, list[str]]]:
    """The bodies of functions, and how each begins that executes it."""
    value = _VALUE["postgresql"]

    def draw(each: Watched, row: str) -> str:
        # Once in a transaction is enough: that value nobody else has seen.
        return (
            f"UPDATE {TABLE} SET value = {value} WHERE account_id = "  # noqa: S608
            f"{each.account.format(row=row)} AND xmin <> pg_current_xact_id()::xid;"
        )

    insert = f"INSERT INTO {TABLE} (account_id, value) VALUES (NEW.id, {value});"  # noqa: S608
    delete = f"DELETE FROM {TABLE} WHERE account_id = OLD.id;"  # noqa: S608
    every = f"UPDATE {TABLE} SET value = {value};"  # noqa: S608
    row = f'ON "{ACCOUNTS}" FOR EACH ROW'
    made = [
        (f"BEGIN {insert} RETURN NULL; END", [f"CREATE TRIGGER @ AFTER INSERT {row}"]),
        (f"BEGIN {delete} RETURN NULL; END", [f"CREATE TRIGGER @ AFTER DELETE {row}"]),
        (
            # What is written into the table itself is no value that was there before.
            f"BEGIN NEW.value := {value}; RETURN NEW; END",
            [f"CREATE TRIGGER @ BEFORE INSERT OR UPDATE ON {TABLE} FOR EACH ROW"],
        ),
        (
            f"BEGIN {every} RETURN NULL; END",
            [
                f'CREATE TRIGGER @ AFTER TRUNCATE ON "{each.table}" FOR EACH STATEMENT'
                for each in tables
            ],
        ),
    ]
    for each in tables:
        later = f'ON "{each.table}" DEFERRABLE INITIALLY DEFERRED FOR EACH ROW'
        events = [
            f"CREATE CONSTRAINT TRIGGER @ AFTER UPDATE OF {_of(each)} {later} "
            f"WHEN ({_is_changed(each, 'IS DISTINCT FROM')})"
        ]
        if each.table != ACCOUNTS:
            events.append(f"CREATE CONSTRAINT TRIGGER @ AFTER INSERT OR DELETE {later}")
        made.append(
            (
                f"BEGIN IF TG_OP <> 'INSERT' THEN {draw(each, 'OLD')} END IF; "
                f"IF TG_OP <> 'DELETE' THEN {draw(each, 'NEW')} END IF; RETURN NULL; END",
                events,
            )
        )
    return made
