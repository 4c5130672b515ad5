"""Receipts of requests that wait at the same moment are committed together."""

from __future__ import annotations

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import IntegrityError, OperationalError, connection, connections

from incoming import store as module
from incoming.models import Receipt, Source
from incoming.store import Store
from tests.factories import make_source
from webhooks_project.lib import clock, together
from webhooks_project.lib.ids import new_id

pytestmark = pytest.mark.django_db(transaction=True)


def receipt_of(source: Source, external_id: str = "", body: bytes = b"{}") -> Receipt:
    return Receipt(
        id=new_id(),
        account_id=source.account_id,
        source_id=source.pk,
        status="accepted",
        external_id=external_id,
        dedup_slot=0 if external_id else None,
        method="POST",
        headers=b"{}",
        body=body,
        body_sha256=hashlib.sha256(body).digest(),
        remote_address="192.0.2.1",
        request_id="r",
        received_at=clock.now(),
    )


class Commits:
    """Lets the first commit begin only once the others stand in line, and notes each batch."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, store: Store, *, others: int) -> None:
        self.batches: list[int] = []
        self._store = store
        self._others = others
        self._real = module._commit
        monkeypatch.setattr(module, "_commit", self)

    def __call__(self, batch: Any) -> None:
        if not self.batches:
            while len(self._store._line) < self._others:
                threading.Event().wait(0.001)
        self.batches.append(len(batch))
        self._real(batch)


def insert_at_once(store: Store, receipts: list[Receipt]) -> list[Exception | None]:
    """Each in a thread of its own; what each raised. Whoever heard nothing is stored."""

    def insert(receipt: Receipt) -> Exception | None:
        try:
            store.insert(receipt)
        except Exception as error:
            return error
        finally:
            connections.close_all()
        return None

    with ThreadPoolExecutor(len(receipts)) as pool:
        errors = list(pool.map(insert, receipts))
    stored = set(Receipt.objects.values_list("pk", flat=True))
    pairs = zip(receipts, errors, strict=True)
    assert stored == {receipt.pk for receipt, error in pairs if error is None}
    return errors


def test_one_alone_is_inserted_by_itself(django_assert_num_queries: Any) -> None:
    source = make_source()
    # Its mark is committed with it.
    with django_assert_num_queries(1 if connection.vendor == "postgresql" else 4):
        Store().insert(receipt_of(source, "a"))
    assert Receipt.objects.get().external_id == "a"


def test_those_that_wait_are_committed_together(monkeypatch: pytest.MonkeyPatch) -> None:
    source, store = make_source(), Store()
    commits = Commits(monkeypatch, store, others=7)
    errors = insert_at_once(store, [receipt_of(source, str(n)) for n in range(8)])
    assert errors == [None] * 8
    assert commits.batches == [1, 7]
    assert Receipt.objects.count() == 8


def test_a_repeat_among_them_is_nobody_else_s_error(monkeypatch: pytest.MonkeyPatch) -> None:
    source, store = make_source(), Store()
    commits = Commits(monkeypatch, store, others=5)
    receipts = [receipt_of(source, name) for name in ("a", "b", "c", "c", "d", "e")]
    errors = insert_at_once(store, receipts)
    assert (
        sorted(str(type(error).__name__) for error in errors)
        == ["IntegrityError"] + ["NoneType"] * 5
    )
    assert commits.batches == [1, 5]
    assert sorted(Receipt.objects.values_list("external_id", flat=True)) == list("abcde")


def test_a_database_that_is_full_is_every_one_s_error(monkeypatch: pytest.MonkeyPatch) -> None:
    source, store = make_source(), Store()
    Commits(monkeypatch, store, others=3)

    def fail(receipts: list[Receipt]) -> None:
        raise OperationalError("database or disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(module, "insert_instances", fail)
        errors = insert_at_once(store, [receipt_of(source, str(n)) for n in range(4)])
    assert [type(error) for error in errors if error] == [OperationalError] * 3
    assert Receipt.objects.count() == 1
    # And it goes on once there is room.
    store.insert(receipt_of(source, "later"))
    assert Receipt.objects.count() == 2


def test_large_bodies_are_not_all_taken_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    source, store = make_source(), Store()
    commits = Commits(monkeypatch, store, others=4)
    monkeypatch.setattr(together, "MAX_BYTES_TOGETHER", 2500)
    body = b"x" * 1000
    errors = insert_at_once(store, [receipt_of(source, str(n), body) for n in range(5)])
    assert errors == [None] * 5
    assert commits.batches == [1, 2, 2]


def test_one_larger_than_that_is_taken_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together, "MAX_BYTES_TOGETHER", 10)
    source = make_source()
    Store().insert(receipt_of(source, "a", b"x" * 1000))
    assert Receipt.objects.count() == 1


def test_many_threads_lose_nothing() -> None:
    source, store = make_source(), Store()
    errors = insert_at_once(store, [receipt_of(source, str(n // 2)) for n in range(64)])
    assert sum(error is None for error in errors) == 32
    assert sum(isinstance(error, IntegrityError) for error in errors) == 32
    assert Receipt.objects.count() == 32
    assert (store._line, store._is_led) == ([], False)
