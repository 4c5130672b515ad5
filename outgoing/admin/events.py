"""What happened."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, ClassVar, Final
from uuid import UUID

from django.contrib import admin
from django.db.models import Count, Q
from django.utils.html import format_html_join

from outgoing.admin.attempts import answer_of
from outgoing.admin.deliveries import STATUS_COLOURS, is_used
from outgoing.models import Delivery, Event
from subscriptions.models import Subscription
from webhooks_project.accounts.models import Account
from webhooks_project.admin.base import HistoryAdmin
from webhooks_project.admin.filters import PeriodFilter, RelatedFilter
from webhooks_project.admin.panels import Panel, Table, Texts
from webhooks_project.admin.search import first_found, id_in, made_around
from webhooks_project.admin.values import (
    EMPTY,
    bytes_block,
    column,
    label,
    link,
    link_to,
    list_of,
    moment,
    moment_column,
    page_of,
    pretty_json,
    text_block,
)

SHOWN_DELIVERIES: Final = 50


def deliveries_of_event(event: Event) -> Panel:
    deliveries = event.deliveries.select_related("subscription").order_by("-created_at", "pk")
    rows = [
        [
            link(page_of("outgoing.delivery", delivery.pk), delivery.pk),
            label(delivery.status, STATUS_COLOURS),
            link_to(delivery.subscription),
            delivery.attempt_count,
            answer_of(delivery.last_status_code, delivery.last_cause),
            moment(delivery.delivered_at),
        ]
        for delivery in deliveries[: SHOWN_DELIVERIES + 1]
    ]
    headers = ["Delivery", "Status", "Subscription", "Attempts", "Last answer", "Delivered"]
    more = ""
    if len(rows) > SHOWN_DELIVERIES:
        more = link(list_of("outgoing.delivery", event__id__exact=event.pk), "All deliveries")
    empty = "No subscription hears it."
    return Table("Deliveries", headers, rows[:SHOWN_DELIVERIES], empty=empty, more=more)


def not_matched_of_event(event: Event) -> Panel:
    """Why it did not go to those that hear its type."""
    reasons = [item for item in event.not_matched if isinstance(item, dict)]
    known = Subscription.objects.in_bulk(_ids(item.get("subscription") for item in reasons))
    rows = []
    for item in reasons:
        key = id_in(str(item.get("subscription", "")))
        subscription = known.get(key) if key else None
        name = link_to(subscription) if subscription else str(item.get("subscription", EMPTY))
        rows.append([name, str(item.get("reason", EMPTY))])
    return Table("Heard, and yet not delivered to", ["Subscription", "Reason"], rows, empty="None.")


def data_of_event(event: Event) -> Panel:
    data = bytes(event.data)
    blocks = [
        text_block("Indented", pretty_json(data)),
        bytes_block("As stored", data, is_open=False),
    ]
    return Texts("Data", blocks)


def _ids(texts: Iterable[Any]) -> list[UUID]:
    return [key for key in (id_in(str(text)) for text in texts) if key is not None]


@admin.register(Event)
class EventAdmin(HistoryAdmin):
    deferred = ("data", "not_matched")
    panels: ClassVar = [deliveries_of_event, not_matched_of_event, data_of_event]
    created = moment_column("Created", "created_at")
    occurred = moment_column("Occurred", "occurred_at")
    list_display = ("created", "type", "webhook_id", "account", "deliveries", "caused_by")
    list_filter = (("account", RelatedFilter), ("created_at", PeriodFilter))
    prefetched = ("account",)
    list_select_related = ()
    search_fields = ("pk",)
    search_help_text = "Id, webhook-id (evt_…), id of a receipt, type, idempotency key, request id"
    date_hierarchy = "created_at"
    ordering = ("-created_at",)
    fields = (
        "type", "webhook_id", "id", "account", "occurred", "created", "idempotency_key",
        "correlation_id", "caused_by",
    )  # fmt: skip

    def find(self, term: str) -> Q:
        key = id_in(term)
        by_key = Event.objects.filter(account__in=Account.objects.order_by(), idempotency_key=term)
        if key is None:
            by_word = Q(type=term) if is_used(term) else Q(correlation_id=term)
            return first_found(by_key) or by_word
        by_request = Q(correlation_id__in=[term, key.hex])
        found = first_found(
            Event.objects.filter(pk=key),
            Event.objects.filter(by_request & made_around(key, "created_at")),
            # Named twice so that SQLite, too, knows that the partial index has them.
            Event.objects.filter(causation_id=f"receipt:{key}").exclude(causation_id=""),
            by_key,
        )
        return found or by_request

    def prepare_rows(self, rows: list[Event]) -> None:
        counts: dict[UUID, Counter[str]] = {}
        found = Delivery.objects.filter(event__in=[event.pk for event in rows]).order_by()
        for key, status, count in found.values_list("event", "status").annotate(Count("pk")):
            counts.setdefault(key, Counter())[status] = count
        for event in rows:
            event.counts_by_status = counts.get(event.pk, {})  # type: ignore[attr-defined]

    @column("webhook-id")
    def webhook_id(self, event: Event) -> str:
        return event.webhook_id

    @column("Deliveries")
    def deliveries(self, event: Any) -> str:
        labels = [
            (label(f"{count} {status}", {f"{count} {status}": STATUS_COLOURS.get(status, "")}),)
            for status, count in event.counts_by_status.items()
        ]
        return format_html_join(" ", "{}", labels) if labels else EMPTY

    @column("Caused by")
    def caused_by(self, event: Event) -> str:
        kind, _, rest = event.causation_id.partition(":")
        key = id_in(rest)
        if kind == "receipt" and key is not None:
            return link(page_of("incoming.receipt", key), f"receipt {key}")
        return event.causation_id or EMPTY
