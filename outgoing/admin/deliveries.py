"""The duties to deliver, and their state."""

from __future__ import annotations

from typing import ClassVar, Final

from django.contrib import admin
from django.db.models import Q

from outgoing import services
from outgoing.admin.attempts import answer_of, shown_attempt
from outgoing.models import Attempt, Delivery, Event
from subscriptions.models import Subscription
from webhooks_project.accounts.models import Account
from webhooks_project.admin.base import HistoryAdmin
from webhooks_project.admin.bulk import MAX_AT_ONCE, bulk
from webhooks_project.admin.buttons import button
from webhooks_project.admin.filters import (
    PeriodFilter,
    RelatedFilter,
    TextChoiceFilter,
    ValuesFilter,
)
from webhooks_project.admin.panels import Custom, Panel, Texts
from webhooks_project.admin.search import NONE, first_found, id_in
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
    pretty_json,
    text_block,
    value_column,
)

Status = Delivery.Status
STATUS_COLOURS = {
    Status.PENDING: "info",
    Status.DELIVERING: "primary",
    Status.DELIVERED: "success",
    Status.EXHAUSTED: "danger",
    Status.HELD: "warning",
}
SHOWN_ATTEMPTS: Final = 20


def attempts_of_delivery(delivery: Delivery) -> Panel:
    newest = delivery.attempts.order_by("-number")[:SHOWN_ATTEMPTS]
    shown = [shown_attempt(item, is_open=place == 0) for place, item in enumerate(newest)]
    more = ""
    if delivery.attempt_count > SHOWN_ATTEMPTS:
        more = link(
            list_of("outgoing.attempt", delivery__id__exact=delivery.pk),
            f"All {delivery.attempt_count} attempts",
        )
    return Custom("Attempts", "admin/console/attempts.html", {"attempts": shown, "more": more})


def data_of_delivery(delivery: Delivery) -> Panel:
    data = bytes(delivery.event.data)
    block = text_block("Data", pretty_json(data)) if data else bytes_block("Data", data)
    return Texts("The event's data", [block])


class CauseFilter(TextChoiceFilter):
    title = "cause of the last failure"
    parameter_name = "last_cause"
    options = Attempt.Cause.values


def is_used(event_type: str) -> bool:
    """Whether any event is of the type; account by account, since that is how it is indexed."""
    accounts = Account.objects.order_by()
    return Event.objects.filter(account__in=accounts, type=event_type).exists()


@admin.register(Delivery)
class DeliveryAdmin(HistoryAdmin):
    has_history = True
    deferred = ("event__data", "event__not_matched")
    panels: ClassVar = [attempts_of_delivery, data_of_delivery]
    created = moment_column("Created", "created_at")
    trigger_word = value_column("Trigger", "trigger")
    delivered = moment_column("Delivered", "delivered_at")
    list_display = (
        "created", "event_type", "status_label", "subscription_name", "attempt_count", "answer",
        "webhook_id", "delivered",
    )  # fmt: skip
    list_filter = (
        ("status", ValuesFilter),
        CauseFilter,
        ("trigger", ValuesFilter),
        ("subscription", RelatedFilter),
        ("account", RelatedFilter),
        ("created_at", PeriodFilter),
    )
    list_select_related = ("event", "subscription")
    search_fields = ("pk",)
    search_help_text = (
        "Id of the delivery, of its event (evt_…) or of its subscription, or an event type"
    )
    date_hierarchy = "created_at"
    ordering = ("-created_at",)
    actions = ("redeliver_selected",)
    actions_detail = ("redeliver", "cancel")
    fieldsets = (
        (None, {"fields": ("status_label", "event_link", "subscription_link", "account_link")}),
        (
            "Progress",
            {
                "fields": (
                    "trigger_word", "attempt_count", "answer", "next_attempt", "replay_link",
                    "created", "delivered",
                )
            },
        ),
    )  # fmt: skip

    def find(self, term: str) -> Q:
        key = id_in(term)
        if key is None:
            return Q(event__type=term) if is_used(term) else NONE
        found = first_found(Delivery.objects.filter(pk=key), Delivery.objects.filter(event=key))
        return found or Q(subscription=key)

    @button(
        "Redeliver",
        icon="replay",
        variant="primary",
        question="It is carried again from the start of the retry schedule, with the same "
        "webhook-id and a fresh timestamp and signature.",
        is_possible=lambda delivery: (
            delivery.status != Status.DELIVERING
            and delivery.subscription.status != Subscription.Status.ARCHIVED
        ),
    )
    def redeliver(self, delivery: Delivery) -> str:
        services.redeliver_one(delivery=delivery)
        return f"It is {delivery.status}."

    @button(
        "Cancel",
        icon="cancel",
        variant="danger",
        question="It is given up. It can still be redelivered later.",
        is_possible=lambda delivery: delivery.status in (Status.PENDING, Status.HELD),
    )
    def cancel(self, delivery: Delivery) -> str:
        services.cancel_delivery(delivery=delivery)
        return "It is cancelled."

    @bulk(
        "Redeliver",
        order="created_at",
        done="{taken} of {count} deliveries are redelivered.",
        too_many=f"More than {MAX_AT_ONCE} at once are a replay's work.",
    )
    def redeliver_selected(self, delivery: Delivery) -> None:
        services.redeliver_one(delivery=delivery)

    @column("Status")
    def status_label(self, delivery: Delivery) -> str:
        return label(delivery.status, STATUS_COLOURS)

    @column("Event")
    def event_type(self, delivery: Delivery) -> str:
        return delivery.event.type

    @column("webhook-id")
    def webhook_id(self, delivery: Delivery) -> str:
        return delivery.event.webhook_id

    @column("Subscription")
    def subscription_name(self, delivery: Delivery) -> str:
        return delivery.subscription.name

    @column("Last answer")
    def answer(self, delivery: Delivery) -> str:
        return answer_of(delivery.last_status_code, delivery.last_cause)

    @column("Event")
    def event_link(self, delivery: Delivery) -> str:
        return link_to(delivery.event)

    @column("Subscription")
    def subscription_link(self, delivery: Delivery) -> str:
        return link_to(delivery.subscription)

    @column("Account")
    def account_link(self, delivery: Delivery) -> str:
        return link_to(delivery.account)

    @column("Replay")
    def replay_link(self, delivery: Delivery) -> str:
        return link_to(delivery.replay)

    @column("Next attempt")
    def next_attempt(self, delivery: Delivery) -> str:
        retry = getattr(delivery, "retry", None)
        if retry is not None:
            return f"{moment(retry.due_at)}, number {retry.number}, after {retry.cause}"
        if delivery.scheduled_for is not None:
            return f"scheduled for {moment(delivery.scheduled_for)}"
        return moment(delivery.next_attempt_at) if delivery.lane is not None else EMPTY
