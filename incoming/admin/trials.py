"""Pages on which an operator tries what a source would say of a call. Nothing is written.

The answers are those of `incoming/trials.py`, which the API gives too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse

from incoming.admin.trial_answers import (
    Hide,
    filter_answer,
    hide_for,
    payload_answer,
    routes_answer,
    signature_answer,
    transformation_answer,
)
from incoming.admin.trial_forms import (
    CallForm,
    FilterForm,
    PayloadForm,
    TransformationForm,
)
from incoming.models import Receipt, Source
from incoming.providers import PROVIDERS
from webhooks_project.admin.access import may, may_as_member
from webhooks_project.admin.base import HubAdmin
from webhooks_project.admin.buttons import may_see, page_context
from webhooks_project.admin.panels import Custom, Panel
from webhooks_project.admin.values import page_of
from webhooks_project.lib.errors import DomainError

SAMPLE_PAGE: Final = "admin:incoming_source_send_sample"


@dataclass(frozen=True)
class Trial:
    """A page. `initial` is what its own fields start with, `answer` what it makes of the form."""

    name: str
    title: str
    text: str
    form: type[CallForm]
    answer: Callable[[Source, Any, Hide], list[Panel]]
    initial: Callable[[Source], Mapping[str, Any]] = lambda source: {}


TRIALS: Final = (
    Trial(
        "try-signature",
        "Signature",
        "Is this call from who it says? It is judged as the door would judge it; of a receipt, by "
        "the time at which it came.",
        CallForm,
        signature_answer,
    ),
    Trial(
        "try-payload",
        "Payload",
        "Does this payload fit this schema?",
        PayloadForm,
        payload_answer,
        lambda source: {"schema": source.schema},
    ),
    Trial(
        "try-filter",
        "Filter",
        "Does this filter match? It is asked of what the routes would see of the call.",
        FilterForm,
        filter_answer,
    ),
    Trial(
        "try-transformation",
        "Transformation",
        "What does this expression make of the payload?",
        TransformationForm,
        transformation_answer,
        lambda source: {"expression": source.transformation},
    ),
    Trial(
        "try-routes",
        "Routes",
        "What would follow this call, route by route? Nothing is done.",
        CallForm,
        routes_answer,
    ),
)


def trials_of_source(source: Source) -> Panel | None:
    """Links to the pages."""
    if source.provider not in PROVIDERS:
        return None
    return Custom("Try", "admin/console/trial_links.html", {"trials": links_of(source)})


def links_of(source: Source, receipt: Receipt | None = None) -> list[dict[str, str]]:
    if source.provider not in PROVIDERS:
        return []
    query = f"?receipt={receipt.pk}" if receipt else ""
    return [
        {"title": trial.title, "text": trial.text, "url": url_of(trial, source) + query}
        for trial in TRIALS
    ]


def url_of(trial: Trial, source: Source) -> str:
    return reverse(f"admin:incoming_source_{trial.name}", args=[source.pk])


def trial_page(
    trial: Trial, model_admin: HubAdmin, request: HttpRequest, source: Source
) -> HttpResponse:
    """Asks on GET, answers on POST. For who may look at the source and at receipts."""
    if request.method not in ("GET", "HEAD", "POST"):
        return HttpResponseNotAllowed(["GET", "HEAD", "POST"])
    sees_all = may_see(request, "incoming.source") and may_see(request, "incoming.receipt")
    if not (sees_all or may_as_member(request, Source, "validate", source)):
        raise PermissionDenied
    if source.provider not in PROVIDERS:
        messages.warning(request, f"There is no provider {source.provider} in this version.")
        return HttpResponseRedirect(page_of("incoming.source", source.pk))
    is_asked = request.method == "POST"
    initial = {"receipt_id": request.GET.get("receipt", ""), **trial.initial(source)}
    form = trial.form(source, request.POST if is_asked else None, initial=initial)
    context = {
        **page_context(request, model_admin, source, trial.title),
        "trial": trial,
        "form": form,
        "panels": _answer(trial, source, form) if is_asked and form.is_valid() else [],
        "links": links_of(source, form.receipt if is_asked else None),
        "sample_url": reverse(SAMPLE_PAGE, args=[source.pk])
        if may(request, Source, "send_sample", source)
        else "",
        "here": url_of(trial, source),
        "back_url": page_of("incoming.source", source.pk),
    }
    return TemplateResponse(request, "admin/console/trial.html", context)


def _answer(trial: Trial, source: Source, form: CallForm) -> list[Panel]:
    try:
        return trial.answer(source, form, hide_for(source, form.call))
    except DomainError as error:
        form.add_error(None, str(error))
        return []
