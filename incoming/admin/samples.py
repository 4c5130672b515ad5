"""The page that sends a source a signed call, as its provider would, through the real door."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any, Final

from django import forms
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from incoming.errors import SampleNotPossible
from incoming.masking import mask_of
from incoming.models import Receipt, Source
from incoming.providers import PROVIDERS
from incoming.samples import SampleResult, sample_call, send_sample
from incoming.sources import known_source
from webhooks_project.admin.base import HubAdmin
from webhooks_project.admin.buttons import acting, page_context
from webhooks_project.admin.forms import Textarea, TextInput
from webhooks_project.admin.panels import Custom, Panel, Texts
from webhooks_project.admin.values import (
    EMPTY,
    headers_block,
    label,
    link,
    page_of,
    text_block,
)
from webhooks_project.lib import clock

MAX_BODY: Final = 1024 * 1024  # characters
SHOWN_TYPES: Final = 20


class SampleForm(forms.Form):
    type = forms.CharField(
        required=False,
        max_length=128,
        widget=TextInput(attrs={"list": "sample-types", "autocomplete": "off"}),
        help_text="The provider's event type; left empty, one of ours.",
    )
    body = forms.CharField(
        required=False,
        strip=False,
        max_length=MAX_BODY,
        widget=Textarea(attrs={"rows": 8, "class": "hub-input"}),
        help_text="Left empty, a small one of that type is made up.",
    )

    def clean_body(self) -> bytes | None:
        """As it was written: browsers send \\r\\n for each end of a line."""
        text = str(self.cleaned_data["body"]).replace("\r\n", "\n")
        return text.encode(errors="surrogateescape") or None


def sample_page(model_admin: HubAdmin, request: HttpRequest, source: Source) -> HttpResponse:
    """Asks on GET; on POST sends, or only makes a body to start from."""
    form = SampleForm(request.POST if request.method == "POST" else None)
    panels: list[Panel] = []
    problem = why_not(source)
    if request.method == "POST" and not problem and form.is_valid():
        if "make_body" in request.POST:
            form = SampleForm(initial=_made_up(source, form.cleaned_data["type"]))
        else:
            panels, problem = _send(request, source, form)
    context = {
        **page_context(request, model_admin, source, "Send a sample"),
        "form": form,
        "types": known_types(source),
        "problem": problem,
        "panels": panels,
        "back_url": page_of("incoming.source", source.pk),
    }
    return TemplateResponse(request, "admin/console/sample.html", context)


def why_not(source: Source) -> str:
    """Why no sample can be made for this source; empty where one can."""
    if source.provider not in PROVIDERS:
        return f"There is no provider {source.provider} in this version."
    try:
        sample_call(known_source(source), now=clock.now().timestamp())
    except SampleNotPossible as error:
        return str(error)
    return ""


def known_types(source: Source) -> list[str]:
    """Types to choose from: those that its routes name, and those that came last."""
    named = [route.type_pattern for route in source.routes.all() if "*" not in route.type_pattern]
    came = source.receipts.filter(status=Receipt.Status.PROCESSED).order_by("-received_at")
    return sorted({*named, *came.values_list("type", flat=True)[:SHOWN_TYPES]} - {""})


def _made_up(source: Source, type_: str) -> dict[str, Any]:
    call = sample_call(known_source(source), type_=type_, now=clock.now().timestamp())
    return {"type": type_, "body": mask_of(source)(call.body.decode("utf-8", "replace"))}


def _send(request: HttpRequest, source: Source, form: SampleForm) -> tuple[list[Panel], str]:
    since = clock.now()
    given = form.cleaned_data
    try:
        with acting(request):
            result = send_sample(source=source, type_=given["type"], body=given["body"])
    except SampleNotPossible as error:
        return [], str(error)
    return [_answer(source, result, since), _sent(source, result)], ""


def _answer(source: Source, result: SampleResult, since: datetime) -> Panel:
    is_taken = 200 <= result.status < 300
    colours = {str(result.status): "success" if is_taken else "danger"}
    receipt = _receipt_of(source, result, since)
    rows = [
        ["Status", label(str(result.status), colours)],
        ["Receipt", link(page_of("incoming.receipt", receipt.pk), receipt) if receipt else EMPTY],
        ["Body", mask_of(source)(result.answer) or EMPTY],
    ]
    return Custom("The door's answer", "admin/console/answer.html", {"rows": rows})


def _receipt_of(source: Source, result: SampleResult, since: datetime) -> Receipt | None:
    """The receipt of what was sent, found by its body; none where a refusal was not kept."""
    digest = hashlib.sha256(result.body).digest()
    found = source.receipts.filter(body_sha256=digest, received_at__gte=since)
    return found.defer("headers", "body", "query").order_by("-received_at").first()


def _sent(source: Source, result: SampleResult) -> Panel:
    mask = mask_of(source)
    headers = {name: mask(value) for name, value in result.headers.items()}
    body = mask(result.body.decode("utf-8", "replace"))
    return Texts("What was sent", [headers_block("Headers", headers), text_block("Body", body)])
