"""What our PostgreSQL backend adds to Django's."""

from __future__ import annotations

import time
from datetime import datetime

import pytest
from django.db import DataError, connection, connections

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


@pytest.mark.parametrize(
    "text",
    [
        "2026-03-04 05:06:07.123456+00", "2026-03-04 05:06:07.1+00", "2026-03-04 05:06:07+00",
        "0001-01-01 00:00:00+00", "9999-12-31 23:59:59.999999+00", "2026-03-04 05:06:07.12+05:30",
    ],
)  # fmt: skip
def test_a_moment_is_read_as_django_reads_it(text: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s::timestamptz", [text])
        ((found,),) = cursor.fetchall()
    assert found == datetime.fromisoformat(text)
    assert found.tzinfo is connection.timezone


@pytest.mark.parametrize("text", ["infinity", "0044-03-15 12:00:00+00 BC", "12026-01-01 00:00+00"])
def test_a_moment_that_python_has_not_is_refused(text: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s::timestamptz", [text])
        with pytest.raises(DataError):
            cursor.fetchall()
