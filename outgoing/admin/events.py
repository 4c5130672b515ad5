"""What happened."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, ClassVar, Final
from uuid import UUID

import orjson
from django.contrib import admin
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join

from outgoing import services
from outgoing.admin.attempts import answer_of
from outgoing.admin.deliveries import STATUS_COLOURS, is_used
from outgoing.explaining import Considered, explain_event
from outgoing.models import Delivery, Event
from subscriptions.models import Subscription
from webhooks_project.accounts.models import Account
from webhooks_project.admin.base import HistoryAdmin
from webhooks_project.admin.buttons import button
from webhooks_project.admin.filters import PeriodFilter, RelatedFilter, YesNoFilter
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
    visible,
)
from webhooks_project.lib import clock
from webhooks_project.lib.redaction import redact_headers

SHOWN_DELIVERIES: Final = 50

SCHEDULED: Final = {"scheduled": "info"}
REASONS: Final = {
    "channels": "none of its channels",
    "filter": "its filter",
    "schema_version": "no way back to its schema version",
}


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
        reason = str(item.get("reason", EMPTY))
        rows.append([name, REASONS.get(reason, reason), _clauses(item.get("clauses"))])
    headers = ["Subscription", "Reason", "Clauses that did not pass"]
    return Table("Heard, and yet not delivered to", headers, rows, empty="None.")


def explanation_of_event(event: Event) -> Panel:
    """Every subscription, what became of the event there, and whether it would get it now."""
    found = explain_event(event)
    rows = [
        [
            link_to(item.subscription),
            link_to(item.delivery) if item.delivery else item.outcome.replace("_", " "),
            REASONS.get(item.reason, item.reason.replace("_", " ")) or EMPTY,
            _now(item),
        ]
        for item in found.rows[:SHOWN_DELIVERIES]
    ]
    headers = ["Subscription", "What became of it", "Why", "Now"]
    left = found.count - len(rows)
    more = f"and {left:,} more" if left else ""
    return Table("Explained", headers, rows, empty="There is no subscription.", more=more)


def _now(item: Considered) -> str:
    if item.delivery is not None:
        return label(item.delivery.status, STATUS_COLOURS)
    if item.matches_now:
        return "it would get it"
    return REASONS.get(item.reason_now, item.reason_now.replace("_", " "))


def _clauses(clauses: Any) -> str:
    """The clauses of a filter in words: what was asked, and what was found."""
    return "; ".join(
        f"{clause.get('path') or clause.get('pointer')} {clause.get('operator')} "
        f"{orjson.dumps(clause.get('expected')).decode()[:80]}: "
        + ("absent" if clause.get("absent") else orjson.dumps(clause.get("found")).decode()[:80])
        for clause in clauses or ()
        if isinstance(clause, dict)
    )


def schema_of_event(event: Event) -> Panel | None:
    """Where it does not fit its schema."""
    rows = [
        [str(error.get("path") or "/"), str(error.get("message"))]
        for error in event.schema_errors
        if isinstance(error, dict)
    ]
    if not rows:
        return None
    return Table(f"Does not fit the schema {event.schema_version}", ["Path", "Why"], rows)


def data_of_event(event: Event) -> Panel:
    data = bytes(event.data)
    blocks = [
        text_block("Indented", pretty_json(data)),
        bytes_block("As stored", data, is_open=False),
    ]
    return Texts("Data", blocks)


def _ids(texts: Iterable[Any]) -> list[UUID]:
    return [key for key in (id_in(str(text)) for text in texts) if key is not None]


class QuarantineFilter(YesNoFilter):
    title = "quarantine"
    parameter_name = "quarantine"
    column = "quarantined_at"
    words = ("quarantined", "not quarantined")


class ScheduledFilter(YesNoFilter):
    title = "time to deliver"
    parameter_name = "scheduled"
    words = ("scheduled", "not scheduled")

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        found = Event.objects.all()
        if self.value() == self.words[0]:
            return queryset & found.scheduled(clock.now())
        if self.value() == self.words[1]:
            return queryset & found.not_scheduled(clock.now())
        return queryset


def is_quarantined(event: Event) -> bool:
    return event.quarantined_at is not None


@admin.register(Event)
class EventAdmin(HistoryAdmin):
    deferred = ("data", "not_matched")
    panels: ClassVar = [
        schema_of_event,
        deliveries_of_event,
        not_matched_of_event,
        explanation_of_event,
        data_of_event,
    ]
    has_history = True
    quarantined = moment_column("Quarantined", "quarantined_at")
    dropped = moment_column("Dropped", "dropped_at")
    body_pruned = moment_column("Data pruned", "body_pruned_at")
    expunged = moment_column("Data expunged", "expunged_at")
    actions_detail = ("release", "drop", "cancel")
    deliver = moment_column("Deliver at", "deliver_at")
    cancelled = moment_column("Cancelled", "cancelled_at")
    created = moment_column("Created", "created_at")
    occurred = moment_column("Occurred", "occurred_at")
    list_display = (
        "created", "type", "webhook_id", "account", "scheduled", "deliveries", "caused_by",
    )  # fmt: skip
    list_filter = (
        QuarantineFilter,
        ScheduledFilter,
        ("account", RelatedFilter),
        ("created_at", PeriodFilter),
    )
    prefetched = ("account",)
    list_select_related = ()
    search_fields = ("pk",)
    search_help_text = "Id, webhook-id (evt_…), id of a receipt, type, idempotency key, request id"
    date_hierarchy = "created_at"
    ordering = ("-created_at",)
    fields = (
        "type", "webhook_id", "id", "account", "occurred", "created", "idempotency_key",
        "correlation_id", "caused_by", "trace", "schema_version", "channel_names", "facts",
        "deliver", "scheduled", "cancelled", "quarantined", "dropped", "body_pruned", "expunged",
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

    @button(
        "Release",
        icon="check_circle",
        variant="success",
        question="It is delivered as it is, although it does not fit its schema.",
        is_possible=is_quarantined,
    )
    def release(self, event: Event) -> str:
        services.release_event(event=event)
        return "It is released."

    @button(
        "Drop",
        icon="delete",
        variant="danger",
        question="It stays visible and is delivered to nobody.",
        is_possible=is_quarantined,
    )
    def drop(self, event: Event) -> str:
        services.drop_event(event=event)
        return "It is dropped."

    @button(
        "Cancel",
        icon="cancel",
        variant="danger",
        question="It is delivered to nobody. That cannot be undone.",
        is_possible=lambda event: event.is_scheduled(clock.now()) and not is_quarantined(event),
    )
    def cancel(self, event: Event) -> str:
        services.cancel_event(event=event)
        return "It is cancelled."

    @column("Scheduled")
    def scheduled(self, event: Event) -> str:
        if not event.is_scheduled(clock.now()):
            return EMPTY
        return format_html("{} {}", label("scheduled", SCHEDULED), moment(event.deliver_at))

    @column("Trace")
    def trace(self, event: Event) -> str:
        return visible(" ".join(filter(None, (event.traceparent, event.tracestate)))) or EMPTY

    @column("Channels")
    def channel_names(self, event: Event) -> str:
        return ", ".join(map(str, event.channels)) or EMPTY

    @column("Metadata and headers")
    def facts(self, event: Event) -> str:
        pairs = [*event.metadata.items(), *redact_headers(event.headers).items()]
        return visible("; ".join(f"{name}: {text}" for name, text in pairs)) or EMPTY

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
