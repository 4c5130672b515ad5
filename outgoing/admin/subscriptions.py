"""What a subscription's page shows of its deliveries, and what is done by means of them."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from django import forms
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from outgoing.admin.attempts import OUTCOME_COLOURS, answer_of
from outgoing.admin.deliveries import STATUS_COLOURS
from outgoing.doctor import Diagnosis, Verdict, diagnose
from outgoing.models import Attempt, Delivery
from outgoing.policies import policy_of
from outgoing.resuming import resume_subscription
from subscriptions.models import Subscription
from webhooks_project.admin.base import HubAdmin
from webhooks_project.admin.buttons import acting, button, opens_page, page_context
from webhooks_project.admin.forms import TextInput
from webhooks_project.admin.panels import Custom, Panel, Table
from webhooks_project.admin.values import (
    EMPTY,
    capped_count,
    label,
    link,
    list_of,
    milliseconds,
    moment,
    page_of,
)
from webhooks_project.lib.errors import DomainError

Status = Subscription.Status
VERDICT_COLOURS: Final = {
    Verdict.OK: "success",
    Verdict.WARNING: "warning",
    Verdict.FAILED: "danger",
}
ANSWER_COLOURS: Final = {"yes": "success", "no": "danger"}
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


def retry_times_of_subscription(subscription: Subscription) -> Panel:
    """When each attempt of a delivery would be, if all before it failed at once."""
    rows = [
        [
            item.number,
            _span(item.after_seconds) if item.number > 1 else "at once",
            f"{_span(item.earliest_seconds)} to {_span(item.latest_seconds)}"
            if item.number > 1
            else EMPTY,
        ]
        for item in policy_of(subscription).planned()
    ]
    return Table("Attempts of a delivery that fails", ["Attempt", "After", "Between"], rows)


def _span(seconds: float) -> str:
    """`45 s`, `12.5 min`, `3.0 h`, `2.5 days`."""
    for unit, length, least in (("days", 86_400, 172_800), ("h", 3_600, 3_600), ("min", 60, 60)):
        if seconds >= least:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"


class ResumeForm(forms.Form):
    skip_older_than = forms.DateTimeField(
        required=False,
        widget=TextInput,
        help_text="Such as 2030-01-31 12:00, in UTC: what was held and is older is cancelled. Left "
        "empty, all of it goes out.",
    )


@button(
    "Resume",
    icon="play_arrow",
    variant="success",
    question="It becomes active, and what was held goes out, the oldest first.",
    is_possible=lambda subscription: subscription.status in (Status.PAUSED, Status.DISABLED),
    form=ResumeForm,
)
def resume(
    model_admin: HubAdmin, subscription: Subscription, skip_older_than: datetime | None
) -> str:
    resumed = resume_subscription(subscription=subscription, skip_older_than=skip_older_than)
    if skip_older_than is None:
        return "It is active; what was held goes out."
    return f"It is active; {resumed.skipped_count} deliveries were skipped, the others go out."


@opens_page(
    "Examine the endpoint",
    icon="stethoscope",
    is_possible=lambda subscription: subscription.status != Status.ARCHIVED,
)
def examine(
    model_admin: HubAdmin, request: HttpRequest, subscription: Subscription
) -> HttpResponse:
    """Asks on GET; on POST sends the doctor's deliveries and shows what they say."""
    panels: list[Panel] = []
    problem = ""
    if request.method == "POST":
        try:
            with acting(request):
                panels = _panels_of(diagnose(subscription=subscription))
        except DomainError as error:
            problem = str(error)
    context = {
        **page_context(request, model_admin, subscription, "Examine the endpoint"),
        "panels": panels,
        "problem": problem,
        "back_url": page_of("subscriptions.subscription", subscription.pk),
    }
    return TemplateResponse(request, "admin/console/examine.html", context)


def _panels_of(diagnosis: Diagnosis) -> list[Panel]:
    answers = [
        ["It verifies", _answer(diagnosis.verifies)],
        ["It is quick enough", _answer(diagnosis.is_quick)],
        ["It answers rightly", _answer(diagnosis.answers_rightly)],
    ]
    rows = [
        [
            probe.name.value.replace("_", " "),
            probe.status if probe.status is not None else "none",
            milliseconds(probe.milliseconds),
            label(probe.verdict.value, VERDICT_COLOURS),
            probe.advice,
        ]
        for probe in diagnosis.probes
    ]
    return [
        Custom("The endpoint", "admin/console/answer.html", {"rows": answers}),
        Table("Deliveries", ["Delivery", "Answer", "Duration", "Verdict", "Advice"], rows),
    ]


def _answer(value: bool | None) -> str:
    text = {True: "yes", False: "no", None: "not known"}[value]
    return label(text, ANSWER_COLOURS)
