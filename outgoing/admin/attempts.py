"""Every HTTP try there was."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Final

from django.contrib import admin
from django.db.models import Q

from outgoing.bodies import Origin, body_of
from outgoing.models import Attempt
from webhooks_project.admin.base import HistoryAdmin
from webhooks_project.admin.filters import PeriodFilter, RelatedFilter, ValuesFilter
from webhooks_project.admin.panels import Custom, Panel, Texts
from webhooks_project.admin.search import NONE, first_found, id_in
from webhooks_project.admin.values import (
    EMPTY,
    Text,
    bytes_block,
    column,
    headers_block,
    label,
    link_to,
    milliseconds,
    moment,
    moment_column,
    value_column,
)

OUTCOME_COLOURS = {Attempt.Outcome.SUCCEEDED: "success", Attempt.Outcome.FAILED: "danger"}
# Each phase ends at the named moment and has begun where the one before it ended.
PHASES: Final = (
    ("Name lookup", "dns_ms", "bg-blue-300"),
    ("Connect", "connect_ms", "bg-blue-500"),
    ("TLS", "tls_ms", "bg-primary-400"),
    ("First byte", "first_byte_ms", "bg-orange-400"),
)


@dataclass(frozen=True)
class Phase:
    """A part of an attempt's time."""

    name: str
    shown: str
    percent: str
    colour: str


@dataclass(frozen=True)
class ShownAttempt:
    """An attempt as its panel shows it."""

    attempt: Attempt
    outcome: str
    started: str
    waited: str
    duration: str
    phases: list[Phase]
    blocks: list[Text]
    is_open: bool


def shown_attempt(attempt: Attempt, *, is_open: bool = True) -> ShownAttempt:
    return ShownAttempt(
        attempt=attempt,
        outcome=label(attempt.outcome, OUTCOME_COLOURS),
        started=moment(attempt.started_at),
        waited=milliseconds(attempt.queue_wait_ms),
        duration=milliseconds(attempt.duration_ms),
        phases=list(_phases(attempt)),
        blocks=[
            headers_block("Request headers", attempt.request_headers),
            headers_block("Answer's headers", attempt.response_headers),
            bytes_block("Answer's body", bytes(attempt.response_body)),
        ],
        is_open=is_open,
    )


def _phases(attempt: Attempt) -> Iterator[Phase]:
    answered = attempt.first_byte_ms is not None
    last = ("Answer", "bg-green-400") if answered else ("Until it failed", "bg-red-400")
    ends = [(name, getattr(attempt, field), colour) for name, field, colour in PHASES]
    begun = 0.0
    for name, ended, colour in [*ends, (last[0], attempt.duration_ms, last[1])]:
        if ended is None:
            continue
        lasted = max(0.0, ended - begun)
        begun = max(begun, ended)
        share = 100 * lasted / max(attempt.duration_ms, 0.001)
        yield Phase(name, milliseconds(lasted), f"{share:.2f}", colour)


ORIGINS: Final = {
    Origin.REPRODUCED: "made again from the event, and compared with its hash",
    Origin.STORED: "as it was stored, and compared with its hash",
    Origin.NOT_SENT: "none was sent",
    Origin.NOT_KEPT: "not kept: the event's data is gone",
}


def body_panel(attempt: Attempt) -> Panel:
    """What it sent, byte for byte as it was signed."""
    found = body_of(attempt)
    title = f"Request's body: {ORIGINS[found.origin]}"
    return Texts(title, [bytes_block("Body", found.body or b"")])


def attempt_panel(attempt: Attempt) -> Panel:
    return Custom(
        "The attempt",
        "admin/console/attempts.html",
        {"attempts": [shown_attempt(attempt)]},
    )


@admin.register(Attempt)
class AttemptAdmin(HistoryAdmin):
    deferred = (
        "request_headers", "response_headers", "response_body",
        "delivery__event__data", "delivery__event__not_matched",
    )  # fmt: skip
    panels: ClassVar = [attempt_panel, body_panel]
    started = moment_column("Started", "started_at")
    cause_word = value_column("Cause", "cause")
    list_display = (
        "started", "event_type", "subscription", "number", "outcome_label", "status_code",
        "cause_word", "duration", "worker",
    )  # fmt: skip
    list_filter = (
        ("outcome", ValuesFilter),
        ("cause", ValuesFilter),
        ("trigger", ValuesFilter),
        ("delivery__subscription", RelatedFilter),
        ("delivery__account", RelatedFilter),
        ("started_at", PeriodFilter),
    )
    list_select_related = ("delivery__event", "delivery__subscription")
    search_fields = ("pk",)
    search_help_text = "Id of the attempt, of its delivery or of its event (evt_…)"
    date_hierarchy = "started_at"
    ordering = ("-started_at",)
    fields = ("delivery_link", "event_link", "subscription_link", "cause_word", "detail")

    def find(self, term: str) -> Q:
        key = id_in(term)
        if key is None:
            return NONE
        found = first_found(
            Attempt.objects.filter(pk=key),
            Attempt.objects.filter(delivery=key),
            Attempt.objects.filter(delivery__event=key),
        )
        return found or NONE

    @column("Outcome")
    def outcome_label(self, attempt: Attempt) -> str:
        return label(attempt.outcome, OUTCOME_COLOURS)

    @column("Duration")
    def duration(self, attempt: Attempt) -> str:
        return milliseconds(attempt.duration_ms)

    @column("Event")
    def event_type(self, attempt: Attempt) -> str:
        return attempt.delivery.event.type

    @column("Subscription")
    def subscription(self, attempt: Attempt) -> str:
        return attempt.delivery.subscription.name

    @column("Delivery")
    def delivery_link(self, attempt: Attempt) -> str:
        return link_to(attempt.delivery)

    @column("Event")
    def event_link(self, attempt: Attempt) -> str:
        return link_to(attempt.delivery.event)

    @column("Subscription")
    def subscription_link(self, attempt: Attempt) -> str:
        return link_to(attempt.delivery.subscription)


def answer_of(status_code: int | None, cause: str) -> str:
    """`503 status_5xx`: what a delivery or an attempt came to."""
    return " ".join(str(part) for part in (status_code, cause) if part) or EMPTY
