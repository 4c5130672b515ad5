"""What the hub did, and who changed what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse

from monitoring.activity_kinds import KINDS, groups
from monitoring.admin.links import object_link
from monitoring.audit_files import export_audit_log
from monitoring.models import Activity, AuditAnchor, AuditEntry
from webhooks_project.accounts.models import Account
from webhooks_project.admin.access import rows_for
from webhooks_project.admin.base import HistoryAdmin
from webhooks_project.admin.buttons import acting
from webhooks_project.admin.filters import (
    PeriodFilter,
    RelatedFilter,
    TextChoiceFilter,
)
from webhooks_project.admin.forms import Select, TextInput
from webhooks_project.admin.panels import Panel, Texts
from webhooks_project.admin.search import id_in
from webhooks_project.admin.values import (
    column,
    list_of,
    moment_column,
    pretty_json,
    text_block,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    def list_button(**options: Any) -> Callable[[Any], Any]: ...
else:
    from unfold.decorators import action as list_button


class KindFilter(TextChoiceFilter):
    """One kind, or all that begin alike: `delivery.`."""

    title = "kind"
    parameter_name = "kind"
    options = sorted([*KINDS, *groups()])

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value() or ""
        if value.endswith("."):
            return queryset.filter(kind__startswith=value)
        return queryset.filter(kind=value) if value else queryset


@admin.register(Activity)
class ActivityAdmin(HistoryAdmin):
    created = moment_column("When", "created_at")
    list_display = ("created", "kind", "text", "times", "about", "account")
    list_filter = (KindFilter, ("account", RelatedFilter), ("created_at", PeriodFilter))
    prefetched = ("account",)
    list_select_related = ()
    search_fields = ("pk",)
    search_help_text = "Id of what it is about, a kind such as delivery.exhausted, or words of it"
    date_hierarchy = "created_at"
    ordering = ("-created_at",)
    fields = ("created", "kind", "meaning", "text", "times", "last", "about", "account")
    last = moment_column("Last time", "last_at")

    def find(self, term: str) -> Q:
        key = id_in(term)
        if key is not None:
            return Q(pk=key) | Q(object_id=str(key))
        return Q(kind=term) if term in KINDS else Q(text__icontains=term)

    @column("Times")
    def times(self, activity: Activity) -> str:
        return f"{activity.count:,}"

    @column("Meaning")
    def meaning(self, activity: Activity) -> str:
        return KINDS.get(activity.kind, "")

    @column("About")
    def about(self, activity: Activity) -> str:
        return object_link(activity.object_type, activity.object_id)


class ActorFilter(TextChoiceFilter):
    title = "kind of actor"
    parameter_name = "actor_kind"
    options = ("user", "key", "command", "system")


def changes_of_entry(entry: AuditEntry) -> Panel:
    blocks = [
        text_block("Before", pretty_json(entry.before)),
        text_block("After", pretty_json(entry.after)),
    ]
    return Texts("What was changed", blocks)


class ExportForm(forms.Form):
    account = forms.ModelChoiceField(Account.objects.none(), widget=Select)
    since = forms.DateTimeField(
        required=False,
        widget=TextInput,
        help_text="Such as 2026-01-31 12:00, UTC, inclusive; empty for the first.",
    )
    until = forms.DateTimeField(
        required=False, widget=TextInput, help_text="Exclusive; empty for the last."
    )
    file_format = forms.ChoiceField(
        choices=[("jsonl", "JSON Lines"), ("csv", "CSV")], widget=Select, label="Format"
    )

    def __init__(self, accounts: QuerySet[Account], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["account"].queryset = accounts  # type: ignore[attr-defined]


@admin.register(AuditEntry)
class AuditEntryAdmin(HistoryAdmin):
    deferred = ("before", "after")
    panels: ClassVar = [changes_of_entry]
    created = moment_column("When", "created_at")
    list_display = ("created", "action", "about", "actor", "actor_address", "account", "sequence")
    list_filter = (ActorFilter, ("account", RelatedFilter), ("created_at", PeriodFilter))
    prefetched = ("account",)
    list_select_related = ()
    search_fields = ("pk",)
    search_help_text = "Id of what was changed, an action such as source.created, or who did it"
    date_hierarchy = "created_at"
    ordering = ("-created_at", "-sequence")
    fields = (
        "created", "account", "sequence", "action", "about", "actor", "actor_id", "actor_address",
        "actor_session", "actor_agent", "previous_hash", "hash", "format",
    )  # fmt: skip
    actions_list: ClassVar[Any] = ("export",)

    def find(self, term: str) -> Q:
        key = id_in(term)
        if key is not None:
            return Q(pk=key) | Q(object_id=str(key))
        return Q(action=term) | Q(actor_label=term) | Q(actor_session=term)

    @list_button(description="Export", url_path="export", icon="download", permissions=["view"])
    def export(self, request: HttpRequest) -> HttpResponseBase:
        """Asks for an account and a period, and gives the file."""
        accounts = rows_for(request, Account.objects.all(), "view", of=AuditEntry)
        form = ExportForm(accounts, request.POST if request.method == "POST" else None)
        if request.method == "POST" and form.is_valid():
            with acting(request):
                return export_audit_log(**form.cleaned_data).as_response()
        context = {
            **self.admin_site.each_context(request),
            "title": "Export the audit log",
            "opts": self.opts,
            "form": form,
            "question": "The entries of the period as a file that proves itself: "
            "verify_audit_log --file checks it, and docs/audit.md says how to do so without the "
            "hub. That you asked for it becomes an entry too.",
            "back_url": list_of("monitoring.auditentry"),
        }
        return TemplateResponse(request, "admin/console/export.html", context)

    @column("About")
    def about(self, entry: AuditEntry) -> str:
        return object_link(entry.object_type, entry.object_id)

    @column("By")
    def actor(self, entry: AuditEntry) -> str:
        return f"{entry.actor_kind} {entry.actor_label}".strip()


@admin.register(AuditAnchor)
class AuditAnchorAdmin(HistoryAdmin):
    created = moment_column("Given out", "created_at")
    list_display = ("created", "account", "sequence", "head_hash", "number")
    list_filter = (("account", RelatedFilter), ("created_at", PeriodFilter))
    prefetched = ("account",)
    list_select_related = ()
    ordering = ("-number",)
    fields = (
        "created", "account", "sequence", "head_hash", "number", "previous_hash", "hash", "text",
    )  # fmt: skip

    @column("To keep")
    def text(self, anchor: AuditAnchor) -> str:
        return f"{anchor} hub:{anchor.number}:{anchor.hash}"
