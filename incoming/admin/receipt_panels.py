"""What stands on a receipt's page below its fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from django.db.models import Count
from django.urls import reverse
from django.utils.html import format_html_join

from incoming.admin.runs import STATUS_COLOURS as RUN_COLOURS
from incoming.admin.trials import links_of
from incoming.masking import mask_of, redact_query
from incoming.models import HandlerRun, Receipt
from incoming.payload import body_of, content_encoding, headers_of, parse
from monitoring.models import Notification
from outgoing.admin.deliveries import STATUS_COLOURS as DELIVERY_COLOURS
from outgoing.models import Delivery, Event
from webhooks_project.admin.panels import Custom, Panel, Table
from webhooks_project.admin.values import (
    EMPTY,
    Text,
    bytes_block,
    headers_block,
    json_text,
    label,
    link,
    link_to,
    list_of,
    milliseconds,
    moment,
    page_of,
    short,
    text_block,
    visible,
)
from webhooks_project.lib.redaction import redact_headers

PARSED_BYTES: Final = 1024 * 1024  # of a body; a larger one is shown as it came only
SHOWN_RUNS: Final = 50
SHOWN_NOTIFICATIONS: Final = 20
# They are written in the transaction that follows the routes.
NOTIFIED_WITHIN: Final = timedelta(minutes=5)
NOTIFICATION_COLOURS: Final = {
    Notification.Status.PENDING: "info",
    Notification.Status.SENDING: "primary",
    Notification.Status.SENT: "success",
    Notification.Status.FAILED: "danger",
    Notification.Status.COMBINED: "info",
    Notification.Status.WITHDRAWN: "warning",
}


def schema_errors_of_receipt(receipt: Receipt) -> Panel | None:
    if not receipt.schema_errors:
        return None
    rows = [
        [visible(str(item.get("path", "")) or "the whole"), visible(str(item.get("message", "")))]
        for item in receipt.schema_errors
        if isinstance(item, dict)
    ]
    return Table("What does not fit the schema", ["Path", "Why"], rows)


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
    empty = "It became none." if receipt.status == Receipt.Status.PROCESSED else "None."
    return Table("Events", ["Event", "Deliveries by status", ""], rows, empty=empty)


def runs_of_receipt(receipt: Receipt) -> Panel:
    """Its handlers, the newest round first, each with how its last try ended."""
    runs = receipt.runs.order_by("-round", "handler")[: SHOWN_RUNS + 1]
    more = ""
    if len(runs) > SHOWN_RUNS:
        more = link(list_of("incoming.handlerrun", receipt__id__exact=receipt.pk), "All of them")
    context = {"runs": [_shown_run(run) for run in runs[:SHOWN_RUNS]], "more": more}
    return Custom("Handlers", "admin/console/runs.html", context)


def _shown_run(run: HandlerRun) -> dict[str, Any]:
    return {
        "run": run,
        "cause": visible(run.cause),
        "url": page_of("incoming.handlerrun", run.pk),
        "status": label(run.status, RUN_COLOURS),
        "duration": milliseconds(run.duration_ms),
        "started": moment(run.started_at),
        "next_try": moment(run.next_attempt_at) if run.next_attempt_at else "",
        "block": text_block("Traceback", run.error, is_open=False) if run.error else None,
    }


def notifications_of_receipt(receipt: Receipt) -> Panel | None:
    """Whom its routes told. Looked for around the time at which they were followed."""
    if receipt.routed_at is None:
        return None
    near = (receipt.routed_at - NOTIFIED_WITHIN, receipt.routed_at + NOTIFIED_WITHIN)
    found = Notification.objects.filter(
        account=receipt.account_id, created_at__range=near, object_id=str(receipt.pk)
    )
    rows = [
        [
            moment(item.created_at),
            short(item.recipient),
            label(item.status, NOTIFICATION_COLOURS),
            short(item.title),
            short(item.error),
        ]
        for item in found[:SHOWN_NOTIFICATIONS]
    ]
    headers = ["At", "Whom", "Status", "What", "Error"]
    return Table("People told", headers, rows) if rows else None


def call_of_receipt(receipt: Receipt) -> Panel:
    """The call as it came, without the secrets and proofs that were in it."""
    mask = mask_of(receipt.source)
    headers = known_headers(receipt)
    blocks = [headers_block("Headers", _masked(redact_headers(headers), mask))]
    if receipt.query:
        blocks.append(headers_block("Query", _masked(redact_query(receipt.query), mask)))
    context = {
        "blocks": blocks,
        "body": body_blocks(receipt, headers, mask),
        "pruned": moment(receipt.body_pruned_at) if receipt.body_pruned_at else "",
        "download_url": reverse("admin:incoming_receipt_body", args=[receipt.pk]),
        "has_body": bool(receipt.body),
        "trials": [] if receipt.body_pruned_at else links_of(receipt.source, receipt),
    }
    return Custom("The call", "admin/console/call.html", context)


def known_headers(receipt: Receipt) -> dict[str, str]:
    """The receipt's headers; none where they are no longer kept."""
    return headers_of(receipt) if receipt.headers else {}


def body_blocks(
    receipt: Receipt, headers: Mapping[str, str], mask: Callable[[str], str]
) -> list[Text]:
    """The body, and beside it the JSON value that routes and handlers see of it."""
    body = body_of(receipt) if receipt.headers else bytes(receipt.body)
    raw = bytes_block("As it came", body, mask=mask)
    if content_encoding(headers):
        note = f"{len(bytes(receipt.body)):,} bytes in {content_encoding(headers)}; expanded: "
        raw = replace(raw, note=note + raw.note)
    if not body or len(body) > PARSED_BYTES:
        return [raw]
    value = parse(body, headers.get("content-type", ""))
    return [raw, text_block("As the routes see it", mask(json_text(value)))]


def masked_body(receipt: Receipt) -> bytes:
    """The body, expanded, without the secrets that were in it, for a file."""
    mask = mask_of(receipt.source)
    body = body_of(receipt) if receipt.headers else bytes(receipt.body)
    try:
        return mask(body.decode()).encode()
    except UnicodeDecodeError:
        return mask(body.decode("latin-1")).encode("latin-1")


def _masked(values: Mapping[str, str], mask: Callable[[str], str]) -> dict[str, str]:
    return {mask(name): mask(value) for name, value in values.items()}
