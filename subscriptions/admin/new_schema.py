"""The page on which an operator adds a schema: first what it would break, then the adding."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse

from subscriptions import event_types
from subscriptions.errors import SchemaBreaksReaders, SchemaNotValid
from subscriptions.event_types import SchemaCheck
from subscriptions.models import EventType
from webhooks_project.admin.base import HubAdmin
from webhooks_project.admin.buttons import acting, page_context
from webhooks_project.admin.forms import Checkbox, JsonField, Textarea
from webhooks_project.admin.panels import Panel, Table
from webhooks_project.admin.values import label, page_of
from webhooks_project.lib.errors import DomainError

WHOM = {"readers": "danger", "writers": "warning"}


class SchemaForm(forms.Form):
    schema = JsonField(
        widget=Textarea(attrs={"rows": 16, "class": "hub-input"}),
        help_text="JSON Schema, draft 2020-12.",
    )
    examples = JsonField(
        widget=Textarea(attrs={"rows": 6, "class": "hub-input"}),
        required=False,
        help_text="A list of payloads that fit it; may be empty.",
    )
    downgrade = forms.CharField(
        required=False,
        max_length=65_536,
        widget=Textarea(attrs={"rows": 3, "class": "hub-input"}),
        help_text="JSONata that makes its data into that of the major version before it, for "
        "subscriptions that stay with that.",
    )
    major = forms.BooleanField(
        required=False,
        widget=Checkbox,
        label="Major version",
        help_text="It may break readers; subscriptions may stay with the version before.",
    )
    allow_breaking = forms.BooleanField(
        required=False,
        widget=Checkbox,
        label="Break readers in a minor version",
        help_text="Said explicitly: nobody can stay behind.",
    )

    def clean_schema(self) -> Any:
        schema = self.cleaned_data["schema"]
        try:
            event_types.check_schema(schema)
        except SchemaNotValid as error:
            raise forms.ValidationError(str(error)) from error
        return schema

    def clean_examples(self) -> list[Any]:
        examples = self.cleaned_data["examples"] or []
        if not isinstance(examples, list):
            raise forms.ValidationError("a list of payloads")
        return examples


def new_schema_page(
    model_admin: HubAdmin, request: HttpRequest, event_type: EventType
) -> HttpResponse:
    """Asks on GET, starting from the latest; on POST says what it would break, or adds it."""
    is_asked = request.method == "POST"
    latest = event_type.schemas.first()
    initial = {
        "schema": latest.schema if latest else {"type": "object"},
        "examples": latest.examples if latest else [],
    }
    form = SchemaForm(request.POST if is_asked else None, initial=initial)
    check: SchemaCheck | None = None
    if is_asked and form.is_valid():
        try:
            check = event_types.check_new_schema(event_type=event_type, **form.cleaned_data)
            if "add" in request.POST:
                return _add(request, event_type, form)
        except SchemaBreaksReaders:
            form.add_error(None, "It breaks what is listed below: say that it may.")
        except DomainError as error:
            form.add_error(None, str(error))
    context = {
        **page_context(request, model_admin, event_type, "Add schema"),
        "form": form,
        "panels": [changes_panel(check)] if check else [],
        "back_url": page_of("subscriptions.eventtype", event_type.pk),
    }
    return TemplateResponse(request, "admin/console/new_schema.html", context)


def changes_panel(check: SchemaCheck) -> Panel:
    """What a schema breaks, place by place."""
    rows = [
        [change.path or "the whole", change.kind.value, change.detail, label(change.breaks, WHOM)]
        for change in check.changes
    ]
    return Table(
        f"As version {check.number}",
        ["Where", "Change", "Detail", "Breaks"],
        rows,
        empty="It breaks nobody.",
    )


def _add(request: HttpRequest, event_type: EventType, form: SchemaForm) -> HttpResponse:
    with acting(request):
        made = event_types.add_schema(event_type=event_type, **form.cleaned_data)
    messages.success(request, f"Version {made.number} is in force.")
    return HttpResponseRedirect(page_of("subscriptions.eventtype", event_type.pk))
