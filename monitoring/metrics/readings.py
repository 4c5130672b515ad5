"""Taking a reading: once for all who ask within a few seconds, on however many nodes."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import Final

import structlog
from django import db
from django.db import transaction
from django.db.models import Q

from monitoring import conf
from monitoring.metrics.counting import (
    count_ends,
    count_refusals,
    count_slice,
    settled_until,
)
from monitoring.metrics.gauges import measure
from monitoring.models import MetricsReading
from webhooks_project.lib import clock

log = structlog.get_logger(__name__)

FRESH_SECONDS: Final = 5.0  # a reading is given out for so long,
# and for so many times as long as it took: no more than a twentieth of one connection's time goes
# into readings, whatever is scraped.
FRESH_TIMES: Final = 20
CLAIM: Final = timedelta(seconds=60)  # after that, who claimed it is taken for dead
CATCH_UP_SECONDS: Final = 2.0  # of counting in one reading; the next one goes on


def current_reading() -> MetricsReading:
    """The last reading, taken anew where it is not fresh and nobody else is at it.

    Where the database can only be read, the last one that was written.
    """
    now = clock.now()
    reading = MetricsReading.objects.filter(pk=1).first() or _first_reading()
    if reading.taken_at is not None and now < _fresh_until(reading):
        return reading
    try:
        return _take(now) if _claim(reading, now) else reading
    except db.OperationalError as error:
        if reading.taken_at is None:
            raise
        log.warning("no reading was taken", error=str(error)[:200])
        return reading


def keep_counting() -> None:
    """Let counters go on where nobody scrapes: what has to be counted must not pile up."""
    current_reading()


def _fresh_until(reading: MetricsReading) -> datetime:
    assert reading.taken_at is not None  # noqa: S101 - asked before
    seconds = max(FRESH_SECONDS, FRESH_TIMES * reading.seconds)
    return reading.taken_at + timedelta(seconds=seconds)


def _first_reading() -> MetricsReading:
    MetricsReading.objects.bulk_create([MetricsReading(pk=1)], ignore_conflicts=True)
    return MetricsReading.objects.get(pk=1)


def _claim(reading: MetricsReading, now: datetime) -> bool:
    free = Q(claimed_until=None) | Q(claimed_until__lt=now)
    rows = MetricsReading.objects.filter(free, pk=1, taken_at=reading.taken_at)
    return bool(rows.update(claimed_until=now + CLAIM))


def _take(now: datetime) -> MetricsReading:
    started = time.perf_counter()
    accounts = conf.metrics_accounts()
    try:
        figures = measure(now, accounts)
        while _count(now, accounts) and time.perf_counter() - started < CATCH_UP_SECONDS:
            pass
    except BaseException:
        MetricsReading.objects.filter(pk=1).update(claimed_until=None)
        raise
    MetricsReading.objects.filter(pk=1).update(
        figures=figures,
        taken_at=now,
        seconds=time.perf_counter() - started,
        claimed_until=None,
    )
    return MetricsReading.objects.get(pk=1)


@transaction.atomic
def _count(now: datetime, accounts: int) -> bool:
    """Count one slice, and note how far that came in the same transaction. Whether more is left."""
    row = MetricsReading.objects.select_for_update().get(pk=1)
    has_more = count_slice(row.totals, row.marks, settled_until(now), accounts)
    count_refusals(row.totals, row.marks, now)
    count_ends(row.totals, row.marks, now)
    row.save(update_fields=["totals", "marks"])
    return has_more
