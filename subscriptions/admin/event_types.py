"""The catalogue of event types."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse

from subscriptions import event_types
from subscriptions.admin.importing import import_page
from subscriptions.admin.new_schema import new_schema_page
from subscriptions.errors import SuccessorNotAcceptable
from subscriptions.models import EventType
from webhooks_project.admin.base import HubAdmin
from webhooks_project.admin.buttons import button, opens_list_page, opens_page
from webhooks_project.admin.filters import RelatedFilter, ValuesFilter, YesNoFilter
from webhooks_project.admin.forms import ServiceForm, Textarea, TextInput
from webhooks_project.admin.panels import Panel, Texts
from webhooks_project.admin.values import (
    column,
    json_text,
    label,
    moment,
    moment_column,
    text_block,
    value_column,
)

SHOWN_VERSIONS: Final = 10
CHANGEABLE: Final = ("description", "group", "owner", "is_public", "schema_mode")
STATES: Final = {"deprecated": "warning", "archived": "danger", "active": "success"}


class EventTypeForm(ServiceForm):
    error_fields: ClassVar = {"event_type_malformed": "name", "event_type_exists": "name"}

    class Meta:
        model = EventType
        fields = ("account", "name", *CHANGEABLE)
        widgets: ClassVar = {"description": Textarea(attrs={"rows": 3})}


class DeprecateForm(forms.Form):
    successor = forms.CharField(
        required=False,
        max_length=128,
        widget=TextInput,
        help_text="The name of the type to use instead; may be empty.",
    )


def schemas_of_type(event_type: EventType) -> Panel:
    found = list(event_type.schemas.all()[: SHOWN_VERSIONS + 1])
    blocks = []
    for position, schema in enumerate(found[:SHOWN_VERSIONS]):
        title = f"Version {schema.number}"
        note = moment(schema.created_at)
        blocks.append(text_block(title, json_text(schema.schema), note=note, is_open=position == 0))
        if schema.examples:
            blocks.append(
                text_block(f"{title}: examples", json_text(schema.examples), is_open=False)
            )
        if schema.downgrade:
            blocks.append(text_block(f"{title}: downgrade", schema.downgrade, is_open=False))
    title = "Schemas, the latest in force"
    if len(found) > SHOWN_VERSIONS:
        title += f"; the last {SHOWN_VERSIONS}"
    return Texts(title, blocks, empty="None: any data fits.")


class ArchivedFilter(YesNoFilter):
    title = "archived"
    parameter_name = "archived"
    column = "archived_at"
    words = ("archived", "not archived")


class DeprecatedFilter(YesNoFilter):
    title = "deprecated"
    parameter_name = "deprecated"
    column = "deprecated_at"
    words = ("deprecated", "not deprecated")


@admin.register(EventType)
class EventTypeAdmin(HubAdmin):
    form = EventTypeForm
    autocomplete_fields = ("account",)
    panels: ClassVar = [schemas_of_type]
    created = moment_column("Created", "created_at")
    mode = value_column("Schema mode", "schema_mode")
    list_display = ("name", "account", "group", "mode", "state", "is_public", "created")
    list_filter = (
        ("schema_mode", ValuesFilter),
        ("account", RelatedFilter),
        DeprecatedFilter,
        ArchivedFilter,
    )
    list_select_related = ("account",)
    search_fields = ("name", "group", "owner")
    date_hierarchy = "created_at"
    actions_list = ("import_types",)
    actions_detail = ("add_schema", "deprecate", "archive", "restore")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        own = ("account", "name", *CHANGEABLE)
        return own if obj is None else (*own, "state", "successor")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("account", "name", "state", "successor") if obj is not None else ()

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        changes = form.changes(CHANGEABLE)
        if change and changes:
            event_types.change_event_type(event_type=EventType.objects.get(pk=obj.pk), **changes)
        elif not change:
            obj.__dict__.update(event_types.create_event_type(**form.cleaned_data).__dict__)

    def delete_model(self, request: HttpRequest, obj: EventType) -> None:
        event_types.delete_event_type(event_type=obj)

    @column("State")
    def state(self, event_type: EventType) -> str:
        if event_type.archived_at is not None:
            return label("archived", STATES)
        return label("deprecated" if event_type.deprecated_at else "active", STATES)

    @opens_list_page("Import", icon="upload_file")
    def import_types(self, request: HttpRequest) -> HttpResponse:
        return import_page(self, request)

    @opens_page(
        "Add schema", icon="schema", is_possible=lambda event_type: event_type.archived_at is None
    )
    def add_schema(self, request: HttpRequest, event_type: EventType) -> HttpResponse:
        return new_schema_page(self, request, event_type)

    @button(
        "Deprecate",
        icon="event_busy",
        variant="warning",
        question="It can be published and heard as before; each publishing is answered with a "
        "warning, and the catalogue says so.",
        form=DeprecateForm,
        is_possible=lambda event_type: event_type.archived_at is None,
    )
    def deprecate(self, event_type: EventType, successor: str) -> str:
        found = None
        if successor:
            found = EventType.objects.filter(account=event_type.account, name=successor).first()
            if found is None:
                raise SuccessorNotAcceptable(f"there is no event type {successor}")
        event_types.deprecate_event_type(event_type=event_type, successor=found)
        return "It is deprecated."

    @button(
        "Archive",
        icon="archive",
        variant="danger",
        question="Events and schemas of the type are refused from now on. Its history stays.",
        is_possible=lambda event_type: event_type.archived_at is None,
    )
    def archive(self, event_type: EventType) -> str:
        event_types.archive_event_type(event_type=event_type)
        return "It is archived."

    @button(
        "Restore",
        icon="unarchive",
        question="It is a type like any other again: neither deprecated nor archived.",
        is_possible=lambda event_type: bool(event_type.archived_at or event_type.deprecated_at),
    )
    def restore(self, event_type: EventType) -> str:
        event_types.restore_event_type(event_type=event_type)
        return "It is in use again."
