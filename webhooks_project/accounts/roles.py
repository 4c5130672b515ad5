"""Which role an action needs: what the API's views say, for the API and the console alike."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from django.utils.module_loading import import_string

from webhooks_project.accounts.models import Role

# The API's view of each kind of row that belongs to an account. Named, not imported: this package
# knows no app. Rows of any other kind are the platform's own.
VIEWS: Final = {
    "accounts.account": "webhooks_project.accounts.api.views.AccountViewSet",
    "accounts.apikey": "webhooks_project.accounts.api.keys.ApiKeyViewSet",
    "accounts.membership": "webhooks_project.accounts.api.members.MembershipViewSet",
    "analytics.dashboard": "analytics.api.dashboards.DashboardViewSet",
    "analytics.objective": "analytics.api.objectives.ObjectiveViewSet",
    "analytics.receiptrollup": "analytics.api.rollups.ReceiptRollupViewSet",
    "analytics.report": "analytics.api.reports.ReportViewSet",
    "analytics.reportrun": "analytics.api.reports.ReportRunViewSet",
    "analytics.rollup": "analytics.api.rollups.RollupViewSet",
    "incoming.handlerrun": "incoming.api.views.RunViewSet",
    "incoming.receipt": "incoming.api.views.ReceiptViewSet",
    "incoming.receiptreplay": "incoming.api.replays.ReceiptReplayViewSet",
    "incoming.refusalcount": "incoming.api.views.RefusalCountViewSet",
    "incoming.source": "incoming.api.views.SourceViewSet",
    "monitoring.activity": "monitoring.api.journal.ActivityViewSet",
    "monitoring.auditanchor": "monitoring.api.journal.AuditAnchorViewSet",
    "monitoring.auditentry": "monitoring.api.journal.AuditEntryViewSet",
    "monitoring.finding": "monitoring.api.findings.FindingViewSet",
    "monitoring.alertrule": "monitoring.api.alert_rules.AlertRuleViewSet",
    "monitoring.channel": "monitoring.api.channels.ChannelViewSet",
    "monitoring.healthcheck": "monitoring.api.health.HealthViewSet",
    "monitoring.healthpolicy": "monitoring.api.health.HealthPolicyViewSet",
    "monitoring.incident": "monitoring.api.incidents.IncidentViewSet",
    "monitoring.notification": "monitoring.api.notifications.NotificationViewSet",
    "outgoing.attempt": "outgoing.api.attempts.AttemptViewSet",
    "outgoing.delivery": "outgoing.api.deliveries.DeliveryViewSet",
    "outgoing.event": "outgoing.api.events.EventViewSet",
    "outgoing.replay": "outgoing.api.replays.ReplayViewSet",
    "outgoing.retry": "outgoing.api.retries.RetryViewSet",
    "subscriptions.bulkjob": "subscriptions.api.bulk.BulkJobViewSet",
    "subscriptions.eventtype": "subscriptions.api.event_types.EventTypeViewSet",
    "subscriptions.subscription": "subscriptions.api.subscriptions.SubscriptionViewSet",
}
# What the console calls an action, where the API calls it otherwise.
NAMES: Final = {
    "view": "list",
    "add": "create",
    "change": "partial_update",
    "delete": "destroy",
    "archive": "destroy",
    "run_again": "rerun",
    "replay_receipt": "reprocess",
    "run_selected_again": "rerun",
}


@cache
def view_of(model: str) -> Any:
    """The API's view of the rows of `app.model`; None where they belong to no account."""
    path = VIEWS.get(model)
    return import_string(path) if path else None


def role_for(roles: Mapping[str, Role], action: str, *, is_read: bool) -> Role:
    """What `roles` says of the action; else viewer to read and developer to write."""
    return roles.get(action, Role.VIEWER if is_read else Role.DEVELOPER)


def role_of_verb(model: str, verb: str) -> Role | None:
    """What a verb of the console needs; None where only the platform's staff may."""
    view = view_of(model)
    if view is None:
        return None
    one = verb.removesuffix("_selected")  # what a list does to many is what is done to each
    return role_for(getattr(view, "roles", {}), NAMES.get(one, one), is_read=verb == "view")
