"""Notifications sent by several nodes at the same moment."""

from __future__ import annotations

import threading

import pytest
from django.core import mail
from django.db import connection

from monitoring.journal import record_notification
from monitoring.models import Notification
from monitoring.notifications import send_due_notifications
from tests.factories import make_account

pytestmark = [
    pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer at a time"),
    pytest.mark.django_db(transaction=True),
]

NODES = 4
PEOPLE = 40


def test_each_is_sent_once() -> None:
    addresses = [f"person-{number}@example.com" for number in range(PEOPLE)]
    record_notification(
        account_id=make_account().pk, kind="test", recipients=addresses, title="A", text="B"
    )
    barrier = threading.Barrier(NODES)
    counts: list[int] = []

    def send() -> None:
        try:
            barrier.wait()
            counts.append(send_due_notifications())
        finally:
            connection.close()

    threads = [threading.Thread(target=send) for _ in range(NODES)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(counts) == PEOPLE
    assert sorted(message.to[0] for message in mail.outbox) == sorted(addresses)
    assert set(Notification.objects.values_list("status", "attempt_count")) == {("sent", 1)}
