"""Pages on which an operator tries what a source would say of a call. Nothing is written.

The answers are those of `incoming/trials.py`, which the API gives too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse

from incoming import trials
from incoming.acceptable import METHODS
from incoming.masking import mask_of
from incoming.models import Receipt, Source, SourceSecret
from incoming.payload import call_of, parse
from incoming.providers import PROVIDERS, Call
from incoming.sources import public_url_of
from webhooks_project.admin.base import HubAdmin
from webhooks_project.admin.buttons import may_see, page_context
from webhooks_project.admin.forms import HeadersField, JsonField, Select, Textarea, TextInput
from webhooks_project.admin.panels import Custom, Panel, Table, Texts, shown_end
from webhooks_project.admin.search import id_in
from webhooks_project.admin.values import (
    json_text,
    label,
    moment,
    page_of,
    text_block,
    visible,
)
from webhooks_project.lib.errors import DomainError
from webhooks_project.lib.redaction import MASK, redact_headers

MAX_PASTED: Final = 1024 * 1024  # characters of a body
VERDICT_COLOURS: Final = {
    "valid": "success", "fits": "success", "matches": "success", "holds": "success",
    "refused": "danger", "does not fit": "danger", "does not match": "danger",
    "does not hold": "danger", "failed": "danger", "nothing": "warning",
}  # fmt: skip

Hide = Callable[[str], str]


class CallForm(forms.Form):
    """A call: that of a receipt, or one that is written here.

    `call` is it once the form is valid, `receipt` the receipt where there is one.
    """

    receipt_id = forms.CharField(
        required=False,
        max_length=64,
        widget=TextInput,
        label="Receipt",
        help_text="The id of a receipt of this source; left empty, the call below is taken.",
    )
    method = forms.ChoiceField(
        required=False, choices=[(name, name) for name in METHODS], initial="POST", widget=Select
    )
    query = forms.CharField(
        required=False,
        max_length=8192,
        widget=TextInput,
        help_text="What follows the ? in the URL.",
    )
    headers = HeadersField(
        required=False,
        initial={"content-type": "application/json"},
        widget=Textarea(attrs={"rows": 4, "class": "hub-input"}),
        help_text="One a line, as Name: value.",
    )
    body = forms.CharField(
        required=False,
        strip=False,
        max_length=MAX_PASTED,
        widget=Textarea(attrs={"rows": 6, "class": "hub-input"}),
    )

    def __init__(self, source: Source, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.source = source
        self.receipt: Receipt | None = None

    def clean_receipt_id(self) -> str:
        text: str = self.cleaned_data["receipt_id"].strip()
        if text:
            key = id_in(text)
            self.receipt = self.source.receipts.filter(pk=key).first() if key else None
            if self.receipt is None:
                raise forms.ValidationError("This source has no such receipt.")
            if self.receipt.body_pruned_at or not self.receipt.headers:
                raise forms.ValidationError("Its body is no longer kept.")
        return text

    def clean_body(self) -> str:
        """As it is pasted: browsers send \\r\\n for each end of a line."""
        return str(self.cleaned_data["body"]).replace("\r\n", "\n")

    @property
    def call(self) -> Call:
        if self.receipt is not None:
            return call_of(self.receipt, public_url_of(self.source))
        given = self.cleaned_data
        return trials.call_for(
            self.source,
            method=given["method"] or "POST",
            query=given["query"],
            headers=given["headers"],
            body=given["body"].encode(errors="surrogateescape"),
        )


class SignatureForm(CallForm):
    pass


class PayloadForm(CallForm):
    schema = JsonField(widget=Textarea(attrs={"rows": 8, "class": "hub-input"}))
    field_order = ("schema",)


class FilterForm(CallForm):
    condition = JsonField(
        widget=Textarea(attrs={"rows": 4, "class": "hub-input"}),
        help_text='A filter, as the condition of a route, such as {"data.amount": {"$gte": 100}}.',
    )
    field_order = ("condition",)


class TransformationForm(CallForm):
    expression = forms.CharField(
        max_length=65_536,
        widget=Textarea(attrs={"rows": 4, "class": "hub-input"}),
        help_text="JSONata over the payload; $type, $provider, $headers, $query and $method are "
        "there too.",
    )
    field_order = ("expression",)


@dataclass(frozen=True)
class Trial:
    """A page. `initial` is what its own fields start with, `answer` what it makes of the form."""

    name: str
    title: str
    text: str
    form: type[CallForm]
    answer: Callable[[Source, Any, Hide], list[Panel]]
    initial: Callable[[Source], Mapping[str, Any]] = lambda source: {}


def signature_answer(source: Source, form: CallForm, hide: Hide) -> list[Panel]:
    if form.receipt is not None and PROVIDERS[source.provider].sends_secret:
        return [_verdict_on_arrival(form.receipt)]
    at = form.receipt.received_at if form.receipt else None
    answer = trials.try_signature(source, form.call, moment=at)
    rows = [["Verdict", _verdict("valid" if answer.valid else "refused")]]
    if not answer.valid:
        rows += [["Step that failed", answer.cause], ["Why", answer.detail]]
    rows += [
        ["Secret that fitted", shown_secret(answer.secret_id) if answer.secret_id else ""],
        ["Provider's id", hide(answer.external_id)],
        ["Type", hide(answer.type)],
        ["Judged at", moment(at) if at else "now"],
    ]
    return [_facts("Answer", [row for row in rows if row[1]])]


def _verdict_on_arrival(receipt: Receipt) -> Panel:
    """What was found when it came: what proved it is no longer in what is stored."""
    rows = [
        ["Verdict on arrival", _verdict("valid" if receipt.is_verified else "refused")],
        ["Why", receipt.cause],
        ["Secret that fitted", shown_secret(receipt.secret_id) if receipt.secret_id else ""],
        ["Not tried anew", "This provider sends the secret itself, which is not stored."],
    ]
    return _facts("Answer", [row for row in rows if row[1]])


def payload_answer(source: Source, form: CallForm, hide: Hide) -> list[Panel]:
    answer = trials.try_payload(form.cleaned_data["schema"], _payload(form.call))
    rows = [[hide(error.path) or "the whole", hide(error.message)] for error in answer.errors]
    return [
        _verdict_panel("fits" if answer.valid else "does not fit"),
        Table("What does not fit", ["Path", "Why"], rows, empty="Nothing."),
    ]


def filter_answer(source: Source, form: CallForm, hide: Hide) -> list[Panel]:
    document = trials.document_for(source, form.call)
    answer = trials.try_filter(form.cleaned_data["condition"], document)
    rows = [
        [
            hide(clause.pointer),
            clause.operator,
            hide(_short(clause.expected)),
            hide(", ".join(_short(value) for value in clause.found)) or "absent",
            _verdict("holds" if clause.passed else "does not hold"),
        ]
        for clause in answer.clauses
    ]
    return [
        _verdict_panel("matches" if answer.matched else "does not match"),
        Table("Clause by clause", ["Clause", "Operator", "Wanted", "Found", ""], rows),
        Texts("What it was asked of", [text_block("Document", hide(json_text(document)))]),
    ]


def transformation_answer(source: Source, form: CallForm, hide: Hide) -> list[Panel]:
    data, bindings = trials.expression_input(source, form.call)
    answer = trials.try_transformation(form.cleaned_data["expression"], data, bindings)
    if not answer.valid:
        rows = [["Why", hide(answer.message)], ["Reason", answer.reason]]
        if answer.position is not None:
            rows.append(["At character", str(answer.position)])
        return [_facts("Answer", [["Verdict", _verdict("failed")], *rows])]
    if answer.is_empty:
        return [_verdict_panel("nothing")]
    return [Texts("It gives", [text_block("Result", hide(json_text(answer.result)))])]


TRIALS: Final = (
    Trial(
        "try-signature",
        "Signature",
        "Is this call from who it says? It is judged as the door would judge it; of a receipt, by "
        "the time at which it came.",
        SignatureForm,
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
    if not (may_see(request, "incoming.source") and may_see(request, "incoming.receipt")):
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
        "here": url_of(trial, source),
        "back_url": page_of("incoming.source", source.pk),
    }
    return TemplateResponse(request, "admin/console/trial.html", context)


def _answer(trial: Trial, source: Source, form: CallForm) -> list[Panel]:
    try:
        return trial.answer(source, form, _hide(source, form.call))
    except DomainError as error:
        form.add_error(None, str(error))
        return []


def shown_secret(key_text: str) -> str:
    """The secret that a call was proved with, by its end; by its name where it is not a row."""
    key = id_in(key_text)
    row = SourceSecret.objects.filter(pk=key).first() if key else None
    return f"secret {shown_end(row) if row else key_text}"


def _hide(source: Source, call: Call) -> Hide:
    """What takes the source's secrets and the call's proofs out of an answer."""
    mask = mask_of(source)
    shown = redact_headers(dict(call.headers))
    proofs = [value for name, value in call.headers.items() if value and shown[name] != value]

    def hide(text: str) -> str:
        for proof in proofs:
            text = text.replace(proof, MASK)
        return visible(mask(text))

    return hide


def _payload(call: Call) -> Any:
    return parse(call.body, call.headers.get("content-type", ""))


def _short(value: Any) -> str:
    text = orjson.dumps(value).decode()
    return text if len(text) <= 200 else f"{text[:200]}…"


def _verdict(word: str) -> str:
    return label(word, VERDICT_COLOURS)


def _verdict_panel(word: str) -> Panel:
    return _facts("Answer", [["Verdict", _verdict(word)]])


def _facts(title: str, rows: Sequence[Sequence[Any]]) -> Panel:
    return Custom(title, "admin/console/answer.html", {"rows": rows})
