"""What stands on a source's page below its fields."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from django.db.models import Sum
from django.utils.html import format_html

from incoming import services
from incoming.admin.receipts import STATUS_COLOURS
from incoming.models import Receipt, Source
from incoming.providers import PROVIDERS, Provider
from webhooks_project.admin.panels import Custom, Panel, Table, Texts, secrets_table
from webhooks_project.admin.values import (
    json_text,
    label,
    link,
    list_of,
    marked,
    moment,
    page_of,
    short,
    text_block,
)
from webhooks_project.lib import clock

SHOWN_RECEIPTS: Final = 10
REFUSALS_SINCE: Final = timedelta(days=1)
SOON: Final = timedelta(days=7)  # an end nearer than this is warned of
EXPIRY_COLOURS: Final = {"ends soon": "warning", "ended": "danger"}


def facts_of(provider: Provider) -> dict[str, Any]:
    """What a page tells of a provider: the setup, then what it declares, code as code."""
    return {
        "provider": provider,
        "setup": marked(provider.setup),
        "facts": [(marked(term), marked(text)) for term, text in provider.facts()],
    }


def provider_of_source(source: Source) -> Panel:
    provider = PROVIDERS.get(source.provider)
    context = facts_of(provider) if provider else {"name": source.provider}
    return Custom("At the provider", "admin/console/provider.html", context)


def secrets_of_source(source: Source) -> Panel:
    return secrets_table("Secrets", source.secrets.filter(option=""))


def state_of_integration(source: Source) -> Panel | None:
    """What the routes with the action `update` have made of its webhooks."""
    if not source.state:
        return None
    return Texts("State of the integration", [text_block("Merged", json_text(source.state))])


def refusals_of_source(source: Source) -> Panel:
    counts = (
        source.refusals.filter(hour__gte=clock.now() - REFUSALS_SINCE)
        .order_by()
        .values_list("cause")
        .annotate(total=Sum("count"))
        .order_by("-total")
    )
    rows = []
    for cause, count in counts:
        filters = {"source__id__exact": source.pk, "cause__exact": cause}
        rows.append([link(list_of("incoming.receipt", **filters), cause), f"{count:,}"])
    return Table("Refused in the last 24 hours", ["Cause", "Calls"], rows)


def receipts_of_source(source: Source) -> Panel:
    """The newest receipts, found status by status: an index has those."""
    newest = [
        receipt
        for status in Receipt.Status
        for receipt in source.receipts.filter(status=status)
        .defer("headers", "body", "query")
        .order_by("-received_at")[:SHOWN_RECEIPTS]
    ]
    newest.sort(key=lambda receipt: receipt.received_at, reverse=True)
    rows = [
        [
            link(page_of("incoming.receipt", receipt.pk), moment(receipt.received_at)),
            label(receipt.status, STATUS_COLOURS),
            short(receipt.cause),
            short(receipt.type),
            short(receipt.external_id),
        ]
        for receipt in newest[:SHOWN_RECEIPTS]
    ]
    more = link(list_of("incoming.receipt", source__id__exact=source.pk), "All receipts")
    headers = ["Received", "Status", "Cause", "Type", "Provider's id"]
    return Table("Last receipts", headers, rows, empty="None yet.", more=more)


def secrets_end(source: Source) -> str:
    """Until when calls can be proved, with a warning where that is soon over, or is already."""
    now = clock.now()
    rows = [row for row in source.secrets.all() if not row.option]
    if not rows:
        return "there is no secret"
    if not any(row.is_valid(now) for row in rows):
        last = max(row.expires_at for row in rows if row.expires_at is not None)
        return format_html("{} at {}", label("ended", EXPIRY_COLOURS), moment(last))
    ends = services.secrets_expire_at(source)
    if ends is None:
        return "without end"
    if ends - now >= SOON:
        return moment(ends)
    return format_html("{} at {}", label("ends soon", EXPIRY_COLOURS), moment(ends))
