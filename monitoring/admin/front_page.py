"""The first page of the console."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

from django.db.models import Count, QuerySet, Sum
from django.http import HttpRequest
from django.urls import reverse

from incoming.admin.receipts import STATUS_COLOURS as RECEIPT_COLOURS
from incoming.models import Receipt, RefusalCount, Source
from monitoring.admin.incidents import open_incidents
from monitoring.readiness import problem_of, queue_states
from outgoing.admin.attempts import answer_of
from outgoing.admin.deliveries import STATUS_COLOURS as DELIVERY_COLOURS
from outgoing.models import Delivery, Event
from webhooks_project.accounts.models import Account
from webhooks_project.admin.buttons import may_see
from webhooks_project.admin.panels import Table
from webhooks_project.admin.values import (
    label,
    link,
    list_of,
    moment,
    page_of,
)
from webhooks_project.lib import clock
from webhooks_project.queues import enabled_families

SINCE: Final = timedelta(days=1)
SHOWN_ROWS: Final = 8


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """The last day in numbers, the queues, and what waits for a person; of each user what that
    user may look at."""
    now = clock.now()
    since = now - SINCE
    figures: list[tuple[str, Callable[[], dict[str, Any]]]] = [
        (
            "incoming.receipt",
            lambda: _figure("Receipts", Receipt, "received_at", since, RECEIPT_COLOURS),
        ),
        (
            "outgoing.delivery",
            lambda: _figure("Deliveries", Delivery, "created_at", since, DELIVERY_COLOURS),
        ),
        ("outgoing.event", lambda: _events(since)),
    ]
    panels: list[tuple[str, Callable[[], Table]]] = [
        ("monitoring.incident", open_incidents),
        ("hub.heartbeat", lambda: _queues(now)),
        ("incoming.refusalcount", lambda: _refusals(since)),
        ("outgoing.delivery", _causes_of_dead_letters),
        ("outgoing.delivery", _dead_letters),
        ("incoming.receipt", _dead_receipts),
    ]
    context["figures"] = [make() for model, make in figures if may_see(request, model)]
    context["panels"] = [make() for model, make in panels if may_see(request, model)]
    return context


def _events(since: datetime) -> dict[str, Any]:
    count = Event.objects.filter(created_at__gte=since).count()
    return {"title": "Events", "total": count, "url": list_of("outgoing.event"), "parts": []}


def _figure(
    title: str,
    rows: type[Receipt] | type[Delivery],
    column_name: str,
    since: datetime,
    colours: dict[Any, str],
) -> dict[str, Any]:
    model = rows._meta.label_lower
    counts = dict(
        rows._default_manager.filter(**{f"{column_name}__gte": since})
        .order_by()
        .values_list("status")
        .annotate(count=Count("pk"))
    )
    parts = [
        {
            "label": label(status, colours),
            "count": counts[status],
            "url": list_of(model, status__exact=status),
        }
        for status in rows.Status.values
        if status in counts
    ]
    total = sum(counts.values())
    return {"title": title, "total": total, "url": list_of(model), "parts": parts}


def _queues(now: datetime) -> Table:
    rows = []
    for family, state in queue_states(now, enabled_families()).items():
        beat = state["heartbeat_seconds"]
        word = problem_of(family, state) or "alive"
        colours = {"alive": "success", "work is overdue": "warning", "no pump is alive": "danger"}
        seen = "never" if beat is None else f"{beat:.0f} s ago"
        rows.append([family, label(word, colours), seen, f"{state['age_seconds']:.0f} s"])
    headers = ["Queue", "State", "Last sign of life", "Oldest unserved work waits"]
    return Table("Queues", headers, rows, empty="This node serves none.")


def _refusals(since: datetime) -> Table:
    counts = (
        RefusalCount.objects.filter(hour__gte=since)
        .order_by()
        .values_list("source", "source__name", "cause")
        .annotate(total=Sum("count"))
        .order_by("-total")[:SHOWN_ROWS]
    )
    rows = []
    for source, name, cause, count in counts:
        filters = {"source__id__exact": source, "cause__exact": cause}
        url = list_of("incoming.receipt", **filters)
        rows.append(
            [link(page_of("incoming.source", source), name), link(url, cause), f"{count:,}"]
        )
    return Table("Refused in the last 24 hours", ["Source", "Cause", "Calls"], rows)


def _exhausted() -> QuerySet[Delivery]:
    # Account by account, so that the index by account and status finds them: there is none by
    # status alone, and reading the newest deliveries until some are exhausted may read all.
    return Delivery.objects.filter(
        account__in=Account.objects.order_by(), status=Delivery.Status.EXHAUSTED
    )


def _causes_of_dead_letters() -> Table:
    counts = (
        _exhausted().order_by().values_list("last_cause").annotate(count=Count("pk"))
    ).order_by("-count")
    rows = [
        [
            link(list_of("outgoing.delivery", status__exact="exhausted", last_cause=cause), cause),
            f"{count:,}",
        ]
        for cause, count in counts
    ]
    return Table("Dead letters by cause", ["Cause", "Deliveries"], rows)


def _dead_letters() -> Table:
    newest = (
        _exhausted()
        .select_related("event", "subscription")
        .defer("event__data", "event__not_matched")
        .order_by("-created_at")[:SHOWN_ROWS]
    )
    rows = [
        [
            link(page_of("outgoing.delivery", delivery.pk), moment(delivery.created_at)),
            delivery.event.type,
            delivery.subscription.name,
            delivery.attempt_count,
            answer_of(delivery.last_status_code, delivery.last_cause),
        ]
        for delivery in newest
    ]
    headers = ["Created", "Event", "Subscription", "Attempts", "Last answer"]
    more = link(reverse("admin:outgoing_delivery_dead_letters"), "All") if rows else ""
    return Table("Latest dead letters", headers, rows, more=more)


def _dead_receipts() -> Table:
    newest = (
        Receipt.objects.filter(source__in=Source.objects.order_by(), status=Receipt.Status.DEAD)
        .select_related("source")
        .defer("headers", "body", "query")
        .order_by("-received_at")[:SHOWN_ROWS]
    )
    rows = [
        [
            link(page_of("incoming.receipt", receipt.pk), moment(receipt.received_at)),
            receipt.source.name,
            receipt.type,
            receipt.detail,
        ]
        for receipt in newest
    ]
    more = link(list_of("incoming.receipt", status__exact="dead"), "All") if rows else ""
    return Table("Latest dead receipts", ["Received", "Source", "Type", "Why"], rows, more=more)
