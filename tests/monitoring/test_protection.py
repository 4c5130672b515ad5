"""The database itself refuses to change what the audit chain says."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.management import call_command
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.db.models import ProtectedError

from monitoring.journal import record_change
from monitoring.models import AuditAnchor, AuditEntry
from monitoring.protection import MESSAGE, TABLES, missing_triggers, protect, unprotect
from tests.factories import make_account, make_anchor
from webhooks_project.accounts.models import Account
from webhooks_project.lib.ids import new_id

pytestmark = pytest.mark.django_db

POSTGRESQL = connection.vendor == "postgresql"


@pytest.fixture
def account() -> Account:
    account = make_account()
    for number in (1, 2):
        record_change(account_id=account.pk, action=f"a.{number}", subject=account)
    make_anchor(account)
    return account


def rows() -> list[list[Any]]:
    return [list(model.objects.order_by("pk").values_list()) for model in (AuditEntry, AuditAnchor)]


def refused(sql: str, *parameters: Any) -> None:
    before = rows()
    connection.check_constraints()  # what is deferred would refuse a TRUNCATE before we do
    with (
        pytest.raises(DatabaseError, match=MESSAGE),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(sql, parameters)
    assert rows() == before


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize(
    "sql",
    ["UPDATE {} SET hash = 'x'", "UPDATE {} SET id = id", "DELETE FROM {}"],
)
def test_no_entry_is_changed_or_deleted(table: str, sql: str) -> None:
    refused(sql.format(table))


@pytest.mark.skipif(not POSTGRESQL, reason="SQLite has no TRUNCATE")
@pytest.mark.usefixtures("account")
@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize(
    "sql", ["TRUNCATE {}", "TRUNCATE {} CASCADE", "TRUNCATE _accounts CASCADE"]
)
def test_no_table_is_emptied(table: str, sql: str) -> None:
    refused(sql.format(table))


@pytest.mark.skipif(POSTGRESQL, reason="SQLite's own statement")
def test_no_entry_is_replaced(account: Account) -> None:
    columns = ", ".join(
        field.column for field in AuditEntry._meta.concrete_fields if field.name != "id"
    )
    for key in ("id", f"'{new_id().hex}'"):
        refused(
            f"INSERT OR REPLACE INTO monitoring_auditentry (id, {columns}) "
            f"SELECT {key}, {columns} FROM monitoring_auditentry WHERE sequence = 1"
        )
    number = AuditAnchor.objects.get().number
    refused(
        "INSERT OR REPLACE INTO monitoring_auditanchor (id, number, account_id, sequence, "
        "head_hash, created_at, previous_hash, hash) SELECT %s, number, account_id, 9, 'x', "
        "created_at, 'x', 'x' FROM monitoring_auditanchor WHERE number = %s",
        new_id().hex, number,
    )  # fmt: skip


def test_the_orm_is_refused_too(account: Account) -> None:
    entry = AuditEntry.objects.first()
    assert entry is not None
    entry.action = "forged"
    before = rows()
    for act in (entry.save, entry.delete, AuditEntry.objects.all().delete):
        with pytest.raises(DatabaseError), transaction.atomic():
            act()
    assert rows() == before


def _delete_account(slug: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM _accounts WHERE slug = %s", [slug])
    connection.check_constraints()


def test_an_account_with_a_history_is_not_deleted(account: Account) -> None:
    with pytest.raises(ProtectedError):
        account.delete()
    with (
        pytest.raises(IntegrityError),
        transaction.atomic(),
    ):
        _delete_account(account.slug)
    assert AuditEntry.objects.filter(account=account).count() == 2


def test_says_which_triggers_are_missing_and_makes_them_again() -> None:
    assert missing_triggers() == []
    every = 4 if POSTGRESQL else 6
    unprotect()
    assert len(missing_triggers()) == every
    protect()
    protect()
    assert missing_triggers() == []
    with connection.cursor() as cursor:
        if POSTGRESQL:
            cursor.execute(
                "ALTER TABLE monitoring_auditentry DISABLE TRIGGER monitoring_auditentry_no_change"
            )
        else:
            cursor.execute("DROP TRIGGER monitoring_auditentry_no_update")
    name = "monitoring_auditentry_no_" + ("change" if POSTGRESQL else "update")
    assert missing_triggers() == [name]


def test_migrate_makes_them_again() -> None:
    unprotect()
    call_command("migrate", verbosity=0)
    assert missing_triggers() == []
