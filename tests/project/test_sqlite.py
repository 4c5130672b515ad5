"""What our SQLite backend does otherwise than Django's."""

from __future__ import annotations

import pytest
from django.db import connection

from webhooks_project.sqlite import base

pytestmark = [
    pytest.mark.skipif(connection.vendor != "sqlite", reason="there is no SQLite"),
    pytest.mark.django_db,
]


@pytest.mark.parametrize("padding", [0, base.LONGEST_KEPT])
def test_placeholders_and_percent_signs_are_told_apart(padding: int) -> None:
    text = " " * padding + "SELECT %s, 'a' LIKE '%%', '%%s', %s"
    for _ in range(2):
        with connection.cursor() as cursor:
            cursor.execute(text, ["%s", 2])
            assert cursor.fetchall() == [("%s", 1, "%s", 2)]


def test_names_and_no_parameters_are_as_ever() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT %(a)s, %(b)s, %(a)s", {"a": 1, "b": "%s"})
        assert cursor.fetchall() == [(1, "%s", 1)]
        cursor.execute("SELECT '%s', '%%'")
        assert cursor.fetchall() == [("%s", "%%")]


def test_a_text_is_turned_once() -> None:
    text = "SELECT %s + 4040"
    with connection.cursor() as cursor:
        cursor.execute(text, [1])
        before = base._with_question_marks.cache_info()
        cursor.execute(text, [2])
        after = base._with_question_marks.cache_info()
        assert cursor.fetchall() == [(4042,)]
    assert (after.hits - before.hits, after.misses - before.misses) == (1, 0)
