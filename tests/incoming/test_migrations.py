"""Migrations of the receipts, which are many, big, and arrive while they run."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest
from django.apps import apps
from django.db import connection
from django.db.migrations.loader import MigrationLoader

from incoming.models import Receipt
from tests.factories import make_receipt, make_source

pytestmark = pytest.mark.django_db

REFUSALS_KEPT = import_module("incoming.migrations.0011_refusals_kept")


def test_columns_are_added_without_a_look_at_the_rows(settings: Any) -> None:
    settings.MIGRATION_MODULES = {}
    loader = MigrationLoader(None, ignore_no_migrations=True, replace_migrations=False)
    migration = loader.get_migration("incoming", "0010_verdict_kept")
    editor = connection.SchemaEditorClass(connection, collect_sql=True, atomic=False)
    editor.deferred_sql = []
    migration.apply(
        loader.project_state(("incoming", "0009_run_due_by_source")), editor, collect_sql=True
    )
    found = [line for line in editor.collected_sql if not line.startswith("--")]
    assert found == [
        'ALTER TABLE "webhooks.incoming" ADD COLUMN "pruned_bytes" bigint NULL;',
        'ALTER TABLE "webhooks.incoming" ADD COLUMN "refusal" varchar(64) DEFAULT \'\' NOT NULL;',
    ]
    assert editor.deferred_sql == []


def test_a_node_of_the_version_before_inserts_without_the_new_columns() -> None:
    kept = make_receipt()
    names = [
        field.column
        for field in Receipt._meta.concrete_fields
        if field.column not in ("id", "external_id", "refusal", "pruned_bytes")
    ]
    columns = ", ".join(f'"{name}"' for name in names)
    with connection.cursor() as cursor:
        cursor.execute(
            f'INSERT INTO "webhooks.incoming" ("id", "external_id", {columns}) '
            f'SELECT %s, %s, {columns} FROM "webhooks.incoming"',
            ["0" * 32, "another"],
        )
    [added] = Receipt.objects.exclude(pk=kept.pk)
    assert (added.refusal, added.pruned_bytes) == ("", None)


@pytest.mark.parametrize(("batch", "queries"), [(2, 7), (3, 5), (2_000, 3)])
def test_those_that_stood_refused_before_it_was_kept_have_their_cause_for_it(
    batch: int,
    queries: int,
    monkeypatch: pytest.MonkeyPatch,
    django_assert_num_queries: Any,
) -> None:
    source = make_source()
    wanted = {}
    for cause in ("rate_limited", "schema_mismatch", "signature_mismatch", "stale", "rate_limited"):
        refused = make_receipt(source, status="refused", cause=cause, refusal="")
        dropped = make_receipt(
            source, status="refused", cause="schema_mismatch", refusal="", dedup_slot=0
        )
        failed = make_receipt(source, status="dead", cause="handler_failed")
        wanted |= {refused.pk: cause, dropped.pk: "", failed.pk: ""}
    known = make_receipt(source, status="refused", cause="", refusal="body_too_large")
    wanted[known.pk] = "body_too_large"
    monkeypatch.setattr(REFUSALS_KEPT, "BATCH", batch)
    with django_assert_num_queries(queries):
        REFUSALS_KEPT.keep_refusals(apps, None)
    assert dict(Receipt.objects.values_list("pk", "refusal")) == wanted
    with django_assert_num_queries(1):
        REFUSALS_KEPT.keep_refusals(apps, None)
    assert dict(Receipt.objects.values_list("pk", "refusal")) == wanted


def test_each_batch_is_committed() -> None:
    assert REFUSALS_KEPT.Migration.atomic is False
    assert REFUSALS_KEPT.BATCH == 2_000
