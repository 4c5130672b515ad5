"""Who may tell us."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Final

from django import forms
from django.contrib import admin
from django.db.models import Q, Sum
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html

from incoming import services
from incoming.admin.receipts import STATUS_COLOURS as RECEIPT_COLOURS
from incoming.models import Receipt, Route, Source, provider_choices
from incoming.providers import PROVIDERS
from incoming.sources import public_url_of
from webhooks_project.admin.base import HubAdmin
from webhooks_project.admin.buttons import ShownOnce, button
from webhooks_project.admin.filters import (
    ChoicesFilter,
    PeriodFilter,
    RelatedFilter,
    YesNoFilter,
)
from webhooks_project.admin.forms import LinesField, Select, ServiceForm, Textarea, TextInput
from webhooks_project.admin.panels import Custom, Panel, Table, secrets_table
from webhooks_project.admin.search import id_in
from webhooks_project.admin.values import (
    column,
    label,
    link,
    list_of,
    moment,
    moment_column,
    page_of,
)
from webhooks_project.lib import clock

if TYPE_CHECKING:
    _RouteInline = admin.TabularInline[Route, Source]
else:
    from unfold.admin import TabularInline as _RouteInline

SHOWN_RECEIPTS: Final = 10
REFUSALS_SINCE: Final = timedelta(days=1)
STATE_COLOURS = {"enabled": "success", "disabled": "danger"}
HINT = "Enter it at the provider, where the provider does not make its own."
ROUTE_FIELDS = ("position", "type_pattern", "event_type", "disabled_at")


def provider_choices_with_none() -> list[tuple[str, str]]:
    """The providers, and none at first: the first by name is nobody's choice."""
    return [("", "Select a provider"), *provider_choices()]


class SourceForm(ServiceForm):
    provider = forms.ChoiceField(choices=provider_choices_with_none, widget=Select)
    secret = forms.CharField(
        max_length=4096,
        required=False,
        widget=TextInput(attrs={"autocomplete": "off"}),
        help_text="The provider's, where the provider makes it. Left empty, we make one and show "
        "it once.",
    )
    options = forms.JSONField(
        initial=dict,
        required=False,
        widget=Textarea(attrs={"rows": 2}),
        help_text="What this provider needs to know: a JSON mapping of names to texts.",
    )
    allowed_networks = LinesField(
        required=False,
        widget=Textarea(attrs={"rows": 2}),
        help_text="Networks that may call, one a line in CIDR form; empty for all.",
    )

    class Meta:
        model = Source
        fields = ("account", "name", "provider", *services.CHANGEABLE)
        labels: ClassVar = {"public_url": "Public URL"}

    def clean_options(self) -> Any:
        return self.cleaned_data["options"] or {}


class NewSecretForm(forms.Form):
    secret = forms.CharField(
        max_length=4096,
        required=False,
        widget=TextInput(attrs={"autocomplete": "off"}),
        help_text="The provider's new secret. Left empty, we make one and show it once.",
    )


class DisabledFilter(YesNoFilter):
    title = "state"
    parameter_name = "state"
    column = "disabled_at"
    words = ("disabled", "enabled")


def provider_of_source(source: Source) -> Panel:
    return Custom(
        "At the provider",
        "admin/console/provider.html",
        {"provider": PROVIDERS.get(source.provider), "name": source.provider},
    )


def secrets_of_source(source: Source) -> Panel:
    return secrets_table("Secrets", source.secrets.all())


def refusals_of_source(source: Source) -> Panel:
    counts = (
        source.refusals.filter(hour__gte=clock.now() - REFUSALS_SINCE)
        .order_by()
        .values_list("cause")
        .annotate(total=Sum("count"))
        .order_by("-total")
    )
    rows = []
    for cause, count in counts:
        filters = {"source__id__exact": source.pk, "cause__exact": cause}
        rows.append([link(list_of("incoming.receipt", **filters), cause), f"{count:,}"])
    return Table("Refused in the last 24 hours", ["Cause", "Calls"], rows)


def receipts_of_source(source: Source) -> Panel:
    """The newest receipts, found status by status: an index has those."""
    newest = [
        receipt
        for status in Receipt.Status
        for receipt in source.receipts.filter(status=status)
        .defer("headers", "body", "query")
        .order_by("-received_at")[:SHOWN_RECEIPTS]
    ]
    newest.sort(key=lambda receipt: receipt.received_at, reverse=True)
    rows = [
        [
            link(page_of("incoming.receipt", receipt.pk), moment(receipt.received_at)),
            label(receipt.status, RECEIPT_COLOURS),
            receipt.cause,
            receipt.type,
            receipt.external_id,
        ]
        for receipt in newest[:SHOWN_RECEIPTS]
    ]
    more = link(list_of("incoming.receipt", source__id__exact=source.pk), "All receipts")
    headers = ["Received", "Status", "Cause", "Type", "Provider's id"]
    return Table("Last receipts", headers, rows, empty="None yet.", more=more)


class RouteInline(_RouteInline):
    model = Route
    fields = ROUTE_FIELDS
    extra = 0


@admin.register(Source)
class SourceAdmin(HubAdmin):
    form = SourceForm
    autocomplete_fields = ("account",)
    inlines = (RouteInline,)
    panels: ClassVar = [
        provider_of_source,
        secrets_of_source,
        refusals_of_source,
        receipts_of_source,
    ]
    created = moment_column("Created", "created_at")
    last_received = moment_column("Last received", "last_received_at")
    list_display = ("name", "provider", "state", "account", "last_received", "created")
    list_filter = (
        ("provider", ChoicesFilter),
        DisabledFilter,
        ("account", RelatedFilter),
        ("created_at", PeriodFilter),
    )
    list_select_related = ("account",)
    search_fields = ("name", "provider")
    search_help_text = "Id, ingest URL, or part of the name or the provider"
    date_hierarchy = "created_at"
    actions_detail = ("enable", "disable", "rotate_secret", "rotate_url")
    change_form_before_template = "admin/console/provider_choice.html"

    def find(self, term: str) -> Q | None:
        key = id_in(term)
        if key is not None:
            return Q(pk=key)
        return Q(token=term.rpartition("/in/")[2]) if "/in/" in term else None

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # it is disabled instead: its receipts would go with it

    def get_inlines(self, request: HttpRequest, obj: Any = None) -> tuple[Any, ...]:
        return () if obj is None else self.inlines  # a new source publishes every receipt

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None:
            fields = ("account", "provider", "name", "secret", *services.CHANGEABLE[1:])
            return [(None, {"fields": fields})]
        state = ("ingest_url", "provider", "account", "state_since", "last_received", "created")
        return [(None, {"fields": state}), ("Settings", {"fields": services.CHANGEABLE})]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        shown = ("ingest_url", "state_since", "last_received", "created")
        return (*shown, "provider", "account") if obj is not None else shown

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        if kwargs.get("obj") is None:
            context["provider_texts"] = {
                name: {"setup": item.setup, "options": dict(item.options), "docs": item.docs}
                for name, item in PROVIDERS.items()
            }
        return super().render_change_form(request, context, *args, **kwargs)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        changes = form.changes(services.CHANGEABLE)
        if change and changes:
            services.change_source(source=Source.objects.get(pk=obj.pk), **changes)
        if change:
            return
        fields = dict(form.cleaned_data)
        given = fields.pop("secret")
        made = services.create_source(secret=given or None, **fields)
        obj.__dict__.update(made.source.__dict__)
        if made.secret and not given:
            self.show_after_add(request, ShownOnce("Secret", made.secret, HINT))

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        formset.save(commit=False)
        for route in formset.deleted_objects:
            services.delete_route(route=route)
        for route, names in formset.changed_objects:
            services.change_route(
                route=Route.objects.get(pk=route.pk),
                **{name: getattr(route, name) for name in names},
            )
        for route in formset.new_objects:
            fields = {name: getattr(route, name) for name in ROUTE_FIELDS}
            services.add_route(source=form.instance, **fields)

    @button(
        "Enable",
        icon="play_arrow",
        variant="success",
        question="It takes calls again.",
        is_possible=lambda source: source.disabled_at is not None,
    )
    def enable(self, source: Source) -> str:
        services.set_source_enabled(source=source, enabled=True)
        return "It takes calls."

    @button(
        "Disable",
        icon="block",
        variant="danger",
        question="Every call is refused with source_disabled. Most third parties try again for a "
        "while, and then what they had to tell is lost.",
        is_possible=lambda source: source.disabled_at is None,
    )
    def disable(self, source: Source) -> str:
        services.set_source_enabled(source=source, enabled=False)
        return "It refuses every call."

    @button(
        "Rotate secret",
        icon="key",
        question="Calls signed with the new secret are taken, and those signed with the old ones "
        "too for 24 hours.",
        form=NewSecretForm,
    )
    def rotate_secret(self, source: Source, secret: str) -> str | ShownOnce:
        made = services.rotate_source_secret(source=source, secret=secret or None)
        if secret:
            return "The new secret counts."
        return ShownOnce("New secret", made.secret, HINT)

    @button(
        "Rotate URL",
        icon="link",
        question="It gets another ingest URL; the old one is unknown from now on, so enter the new "
        "one at the provider.",
    )
    def rotate_url(self, source: Source) -> str:
        services.rotate_token(source=source)
        return "It has another ingest URL."

    @column("Ingest URL")
    def ingest_url(self, source: Source) -> str:
        return format_html('<span class="hub-once">{}</span>', public_url_of(source))

    @column("State")
    def state(self, source: Source) -> str:
        return label("disabled" if source.disabled_at else "enabled", STATE_COLOURS)

    @column("State")
    def state_since(self, source: Source) -> str:
        if source.disabled_at is None:
            return self.state(source)
        return format_html("{} since {}", self.state(source), moment(source.disabled_at))
