"""The duties to deliver, and their state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Final

from django import forms
from django.contrib import admin
from django.db.models import Q, QuerySet

from outgoing import services
from outgoing.admin.attempts import answer_of, shown_attempt
from outgoing.dead_letters import (
    DeadLetters,
    Group,
    discard_dead_letter,
    discard_dead_letters,
    group_dead_letters,
    redeliver_dead_letters,
)
from outgoing.explaining import shown, timeline_of
from outgoing.models import Attempt, Delivery, Event
from subscriptions.models import Subscription
from webhooks_project.accounts.models import Account
from webhooks_project.admin.bulk import MAX_AT_ONCE, bulk
from webhooks_project.admin.buttons import button
from webhooks_project.admin.dead_letters import (
    SHOWN_GROUPS,
    DeadLetterAdmin,
    FilterForm,
    ReasonForm,
    group_text,
)
from webhooks_project.admin.filters import (
    PeriodFilter,
    RelatedFilter,
    TextChoiceFilter,
    ValuesFilter,
)
from webhooks_project.admin.forms import NumberInput, TextInput
from webhooks_project.admin.panels import Custom, Panel, Table, Texts
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
    page_of,
    pretty_json,
    text_block,
    text_column,
    value_column,
    visible,
)
from webhooks_project.dead_letters import MAX_LETTERS_AT_ONCE

Status = Delivery.Status
STATUS_COLOURS = {
    Status.PENDING: "info",
    Status.DELIVERING: "primary",
    Status.DELIVERED: "success",
    Status.EXHAUSTED: "danger",
    Status.HELD: "warning",
}
SHOWN_ATTEMPTS: Final = 20
TOLD: Final = ("due_at", "until", "since", "replay", "delivery", "reason")  # of a step's facts


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


def timeline_of_delivery(delivery: Delivery) -> Panel:
    """Its way in order, and what it waits for."""
    rows = [
        [moment(step.at) if step.at else "now", step.kind.replace("_", " "), visible(step.text),
         "; ".join(f"{name}: {value}" for name, value in shown(step.facts).items()
                   if name in TOLD and value)]
        for step in timeline_of(delivery)
    ]  # fmt: skip
    return Table("Timeline", ["When", "What", "In words", "Facts"], rows)


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


class DeadLetterFilterForm(FilterForm):
    subscription = forms.UUIDField(required=False, widget=TextInput, help_text="Its id.")
    status_code = forms.IntegerField(
        required=False, min_value=100, max_value=999, widget=NumberInput,
        help_text="Of the last answer.",
    )  # fmt: skip
    event_type = forms.CharField(
        required=False, max_length=128, widget=TextInput,
        help_text="A name, or a beginning with * after it.",
    )  # fmt: skip


@admin.register(Delivery)
class DeliveryAdmin(DeadLetterAdmin):
    has_history = True
    deferred = ("event__data", "event__not_matched")
    panels: ClassVar = [timeline_of_delivery, attempts_of_delivery, data_of_delivery]
    created = moment_column("Created", "created_at")
    trigger_word = value_column("Trigger", "trigger")
    delivered = moment_column("Delivered", "delivered_at")
    exhausted = moment_column("Given up", "exhausted_at")
    discarded = text_column("Discarded because", "discard_reason")
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
    actions_detail = ("redeliver", "cancel", "discard")
    fieldsets = (
        (None, {"fields": ("status_label", "event_link", "subscription_link", "account_link")}),
        (
            "Progress",
            {
                "fields": (
                    "trigger_word", "attempt_count", "answer", "next_attempt", "replay_link",
                    "created", "delivered", "exhausted", "discarded",
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

    @button(
        "Discard",
        icon="delete",
        variant="danger",
        question="It leaves the list of dead letters for good. It stays to be seen, with the "
        "reason.",
        is_possible=lambda delivery: delivery.status == Status.EXHAUSTED,
        form=ReasonForm,
    )
    def discard(self, delivery: Delivery, reason: str) -> str:
        discard_dead_letter(delivery=delivery, reason=reason)
        return "It is discarded."

    group_headers = ("Count", "Subscription", "Cause", "Answer")
    redo = (
        "Redeliver",
        "All of the group are carried again from the start of the retry schedule, with the same "
        "webhook-ids.",
    )
    redo_verb = "redeliver"
    redone = "are redelivered."
    letters = DeadLetters
    filter_form = DeadLetterFilterForm

    def groups_of(self, rows: QuerySet[Delivery]) -> Sequence[Group]:
        return group_dead_letters(rows, limit=SHOWN_GROUPS)

    def group_cells(self, group: Group) -> list[Any]:
        filters = {"status__exact": Status.EXHAUSTED.value, "fingerprint": group.fingerprint}
        return [
            link(list_of("outgoing.delivery", **filters), f"{group.count:,}"),
            link(
                page_of("subscriptions.subscription", group.subscription_id),
                group.subscription_name,
            ),
            answer_of(group.status_code, group.cause),
            group_text(group.text),
        ]

    def redo_letters(self, letters: DeadLetters) -> int:
        return redeliver_dead_letters(letters, limit=MAX_LETTERS_AT_ONCE)

    def discard_letters(self, letters: DeadLetters, reason: str) -> int:
        return discard_dead_letters(letters, reason=reason, limit=MAX_LETTERS_AT_ONCE)

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
