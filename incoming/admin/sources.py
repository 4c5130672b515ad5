"""Who may tell us."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, ClassVar, Final

from django import forms
from django.conf import settings
from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.utils.html import format_html

from incoming import services
from incoming.admin.routes import RouteInline, save_routes
from incoming.admin.samples import sample_page
from incoming.admin.source_form import (
    GRACE_HOURS,
    GROUPS,
    GraceForm,
    NewSecretForm,
    SourceForm,
    form_for,
    option_fields_for,
)
from incoming.admin.source_pages import made_page, provider_choice_page
from incoming.admin.source_panels import (
    facts_of,
    provider_of_source,
    receipts_of_source,
    refusals_of_source,
    secrets_end,
    secrets_of_source,
    state_of_integration,
)
from incoming.admin.trials import TRIALS, Trial, trial_page, trials_of_source
from incoming.models import Source
from incoming.providers import PROVIDERS, Provider
from incoming.sources import public_url_of
from webhooks_project.admin.base import HubAdmin
from webhooks_project.admin.buttons import ShownOnce, button, opens_page
from webhooks_project.admin.filters import ChoicesFilter, PeriodFilter, RelatedFilter, YesNoFilter
from webhooks_project.admin.search import id_in
from webhooks_project.admin.values import EMPTY, column, label, moment, moment_column, visible
from webhooks_project.lib import clock

STATE_COLOURS = {"enabled": "success", "disabled": "danger"}
HINT: Final = "Enter it at the provider, where the provider does not make its own."


class DisabledFilter(YesNoFilter):
    title = "state"
    parameter_name = "state"
    column = "disabled_at"
    words = ("disabled", "enabled")


@admin.register(Source)
class SourceAdmin(HubAdmin):
    form = SourceForm
    empty_text = "A source is who may call us: it has an ingest URL, a provider and a secret."
    deferred = ("schema", "state", "transformation", "answer_body")
    autocomplete_fields = ("account",)
    inlines = (RouteInline,)
    panels: ClassVar = [
        secrets_of_source,
        refusals_of_source,
        receipts_of_source,
        state_of_integration,
        trials_of_source,
        provider_of_source,
    ]
    created = moment_column("Created", "created_at")
    last_received = moment_column("Last received", "last_received_at")
    last_verified = moment_column("Last verified", "last_verified_at")
    list_display = (
        "name", "provider", "state_label", "account", "last_received", "last_problem", "created",
    )  # fmt: skip
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
    actions_detail = (
        "send_sample",
        "enable",
        "disable",
        "rotate_secret",
        "show_secret",
        "rotate_url",
    )
    change_form_outer_before_template = "admin/console/provider_facts.html"

    def find(self, term: str) -> Q | None:
        key = id_in(term)
        if key is not None:
            return Q(pk=key)
        if "/in/" not in term:
            return None
        token = term.rpartition("/in/")[2]
        return Q(token=token) | Q(previous_token=token)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # it is disabled instead: its receipts would go with it

    # --- the form ---

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        is_chosen = object_id is not None or _chosen(request) is not None
        if is_chosen or not self.has_add_permission(request):
            return super().changeform_view(request, object_id, form_url, extra_context)
        return provider_choice_page(self, request)

    def get_inlines(self, request: HttpRequest, obj: Any = None) -> tuple[Any, ...]:
        return () if obj is None else self.inlines  # a new source publishes every receipt

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> type[forms.ModelForm[Any]]:
        kwargs["form"] = form_for(_provider(request, obj), _options_set(obj), is_new=obj is None)
        return super().get_form(request, obj, change, **kwargs)

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        provider = _chosen(request)
        given = super().get_changeform_initial_data(request)
        return given | ({"name": provider.label} if provider else {})

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        options = option_fields_for(_provider(request, obj), _options_set(obj))
        if obj is None:
            first = ("provider", "account", "name", "secret", *options)
            later = [
                (title, {"fields": fields, "classes": ["collapse"]}) for title, fields in GROUPS
            ]
            return [(None, {"fields": first}), *later]
        state = ("name", "ingest_url", "old_url", "provider", "account", "state_since")
        counters = (
            ("last_received", "last_verified"),
            ("counts", "last_problem"),
            ("secrets_end", "created"),
        )
        return [
            (None, {"fields": state}),
            ("State and counters", {"fields": counters}),
            *(
                (title, {"fields": _with(options, title, fields), "classes": ["tab"]})
                for title, fields in GROUPS
            ),
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        if obj is None:
            return ()
        return (
            "ingest_url", "old_url", "state_since", "last_received", "last_verified", "counts",
            "last_problem", "secrets_end", "created", "provider", "account",
        )  # fmt: skip

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        provider = _chosen(request)
        if kwargs.get("obj") is None and provider is not None:
            context |= {
                "facts": facts_of(provider),
                "show_save_and_add_another": False,
                "show_save_and_continue": False,
            }
        return super().render_change_form(request, context, *args, **kwargs)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if change:
            changes = form.changes(services.CHANGEABLE)
            if changes:
                services.change_source(source=Source.objects.get(pk=obj.pk), **changes)
            return
        known = ("account", "provider", *services.CHANGEABLE)
        fields = {name: value for name, value in form.cleaned_data.items() if name in known}
        given = form.cleaned_data["secret"]
        made = services.create_source(secret=given or None, **fields)
        obj.__dict__.update(made.source.__dict__)
        request.made_secret = "" if given else made.secret  # type: ignore[attr-defined]

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        save_routes(form.instance, formset)

    def response_add(
        self, request: HttpRequest, obj: Any, post_url_continue: str | None = None
    ) -> HttpResponse:
        return made_page(self, request, obj)

    # --- pages of its own ---

    def get_urls(self) -> list[Any]:
        pages = [
            path(
                f"<path:object_id>/{trial.name}/",
                self.admin_site.admin_view(self._trial_view(trial)),
                name=f"incoming_source_{trial.name}",
            )
            for trial in TRIALS
        ]
        return [*pages, *super().get_urls()]

    def _trial_view(self, trial: Trial) -> Callable[[HttpRequest, str], HttpResponse]:
        def view(request: HttpRequest, object_id: str) -> HttpResponse:
            if not self.has_view_permission(request):
                raise PermissionDenied
            source = self.get_object(request, unquote(object_id))
            if source is None:
                return self.row_missing(request, object_id)
            return trial_page(trial, self, request, source)

        return view

    # --- buttons ---

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

    @opens_page("Send a sample", icon="send", is_possible=lambda source: True)
    def send_sample(self, request: HttpRequest, source: Source) -> HttpResponse:
        return sample_page(self, request, source)

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
        "Show learned secret",
        icon="visibility",
        question="The provider told this secret when it first called, and asks for it. It is shown "
        "once.",
        is_possible=services.has_showable_secret,
    )
    def show_secret(self, source: Source) -> ShownOnce:
        secret = services.show_learned_secret(source=source)
        return ShownOnce("Learned secret", secret, "Enter it where the provider asks for it.")

    @button(
        "Rotate URL",
        icon="link",
        question="It gets another ingest URL, to be entered at the provider. The old one is "
        "answered too for the grace, and is unknown after it.",
        form=GraceForm,
    )
    def rotate_url(self, source: Source, grace_hours: int | None) -> str:
        hours = GRACE_HOURS if grace_hours is None else grace_hours
        services.rotate_token(source=source, grace=timedelta(hours=hours))
        if source.previous_token_expires_at is None:
            return "It has another ingest URL; the old one is unknown."
        ends = moment(source.previous_token_expires_at)
        return f"It has another ingest URL; the old one is answered until {ends}."

    # --- columns and fields ---

    @column("Ingest URL")
    def ingest_url(self, source: Source) -> str:
        return format_html('<span class="hub-once">{}</span>', public_url_of(source))

    @column("Old URL")
    def old_url(self, source: Source) -> str:
        ends = source.previous_token_expires_at
        if source.previous_token is None or ends is None or ends <= clock.now():
            return EMPTY
        url = f"{settings.PUBLIC_URL}/in/{source.previous_token}"
        return format_html('<span class="hub-once">{}</span> until {}', url, moment(ends))

    @column("State")
    def state_label(self, source: Source) -> str:
        return label("disabled" if source.disabled_at else "enabled", STATE_COLOURS)

    @column("State")
    def state_since(self, source: Source) -> str:
        if source.disabled_at is None:
            return self.state_label(source)
        return format_html("{} since {}", self.state_label(source), moment(source.disabled_at))

    @column("Counts")
    def counts(self, source: Source) -> str:
        return (
            f"{source.accepted_count:,} accepted, {source.duplicate_count:,} duplicate, "
            f"{source.refused_count:,} refused"
        )

    @column("Last error")
    def last_problem(self, source: Source) -> str:
        if source.last_error_at is None:
            return EMPTY
        return f"{moment(source.last_error_at)} {visible(source.last_error)}"

    @column("Secrets valid until")
    def secrets_end(self, source: Source) -> str:
        return secrets_end(source)


def _chosen(request: HttpRequest) -> Provider | None:
    """The provider that a new source is to be of."""
    name = request.POST.get("provider") or request.GET.get("provider") or ""
    return PROVIDERS.get(name)


def _provider(request: HttpRequest, source: Source | None) -> Provider | None:
    return _chosen(request) if source is None else PROVIDERS.get(source.provider)


def _options_set(source: Source | None) -> Sequence[str]:
    return [] if source is None else services.secret_options_set(source)


def _with(options: Sequence[Any], title: str, fields: Sequence[Any]) -> Sequence[Any]:
    """The fields of a group, the options among those that prove a call."""
    return (*fields, *options) if title == "Proof" else fields
