"""Counters: each new row is counted once, and what was counted stays so.

A table is counted by its keys, which are made in the order of time (UUIDv7), from a mark up to a
moment before which no row can appear any more. So nothing is done where rows are written, a crash
counts nothing twice, and what is pruned later stays counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.db import connection
from django.db.models import Case, Count, IntegerField, Model, QuerySet, Sum, Value, When
from django.db.models.functions import Coalesce, TruncHour

from incoming.models import Receipt, RefusalCount
from monitoring.metrics import catalogue
from monitoring.metrics.catalogue import Metric
from monitoring.metrics.figures import Figures, add, observe
from monitoring.models import Activity
from outgoing.models import Attempt, Event
from subscriptions.operational import OperationalType
from webhooks_project.accounts.models import Account

# Between a key's making and the end of its transaction, with what clocks of hosts differ by:
# longer than SQLite's writers wait for each other.
SETTLED_AFTER: Final = timedelta(seconds=30)
# A transaction that is open for longer is not waited for: its rows are left out.
LONGEST_TRANSACTION: Final = timedelta(hours=1)
SLICE: Final = timedelta(minutes=5)  # counted together at most
OPEN_HOURS: Final = timedelta(minutes=5)  # after its end, an hour's counts may still grow
MARK: Final = "rows"
REFUSED_SINCE: Final = "refused_since"
REFUSED: Final = "refused"
DEAD_SINCE: Final = "dead_since"
DEAD: Final = "dead"
OTHER: Final = "other"  # the accounts that have no series of their own
DEAD_LETTERS: Final = {"delivery.exhausted": "delivery", "receipt.dead": "receipt"}
ENDS: Final = {"delivery.exhausted": "exhausted", "delivery.cancelled": "cancelled"}
ACTIVITIES: Final = {
    "breaker.opened": (catalogue.BREAKER_MOVES, "open"),
    "breaker.closed": (catalogue.BREAKER_MOVES, "closed"),
}
OUTCOMES: Final = {Receipt.Status.DUPLICATE: "duplicate", Receipt.Status.HANDSHAKE: "handshake"}


def settled_until(now: datetime) -> datetime:
    """The moment before which no key was made of a row that is not committed yet."""
    oldest = now
    if connection.vendor == "postgresql":
        # On SQLite there is no other writer while we write.
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT min(xact_start) FROM pg_stat_activity WHERE datname = current_database()"
                " AND backend_xid IS NOT NULL AND pid <> pg_backend_pid()"
            )
            started = cursor.fetchone()[0]
        if started is not None:
            oldest = max(min(now, started), now - LONGEST_TRANSACTION)
    return oldest - SETTLED_AFTER


def count_slice(totals: Figures, marks: dict[str, Any], until: datetime, accounts: int) -> bool:
    """Count the rows of the next slice of time up to `until`. Whether more is left.

    The first call counts none: what was there before the hub counted is not known to be new.
    """
    if MARK not in marks:
        marks[MARK] = until.isoformat()
        return False
    since = datetime.fromisoformat(marks[MARK])
    if since >= until:
        return False
    end = min(until, since + SLICE)
    period = {"pk__gte": _first_id(since), "pk__lt": _first_id(end)}
    labels = _account_labels(accounts) if accounts else {}
    _count_attempts(totals, period)
    _count_receipts(totals, period, labels)
    _count_events(totals, period, labels)
    _count_activities(totals, period)
    if accounts:
        _count_attempts_of_accounts(totals, period, labels)
    marks[MARK] = end.isoformat()
    return end < until


def count_refusals(totals: Figures, marks: dict[str, Any], now: datetime) -> None:
    """Add what the hours' counts of refusals have grown by: their receipts are not all kept."""

    def counted(since: datetime) -> Iterable[tuple[datetime, str, int]]:
        rows = RefusalCount.objects.filter(hour__gte=since).order_by()
        return rows.values_list("hour", "cause").annotate(total=Sum("count"))

    for cause, new in _growth(counted, marks, REFUSED_SINCE, REFUSED, now).items():
        add(totals, catalogue.REFUSALS, new, cause)
        add(totals, catalogue.RECEIPTS, new, "refused")


def count_ends(totals: Figures, marks: dict[str, Any], now: datetime) -> None:
    """Add what the hours' lines of what was given up and cancelled have grown by: one line counts
    many."""

    def counted(since: datetime) -> Iterable[tuple[datetime, str, int]]:
        rows = Activity.objects.filter(kind__in=[*DEAD_LETTERS, *ENDS], created_at__gte=since)
        hours = rows.order_by().annotate(hour=TruncHour("created_at", tzinfo=UTC))
        return hours.values_list("hour", "kind").annotate(total=Sum("count"))

    for kind, new in _growth(counted, marks, DEAD_SINCE, DEAD, now).items():
        if kind in DEAD_LETTERS:
            add(totals, catalogue.DEAD_LETTERS, new, DEAD_LETTERS[kind])
        if kind in ENDS:
            add(totals, catalogue.DELIVERIES_ENDED, new, ENDS[kind])


def _growth(
    counted: Callable[[datetime], Iterable[tuple[datetime, str, int]]],
    marks: dict[str, Any],
    since_mark: str,
    known_mark: str,
    now: datetime,
) -> dict[str, int]:
    """By how much hours' counts have grown, by what they count. At the first call by nothing.

    Hours that may still grow are read anew each time, and what they held before is noted.
    """
    since = marks.get(since_mark)
    open_since = (now - OPEN_HOURS).replace(minute=0, second=0, microsecond=0)
    grown: dict[str, int] = {}
    still_open: dict[str, int] = {}
    for hour, key, count in counted(open_since if since is None else datetime.fromisoformat(since)):
        grown[key] = grown.get(key, 0) + count
        if hour >= open_since:
            still_open[key] = still_open.get(key, 0) + count
    known = marks.get(known_mark, {})
    marks[since_mark], marks[known_mark] = open_since.isoformat(), still_open
    if since is None:
        return {}
    # Fewer than before where what they are about was deleted.
    return {key: new for key, count in grown.items() if (new := count - known.get(key, 0)) > 0}


def _count_attempts(totals: Figures, period: dict[str, UUID]) -> None:
    timed = (
        (catalogue.ATTEMPT_SECONDS, "duration_ms", 1),
        (catalogue.FIRST_BYTE_SECONDS, "first_byte_ms", 1),
        (catalogue.QUEUE_WAIT_SECONDS, "queue_wait_ms", 0),
    )
    rows = (
        _rows(Attempt, period)
        .annotate(
            **{f"in_{column}": _bucket(metric, column) for metric, column, _ in timed},
        )
        .values_list("trigger", "outcome", "cause", *(f"in_{column}" for _, column, _ in timed))
        .annotate(
            count=Count("pk"),
            **{f"sum_{column}": Coalesce(Sum(column), 0.0) for _, column, _ in timed},
        )
    )
    for row in rows:
        trigger, outcome, cause, *rest = row
        buckets, count, sums = rest[:3], rest[3], rest[4:]
        add(totals, catalogue.ATTEMPTS, count, trigger, outcome, cause or "none")
        if outcome == Attempt.Outcome.SUCCEEDED:
            add(totals, catalogue.DELIVERIES_ENDED, count, "delivered")
        for (metric, _, label), bucket, milliseconds in zip(timed, buckets, sums, strict=True):
            if bucket is not None:
                observe(totals, metric, bucket, count, milliseconds / 1000, row[label])


def _bucket(metric: Metric, column: str) -> Case:
    """The number of the bucket that a column of milliseconds falls into; null for null."""
    return Case(
        When(**{f"{column}__isnull": True}, then=None),
        *(
            When(**{f"{column}__lte": bound * 1000}, then=Value(number))
            for number, bound in enumerate(metric.buckets)
        ),
        default=Value(len(metric.buckets)),
        output_field=IntegerField(),
    )


def _count_receipts(totals: Figures, period: dict[str, UUID], labels: dict[UUID, str]) -> None:
    # Of refused ones only some are kept.
    rows = _rows(Receipt, period).exclude(status=Receipt.Status.REFUSED)
    for status, count in rows.values_list("status").annotate(count=Count("pk")):
        add(totals, catalogue.RECEIPTS, count, OUTCOMES.get(status, "accepted"))
    if labels:
        _by_account(totals, catalogue.ACCOUNT_RECEIPTS, rows, labels)


def _count_events(totals: Figures, period: dict[str, UUID], labels: dict[UUID, str]) -> None:
    rows = _rows(Event, period)
    origin = Case(
        When(causation_id__startswith="receipt:", then=Value("receipt")),
        When(type__in=list(OperationalType), then=Value("hub")),
        default=Value("published"),
    )
    found = rows.annotate(origin=origin).values_list("origin").annotate(count=Count("pk"))
    for name, count in found:
        add(totals, catalogue.EVENTS, count, name)
    if labels:
        _by_account(totals, catalogue.ACCOUNT_EVENTS, rows, labels)


def _count_activities(totals: Figures, period: dict[str, UUID]) -> None:
    rows = _rows(Activity, period).filter(kind__in=list(ACTIVITIES))
    for kind, count in rows.values_list("kind").annotate(count=Count("pk")):
        metric, label = ACTIVITIES[kind]
        add(totals, metric, count, label)


def _count_attempts_of_accounts(
    totals: Figures, period: dict[str, UUID], labels: dict[UUID, str]
) -> None:
    rows = (
        _rows(Attempt, period)
        .values_list("delivery__account", "outcome")
        .annotate(count=Count("pk"))
    )
    for account_id, outcome, count in rows:
        label = labels.get(account_id, OTHER)
        add(totals, catalogue.ACCOUNT_ATTEMPTS, count, label, outcome)


def _by_account(
    totals: Figures, metric: Metric, rows: QuerySet[Any], labels: dict[UUID, str]
) -> None:
    for account_id, count in rows.values_list("account").annotate(count=Count("pk")):
        add(totals, metric, count, labels.get(account_id, OTHER))


def _account_labels(limit: int) -> dict[UUID, str]:
    return dict(Account.objects.order_by("created_at", "pk").values_list("pk", "slug")[:limit])


def _rows(model: type[Model], period: dict[str, UUID]) -> QuerySet[Any]:
    return model._default_manager.filter(**period).order_by()


def _first_id(moment: datetime) -> UUID:
    """The least of all keys that are made at that moment."""
    return UUID(int=int(moment.timestamp() * 1000) << 80)
