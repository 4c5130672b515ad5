"""What the hub did, and who changed what."""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar, Final

from django.contrib import admin
from django.db.models import Q

from monitoring.admin.links import object_link
from monitoring.models import Activity, AuditEntry
from webhooks_project.admin.base import HistoryAdmin
from webhooks_project.admin.filters import (
    PeriodFilter,
    RelatedFilter,
    TextChoiceFilter,
)
from webhooks_project.admin.panels import Panel, Texts
from webhooks_project.admin.search import id_in
from webhooks_project.admin.values import (
    column,
    moment_column,
    pretty_json,
    text_block,
)

SINCE: Final = timedelta(days=1)
SHOWN_ROWS: Final = 8


@admin.register(Activity)
class ActivityAdmin(HistoryAdmin):
    created = moment_column("When", "created_at")
    list_display = ("created", "kind", "text", "about", "account")
    list_filter = (("account", RelatedFilter), ("created_at", PeriodFilter))
    prefetched = ("account",)
    list_select_related = ()
    search_fields = ("pk",)
    search_help_text = "Id of what it is about, or a kind such as delivery.exhausted"
    date_hierarchy = "created_at"
    ordering = ("-created_at",)
    fields = ("created", "kind", "text", "about", "account")

    def find(self, term: str) -> Q:
        key = id_in(term)
        return Q(kind=term) if key is None else Q(pk=key) | Q(object_id=str(key))

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
        "previous_hash", "hash",
    )  # fmt: skip

    def find(self, term: str) -> Q:
        key = id_in(term)
        if key is not None:
            return Q(pk=key) | Q(object_id=str(key))
        return Q(action=term) | Q(actor_label=term)

    @column("About")
    def about(self, entry: AuditEntry) -> str:
        return object_link(entry.object_type, entry.object_id)

    @column("By")
    def actor(self, entry: AuditEntry) -> str:
        return f"{entry.actor_kind} {entry.actor_label}".strip()
