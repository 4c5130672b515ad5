"""Problems that rules have seen, and what became of them."""

from __future__ import annotations

from typing import ClassVar, Final

from django import forms
from django.contrib import admin
from django.db.models import Q
from django.utils.html import format_html_join

from monitoring.kinds import KINDS, Kind
from monitoring.models import Incident, IncidentEntry
from monitoring.models.incidents import Severity
from monitoring.responses import (
    MAX_COMMENT_LENGTH,
    acknowledge_incident,
    comment_incident,
    resolve_incident,
)
from webhooks_project.admin.base import HistoryAdmin
from webhooks_project.admin.buttons import button
from webhooks_project.admin.filters import PeriodFilter, RelatedFilter, ValuesFilter
from webhooks_project.admin.forms import Textarea
from webhooks_project.admin.panels import Panel, Table
from webhooks_project.admin.search import id_in
from webhooks_project.admin.values import (
    EMPTY,
    column,
    label,
    link,
    link_to,
    list_of,
    moment,
    moment_column,
    page_of,
    short,
    text_column,
    visible,
)

Status = Incident.Status
Entry = IncidentEntry.Kind
STATUS_COLOURS: Final = {
    Status.OPEN: "danger",
    Status.ACKNOWLEDGED: "warning",
    Status.RESOLVED: "success",
}
SEVERITY_COLOURS: Final = {Severity.WARNING: "warning", Severity.CRITICAL: "danger"}
ENTRY_COLOURS: Final = {
    Entry.OPENED: "danger",
    Entry.JOINED: "danger",
    Entry.RELAPSED: "danger",
    Entry.ESCALATED: "danger",
    Entry.ACKNOWLEDGED: "warning",
    Entry.RECOVERING: "info",
    Entry.TOLD: "info",
    Entry.COMMENTED: "primary",
    Entry.RESOLVED: "success",
}
SHOWN_ENTRIES: Final = 200
SHOWN_OPEN: Final = 8


class ResolveForm(forms.Form):
    comment = forms.CharField(
        required=False,
        max_length=MAX_COMMENT_LENGTH,
        widget=Textarea(attrs={"rows": 3}),
        help_text="What was done, for the timeline.",
    )


class CommentForm(forms.Form):
    text = forms.CharField(max_length=MAX_COMMENT_LENGTH, widget=Textarea(attrs={"rows": 3}))


def timeline_of_incident(incident: Incident) -> Panel:
    """The newest first."""
    entries = incident.entries.order_by("-created_at", "-id")[:SHOWN_ENTRIES]
    rows = [
        [
            moment(entry.created_at),
            label(entry.kind, ENTRY_COLOURS),
            visible(entry.text),
            visible(entry.actor_label) or EMPTY,
        ]
        for entry in entries
    ]
    return Table("Timeline", ["When", "What", "Said", "By"], rows)


def open_incidents() -> Table:
    """What is open over all accounts, the newest first."""
    newest = (
        Incident.objects.exclude(status=Status.RESOLVED)
        .select_related("account")
        .order_by("-opened_at")[:SHOWN_OPEN]
    )
    rows = [
        [
            link(page_of("monitoring.incident", incident.pk), moment(incident.opened_at)),
            label(incident.severity, SEVERITY_COLOURS),
            short(incident.title, 120),
            short(str(incident.account)),
            label(incident.status, STATUS_COLOURS),
        ]
        for incident in newest
    ]
    more = link(list_of("monitoring.incident", status__exact="open"), "All") if rows else ""
    headers = ["Opened", "Severity", "What", "Account", "Status"]
    return Table("Open incidents", headers, rows, empty="None: all is well.", more=more)


@admin.register(Incident)
class IncidentAdmin(HistoryAdmin):
    deferred = ("figures", "text")
    empty_text = "An incident is opened when an alert rule sees a problem for long enough."
    panels: ClassVar = [timeline_of_incident]
    has_history = True
    opened = moment_column("Opened", "opened_at")
    last_seen = moment_column("Last seen", "last_seen_at")
    well = moment_column("Not seen since", "well_since")
    title_text = text_column("What", "title")
    long_text = text_column("In words", "text")
    list_display = (
        "opened", "severity_label", "title_text", "status_label", "kind_text", "account",
        "resolved",
    )  # fmt: skip
    resolved = moment_column("Resolved", "resolved_at")
    list_filter = (
        ("status", ValuesFilter),
        ("severity", ValuesFilter),
        ("kind", ValuesFilter),
        ("account", RelatedFilter),
        ("subscription", RelatedFilter),
        ("source", RelatedFilter),
        ("opened_at", PeriodFilter),
    )
    prefetched = ("account",)
    list_select_related = ()
    search_fields = ("pk",)
    search_help_text = "Id of the incident, the subscription, the source or the rule; or a cause"
    date_hierarchy = "opened_at"
    ordering = ("-opened_at",)
    actions_detail = ("acknowledge", "resolve", "comment")
    fields = (
        "title_text", "long_text", "status_label", "severity_label", "kind_text", "cause",
        "figures_text", "subject", "rule_links", "account", ("opened", "last_seen"),
        ("well", "relapse_count"), "acknowledged", "resolved_text",
    )  # fmt: skip

    def find(self, term: str) -> Q:
        key = id_in(term)
        if key is None:
            return Q(cause=term)
        of_rule = Incident.rules.through.objects.filter(alertrule=key).values("incident")
        return Q(pk=key) | Q(subscription=key) | Q(source=key) | Q(pk__in=of_rule)

    @column("Status")
    def status_label(self, incident: Incident) -> str:
        return label(incident.status, STATUS_COLOURS)

    @column("Severity")
    def severity_label(self, incident: Incident) -> str:
        return label(incident.severity, SEVERITY_COLOURS)

    @column("Kind")
    def kind_text(self, incident: Incident) -> str:
        facts = KINDS.get(Kind(incident.kind))
        return facts.title if facts else incident.kind

    @column("About")
    def subject(self, incident: Incident) -> str:
        row = incident.subscription or incident.source
        if row is not None:
            return link_to(row)
        return "the hub" if incident.kind == Kind.QUEUE_NOT_DRAINED else "the account"

    @column("Rules")
    def rule_links(self, incident: Incident) -> str:
        """The one that leads first."""
        rules = sorted(incident.rules.all(), key=lambda rule: rule.pk != incident.rule_id)
        if not rules:
            return "deleted"
        return format_html_join(", ", "{}", [[link_to(rule)] for rule in rules])

    @column("Figure")
    def figures_text(self, incident: Incident) -> str:
        figures = incident.figures
        if "value" not in figures:
            return EMPTY
        if incident.kind == Kind.SETUP_WRONG:
            hours = figures["value"]
            return "it stands for " + ("less than an hour" if hours < 1 else f"{hours:,.0f} hours")
        unit = figures.get("unit", "")
        return (
            f"{figures['value']:,g} {unit}; the threshold is {figures.get('threshold', 0):,g}, the "
            f"worst was {figures.get('peak', figures['value']):,g}"
        )

    @column("Acknowledged")
    def acknowledged(self, incident: Incident) -> str:
        if incident.acknowledged_at is None:
            return "not yet" if incident.status == Status.OPEN else EMPTY
        return f"{moment(incident.acknowledged_at)} by {visible(incident.acknowledged_by)}"

    @column("Resolved")
    def resolved_text(self, incident: Incident) -> str:
        if incident.resolved_at is None:
            return "not yet"
        how = {
            Incident.Resolution.RECOVERED: "by itself: the problem is gone",
            Incident.Resolution.PERSON: f"by {visible(incident.resolved_by)}",
            Incident.Resolution.GONE: "what it was about, or its rule, is not active any more, or "
            "it is not known any more",
        }
        return f"{moment(incident.resolved_at)} {how[Incident.Resolution(incident.resolution)]}"

    @button(
        "Acknowledge",
        icon="visibility",
        variant="primary",
        question="You are at it: it is escalated no further.",
        is_possible=lambda incident: incident.status == Status.OPEN,
    )
    def acknowledge(self, incident: Incident) -> str:
        acknowledge_incident(incident=incident)
        return "It is acknowledged."

    @button(
        "Resolve",
        icon="task_alt",
        variant="success",
        question="It is closed. Where the problem is still seen, nothing is opened anew for an "
        "hour, unless it goes and comes back.",
        is_possible=lambda incident: incident.status != Status.RESOLVED,
        form=ResolveForm,
    )
    def resolve(self, incident: Incident, comment: str) -> str:
        resolve_incident(incident=incident, comment=comment)
        return "It is resolved."

    @button(
        "Comment",
        icon="comment",
        question="Your words are added to the timeline, with your name.",
        form=CommentForm,
    )
    def comment(self, incident: Incident, text: str) -> str:
        comment_incident(incident=incident, text=text)
        return "It is in the timeline."
