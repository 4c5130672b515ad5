"""A source's routes, as an ordered part of its page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from django import forms
from django.contrib import admin
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from incoming import services
from incoming.acceptable import route_problems
from incoming.handlers import ANY_PROVIDER, HANDLERS
from incoming.models import Route, Source
from webhooks_project.admin.access import AccountInline
from webhooks_project.admin.forms import (
    Checkbox,
    JsonField,
    LinesField,
    Select,
    Textarea,
    TextInput,
)

if TYPE_CHECKING:
    _StackedInline = admin.StackedInline[Route, Source]
    _ModelForm = forms.ModelForm[Route]
else:
    from unfold.admin import StackedInline as _StackedInline

    _ModelForm = forms.ModelForm

ACTIONS: Final = (
    (Route.Action.PUBLISH, "publish: it becomes an event"),
    (Route.Action.HANDLE, "handle: a handler of the platform is called"),
    (Route.Action.UPDATE, "update: the state of the integration is changed"),
    (Route.Action.NOTIFY, "notify: people are told"),
)
FILLED_IN: Final = "{provider}, {type}, {header:…} and {json:…} are filled in."


def by_action(**texts: str) -> SafeString:
    """A help text that differs with the action; without scripts all of them are seen."""
    lines = ((action, action, text) for action, text in texts.items())
    return format_html_join("", '<span class="block" data-action="{}">{}: {}</span>', lines)


class RouteForm(_ModelForm):
    position = forms.IntegerField(required=False, min_value=0, max_value=32_767)
    condition = JsonField(
        required=False,
        widget=Textarea(attrs={"rows": 2, "class": "hub-input"}),
        help_text="A filter over type, provider, method, headers, query and data, as JSON, such as "
        '{"data.amount": {"$gte": 100}}; empty for every receipt.',
    )
    action = forms.ChoiceField(choices=ACTIONS, widget=Select, initial=Route.Action.PUBLISH)
    event_type = forms.CharField(
        required=False,
        max_length=200,
        widget=TextInput,
        label="Type of the event",
        help_text=FILLED_IN,
        initial=Route._meta.get_field("event_type").default,
    )
    expression = forms.CharField(
        required=False,
        max_length=16_384,
        widget=Textarea(attrs={"rows": 2, "class": "hub-input"}),
        label="Expression, in JSONata",
        help_text=by_action(
            publish="what it gives is the event's type, in place of the field above.",
            update="the object that it gives is merged into the state of the integration.",
        ),
    )
    handler = forms.CharField(
        required=False, max_length=255, widget=TextInput, help_text="The handler's name."
    )
    recipients = LinesField(
        required=False,
        widget=Textarea(attrs={"rows": 2}),
        help_text="E-mail addresses, and roles of the account such as operator, one a line.",
    )
    message = forms.CharField(
        required=False,
        max_length=2_000,
        widget=Textarea(attrs={"rows": 2}),
        help_text=f"What they are told; {FILLED_IN}",
    )
    is_last = forms.BooleanField(
        required=False,
        label="Last for what it takes",
        widget=Checkbox,
        help_text="Routes after this one do not see it.",
    )
    is_enabled = forms.BooleanField(required=False, label="Enabled", widget=Checkbox, initial=True)

    class Meta:
        model = Route
        fields = ("position", *services.ROUTE_FIELDS)
        labels: ClassVar = {"type_pattern": "Types"}
        help_texts: ClassVar = {
            "type_pattern": "The provider's event types that it takes: a name, a beginning with * "
            "after it, or * for all."
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance._state.adding:
            self.initial["position"] = None
        else:
            self.initial["is_enabled"] = self.instance.disabled_at is None
        known = _routed_handlers(self.instance)
        self.fields["handler"].help_text = (
            f"One of {', '.join(known)}." if known else "There is none for this provider yet."
        )

    def has_changed(self) -> bool:
        """A new route is one also where nothing was changed of what it starts with."""
        return self.instance._state.adding or super().has_changed()

    def clean_condition(self) -> Any:
        return self.cleaned_data["condition"] or {}

    def clean_position(self) -> int:
        position: int | None = self.cleaned_data["position"]
        return self.instance.position if position is None else position

    def _post_clean(self) -> None:
        """What the service would say of the route, at its fields."""
        super()._post_clean()  # type: ignore[misc]
        for problem in route_problems(self.instance):
            if problem.field not in self.errors:
                self.add_error(
                    problem.field if problem.field in self.fields else None, problem.message
                )

    def values(self, names: list[str]) -> dict[str, Any]:
        """The new values of the named fields, as the services take them."""
        known = ("position", *services.ROUTE_FIELDS)
        return {name: self.cleaned_data[name] for name in names if name in known}


def _routed_handlers(route: Route) -> list[str]:
    """The handlers that run only where a route names them, and that are for its provider."""
    provider = route.source.provider if route.source_id else ""
    return sorted(
        handler.name
        for handler in HANDLERS.values()
        if handler.routed and handler.provider in (provider, ANY_PROVIDER)
    )


class RouteInline(AccountInline, _StackedInline):
    model = Route
    form = RouteForm
    fields = (
        "position", "type_pattern", "condition", "action", "event_type", "expression", "handler",
        "recipients", "message", "is_last", "is_enabled",
    )  # fmt: skip
    extra = 0
    ordering_field = "position"
    hide_ordering_field = True
    template_after = "admin/console/route_fields.html"


def save_routes(source: Source, formset: Any) -> None:
    """What was changed of a source's routes, by the services. Raises SourceNotAcceptable."""
    formset.save(commit=False)
    changed = {route.pk for route, _ in formset.changed_objects}
    for route in formset.deleted_objects:
        services.delete_route(route=route)
    for form in formset.initial_forms:
        if form.instance.pk in changed:
            _change_route(Route.objects.get(pk=form.instance.pk), form)
    for form in formset.extra_forms:
        if form.has_changed() and not formset._should_delete_form(form):
            _add_route(source, form)


def _change_route(route: Route, form: RouteForm) -> None:
    changes = form.values(form.changed_data)
    if changes:
        services.change_route(route=route, **changes)
    if "is_enabled" in form.changed_data:
        services.set_route_enabled(route=route, enabled=form.cleaned_data["is_enabled"])


def _add_route(source: Source, form: RouteForm) -> None:
    fields = form.values(list(form.cleaned_data))
    if form["position"].data in (None, ""):
        del fields["position"]  # the service puts it at the end
    route = services.add_route(source=source, **fields)
    if not form.cleaned_data["is_enabled"]:
        services.set_route_enabled(route=route, enabled=False)
