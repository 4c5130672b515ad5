"""A reading looks only into indexes that hold what it asks for, however long the history is."""

from __future__ import annotations

import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from monitoring.metrics.gauges import measure
from monitoring.queues import queues_of
from webhooks_project.lib import clock

pytestmark = pytest.mark.django_db

LARGE = ("webhooks.outgoing", "webhooks.incoming", "outgoing_attempt", "events.log")
# Those that hold no history.
PARTIAL = {
    "delivery_due", "delivery_limited", "delivery_parked", "delivery_leased", "delivery_held",
    "delivery_exhausted", "delivery_dead", "delivery_dead_alike", "receipt_due", "receipt_leased",
    "receipt_dead", "receipt_dead_alike",
}  # fmt: skip


def steps() -> list[tuple[str, str]]:
    """How SQLite reads the large tables: the statement, and the step."""
    with CaptureQueriesContext(connection) as captured:
        measure(clock.now(), 3)
        queues_of(["processing", "delivery", "retry"], clock.now())
    found = []
    with connection.cursor() as cursor:
        for query in captured.captured_queries:
            if not any(f'"{table}"' in query["sql"] for table in LARGE):
                continue
            cursor.execute(f"EXPLAIN QUERY PLAN {query['sql']}")
            found.extend((query["sql"], row[3]) for row in cursor.fetchall())
    return found


def test_no_reading_walks_the_history() -> None:
    if connection.vendor != "sqlite":
        pytest.skip("PostgreSQL chooses by its statistics; the bench measures it")
    indexes = [(re.search(r"INDEX (delivery_\w+|receipt_\w+)", step), sql) for sql, step in steps()]
    found = {match[1]: sql for match, sql in indexes if match}
    assert {name: sql for name, sql in found.items() if name not in PARTIAL} == {}
    assert len(found) > 6


def test_no_reading_scans_a_large_table() -> None:
    if connection.vendor != "sqlite":
        pytest.skip("PostgreSQL chooses by its statistics; the bench measures it")
    for sql, step in steps():
        for table in LARGE:
            assert step != f"SCAN {table}", sql
