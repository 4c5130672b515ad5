"""A few days of attempts and receipts, counted."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from analytics.counting import count_marked
from incoming.models import Source
from outgoing.models import Attempt
from subscriptions.models import Subscription
from tests.factories import (
    make_account,
    make_delivery,
    make_event,
    make_receipt,
    make_source,
    make_subscription,
)
from webhooks_project.accounts.models import Account
from webhooks_project.uncounted import Kind, mark_uncounted

NOW = datetime(2026, 3, 12, 14, 30, tzinfo=UTC)  # a Thursday


@dataclass
class History:
    """Of one account: two endpoints, of which the second fails each other time, and a source.

    Each of the ten hours up to that of `now` has `hour + 1` attempts of each endpoint, counted from
    the oldest, and as many receipts, of which the first is refused.
    """

    account: Account
    good: Subscription
    bad: Subscription
    source: Source
    attempts: int = 0
    failed: int = 0
    receipts: int = 0
    refused: int = 0
    by_hour: list[datetime] = field(default_factory=list)


def make_history(
    account: Account | None = None, *, hours: int = 10, now: datetime = NOW, **fields: Any
) -> History:
    account = account or make_account()
    made = History(
        account,
        make_subscription(account, name=fields.pop("good", "Billing")),
        make_subscription(account, name=fields.pop("bad", "Warehouse")),
        make_source(account, name=fields.pop("source", "Shop"), **fields),
    )
    event = make_event(account, type="invoice.paid")
    deliveries = {
        row: make_delivery(event, row, status="delivered", lane=None)
        for row in (made.good, made.bad)
    }
    attempts, moments, arrivals = [], [], []
    for hour in range(hours):
        start = now.replace(minute=0) - timedelta(hours=hours - 1 - hour)
        made.by_hour.append(start)
        for number in range(hour + 1):
            at = start + timedelta(minutes=number)
            moments.append(at)
            for row, delivery in deliveries.items():
                fails = row is made.bad and number % 2 == 0
                made.attempts += 1
                made.failed += fails
                attempts.append(_attempt(delivery, len(attempts) + 1, at, fails, number))
            refused = number == 0
            make_receipt(
                made.source,
                status="refused" if refused else "processed",
                cause="signature_mismatch" if refused else "",
                received_at=at,
                next_attempt_at=None,
            )
            arrivals.append(at)
            made.receipts += 1
            made.refused += refused
    Attempt.objects.bulk_create(attempts)
    mark_uncounted(Kind.ATTEMPT, moments)
    mark_uncounted(Kind.RECEIPT, arrivals)
    count_marked()
    return made


def _attempt(delivery: Any, number: int, at: datetime, fails: bool, order: int) -> Attempt:
    return Attempt(
        delivery=delivery,
        number=number,
        trigger="first",
        outcome="failed" if fails else "succeeded",
        cause="status_5xx" if fails else "",
        status_code=503 if fails else 200,
        started_at=at,
        queue_wait_ms=2.0,
        duration_ms=20.0 + order,
        first_byte_ms=10.0 + order,
        request_bytes=100,
        response_bytes=2,
        response_body=b"",
    )
