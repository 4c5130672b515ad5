"""Gauges: how the hub stands at one moment, each by an index that holds only what is asked for."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.db.models import Count, Exists, OuterRef

from incoming.models import HandlerRun, Receipt
from monitoring import conf
from monitoring.metrics import catalogue
from monitoring.metrics.counting import OTHER
from monitoring.metrics.figures import Figures, add
from monitoring.models import Incident
from monitoring.models.incidents import Severity
from monitoring.queues import lines_due, queues_of
from outgoing.models import Delivery, Retry
from outgoing.querysets import PARKED
from subscriptions.models import Subscription
from webhooks_project.accounts.models import Account
from webhooks_project.models import Heartbeat


def measure(now: datetime, accounts: int) -> Figures:
    """Every gauge as it is now."""
    figures: Figures = {}
    _queues(figures, now)
    _deliveries(figures, now)
    _waiting_for_people(figures)
    _subscriptions(figures)
    _database(figures)
    if accounts:
        _accounts(figures, accounts)
    return figures


def _queues(figures: Figures, now: datetime) -> None:
    for line in lines_due(now):
        add(figures, catalogue.QUEUE_DEPTH, line.depth, line.family, line.lane)
        add(figures, catalogue.QUEUE_AGE, line.age_seconds(now), line.family, line.lane)
        if line.family == "retry":
            # Of all retries those that are not due wait for their time.
            waiting = Retry.objects.count() - line.depth
            add(figures, catalogue.RETRIES, line.depth, "due")
            add(figures, catalogue.RETRIES, max(0, waiting), "waiting")
        if line.family == "monitoring":
            add(figures, catalogue.NOTIFICATIONS, line.depth)
    for queue in queues_of(settings.FAMILIES, now):
        add(figures, catalogue.QUEUE_UNSERVED, queue.age_seconds, queue.family)
        if queue.heartbeat_seconds is not None:
            add(figures, catalogue.HEARTBEAT_AGE, queue.heartbeat_seconds, queue.family)
    silent = {family: conf.ready_silent_seconds(family) for family in settings.FAMILIES}
    since = now - timedelta(seconds=max(silent.values()))
    beats = Heartbeat.objects.filter(beat_at__gte=since).values_list("host", "family", "beat_at")
    alive = [
        (host, family)
        for host, family, beat_at in beats
        if family in silent and beat_at and (now - beat_at).total_seconds() <= silent[family]
    ]
    for family in settings.FAMILIES:
        count = sum(each == family for _, each in alive)
        add(figures, catalogue.PUMPS_ALIVE, count, family)
    add(figures, catalogue.NODES_ALIVE, len({host for host, _ in alive}))


def _deliveries(figures: Figures, now: datetime) -> None:
    retry = Retry.objects.filter(pk=OuterRef("pk"))
    states = {
        "in_line": Delivery.objects.filter(lane__isnull=False),
        "retrying": Retry.objects.all(),
        "in_order": Delivery.objects.filter(~Exists(retry), **PARKED),
        "delivering": Delivery.objects.filter(leased_until__isnull=False),
        "held": Delivery.objects.filter(status=Delivery.Status.HELD),
        "exhausted": Delivery.objects.filter(status=Delivery.Status.EXHAUSTED),
    }
    for state, rows in states.items():
        add(figures, catalogue.DELIVERIES, rows.order_by().count(), state)
    leases = {"delivery": Delivery, "receipt": Receipt, "handler_run": HandlerRun}
    for kind, model in leases.items():
        expired: int = model._default_manager.filter(leased_until__lt=now).count()
        add(figures, catalogue.LEASES_EXPIRED, expired, kind)


def _waiting_for_people(figures: Figures) -> None:
    receipts = Receipt.objects.filter(status=Receipt.Status.DEAD, discard_reason="")
    exhausted = figures[catalogue.DELIVERIES.name]['["exhausted"]']
    add(figures, catalogue.DEAD_LETTERS_WAITING, exhausted, "delivery")
    add(figures, catalogue.DEAD_LETTERS_WAITING, receipts.order_by().count(), "receipt")
    incidents = Incident.objects.exclude(status=Incident.Status.RESOLVED).order_by()
    open_now = dict(incidents.values_list("severity").annotate(count=Count("pk")))
    for severity in Severity.values:
        add(figures, catalogue.INCIDENTS, open_now.get(severity, 0), severity)


def _subscriptions(figures: Figures) -> None:
    rows = Subscription.objects.order_by().values_list("status", "breaker")
    for status in Subscription.Status.values:
        add(figures, catalogue.SUBSCRIPTIONS, 0, status)
    for state in Subscription.Breaker.values:
        add(figures, catalogue.BREAKERS, 0, state)
    for status, breaker, count in rows.annotate(count=Count("pk")):
        add(figures, catalogue.SUBSCRIPTIONS, count, status)
        if status != Subscription.Status.ARCHIVED:
            add(figures, catalogue.BREAKERS, count, breaker)


def _database(figures: Figures) -> None:
    if connection.vendor == "sqlite":
        path = Path(str(connection.settings_dict["NAME"]))
        sizes = [file.stat().st_size for file in (path, Path(f"{path}-wal")) if file.is_file()]
        add(figures, catalogue.DATABASE_BYTES, sum(sizes))
        return
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT pg_database_size(current_database())")
            add(figures, catalogue.DATABASE_BYTES, cursor.fetchone()[0])
            cursor.execute("SELECT current_setting('max_connections')::int")
            add(figures, catalogue.CONNECTIONS_MAX, cursor.fetchone()[0])
            cursor.execute(
                "SELECT state, count(*), extract(epoch from max(now() - xact_start))"
                " FROM pg_stat_activity"
                " WHERE datname = current_database() AND state IS NOT NULL GROUP BY state"
            )
            rows = cursor.fetchall()
    except DatabaseError:  # a server that does not let the hub look
        return
    for state, count, _ in rows:
        add(figures, catalogue.CONNECTIONS, count, state.split(" (")[0].replace(" ", "_"))
    oldest = max((float(age) for *_, age in rows if age is not None), default=0.0)
    add(figures, catalogue.OLDEST_TRANSACTION, oldest)


def _accounts(figures: Figures, limit: int) -> None:
    accounts: list[Any] = list(
        Account.objects.order_by("created_at", "pk").values_list("pk", "slug")
    )
    labels = dict(accounts[:limit])
    # By account, as the index of dead letters is.
    rows = Delivery.objects.filter(
        account__in=Account.objects.order_by(), status=Delivery.Status.EXHAUSTED
    ).order_by()
    for slug in labels.values():
        add(figures, catalogue.ACCOUNT_DEAD_LETTERS, 0, slug)
    for account_id, count in rows.values_list("account").annotate(count=Count("pk")):
        add(figures, catalogue.ACCOUNT_DEAD_LETTERS, count, labels.get(account_id, OTHER))
