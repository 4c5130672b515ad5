"""Counting from the tables of what happened: attempts and receipts, by minute and full key."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db.models import Case, Count, F, Q, Sum, When
from django.db.models.functions import TruncMinute

from analytics.models import ReceiptRollup
from analytics.sketches import bin_of
from analytics.tallies import (
    ATTEMPTS,
    RECEIPTS,
    AttemptKey,
    AttemptTally,
    Key,
    ReceiptKey,
    ReceiptTally,
    Series,
    Tally,
)
from analytics.types import counted_types, detailed_since
from incoming.models import Receipt, RefusalMinute
from incoming.providers import Cause
from incoming.querysets import BODY_BYTES
from outgoing.models import Attempt, Delivery

Verdict = ReceiptRollup.Verdict
ByMinute = dict[datetime, dict[Key, Tally]]

_READ_TOGETHER: Final = 2_000
_OF_THE_SENDER: Final = (Verdict.ACCEPTED, Verdict.DUPLICATE)
_VERDICTS: Final = {
    Receipt.Status.DUPLICATE.value: Verdict.DUPLICATE,
    Receipt.Status.HANDSHAKE.value: Verdict.HANDSHAKE,
}
# Also of those refused by a node of an older version, which ran on after the upgrade began. What
# was dropped from quarantine was accepted, and has the one cause that does not tell.
_REFUSED_FOR: Final = Case(
    When(
        Q(refusal="", status=Receipt.Status.REFUSED) & ~Q(cause=Cause.SCHEMA_MISMATCH),
        then=F("cause"),
    ),
    default=F("refusal"),
)


def read_attempts(since: datetime, until: datetime) -> ByMinute:
    """The attempts that started in `[since, until)`."""
    found: ByMinute = defaultdict(dict)
    rows = (
        Attempt.objects.filter(started_at__gte=since, started_at__lt=until)
        .order_by()
        .values_list(
            "started_at", "delivery__account_id", "delivery__subscription_id",
            "delivery__event__type", "delivery__event__source_id", "cause", "status_code", "number",
            "trigger", "gave_up", "request_bytes", "response_bytes", "queue_wait_ms",
            "first_byte_ms", "duration_ms",
        )
    )  # fmt: skip
    detailed = detailed_since()
    for (
        started_at, account_id, subscription_id, event_type, source_id, cause, status_code, number,
        trigger, gave_up, request_bytes, response_bytes, queue_wait_ms, first_byte_ms, duration_ms,
    ) in rows.iterator(chunk_size=_READ_TOGETHER):  # fmt: skip
        if detailed is not None and started_at < detailed:
            source_id = None
        status_class = status_class_of(status_code)
        key = AttemptKey(account_id, subscription_id, event_type, cause, status_class, source_id)
        tallies = found[started_at.replace(second=0, microsecond=0)]
        tally = tallies.get(key)
        if tally is None:
            tally = tallies[key] = AttemptTally()
        assert isinstance(tally, AttemptTally)  # noqa: S101 - only such are put there
        total_us = max(0, round(duration_ms * 1000))
        tally.attempts += 1
        tally.first_attempts += number == 1
        tally.retries += trigger == Delivery.Trigger.RETRY
        tally.exhausted += gave_up
        tally.request_bytes += request_bytes
        tally.response_bytes += response_bytes
        tally.total_us_sum += total_us
        if total_us > tally.total_us_max:
            tally.total_us_max = total_us
        _count(tally.queue_wait, queue_wait_ms)
        _count(tally.total, duration_ms)
        if first_byte_ms is not None:
            _count(tally.response, first_byte_ms)
    return found


def read_receipts(since: datetime, until: datetime) -> ByMinute:
    """The receipts that arrived in `[since, until)`, and the refusals of which none was kept."""
    found: ByMinute = defaultdict(dict)
    kept = (
        Receipt.objects.filter(received_at__gte=since, received_at__lt=until)
        .order_by()
        .annotate(minute=TruncMinute("received_at"))
        .annotate(refused_for=_REFUSED_FOR)
        .values_list("minute", "account_id", "source_id", "status", "refused_for", "type")
        .annotate(count=Count("pk"), bytes=Sum(BODY_BYTES))
    )
    counted: list[tuple[datetime, ReceiptKey, int, int]] = []
    detailed = detailed_since()
    for minute, account_id, source_id, status, refusal, type_, count, size in kept:
        # The verdict on arrival: what was refused and replayed, or dropped from quarantine, has
        # another status by now. What an accepted one failed with later is no cause of its verdict.
        verdict = Verdict.REFUSED if refusal else _VERDICTS.get(status, Verdict.ACCEPTED)
        # What a stranger calls it counts for nothing.
        has_type = verdict in _OF_THE_SENDER and (detailed is None or minute >= detailed)
        key = ReceiptKey(account_id, source_id, verdict.value, refusal, type_ if has_type else "")
        counted.append((minute, key, count, size))
    sent: dict[UUID | None, set[str]] = defaultdict(set)
    for _, key, _, _ in counted:
        if key.event_type:
            sent[key.source_id].add(key.event_type)
    types = counted_types(sent) if sent else {}
    for minute, key, count, size in counted:
        if key.event_type and key.event_type not in types[key.source_id]:
            key = key._replace(event_type="")
        _add(found, minute, key, count, size)
    unkept = RefusalMinute.objects.filter(minute__gte=since, minute__lt=until).values_list(
        "minute", "account_id", "source_id", "cause", "count"
    )
    for minute, account_id, source_id, cause, count in unkept:
        key = ReceiptKey(account_id, source_id, Verdict.REFUSED.value, cause)
        _add(found, minute, key, count, 0)
    return found


def status_class_of(status_code: int | None) -> str:
    """2xx for 204; empty where there was no answer."""
    if status_code is None:
        return ""
    return f"{status_code // 100}xx" if 100 <= status_code < 600 else "other"


READERS: Final[dict[type[Any], Callable[[datetime, datetime], ByMinute]]] = {
    ATTEMPTS.model: read_attempts,
    RECEIPTS.model: read_receipts,
}


def read(series: Series, since: datetime, until: datetime) -> ByMinute:
    """What the series counts in `[since, until)`, from where it happened."""
    return READERS[series.model](since, until)


def items(found: ByMinute) -> Iterator[tuple[datetime, Key, Tally]]:
    for minute, tallies in found.items():
        for key, tally in tallies.items():
            yield minute, key, tally


def _add(found: ByMinute, minute: datetime, key: Key, count: int, size: int) -> None:
    found[minute].setdefault(key, ReceiptTally()).add(ReceiptTally(count, size))  # type: ignore[arg-type]


def _count(bins: dict[int, int], milliseconds: float) -> None:
    number = bin_of(milliseconds)
    bins[number] = bins.get(number, 0) + 1
