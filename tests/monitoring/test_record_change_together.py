"""Changes of one account at the same moment: each is in the chain, and none fails for it."""

from __future__ import annotations

import threading

import pytest
from django.db import connection, transaction

from monitoring.journal import record_change
from monitoring.models import AuditEntry
from monitoring.verifying import verify_account
from tests.factories import make_account

pytestmark = [
    pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer at a time"),
    pytest.mark.django_db(transaction=True),
]

WRITERS = 4


@pytest.mark.parametrize("entries_before", [0, 3])
def test_two_changes_at_once_follow_each_other(entries_before: int) -> None:
    account = make_account()
    for number in range(entries_before):
        record_change(account_id=account.pk, action=f"before.{number}", subject=account)
    together = threading.Barrier(WRITERS)
    errors: list[Exception] = []

    def change(number: int) -> None:
        try:
            together.wait()
            with transaction.atomic():
                record_change(account_id=account.pk, action=f"writer.{number}", subject=account)
        except Exception as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=change, args=(number,)) for number in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    sequences = AuditEntry.objects.order_by("sequence").values_list("sequence", flat=True)
    assert list(sequences) == list(range(1, entries_before + WRITERS + 1))
    assert verify_account(account).breaches == []


def test_a_change_does_not_wait_for_one_of_another_account() -> None:
    mine, other = make_account(), make_account()
    done = threading.Event()

    def change() -> None:
        try:
            record_change(account_id=other.pk, action="a", subject=other)
            done.set()
        finally:
            connection.close()

    with transaction.atomic():
        record_change(account_id=mine.pk, action="a", subject=mine)
        thread = threading.Thread(target=change)
        thread.start()
        assert done.wait(5)
    thread.join()


def test_an_event_does_not_wait_for_a_change() -> None:
    """The chain's lock must not stand in the way of rows that refer to the account."""
    from tests.factories import make_event

    account = make_account()
    done = threading.Event()

    def publish() -> None:
        try:
            make_event(account)
            done.set()
        finally:
            connection.close()

    with transaction.atomic():
        record_change(account_id=account.pk, action="a", subject=account)
        thread = threading.Thread(target=publish)
        thread.start()
        assert done.wait(5)
    thread.join()
