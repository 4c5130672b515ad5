"""What the hub did, who changed what, and the console's first page."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final

from django.contrib import admin
from django.db.models import Count, Q, QuerySet, Sum
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse

from incoming.admin.receipts import STATUS_COLOURS as RECEIPT_COLOURS
from incoming.models import Receipt, RefusalCount, Source
from monitoring.health import MAX_AGE_SECONDS, SILENT_SECONDS, queue_states
from monitoring.models import Activity, AuditEntry, Notification
from outgoing.admin.attempts import answer_of
from outgoing.admin.deliveries import STATUS_COLOURS as DELIVERY_COLOURS
from outgoing.models import Delivery, Event
from webhooks_project.accounts.models import Account
from webhooks_project.admin.base import HistoryAdmin
from webhooks_project.admin.buttons import may_see
from webhooks_project.admin.filters import (
    PeriodFilter,
    RelatedFilter,
    TextChoiceFilter,
    ValuesFilter,
)
from webhooks_project.admin.panels import Panel, Table, Texts
from webhooks_project.admin.search import id_in
from webhooks_project.admin.values import (
    EMPTY,
    column,
    label,
    link,
    list_of,
    moment,
    moment_column,
    page_of,
    pretty_json,
    text_block,
    text_column,
)
from webhooks_project.lib import clock

SINCE: Final = timedelta(days=1)
SHOWN_ROWS: Final = 8


def object_link(object_type: str, object_id: str) -> str:
    """A link to what an entry is about, where the console has a page for it."""
    if not object_type:
        return EMPTY
    text = f"{object_type.rpartition('.')[2]} {object_id}"
    try:
        return link(page_of(object_type, object_id), text)
    except NoReverseMatch:
        return text


@admin.register(Activity)
class ActivityAdmin(HistoryAdmin):
    created = moment_column("When", "created_at")
    list_display = ("created", "kind", "text", "about", "account")
    list_filter = (("account", RelatedFilter), ("created_at", PeriodFilter))
    prefetched = ("account",)
    list_select_related = ()
    search_fields = ("pk",)
    search_help_text = "Id of what it is about, or a kind such as delivery.exhausted"
    date_hierarchy = "created_at"
    ordering = ("-created_at",)
    fields = ("created", "kind", "text", "about", "account")

    def find(self, term: str) -> Q:
        key = id_in(term)
        return Q(kind=term) if key is None else Q(pk=key) | Q(object_id=str(key))

    @column("About")
    def about(self, activity: Activity) -> str:
        return object_link(activity.object_type, activity.object_id)


class ActorFilter(TextChoiceFilter):
    title = "kind of actor"
    parameter_name = "actor_kind"
    options = ("user", "key", "command", "system")


def changes_of_entry(entry: AuditEntry) -> Panel:
    blocks = [
        text_block("Before", pretty_json(entry.before)),
        text_block("After", pretty_json(entry.after)),
    ]
    return Texts("What was changed", blocks)


@admin.register(AuditEntry)
class AuditEntryAdmin(HistoryAdmin):
    deferred = ("before", "after")
    panels: ClassVar = [changes_of_entry]
    created = moment_column("When", "created_at")
    list_display = ("created", "action", "about", "actor", "actor_address", "account", "sequence")
    list_filter = (ActorFilter, ("account", RelatedFilter), ("created_at", PeriodFilter))
    prefetched = ("account",)
    list_select_related = ()
    search_fields = ("pk",)
    search_help_text = "Id of what was changed, an action such as source.created, or who did it"
    date_hierarchy = "created_at"
    ordering = ("-created_at", "-sequence")
    fields = (
        "created", "account", "sequence", "action", "about", "actor", "actor_id", "actor_address",
        "previous_hash", "hash",
    )  # fmt: skip

    def find(self, term: str) -> Q:
        key = id_in(term)
        if key is not None:
            return Q(pk=key) | Q(object_id=str(key))
        return Q(action=term) | Q(actor_label=term)

    @column("About")
    def about(self, entry: AuditEntry) -> str:
        return object_link(entry.object_type, entry.object_id)

    @column("By")
    def actor(self, entry: AuditEntry) -> str:
        return f"{entry.actor_kind} {entry.actor_label}".strip()


NOTIFICATION_COLOURS = {
    Notification.Status.PENDING: "info",
    Notification.Status.SENDING: "primary",
    Notification.Status.SENT: "success",
    Notification.Status.FAILED: "danger",
}


def text_of_notification(notification: Notification) -> Panel:
    return Texts("What was told", [text_block("Text", notification.text)])


@admin.register(Notification)
class NotificationAdmin(HistoryAdmin):
    deferred = ("text",)
    panels: ClassVar = [text_of_notification]
    created = moment_column("When", "created_at")
    sent = moment_column("Sent", "sent_at")
    next_attempt = moment_column("Next try", "next_attempt_at")
    title_text = text_column("Title", "title")
    error_text = text_column("Error", "error")
    list_display = (
        "created", "status_label", "recipient", "title_text", "kind", "about", "account",
        "error_text",
    )  # fmt: skip
    list_filter = (
        ("status", ValuesFilter),
        ("account", RelatedFilter),
        ("created_at", PeriodFilter),
    )
    prefetched = ("account",)
    list_select_related = ()
    search_fields = ("pk",)
    search_help_text = "Id of what it is about, a recipient, or a kind such as receipt.routed"
    date_hierarchy = "created_at"
    ordering = ("-created_at",)
    fields = (
        "created", "status_label", "recipient", "channel", "title_text", "kind", "about",
        "account", "attempt_count", "next_attempt", "sent", "error_text",
    )  # fmt: skip

    def find(self, term: str) -> Q:
        key = id_in(term)
        if key is not None:
            return Q(pk=key) | Q(object_id=str(key))
        return Q(recipient=term) | Q(kind=term)

    @column("Status")
    def status_label(self, notification: Notification) -> str:
        return label(notification.status, NOTIFICATION_COLOURS)

    @column("About")
    def about(self, notification: Notification) -> str:
        return object_link(notification.object_type, notification.object_id)


# --- the first page -------------------------------------------------------------------------------


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
    for family, state in queue_states(now).items():
        beat = state["heartbeat_seconds"]
        if beat is None or beat > SILENT_SECONDS:
            word = "no pump is alive"
        else:
            word = "overdue" if state["age_seconds"] > MAX_AGE_SECONDS else "alive"
        colours = {"alive": "success", "overdue": "warning", "no pump is alive": "danger"}
        seen = "never" if beat is None else f"{beat:.0f} s ago"
        rows.append([family, label(word, colours), seen, f"{state['age_seconds']:.0f} s"])
    headers = ["Queue", "State", "Last sign of life", "Oldest due work waits"]
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
