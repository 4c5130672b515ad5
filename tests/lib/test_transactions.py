"""A transaction that begins with its first statement."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from django.db import connection, transaction

from webhooks_project.lib.transactions import atomic_from_first_statement
from webhooks_project.models import Heartbeat

pytestmark = pytest.mark.django_db(transaction=True)


def has_begun() -> bool:
    if connection.vendor == "sqlite":
        return bool(connection.connection.in_transaction)
    return bool(connection.connection.info.transaction_status)  # 0 is idle


def make(family: str) -> None:
    Heartbeat.objects.create(host="h", cluster="c", family=family)


def families() -> list[str]:
    return list(Heartbeat.objects.values_list("family", flat=True))


def is_as_before() -> bool:
    return connection.get_autocommit() and not connection.in_atomic_block and not has_begun()


def test_begins_with_the_first_statement_and_commits() -> None:
    called: list[Any] = []
    with atomic_from_first_statement():
        assert connection.in_atomic_block
        assert not has_begun()
        families()
        assert has_begun()
        make("a")
        transaction.on_commit(lambda: called.append(families()))
        assert called == []
    assert called == [["a"]]
    assert is_as_before()
    assert families() == ["a"]


def test_begins_with_a_savepoint_too_and_rolls_all_of_it_back() -> None:
    with suppress(KeyError), atomic_from_first_statement():
        with transaction.atomic():
            make("a")
        make("b")
        raise KeyError
    assert is_as_before()
    assert families() == []


def test_a_savepoint_in_it_is_taken_back_alone() -> None:
    with atomic_from_first_statement():
        make("a")
        with suppress(KeyError), transaction.atomic():
            make("b")
            raise KeyError
    assert families() == ["a"]


def test_without_a_statement_nothing_is_begun() -> None:
    with atomic_from_first_statement():
        pass
    assert is_as_before()
    with pytest.raises(KeyError), atomic_from_first_statement():
        raise KeyError
    assert is_as_before()
    with transaction.atomic():
        assert connection.vendor != "sqlite" or has_begun()


def test_within_another_transaction_it_is_a_part_of_that() -> None:
    with suppress(KeyError), transaction.atomic():
        with atomic_from_first_statement():
            make("a")
        assert families() == ["a"]
        raise KeyError
    assert families() == []
