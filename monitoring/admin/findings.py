"""What is wrong with subscriptions and sources, in a list and on their pages."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Q

from incoming.models import Source
from monitoring.models import Finding
from subscriptions.models import Subscription
from webhooks_project.admin.base import HistoryAdmin
from webhooks_project.admin.filters import PeriodFilter, RelatedFilter, ValuesFilter, YesNoFilter
from webhooks_project.admin.panels import Panel, Table
from webhooks_project.admin.search import id_in
from webhooks_project.admin.values import (
    column,
    label,
    link,
    link_to,
    list_of,
    moment,
    moment_column,
    text_column,
    value_column,
)

COLOURS = {"open": "warning", "resolved": "success"}


class ResolvedFilter(YesNoFilter):
    title = "state"
    parameter_name = "state"
    column = "resolved_at"
    words = ("resolved", "open")


@admin.register(Finding)
class FindingAdmin(HistoryAdmin):
    first_seen = moment_column("First seen", "first_seen_at")
    last_seen = moment_column("Last seen", "last_seen_at")
    resolved = moment_column("Resolved", "resolved_at")
    kind_value = value_column("Kind", "kind")
    text_shown = text_column("What", "text")
    list_display = (
        "first_seen",
        "state",
        "kind_value",
        "text_shown",
        "about",
        "account",
        "last_seen",
    )
    list_filter = (
        ResolvedFilter,
        ("kind", ValuesFilter),
        ("account", RelatedFilter),
        ("first_seen_at", PeriodFilter),
    )
    prefetched = ("account", "subscription", "source")
    list_select_related = ()
    search_fields = ("pk",)
    search_help_text = "Id of a subscription or a source, or a kind such as never_delivered"
    date_hierarchy = "first_seen_at"
    ordering = ("-first_seen_at",)
    empty_text = (
        "Nothing is wrong. Every hour the hub looks for subscriptions and sources that cannot do "
        "their work."
    )
    fields = (
        "first_seen", "last_seen", "resolved", "state", "kind_value", "text", "about", "account",
    )  # fmt: skip

    def find(self, term: str) -> Q:
        key = id_in(term)
        if key is not None:
            return Q(pk=key) | Q(subscription=key) | Q(source=key)
        return Q(kind=term)

    @column("State")
    def state(self, finding: Finding) -> str:
        return label("resolved" if finding.resolved_at else "open", COLOURS)

    @column("About")
    def about(self, finding: Finding) -> str:
        return link_to(finding.subscription or finding.source or finding.account)


def findings_of_subscription(subscription: Subscription) -> Panel | None:
    """What keeps it from its work; nothing where nothing does."""
    return _panel(subscription.account_id, Q(subscription=subscription.pk), subscription)


def findings_of_source(source: Source) -> Panel | None:
    return _panel(source.account_id, Q(source=source.pk), source)


def _panel(account_id: Any, about: Q, row: Subscription | Source) -> Panel | None:
    of_account = Q(account=account_id, subscription=None, source=None)
    rows = [
        [finding.kind, finding.text, moment(finding.first_seen_at)]
        for finding in Finding.objects.filter(about | of_account, resolved_at=None).order_by(
            "first_seen_at"
        )
    ]
    if not rows:
        return None
    more = link(list_of("monitoring.finding", q=row.pk), "All")
    return Table("What is wrong with it", ["Kind", "What", "Since"], rows, more=more)
