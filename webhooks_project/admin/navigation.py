"""The console's sidebar: which pages it leads to, and who sees which of them."""

from __future__ import annotations

from typing import Any, Final

from django.apps import apps
from django.http import HttpRequest
from django.urls import reverse_lazy

from webhooks_project.admin.access import may, may_everywhere


def _page(title: str, icon: str, model: str, page: str = "changelist") -> dict[str, Any]:
    """A link in the console's sidebar, for those who may see the model's rows."""
    app, name = model.split(".")

    def may_open(request: HttpRequest) -> bool:
        # These show each their own; another page is over the rows of all accounts.
        return (may if page in ("changelist", "dead_letters") else may_everywhere)(
            request, apps.get_model(model), "view"
        )

    return {
        "title": title,
        "icon": icon,
        "link": reverse_lazy(f"admin:{app}_{name}_{page}"),
        "permission": may_open,
    }


NAVIGATION: Final[list[dict[str, Any]]] = [
    {
        "title": "Incoming",
        "items": [
            _page("Receipts", "move_to_inbox", "incoming.receipt"),
            _page("Sources", "input", "incoming.source"),
            _page("Handler runs", "function", "incoming.handlerrun"),
            _page("Dead letters", "skull", "incoming.receipt", "dead_letters"),
            _page("Refusals", "block", "incoming.refusalcount"),
            _page("Replays", "restart_alt", "incoming.receiptreplay"),
        ],
    },
    {
        "title": "Outgoing",
        "items": [
            _page("Events", "bolt", "outgoing.event"),
            _page("Deliveries", "local_shipping", "outgoing.delivery"),
            _page("Attempts", "send", "outgoing.attempt"),
            _page("Retries", "schedule", "outgoing.retry"),
            _page("Dead letters", "skull", "outgoing.delivery", "dead_letters"),
            _page("Replays", "replay", "outgoing.replay"),
        ],
    },
    {
        "title": "Subscriptions",
        "items": [
            _page("Subscriptions", "rss_feed", "subscriptions.subscription"),
            _page("Event types", "category", "subscriptions.eventtype"),
            _page("Bulk jobs", "playlist_play", "subscriptions.bulkjob"),
        ],
    },
    {
        "title": "Analytics",
        "items": [
            _page("Dashboards", "monitoring", "analytics.dashboard"),
            _page("Reports", "summarize", "analytics.report"),
            _page("Report runs", "description", "analytics.reportrun"),
        ],
    },
    {
        "title": "Watch",
        "items": [
            _page("Health", "monitor_heart", "monitoring.healthcheck"),
            _page("Incidents", "warning", "monitoring.incident"),
            _page("Alert rules", "notifications", "monitoring.alertrule"),
            _page("Health policies", "tune", "monitoring.healthpolicy"),
            _page("Activity", "history", "monitoring.activity"),
            _page("Notifications", "mail", "monitoring.notification"),
            _page("Findings", "rule", "monitoring.finding"),
            _page("Channels", "campaign", "monitoring.channel"),
            _page("Audit", "verified_user", "monitoring.auditentry"),
            _page("Audit anchors", "anchor", "monitoring.auditanchor"),
            _page("Rollups", "bar_chart", "analytics.rollup"),
            _page("Receipt rollups", "stacked_bar_chart", "analytics.receiptrollup"),
            _page("Objectives", "flag", "analytics.objective"),
            _page("Heartbeats", "favorite", "hub.heartbeat"),
        ],
    },
    {
        "title": "People",
        "items": [
            _page("Accounts", "apartment", "accounts.account"),
            _page("Users", "person", "accounts.user"),
            _page("Groups", "group", "auth.group"),
            _page("API keys", "key", "accounts.apikey"),
        ],
    },
]


def navigation_for(request: HttpRequest) -> list[dict[str, Any]]:
    """The groups of links; each link says itself whether this request may follow it."""
    return NAVIGATION
