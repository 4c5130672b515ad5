"""The calls we received."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

import orjson
from django.contrib import admin, messages
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html_join

from incoming import services
from incoming.errors import StateNotAllowed
from incoming.masking import mask_of, redact_query
from incoming.models import Receipt, SourceSecret
from outgoing.admin.deliveries import STATUS_COLOURS as DELIVERY_COLOURS
from outgoing.models import Delivery, Event
from webhooks_project.admin.base import HistoryAdmin
from webhooks_project.admin.buttons import button, may_press
from webhooks_project.admin.filters import (
    ChoicesFilter,
    PeriodFilter,
    RelatedFilter,
    ValuesFilter,
)
from webhooks_project.admin.panels import Panel, Table, Texts, shown_end
from webhooks_project.admin.search import first_found, id_in, made_around
from webhooks_project.admin.values import (
    EMPTY,
    bytes_block,
    column,
    headers_block,
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
from webhooks_project.lib.redaction import redact_headers

Status = Receipt.Status
STATUS_COLOURS = {
    Status.ACCEPTED: "info",
    Status.PROCESSING: "primary",
    Status.PROCESSED: "success",
    Status.FAILED: "warning",
    Status.DEAD: "danger",
    Status.REFUSED: "danger",
}
MAX_AT_ONCE: Final = 500  # reprocessed from the list in one request


def events_of_receipt(receipt: Receipt) -> Panel:
    """The events that the receipt became, and how their deliveries stand."""
    # Named twice so that SQLite, too, knows that the partial index has them.
    events = list(
        Event.objects.filter(causation_id=receipt.causation_id)
        .exclude(causation_id="")
        .defer("data", "not_matched")
    )
    counts = (
        Delivery.objects.filter(event__in=[event.pk for event in events])
        .order_by()
        .values_list("event", "status")
        .annotate(Count("pk"))
    )
    by_event: dict[Any, list[tuple[str]]] = {}
    for key, status, count in counts:
        text = f"{count} {status}"
        shown = label(text, {text: DELIVERY_COLOURS.get(status, "")})
        by_event.setdefault(key, []).append((shown,))
    rows = [
        [
            link_to(event),
            format_html_join(" ", "{}", by_event.get(event.pk, [])) or EMPTY,
            link(list_of("outgoing.delivery", event__id__exact=event.pk), "Deliveries"),
        ]
        for event in events
    ]
    empty = "It became none." if receipt.status == Status.PROCESSED else "None."
    return Table("What became of it", ["Event", "Deliveries by status", ""], rows, empty=empty)


def call_of_receipt(receipt: Receipt) -> Panel:
    """The call as it came, without the secrets and proofs that were in it."""
    mask = mask_of(receipt.source)
    body = bytes(receipt.body)
    blocks = [headers_block("Headers", _masked(redact_headers(_headers(receipt)), mask))]
    if receipt.query:
        blocks.append(headers_block("Query", _masked(redact_query(receipt.query), mask)))
    indented = pretty_json(body)
    if indented:
        blocks.append(text_block("Body, indented", mask(indented)))
    blocks.append(bytes_block("Body", body, mask=mask, is_open=not indented))
    return Texts("The call", blocks)


def _headers(receipt: Receipt) -> dict[str, str]:
    headers = orjson.loads(bytes(receipt.headers))
    return {str(name): str(value) for name, value in dict(headers).items()}


def _masked(values: Mapping[str, str], mask: Any) -> dict[str, str]:
    return {mask(name): mask(value) for name, value in values.items()}


@admin.register(Receipt)
class ReceiptAdmin(HistoryAdmin):
    has_history = True
    deferred = ("headers", "body", "query")
    panels: ClassVar = [events_of_receipt, call_of_receipt]
    received = moment_column("Received", "received_at")
    cause_word = value_column("Cause", "cause")
    processed = moment_column("Processed", "processed_at")
    list_display = (
        "received", "source", "type", "status_label", "cause_word", "external_id",
        "remote_address", "event_count",
    )  # fmt: skip
    list_filter = (
        ("status", ValuesFilter),
        ("cause", ValuesFilter),
        ("source", RelatedFilter),
        ("source__provider", ChoicesFilter),
        ("account", RelatedFilter),
        ("received_at", PeriodFilter),
    )
    prefetched = ("source",)
    list_select_related = ()
    search_fields = ("pk",)
    search_help_text = "Id, the provider's id or type, request id or address, exactly"
    date_hierarchy = "received_at"
    ordering = ("-received_at",)
    actions = ("reprocess_selected",)
    actions_detail = ("reprocess",)
    fieldsets = (
        (
            "Verdict on arrival",
            {"fields": ("status_label", "cause_word", "detail", "secret", "received", "signed")},
        ),
        (
            "Call",
            {
                "fields": (
                    "source", "account", "method", "type", "external_id", "remote_address",
                    "request_id",
                )
            },
        ),
        (
            "Processing",
            {"fields": ("attempt_count", "next_attempt", "processed", "event_count")},
        ),
    )  # fmt: skip

    def find(self, term: str) -> Q:
        key = id_in(term)
        # Named twice so that SQLite, too, knows that a partial index has them.
        by_external_id = Receipt.objects.filter(external_id=term).exclude(external_id="")
        if key is None:
            by_word = Q(type=term) | Q(remote_address=term) | Q(request_id=term)
            return first_found(by_external_id) or by_word
        by_request = Q(request_id__in=[term, key.hex])
        found = first_found(
            Receipt.objects.filter(pk=key),
            Receipt.objects.filter(by_request & made_around(key, "received_at")),
            by_external_id,
        )
        return found or by_request

    @button(
        "Reprocess",
        icon="replay",
        variant="primary",
        question="It is processed again by the verdict that it got on arrival; it is not verified "
        "anew.",
        is_possible=lambda receipt: receipt.status in (Status.FAILED, Status.DEAD),
    )
    def reprocess(self, receipt: Receipt) -> str:
        services.reprocess_receipt(receipt=receipt)
        return "It is processed again."

    @admin.action(description="Reprocess", permissions=["reprocess"])
    def reprocess_selected(self, request: HttpRequest, chosen: QuerySet[Receipt]) -> None:
        """Each as its button does it: its own transaction and its own entry in the audit."""
        rows = list(chosen.order_by("received_at")[: MAX_AT_ONCE + 1])
        if len(rows) > MAX_AT_ONCE:
            messages.error(request, f"At most {MAX_AT_ONCE} at once.")
            return
        taken = 0
        for receipt in rows:
            try:
                services.reprocess_receipt(receipt=receipt)
                taken += 1
            except StateNotAllowed:
                continue
        messages.success(request, f"{taken} of {len(rows)} receipts are processed again.")

    def has_reprocess_permission(self, request: HttpRequest) -> bool:
        return may_press(request, self)

    @column("Status")
    def status_label(self, receipt: Receipt) -> str:
        return label(receipt.status, STATUS_COLOURS)

    @column("Verified with")
    def secret(self, receipt: Receipt) -> str:
        if not receipt.secret_id:
            return EMPTY
        key = id_in(receipt.secret_id)
        secret = SourceSecret.objects.filter(pk=key).first() if key else None
        return f"secret {shown_end(secret) if secret else receipt.secret_id}"

    @column("Signed")
    def signed(self, receipt: Receipt) -> str:
        if receipt.signed_at is None:
            return EMPTY
        seconds = (receipt.received_at - receipt.signed_at).total_seconds()
        return f"{moment(receipt.signed_at)}, {seconds:.1f} s before it was received"

    @column("Next try")
    def next_attempt(self, receipt: Receipt) -> str:
        return moment(receipt.next_attempt_at)
