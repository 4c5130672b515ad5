"""The OpenAPI document beyond what the views say of themselves."""

from __future__ import annotations

from typing import Any

# What each set of choices is called in the document, where its field's name would not tell it.
ENUM_NAMES = {
    "Role": "webhooks_project.accounts.models.Role",
    "BulkAction": "subscriptions.bulk.models.BulkJob.Action",
    "RouteAction": "incoming.models.Route.Action",
    "ReceiptStatus": "incoming.models.Receipt.Status",
    "DeliveryStatus": "outgoing.models.Delivery.Status",
    "SubscriptionStatus": "subscriptions.models.Subscription.Status",
    "SigningSecretKind": "subscriptions.models.SigningSecret.Kind",
    "ReplayKind": "outgoing.models.Replay.Kind",
    "ReplayStatus": "outgoing.models.Replay.Status",
    "HandlerRunStatus": "incoming.models.HandlerRun.Status",
    "FindingKind": "monitoring.models.Finding.Kind",
    "NotificationStatus": "monitoring.models.Notification.Status",
    "NotificationMoment": "monitoring.models.Notification.Moment",
    "ChannelKind": "monitoring.models.Channel.Kind",
    "AlertRuleKind": "monitoring.models.AlertRule.Kind",
    "HealthState": "monitoring.models.HealthCheck.State",
    "IncidentStatus": "monitoring.models.Incident.Status",
    "IncidentEntryKind": "monitoring.models.IncidentEntry.Kind",
    "Severity": "monitoring.models.incidents.Severity",
    "TriggerEnum": "outgoing.models.Delivery.Trigger",
    "ReportRunTrigger": "analytics.models.ReportRun.Trigger",
    "ReportRunStatus": "analytics.models.ReportRun.Status",
    "WidgetKind": "analytics.models.Widget.Kind",
    "ReportPeriod": "analytics.models.Report.Period",
    "SchemaMode": "subscriptions.models.EventType.SchemaMode",
    "ReceiptVerdict": "analytics.models.ReceiptRollup.Verdict",
    "ReceiptCause": "incoming.providers.call.Cause",
    "AttemptCause": "outgoing.models.Attempt.Cause",
}

PROBLEM = {
    "type": "object",
    "description": "A problem (RFC 9457). `code` is the machine-readable cause.",
    "required": ["type", "title", "status", "code", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string"},
        "detail": {"type": "string"},
        "request_id": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "path": {"type": "string", "description": "A JSON Pointer."},
                    "code": {"type": "string"},
                    "message": {"type": "string"},
                },
            },
        },
    },
}


def add_problem_responses(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Give every operation the answer that any failure of it has."""
    result.setdefault("components", {}).setdefault("schemas", {})["Problem"] = PROBLEM
    answer = {
        "description": "A problem",
        "content": {
            "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
        },
    }
    for path in result["paths"].values():
        for operation in path.values():
            if isinstance(operation, dict) and "responses" in operation:
                operation["responses"].setdefault("default", answer)
    return result
