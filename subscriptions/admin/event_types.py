"""The catalogue of event types."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from subscriptions import event_types
from subscriptions.models import EventType
from subscriptions.schemas import check_payload
from webhooks_project.admin.base import HubAdmin
from webhooks_project.admin.buttons import button
from webhooks_project.admin.filters import RelatedFilter, ValuesFilter
from webhooks_project.admin.forms import ServiceForm, Textarea
from webhooks_project.admin.panels import Panel, Texts
from webhooks_project.admin.values import (
    json_text,
    moment,
    moment_column,
    text_block,
    value_column,
)


class EventTypeForm(ServiceForm):
    error_fields: ClassVar = {"event_type_malformed": "name", "event_type_exists": "name"}

    class Meta:
        model = EventType
        fields = ("account", "name", "description", "schema_mode")
        widgets: ClassVar = {"description": Textarea(attrs={"rows": 3})}


class SchemaForm(forms.Form):
    schema = forms.JSONField(
        initial=dict, widget=Textarea(attrs={"rows": 12}), help_text="JSON Schema, draft 2020-12."
    )
    examples = forms.JSONField(
        initial=list,
        widget=Textarea(attrs={"rows": 4}),
        required=False,
        help_text="A list of payloads that fit it; may be empty.",
    )

    def clean_schema(self) -> Any:
        schema = self.cleaned_data["schema"]
        try:
            check_payload(schema, None)
        except ValueError as error:
            raise forms.ValidationError(str(error)) from error
        return schema

    def clean_examples(self) -> list[Any]:
        examples = self.cleaned_data["examples"] or []
        if not isinstance(examples, list):
            raise forms.ValidationError("a list of payloads")
        return examples


def schemas_of_type(event_type: EventType) -> Panel:
    blocks = [
        text_block(
            f"Version {schema.version}",
            json_text(schema.schema),
            note=moment(schema.created_at),
            is_open=position == 0,
        )
        for position, schema in enumerate(event_type.schemas.all())
    ]
    return Texts("Schemas, the latest in force", blocks, empty="None: any data fits.")


@admin.register(EventType)
class EventTypeAdmin(HubAdmin):
    form = EventTypeForm
    fields = ("account", "name", "description", "schema_mode")
    autocomplete_fields = ("account",)
    panels: ClassVar = [schemas_of_type]
    created = moment_column("Created", "created_at")
    mode = value_column("Schema mode", "schema_mode")
    list_display = ("name", "account", "mode", "description", "created")
    list_filter = (("schema_mode", ValuesFilter), ("account", RelatedFilter))
    list_select_related = ("account",)
    search_fields = ("name",)
    date_hierarchy = "created_at"
    actions_detail = ("add_schema",)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("account", "name") if obj is not None else ()

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        changes = form.changes(("description", "schema_mode"))
        if change and changes:
            event_types.change_event_type(event_type=EventType.objects.get(pk=obj.pk), **changes)
        elif not change:
            obj.__dict__.update(event_types.create_event_type(**form.cleaned_data).__dict__)

    def delete_model(self, request: HttpRequest, obj: EventType) -> None:
        event_types.delete_event_type(event_type=obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[EventType]) -> None:
        for event_type in queryset:
            event_types.delete_event_type(event_type=event_type)

    @button(
        "Add schema",
        icon="schema",
        question="It is the next version, and in force from now on.",
        form=SchemaForm,
    )
    def add_schema(self, event_type: EventType, schema: Any, examples: list[Any]) -> str:
        made = event_types.add_schema(event_type=event_type, schema=schema, examples=examples)
        return f"Version {made.version} is in force."
