"""Every route of the API: how its URL is built, what may be sent to it, and who may.

A route that is not in the table fails `test_every_route_is_in_the_table`: whoever adds one decides
here which role it needs, and gets the tests of other accounts and of roles with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from django.db import transaction
from django.urls import URLPattern, URLResolver, get_resolver

from analytics.models import (
    Dashboard,
    Objective,
    ReceiptRollup,
    Report,
    ReportRun,
    Rollup,
    Widget,
)
from incoming.models import (
    HandlerRun,
    Receipt,
    ReceiptReplay,
    RefusalCount,
    Source,
    SourceSecret,
)
from incoming.models import Route as SourceRoute
from monitoring.alert_rules import create_rule
from monitoring.channels.services import create_channel
from monitoring.journal import record_activity, record_change, record_notification
from monitoring.models import (
    Activity,
    AlertRule,
    AuditAnchor,
    AuditEntry,
    Channel,
    Finding,
    HealthCheck,
    HealthPolicy,
    Incident,
    IncidentEntry,
    Notification,
)
from outgoing.models import Attempt, Delivery, Event, Replay, Retry
from subscriptions.event_types import add_schema, create_event_type
from subscriptions.models import BulkJob, BulkLine, EventType, Subscription
from tests.factories import (
    make_account,
    make_anchor,
    make_api_key,
    make_attempt,
    make_dashboard,
    make_delivery,
    make_event,
    make_incident,
    make_receipt,
    make_receipt_rollup,
    make_report,
    make_report_run,
    make_retry,
    make_rollup,
    make_source,
    make_subscription,
    make_user,
)
from tests.process_state import forget_process_state
from webhooks_project.accounts.models import Account, ApiKey, Membership, Role, User
from webhooks_project.lib import clock
from webhooks_project.lib.ids import new_id

VIEWER, DEVELOPER, OPERATOR, ADMIN = Role
MADE_USER = "somebody"
URL = "http://127.0.0.1:8009/hook"
NO_EVENT_PLAN: Final = {
    "count": 0, "oldest": None, "deliveries": [], "left_out": {}, "estimated_seconds": 0,
    "is_complete": True,
}  # fmt: skip
NO_PLAN: Final = {"count": 0, "oldest": None, "receipts": [], "left_out": {}}


@dataclass(frozen=True)
class World:
    """One account with one row of everything that the API knows."""

    account: Account
    subscription: Subscription
    draft: Subscription
    event_type: EventType
    event: Event
    delivery: Delivery
    attempt: Attempt
    retry: Retry
    replay: Replay
    running: Replay
    paused: Replay
    source: Source
    receipt: Receipt
    refusal: RefusalCount
    activity: Activity
    audit: AuditEntry
    rollup: Rollup
    receipt_rollup: ReceiptRollup
    objective: Objective
    receipt_replay: ReceiptReplay
    notification: Notification
    anchor: AuditAnchor
    finding: Finding
    failed_notification: Notification
    channel: Channel
    quarantined: Receipt
    held_back: Event
    scheduled: Event
    route: SourceRoute
    run: HandlerRun
    bulk_job: BulkJob
    api_key: ApiKey
    member: Membership
    dead: Receipt
    health: HealthCheck
    health_policy: HealthPolicy
    alert_rule: AlertRule
    incident: Incident
    closing: Incident
    dashboard: Dashboard
    widget: Widget
    second_widget: Widget
    report: Report
    report_run: ReportRun

    def ids(self) -> dict[str, UUID]:
        """The key of each row, by the row's name."""
        return {name: getattr(self, name).pk for name in self.__dataclass_fields__}


def make_world(account: Account | None = None) -> World:
    account = account or make_account()
    now = clock.now()
    User.objects.get_or_create(username=MADE_USER)
    subscription = make_subscription(account)
    event_type = create_event_type(account=account, name="order.made")
    add_schema(event_type=event_type, schema={"type": "object"})
    event = make_event(account)
    delivery = make_delivery(event, subscription, status="exhausted", attempt_count=1)
    waiting = make_delivery(
        make_event(account), subscription, lane=None, attempt_count=1, trigger="retry"
    )
    source = make_source(account)
    receipt = make_receipt(source, status="failed")
    dead = make_receipt(source, status="dead", next_attempt_at=None, dead_at=now)
    dashboard = make_dashboard(account)
    widget, second_widget = dashboard.widgets.all()
    report = make_report(account, dashboard=dashboard)
    SourceSecret.objects.create(source=source, secret="a-learned-secret", is_showable=True)
    record_activity(account_id=account.pk, kind="test", text="Something was done.")
    job = {"since": now, "until": now, "created_at": now, "plan": NO_EVENT_PLAN}
    return World(
        account=account,
        subscription=subscription,
        draft=make_subscription(account, status="draft"),
        event_type=event_type,
        event=event,
        delivery=delivery,
        attempt=make_attempt(delivery),
        retry=make_retry(waiting),
        replay=Replay.objects.create(account=account, **job),
        running=Replay.objects.create(account=account, status="running", **job),
        paused=Replay.objects.create(account=account, status="running", paused_at=now, **job),
        source=source,
        receipt=receipt,
        dashboard=dashboard,
        widget=widget,
        second_widget=second_widget,
        report=report,
        report_run=make_report_run(report),
        quarantined=make_receipt(source, next_attempt_at=None, quarantined_at=now),
        dead=dead,
        held_back=make_event(account, quarantined_at=now),
        scheduled=make_event(account, deliver_at=now + timedelta(days=1)),
        route=source.routes.get(),
        run=HandlerRun.objects.create(
            account=account,
            source=source,
            receipt=receipt,
            handler="test",
            status="dead",
            created_at=now,
        ),
        refusal=RefusalCount.objects.create(
            account=account, source=source, hour=now, cause="rate_limited", count=3
        ),
        activity=Activity.objects.get(account=account),
        audit=record_change(account_id=account.pk, action="test", subject=source),
        anchor=make_anchor(account),
        finding=Finding.objects.create(
            account=account,
            subscription=subscription,
            kind="never_delivered",
            text="Nothing was delivered yet.",
            first_seen_at=now,
            last_seen_at=now,
        ),
        rollup=make_rollup(subscription, now),
        receipt_rollup=make_receipt_rollup(source, now),
        objective=Objective.objects.create(account=account, subscription=subscription),
        receipt_replay=ReceiptReplay.objects.create(
            account=account, since=now, until=now, created_at=now, plan=NO_PLAN
        ),
        bulk_job=_make_bulk_job(account, subscription),
        health=HealthCheck.objects.create(
            account=account, source=source, state_since=now, wanted_since=now, judged_at=now
        ),
        health_policy=HealthPolicy.objects.create(account=account, created_at=now),
        alert_rule=create_rule(account=account, name="Failing", kind="endpoint_failing"),
        incident=_make_told_incident(account),
        closing=_make_told_incident(account),
        api_key=make_api_key(account, Role.VIEWER).api_key,
        member=make_user(account).memberships.get(),
        notification=record_notification(
            account_id=account.pk, kind="test", recipients=["a@example.com"], title="A", text="B"
        )[0],
        failed_notification=Notification.objects.create(
            account=account,
            kind="test",
            recipient="b@example.com",
            title="A",
            text="B",
            status="failed",
            created_at=now,
        ),
        channel=create_channel(
            account=account, kind="email", name="Operators", recipients=["operator"]
        ),
    )


def _make_told_incident(account: Account) -> Incident:
    incident = make_incident(account=account)
    IncidentEntry.objects.create(
        incident=incident, kind="opened", text="It fails", created_at=clock.now()
    )
    return incident


def _make_bulk_job(account: Account, subscription: Subscription) -> BulkJob:
    job = BulkJob.objects.create(
        account=account, action="archive", status="planned", created_at=clock.now()
    )
    BulkLine.objects.create(job=job, number=1, subscription=subscription)
    return job


Body = Callable[[dict[str, UUID]], Any]


@dataclass(frozen=True)
class Route:
    """`roles`: the lowest role by method. `bodies`: what a right call sends. `row`: whose rows a
    list shows, by its name in the world."""

    path: str
    roles: dict[str, Role]
    bodies: dict[str, Body] = field(default_factory=dict)
    row: str = ""

    def url(self, ids: dict[str, UUID]) -> str:
        return self.path.format(**ids)

    def body(self, method: str, ids: dict[str, UUID]) -> Any:
        return self.bodies[method](ids) if method in self.bodies else None


def reads(path: str, row: str = "", role: Role = VIEWER) -> Route:
    return Route(path, {"get": role}, row=row)


def acts(path: str, role: Role, body: Body = lambda ids: None) -> Route:
    return Route(path, {"post": role}, {"post": body})


def _until(ids: dict[str, UUID]) -> Any:
    return {"until": "2100-01-01T00:00:00Z"}


def _discarded(ids: dict[str, UUID]) -> Any:
    return {"until": "2100-01-01T00:00:00Z", "reason": "Nobody wants it."}


def _soon(ids: dict[str, UUID]) -> Any:
    return {"until": (clock.now() + timedelta(days=1)).isoformat()}


def _replay_body(ids: dict[str, UUID]) -> Any:
    return {"since": "2026-01-01T00:00:00Z", "until": "2026-01-02T00:00:00Z"}


ROUTES: Final[dict[str, Route]] = {
    "account-list": reads("accounts"),
    "account-detail": Route(
        "accounts/{account}",
        {"get": VIEWER, "patch": ADMIN},
        {"patch": lambda ids: {"receipt_days": 90}},
    ),
    "api-key-list": Route(
        "api-keys",
        {"get": ADMIN, "post": ADMIN},
        {"post": lambda ids: {"name": "Made", "scopes": ["viewer"]}},
        row="api_key",
    ),
    "api-key-detail": reads("api-keys/{api_key}", role=ADMIN),
    "api-key-revoke": acts("api-keys/{api_key}/revoke", ADMIN),
    "member-list": Route(
        "members",
        {"get": ADMIN, "post": ADMIN},
        {"post": lambda ids: {"user": MADE_USER, "role": "viewer"}},
        row="member",
    ),
    "member-detail": Route("members/{member}", {"get": ADMIN, "delete": ADMIN}),
    "source-list": Route(
        "incoming/sources",
        {"get": VIEWER, "post": DEVELOPER},
        {"post": lambda ids: {"name": "Made", "provider": "github"}},
        row="source",
    ),
    "source-detail": Route(
        "incoming/sources/{source}",
        {"get": VIEWER, "patch": DEVELOPER},
        {"patch": lambda ids: {"name": "Changed"}},
    ),
    "source-disable": acts("incoming/sources/{source}/disable", OPERATOR),
    "source-enable": acts("incoming/sources/{source}/enable", OPERATOR),
    "source-send-sample": acts("incoming/sources/{source}/send-sample", DEVELOPER),
    "source-rotate-secret": acts("incoming/sources/{source}/rotate-secret", DEVELOPER),
    "source-learned-secret": acts("incoming/sources/{source}/learned-secret", DEVELOPER),
    "route-list": Route(
        "incoming/sources/{source}/routes",
        {"get": VIEWER, "post": DEVELOPER},
        {"post": lambda ids: {"type_pattern": "push"}},
    ),
    "route-detail": Route(
        "incoming/sources/{source}/routes/{route}",
        {"get": VIEWER, "patch": DEVELOPER, "delete": DEVELOPER},
        {"patch": lambda ids: {"type_pattern": "push"}},
    ),
    "route-disable": acts("incoming/sources/{source}/routes/{route}/disable", DEVELOPER),
    "route-enable": acts("incoming/sources/{source}/routes/{route}/enable", DEVELOPER),
    "route-reorder": acts(
        "incoming/sources/{source}/routes/reorder",
        DEVELOPER,
        lambda ids: {"routes": [str(ids["route"])]},
    ),
    "run-list": reads("incoming/runs", "run"),
    "run-detail": reads("incoming/runs/{run}"),
    "run-rerun": acts("incoming/runs/{run}/rerun", OPERATOR),
    "source-rotate-token": acts("incoming/sources/{source}/rotate-token", DEVELOPER),
    "receipt-list": reads("incoming/receipts", "receipt"),
    "receipt-detail": reads("incoming/receipts/{receipt}"),
    "receipt-reprocess": acts("incoming/receipts/{receipt}/reprocess", OPERATOR),
    "receipt-drop": acts("incoming/receipts/{quarantined}/drop", OPERATOR),
    "receipt-release": acts("incoming/receipts/{quarantined}/release", OPERATOR),
    "receipt-replay-list": Route(
        "incoming/replays",
        {"get": VIEWER, "post": OPERATOR},
        {"post": _replay_body},
        row="receipt_replay",
    ),
    "receipt-replay-detail": reads("incoming/replays/{receipt_replay}"),
    "receipt-replay-cancel": acts("incoming/replays/{receipt_replay}/cancel", OPERATOR),
    "receipt-replay-start": acts("incoming/replays/{receipt_replay}/start", OPERATOR),
    "dead-receipt-list": reads("incoming/dead-letters", "dead"),
    "dead-receipt-detail": reads("incoming/dead-letters/{dead}"),
    "dead-receipt-groups": reads("incoming/dead-letters/groups"),
    "dead-receipt-reprocess": acts("incoming/dead-letters/{dead}/reprocess", OPERATOR),
    "dead-receipt-discard": acts("incoming/dead-letters/{dead}/discard", OPERATOR, _discarded),
    "dead-receipt-reprocess-many": acts("incoming/dead-letters/reprocess", OPERATOR, _until),
    "dead-receipt-discard-many": acts("incoming/dead-letters/discard", OPERATOR, _discarded),
    "refusal-list": reads("incoming/refusals", "refusal"),
    "event-list": Route(
        "outgoing/events",
        {"get": VIEWER, "post": DEVELOPER},
        {"post": lambda ids: {"type": "invoice.paid", "data": {"amount": 1}}},
        row="event",
    ),
    "event-detail": reads("outgoing/events/{event}"),
    "event-deliveries": reads("outgoing/events/{event}/deliveries"),
    "event-explain": reads("outgoing/events/{event}/explain"),
    "event-batch": acts(
        "outgoing/events/batch",
        DEVELOPER,
        lambda ids: {
            "account": str(ids["account"]),
            "events": [{"type": "invoice.paid", "data": {"amount": 1}}],
        },
    ),
    "event-cancel": acts("outgoing/events/{scheduled}/cancel", DEVELOPER),
    "event-release": acts("outgoing/events/{held_back}/release", OPERATOR),
    "event-drop": acts("outgoing/events/{held_back}/drop", OPERATOR),
    "delivery-list": reads("outgoing/deliveries", "delivery"),
    "delivery-detail": reads("outgoing/deliveries/{delivery}"),
    "delivery-timeline": reads("outgoing/deliveries/{delivery}/timeline"),
    "delivery-cancel": acts("outgoing/deliveries/{retry}/cancel", OPERATOR),
    "delivery-redeliver": acts("outgoing/deliveries/{delivery}/redeliver", OPERATOR),
    "dead-letter-list": reads("outgoing/dead-letters", "delivery"),
    "dead-letter-detail": reads("outgoing/dead-letters/{delivery}"),
    "dead-letter-groups": reads("outgoing/dead-letters/groups"),
    "dead-letter-redeliver": acts("outgoing/dead-letters/{delivery}/redeliver", OPERATOR),
    "dead-letter-discard": acts("outgoing/dead-letters/{delivery}/discard", OPERATOR, _discarded),
    "dead-letter-redeliver-many": acts("outgoing/dead-letters/redeliver", OPERATOR, _until),
    "dead-letter-discard-many": acts("outgoing/dead-letters/discard", OPERATOR, _discarded),
    "attempt-list": reads("outgoing/attempts", "attempt"),
    "attempt-detail": reads("outgoing/attempts/{attempt}"),
    "attempt-request-body": reads("outgoing/attempts/{attempt}/request-body"),
    "replay-list": Route(
        "outgoing/replays",
        {"get": VIEWER, "post": OPERATOR},
        {"post": _replay_body},
        row="replay",
    ),
    "replay-detail": reads("outgoing/replays/{replay}"),
    "replay-run": acts("outgoing/replays/{replay}/run", OPERATOR),
    "replay-pause": acts("outgoing/replays/{running}/pause", OPERATOR),
    "replay-resume": acts("outgoing/replays/{paused}/resume", OPERATOR),
    "replay-cancel": acts("outgoing/replays/{replay}/cancel", OPERATOR),
    "event-type-list": Route(
        "subscriptions/event-types",
        {"get": VIEWER, "post": DEVELOPER},
        {"post": lambda ids: {"name": "thing.made"}},
        row="event_type",
    ),
    "event-type-detail": Route(
        "subscriptions/event-types/{event_type}",
        {"get": VIEWER, "patch": DEVELOPER, "delete": DEVELOPER},
        {"patch": lambda ids: {"description": "Changed"}},
    ),
    "event-type-schemas": acts(
        "subscriptions/event-types/{event_type}/schemas",
        DEVELOPER,
        lambda ids: {"schema": {"type": "object"}},
    ),
    "event-type-check-schema": acts(
        "subscriptions/event-types/{event_type}/schemas/check",
        DEVELOPER,
        lambda ids: {"schema": {"type": "object"}},
    ),
    "event-type-deprecate": acts("subscriptions/event-types/{event_type}/deprecate", DEVELOPER),
    "event-type-archive": acts("subscriptions/event-types/{event_type}/archive", DEVELOPER),
    "event-type-restore": acts("subscriptions/event-types/{event_type}/restore", DEVELOPER),
    "event-type-usage": reads("subscriptions/event-types/{event_type}/usage"),
    "event-type-export": reads("accounts/{account}/event-types/export"),
    "event-type-import": acts(
        "accounts/{account}/event-types/import",
        DEVELOPER,
        lambda ids: {
            "documents": [{"name": "thing.json", "content": "{}"}],
            "dry_run": False,
        },
    ),
    "subscription-list": Route(
        "subscriptions",
        {"get": VIEWER, "post": DEVELOPER},
        {"post": lambda ids: {"name": "Made", "url": URL, "event_types": ["*"]}},
        row="subscription",
    ),
    "subscription-detail": Route(
        "subscriptions/{subscription}",
        {"get": VIEWER, "patch": DEVELOPER, "delete": DEVELOPER},
        {"patch": lambda ids: {"name": "Changed"}},
    ),
    "bulk-job-list": Route(
        "subscriptions/bulk-jobs",
        {"get": VIEWER, "post": DEVELOPER},
        {"post": lambda ids: {"action": "archive", "filter": {"ids": [str(ids["subscription"])]}}},
        row="bulk_job",
    ),
    "bulk-job-detail": reads("subscriptions/bulk-jobs/{bulk_job}"),
    "bulk-job-start": acts("subscriptions/bulk-jobs/{bulk_job}/start", DEVELOPER),
    "bulk-job-cancel": acts("subscriptions/bulk-jobs/{bulk_job}/cancel", DEVELOPER),
    "bulk-job-lines": reads("subscriptions/bulk-jobs/{bulk_job}/lines"),
    "bulk-job-results": reads("subscriptions/bulk-jobs/{bulk_job}/results"),
    "bulk-job-secrets": acts("subscriptions/bulk-jobs/{bulk_job}/secrets", DEVELOPER),
    "subscription-usage": reads("subscriptions/{subscription}/usage"),
    "subscription-export": reads("subscriptions/export"),
    "subscription-import": acts(
        "subscriptions/import",
        DEVELOPER,
        lambda ids: [{"name": "Made", "url": URL, "event_types": ["*"]}],
    ),
    "subscription-disable": acts("subscriptions/{subscription}/disable", OPERATOR),
    "subscription-match": acts(
        "subscriptions/match",
        DEVELOPER,
        lambda ids: {"account": str(ids["account"]), "type": "order.made", "data": {}},
    ),
    "subscription-pause": acts("subscriptions/{subscription}/pause", OPERATOR),
    "subscription-resume": acts("subscriptions/{subscription}/resume", OPERATOR),
    "subscription-verify": acts("subscriptions/{subscription}/verify", DEVELOPER),
    "subscription-activate": acts(
        "subscriptions/{draft}/activate", OPERATOR, lambda ids: {"skip_verification": True}
    ),
    "subscription-renew": acts(
        "subscriptions/{subscription}/renew", DEVELOPER, lambda ids: {"days": 30}
    ),
    "subscription-diagnose": acts("subscriptions/{subscription}/diagnose", DEVELOPER),
    "subscription-retry-times": reads("subscriptions/{subscription}/retry-times"),
    "subscription-rotate-secret": acts("subscriptions/{subscription}/rotate-secret", DEVELOPER),
    "validate-filter": acts(
        "validation/filter", DEVELOPER, lambda ids: {"filter": {}, "document": {}}
    ),
    "validate-routes": acts(
        "validation/routes", DEVELOPER, lambda ids: {"receipt": str(ids["receipt"])}
    ),
    "validate-transformation": acts(
        "validation/transformation", DEVELOPER, lambda ids: {"expression": "a", "data": {}}
    ),
    "validate-payload": acts(
        "validation/payload", DEVELOPER, lambda ids: {"schema": {}, "payload": {}}
    ),
    "validate-signature": acts(
        "validation/signature",
        DEVELOPER,
        lambda ids: {"source": str(ids["source"]), "headers": {}, "body": ""},
    ),
    "validate-url": acts("validation/url", DEVELOPER, lambda ids: {"url": URL}),
    "retry-list": reads("retry", "retry"),
    "retry-detail": reads("retry/{retry}"),
    "retry-counts": reads("retry/counts"),
    "retry-policies": reads("retry/policies"),
    "retry-bring-forward": acts("retry/{retry}/bring-forward", OPERATOR),
    "retry-postpone": acts("retry/{retry}/postpone", OPERATOR, _soon),
    "retry-cancel": acts("retry/{retry}/cancel", OPERATOR),
    "health-list": reads("monitoring/health", "health"),
    "health-detail": reads("monitoring/health/{health}"),
    "health-policy-list": reads("monitoring/health-policies", "health_policy"),
    "health-policy-detail": Route(
        "monitoring/health-policies/{health_policy}",
        {"get": VIEWER, "patch": OPERATOR},
        {"patch": lambda ids: {"thresholds": {"min_attempts": 7}}},
    ),
    "health-policy-thresholds": reads("monitoring/health-policies/thresholds"),
    "alert-rule-list": Route(
        "monitoring/alert-rules",
        {"get": VIEWER, "post": OPERATOR},
        {"post": lambda ids: {"name": "Made", "kind": "backlog_old"}},
        row="alert_rule",
    ),
    "alert-rule-detail": Route(
        "monitoring/alert-rules/{alert_rule}",
        {"get": VIEWER, "patch": OPERATOR, "delete": OPERATOR},
        {"patch": lambda ids: {"threshold": 70}},
    ),
    "alert-rule-kinds": reads("monitoring/alert-rules/kinds"),
    "incident-list": reads("monitoring/incidents", "incident"),
    "incident-detail": reads("monitoring/incidents/{incident}"),
    "incident-acknowledge": acts("monitoring/incidents/{incident}/acknowledge", OPERATOR),
    "incident-resolve": acts("monitoring/incidents/{closing}/resolve", OPERATOR, lambda ids: {}),
    "incident-comment": acts(
        "monitoring/incidents/{incident}/comment", OPERATOR, lambda ids: {"text": "Known."}
    ),
    "timeline-list": reads("monitoring/incidents/{incident}/timeline"),
    "activity-list": reads("monitoring/activities", "activity"),
    "activity-detail": reads("monitoring/activities/{activity}"),
    "audit-list": reads("monitoring/audit", "audit", ADMIN),
    "audit-detail": reads("monitoring/audit/{audit}", role=ADMIN),
    "activity-kinds": reads("monitoring/activities/kinds"),
    "audit-log-export": reads("monitoring/accounts/{account}/audit-log", role=ADMIN),
    "audit-anchor-list": reads("monitoring/audit/anchors", "anchor", ADMIN),
    "finding-list": reads("monitoring/findings", "finding"),
    "finding-detail": reads("monitoring/findings/{finding}"),
    "notification-list": reads("monitoring/notifications", "notification"),
    "notification-detail": reads("monitoring/notifications/{notification}"),
    "notification-resend": acts("monitoring/notifications/{failed_notification}/resend", OPERATOR),
    "channel-list": Route(
        "monitoring/channels",
        {"get": VIEWER, "post": OPERATOR},
        {"post": lambda ids: {"name": "Made", "kind": "email", "recipients": ["a@example.com"]}},
        row="channel",
    ),
    "channel-detail": Route(
        "monitoring/channels/{channel}",
        {"get": VIEWER, "patch": OPERATOR, "delete": OPERATOR},
        {"patch": lambda ids: {"name": "Changed"}},
    ),
    "channel-kinds": reads("monitoring/channels/kinds"),
    "channel-test": acts("monitoring/channels/{channel}/test", OPERATOR),
    "queues": reads("monitoring/queues"),
    "rollup-list": reads("analytics/rollups", "rollup"),
    "receipt-rollup-list": reads("analytics/receipt-rollups", "receipt_rollup"),
    "overview": reads("analytics/overview"),
    "objective-list": Route(
        "analytics/objectives",
        {"get": VIEWER, "post": OPERATOR},
        {"post": lambda ids: {}},
        row="objective",
    ),
    "objective-detail": Route(
        "analytics/objectives/{objective}",
        {"get": VIEWER, "patch": OPERATOR, "delete": OPERATOR},
        {"patch": lambda ids: {"window_days": 7}},
    ),
    "objective-status": reads("analytics/objectives/{objective}/status"),
    "analytics-query": reads("analytics/query"),
    "analytics-top": reads("analytics/top/failing-endpoints"),
    "analytics-trends": reads("analytics/trends"),
    "integration-health": reads("analytics/integration-health"),
    "dashboard-list": Route(
        "analytics/dashboards",
        {"get": VIEWER, "post": DEVELOPER},
        {"post": lambda ids: {"name": "Made"}},
        row="dashboard",
    ),
    "dashboard-detail": Route(
        "analytics/dashboards/{dashboard}",
        {"get": VIEWER, "patch": DEVELOPER, "delete": DEVELOPER},
        {"patch": lambda ids: {"name": "Changed"}},
    ),
    "dashboard-copy": acts("analytics/dashboards/{dashboard}/copy", DEVELOPER, lambda ids: {}),
    "dashboard-arrange": acts(
        "analytics/dashboards/{dashboard}/arrange",
        DEVELOPER,
        lambda ids: {
            "widgets": [
                {"id": str(ids[name]), "width": 1, "height": 1}
                for name in ("second_widget", "widget")
            ]
        },
    ),
    "dashboard-data": reads("analytics/dashboards/{dashboard}/data"),
    "widget-list": Route(
        "analytics/widgets",
        {"get": VIEWER, "post": DEVELOPER},
        {
            "post": lambda ids: {
                "dashboard": str(ids["dashboard"]),
                "title": "Made",
                "kind": "number",
                "measures": ["attempts"],
            }
        },
    ),
    "widget-detail": Route(
        "analytics/widgets/{widget}",
        {"get": VIEWER, "patch": DEVELOPER, "delete": DEVELOPER},
        {"patch": lambda ids: {"title": "Changed"}},
    ),
    "default-dashboard-list": reads("analytics/default-dashboards"),
    "default-dashboard-detail": reads("analytics/default-dashboards/overview"),
    "default-dashboard-data": reads("analytics/default-dashboards/overview/data"),
    "default-dashboard-copy": acts(
        "analytics/default-dashboards/overview/copy", DEVELOPER, lambda ids: {}
    ),
    "report-list": Route(
        "analytics/reports",
        {"get": VIEWER, "post": DEVELOPER},
        {
            "post": lambda ids: {
                "name": "Made",
                "subject": "overview",
                "formats": ["pdf"],
                "recipients": ["admin"],
            }
        },
        row="report",
    ),
    "report-detail": Route(
        "analytics/reports/{report}",
        {"get": VIEWER, "patch": DEVELOPER, "delete": DEVELOPER},
        {"patch": lambda ids: {"name": "Changed"}},
    ),
    "report-run": acts("analytics/reports/{report}/run", DEVELOPER, lambda ids: {}),
    "report-run-list": reads("analytics/report-runs", "report_run"),
    "report-run-detail": reads("analytics/report-runs/{report_run}"),
    "report-run-file": reads("analytics/report-runs/{report_run}/files/csv"),
}
CALLS: Final = [(name, method) for name, route in ROUTES.items() for method in route.roles]
LISTS: Final = [name for name, route in ROUTES.items() if route.row]
# Neither shows nor changes a row of any account.
ROWLESS: Final = frozenset(
    {
        "alert-rule-kinds",
        "health-policy-thresholds",
        "account-list",
        "activity-kinds",
        "channel-kinds",
        "analytics-query",
        "default-dashboard-list",
        "default-dashboard-detail",
        "default-dashboard-data",
        "analytics-top",
        "analytics-trends",
        "integration-health",
        "queues",
        "overview",
        "retry-counts",
        "retry-policies",
        "validate-filter",
        "validate-payload",
        "validate-transformation",
        "validate-url",
    }
)


def api_patterns() -> Iterator[tuple[str, URLPattern]]:
    """Every URL pattern under /api/v1/, with its whole regular expression."""

    def walk(patterns: list[Any], before: str) -> Iterator[tuple[str, URLPattern]]:
        for pattern in patterns:
            here = before + str(pattern.pattern)
            if isinstance(pattern, URLResolver):
                yield from walk(pattern.url_patterns, here)
            else:
                yield here, pattern

    found = walk(get_resolver("webhooks_project.urls").url_patterns, "/")
    return (item for item in found if item[0].startswith("/api/v1/"))


def methods_of(pattern: URLPattern) -> set[str]:
    """The methods, in lower case, that the pattern's view answers beyond HEAD and OPTIONS."""
    callback: Any = pattern.callback
    view = getattr(callback, "cls", None) or callback.view_class
    offered = set(getattr(callback, "actions", None) or view().allowed_methods)
    allowed = {name.lower() for name in view.http_method_names}
    return {name.lower() for name in offered} & allowed - {"head", "options"}


def no_ids() -> dict[str, UUID]:
    """Keys that no row has."""
    return {name: new_id() for name in World.__dataclass_fields__}


# --- walking them ---------------------------------------------------------------------------------

# The routes are walked in groups: to make a world takes longer than to ask a route of it.
GROUPS: Final = sorted({route.path.split("/")[0] for route in ROUTES.values()})


def of_group(group: str, names: Iterable[str]) -> list[str]:
    """Those of the names whose routes are of the group."""
    return [name for name in names if ROUTES[name].path.split("/")[0] == group]


def calls_of_group(group: str, calls: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The same of calls: name and method."""
    return [(name, method) for name, method in calls if of_group(group, [name])]


@contextmanager
def undone() -> Iterator[None]:
    """What is done meanwhile is undone at the end, and forgotten."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)
    forget_process_state()
