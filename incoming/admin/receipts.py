"""The calls we received."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Final

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.utils.decorators import method_decorator
from django.utils.html import format_html, format_html_join
from django.views.decorators.http import require_safe

from incoming import replays, services
from incoming.admin.receipt_filters import (
    DeadReceiptFilterForm,
    FollowedFilter,
    QuarantineFilter,
    SameBodyFilter,
)
from incoming.admin.receipt_panels import (
    call_of_receipt,
    events_of_receipt,
    masked_body,
    notifications_of_receipt,
    runs_of_receipt,
    schema_errors_of_receipt,
)
from incoming.admin.trial_answers import shown_secret
from incoming.dead_letters import (
    DeadReceipts,
    Group,
    discard_dead_receipt,
    discard_dead_receipts,
    group_dead_receipts,
    reprocess_dead_receipts,
)
from incoming.models import Receipt
from webhooks_project.admin.bulk import MAX_AT_ONCE, bulk
from webhooks_project.admin.buttons import button
from webhooks_project.admin.dead_letters import (
    SHOWN_GROUPS,
    DeadLetterAdmin,
    ReasonForm,
    group_text,
)
from webhooks_project.admin.filters import ChoicesFilter, PeriodFilter, RelatedFilter, ValuesFilter
from webhooks_project.admin.search import first_found, id_in, made_around
from webhooks_project.admin.values import (
    EMPTY,
    column,
    label,
    link,
    link_to,
    list_of,
    moment,
    moment_column,
    page_of,
    text_column,
)
from webhooks_project.dead_letters import MAX_LETTERS_AT_ONCE

Status = Receipt.Status
STATUS_COLOURS = {
    Status.ACCEPTED: "info",
    Status.PROCESSING: "primary",
    Status.PROCESSED: "success",
    Status.FAILED: "warning",
    Status.DEAD: "danger",
    Status.REFUSED: "danger",
}
MARK_COLOURS = {
    "unmatched": "warning",
    "quarantined": "warning",
    "same body": "info",
    "replayed": "primary",
}
TOO_MANY: Final = f"More than {MAX_AT_ONCE} at once are a replay's work."


def is_unmatched(receipt: Receipt) -> bool:
    return receipt.status == Status.PROCESSED and receipt.action_count == 0


def is_quarantined(receipt: Receipt) -> bool:
    return receipt.quarantined_at is not None


@admin.register(Receipt)
class ReceiptAdmin(DeadLetterAdmin):
    has_history = True
    empty_text = "Calls to the ingest URL of a source show here. A source can send itself a sample."
    deferred = ("headers", "body", "query", "schema_errors")
    panels: ClassVar = [
        schema_errors_of_receipt,
        events_of_receipt,
        runs_of_receipt,
        notifications_of_receipt,
        call_of_receipt,
    ]
    received = moment_column("Received", "received_at")
    cause_word = text_column("Cause", "cause")
    type_text = text_column("Type", "type")
    detail_text = text_column("Detail", "detail")
    external_text = text_column("Provider's id", "external_id")
    quarantined = moment_column("Quarantined", "quarantined_at")
    routed = moment_column("Routes followed", "routed_at")
    processed = moment_column("Processed", "processed_at")
    died = moment_column("Given up", "dead_at")
    discarded = text_column("Discarded because", "discard_reason")
    list_display = (
        "received", "status_and_marks", "cause_word", "type_text", "source", "external_text",
        "remote_address", "action_count",
    )  # fmt: skip
    list_filter = (
        ("status", ValuesFilter),
        ("cause", ValuesFilter),
        FollowedFilter,
        QuarantineFilter,
        SameBodyFilter,
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
    actions = ("reprocess_selected", "release_selected", "drop_selected")
    actions_detail = ("reprocess", "release", "drop", "replay_receipt", "discard")
    fieldsets = (
        (
            "Verdict on arrival",
            {
                "fields": (
                    ("status_label", "marks"), "cause_word", "detail_text",
                    ("received", "signed"), ("secret", "same_body"),
                )
            },
        ),
        (
            "Call",
            {
                "fields": (
                    ("source", "account"), ("type_text", "external_text"),
                    ("method", "remote_address"), "request_id",
                )
            },
        ),
        (
            "Processing",
            {
                "fields": (
                    "followed", ("routed", "processed"), ("attempt_count", "next_attempt"),
                    ("quarantined", "replay_link"), ("died", "discarded"),
                )
            },
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
        return "It is in line to be processed again."

    @button(
        "Release",
        icon="check_circle",
        variant="success",
        question="It is processed although it does not fit the schema.",
        is_possible=is_quarantined,
    )
    def release(self, receipt: Receipt) -> str:
        services.release_quarantined(receipt=receipt)
        return "It is in line to be processed."

    @button(
        "Drop",
        icon="delete",
        variant="danger",
        question="It is refused: it is kept for a while, and nothing follows from it.",
        is_possible=is_quarantined,
    )
    def drop(self, receipt: Receipt) -> str:
        services.drop_quarantined(receipt=receipt)
        return "It is refused."

    @button(
        "Replay",
        icon="restart_alt",
        question="A replay of this receipt alone is made: all that follows from it follows again, "
        "and handlers are told that it is a replay.",
        is_possible=lambda receipt: (
            receipt.is_verified
            and receipt.status in replays.REPLAYABLE
            and receipt.body_pruned_at is None
        ),
    )
    def replay_receipt(self, receipt: Receipt) -> str:
        return f"Replay {replays.replay_receipt(receipt).pk} carries it again."

    @button(
        "Discard",
        icon="delete",
        variant="danger",
        question="It leaves the list of dead letters for good. It stays to be seen, with the "
        "reason.",
        is_possible=lambda receipt: receipt.status == Status.DEAD and not receipt.discard_reason,
        form=ReasonForm,
    )
    def discard(self, receipt: Receipt, reason: str) -> str:
        discard_dead_receipt(receipt=receipt, reason=reason)
        return "It is discarded."

    group_headers = ("Count", "Source", "Cause", "Error")
    redo = (
        "Reprocess",
        "All of the group are processed again by the verdict that they got on arrival; handlers "
        "that have done their work are not called again.",
    )
    redo_verb = "reprocess"
    redone = "are in line to be processed again."
    letters = DeadReceipts
    filter_form = DeadReceiptFilterForm

    def groups_of(self, rows: QuerySet[Receipt]) -> Sequence[Group]:
        return group_dead_receipts(rows, limit=SHOWN_GROUPS)

    def group_cells(self, group: Group) -> list[Any]:
        filters = {"status__exact": Status.DEAD.value, "fingerprint": group.fingerprint}
        return [
            link(list_of("incoming.receipt", **filters), f"{group.count:,}"),
            link(page_of("incoming.source", group.source_id), group.source_name),
            group.cause,
            group_text(group.text),
        ]

    def redo_letters(self, letters: DeadReceipts) -> int:
        return reprocess_dead_receipts(letters, limit=MAX_LETTERS_AT_ONCE)

    def discard_letters(self, letters: DeadReceipts, reason: str) -> int:
        return discard_dead_receipts(letters, reason=reason, limit=MAX_LETTERS_AT_ONCE)

    @bulk(
        "Reprocess",
        order="received_at",
        done="{taken} of {count} receipts are processed again.",
        too_many=TOO_MANY,
    )
    def reprocess_selected(self, receipt: Receipt) -> None:
        services.reprocess_receipt(receipt=receipt)

    @bulk("Release", order="received_at", done="{taken} of {count} receipts are released.")
    def release_selected(self, receipt: Receipt) -> None:
        services.release_quarantined(receipt=receipt)

    @bulk("Drop", order="received_at", done="{taken} of {count} receipts are dropped.")
    def drop_selected(self, receipt: Receipt) -> None:
        services.drop_quarantined(receipt=receipt)

    def get_urls(self) -> list[Any]:
        body = path(
            "<path:object_id>/body/",
            self.admin_site.admin_view(self.body_view),
            name="incoming_receipt_body",
        )
        return [body, *super().get_urls()]

    @method_decorator(require_safe)
    def body_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The body as a file, which no browser opens as a page."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        receipt = self.get_object(request, unquote(object_id))
        if receipt is None:
            return self.row_missing(request, object_id)
        return HttpResponse(
            masked_body(receipt),
            content_type="application/octet-stream",
            headers={
                "Content-Disposition": f'attachment; filename="receipt-{receipt.pk}.bin"',
                "X-Content-Type-Options": "nosniff",
            },
        )

    @column("Status")
    def status_label(self, receipt: Receipt) -> str:
        return label(receipt.status, STATUS_COLOURS)

    @column("Status")
    def status_and_marks(self, receipt: Receipt) -> str:
        marks = self.marks(receipt)
        return format_html("{} {}", self.status_label(receipt), "" if marks == EMPTY else marks)

    @column("Marks")
    def marks(self, receipt: Receipt) -> str:
        """What its status does not say."""
        found = {
            "unmatched": is_unmatched(receipt),
            "quarantined": is_quarantined(receipt),
            "same body": receipt.same_body_as is not None,
            "replayed": receipt.round > 0,
        }
        marks = [(label(word, MARK_COLOURS),) for word, holds in found.items() if holds]
        return format_html_join(" ", "{}", marks) if marks else EMPTY

    @column("Same body as")
    def same_body(self, receipt: Receipt) -> str:
        if receipt.same_body_as is None:
            return EMPTY
        other = link(page_of("incoming.receipt", receipt.same_body_as), receipt.same_body_as)
        return format_html("{}, which came earlier under another id", other)

    @column("What followed")
    def followed(self, receipt: Receipt) -> str:
        if not receipt.action_count:
            return "nothing: no route and no handler took it" if is_unmatched(receipt) else EMPTY
        return f"{receipt.action_count} in all, of them {receipt.event_count} events"

    @column("Verified with")
    def secret(self, receipt: Receipt) -> str:
        return shown_secret(receipt.secret_id) if receipt.secret_id else EMPTY

    @column("Signed")
    def signed(self, receipt: Receipt) -> str:
        if receipt.signed_at is None:
            return EMPTY
        seconds = (receipt.received_at - receipt.signed_at).total_seconds()
        return f"{moment(receipt.signed_at)}, {seconds:.1f} s before it was received"

    @column("Replay")
    def replay_link(self, receipt: Receipt) -> str:
        if receipt.replay is None:
            return EMPTY
        return format_html("{}, its round {}", link_to(receipt.replay), receipt.round)

    @column("Next try")
    def next_attempt(self, receipt: Receipt) -> str:
        return moment(receipt.next_attempt_at)
