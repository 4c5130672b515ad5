"""What a subscription's page shows of its deliveries."""

from __future__ import annotations

from typing import Final

from outgoing.admin.attempts import OUTCOME_COLOURS, answer_of
from outgoing.admin.deliveries import STATUS_COLOURS
from outgoing.models import Attempt, Delivery
from subscriptions.models import Subscription
from webhooks_project.admin.panels import Panel, Table
from webhooks_project.admin.values import (
    capped_count,
    label,
    link,
    list_of,
    milliseconds,
    moment,
    page_of,
)

SHOWN_ATTEMPTS: Final = 10


def deliveries_of_subscription(subscription: Subscription) -> Panel:
    rows = []
    for status in Delivery.Status:
        filters = {"subscription__id__exact": subscription.pk, "status__exact": status.value}
        count = capped_count(subscription.deliveries.filter(status=status))
        url = list_of("outgoing.delivery", **filters)
        rows.append([label(status.value, STATUS_COLOURS), link(url, count)])
    return Table("Deliveries", ["Status", "Deliveries"], rows)


def attempts_of_subscription(subscription: Subscription) -> Panel:
    """Its last attempts, found by the newest deliveries of each status: an index has those."""
    newest = [
        key
        for status in Delivery.Status
        for key in subscription.deliveries.filter(status=status, attempt_count__gt=0)
        .order_by("-created_at")
        .values_list("pk", flat=True)[:SHOWN_ATTEMPTS]
    ]
    attempts = (
        Attempt.objects.filter(delivery__in=newest)
        .select_related("delivery__event")
        .defer("request_headers", "response_headers", "response_body", "delivery__event__data")
        .order_by("-started_at")[:SHOWN_ATTEMPTS]
    )
    rows = [
        [
            link(page_of("outgoing.delivery", attempt.delivery_id), moment(attempt.started_at)),
            attempt.delivery.event.type,
            attempt.number,
            label(attempt.outcome, OUTCOME_COLOURS),
            answer_of(attempt.status_code, attempt.cause),
            milliseconds(attempt.duration_ms),
        ]
        for attempt in attempts
    ]
    headers = ["Started", "Event", "Number", "Outcome", "Answer", "Duration"]
    url = list_of("outgoing.attempt", delivery__subscription__id__exact=subscription.pk)
    return Table("Last attempts", headers, rows, empty="None yet.", more=link(url, "All attempts"))
