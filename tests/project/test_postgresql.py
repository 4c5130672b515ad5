"""What our PostgreSQL backend adds to Django's."""

from __future__ import annotations

import time

import pytest
from django.db import connection, connections

from webhooks_project.lib.cursors import kept_cursor

pytestmark = [
    pytest.mark.skipif(connection.vendor != "postgresql", reason="there is no PostgreSQL"),
    pytest.mark.django_db(transaction=True),
]


def kept_statements() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement FROM pg_prepared_statements")
        return [row[0] for row in cursor.fetchall()]


def test_a_kept_statement_is_planned_once() -> None:
    for number in (1, 2):
        with kept_cursor(connection) as cursor:
            cursor.execute("SELECT %s::int + 40", [number])
            assert cursor.fetchall() == [(number + 40,)]
    assert kept_statements().count("SELECT $1::int + 40") == 1


def test_behind_a_pooler_nothing_is_kept(settings: pytest.FixtureRequest) -> None:
    settings.WEBHOOKS_PREPARED_STATEMENTS = False  # type: ignore[attr-defined]
    with kept_cursor(connection) as cursor:
        cursor.execute("SELECT %s::int + 41", [1])
        assert cursor.fetchall() == [(42,)]
    assert "SELECT $1::int + 41" not in kept_statements()


def test_a_connection_that_lives_is_not_asked(django_assert_num_queries: object) -> None:
    connection.ensure_connection()
    sent: list[str] = []
    with connection.execute_wrapper(
        lambda execute, sql, params, many, context: (
            sent.append(sql),
            execute(sql, params, many, context),
        )[1]
    ):
        assert connection.is_usable()
    assert sent == []


def test_one_that_the_server_ended_is_told() -> None:
    connection.ensure_connection()
    other = connections.create_connection("default")
    try:
        with other.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(%s)", [connection.connection.info.backend_pid]
            )
        ends_at = time.monotonic() + 10
        while connection.is_usable() and time.monotonic() < ends_at:
            pass  # its end is on the way
        assert not connection.is_usable()
    finally:
        other.close()
        connection.close()
