"""What an operator writes to try something: a call, and what it is tried with."""

from __future__ import annotations

from typing import Any, Final

from django import forms

from incoming import trials
from incoming.acceptable import METHODS
from incoming.models import Receipt, Source
from incoming.payload import call_of
from incoming.providers import Call
from incoming.sources import public_url_of
from webhooks_project.admin.forms import HeadersField, JsonField, Select, Textarea, TextInput
from webhooks_project.admin.search import id_in

MAX_PASTED: Final = 1024 * 1024  # characters of a body


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
    def asked(self) -> Receipt:
        """The receipt that is asked about, or that of the call."""
        return self.receipt or trials.receipt_for(self.source, self.call)

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
