"""An operator at the console, and one row of everything."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.db.models import Model
from django.test import Client

from analytics.models import Objective
from incoming.models import ReceiptReplay, RefusalCount
from monitoring import journal
from monitoring.alert_rules import create_rule
from monitoring.channels.services import create_channel
from monitoring.figures import EndpointFigures
from monitoring.models import Finding, HealthCheck, HealthPolicy, Incident
from outgoing.models import Replay
from subscriptions.models import BulkJob, EventSchema, EventType
from tests.factories import (
    make_account,
    make_anchor,
    make_api_key,
    make_attempt,
    make_dashboard,
    make_delivery,
    make_event,
    make_receipt,
    make_receipt_rollup,
    make_report,
    make_report_run,
    make_retry,
    make_rollup,
    make_run,
    make_source,
    make_subscription,
    make_user,
)
from webhooks_project.accounts.models import User
from webhooks_project.lib import clock
from webhooks_project.lib.ids import new_id
from webhooks_project.models import Heartbeat


@pytest.fixture
def operator(db: None) -> User:
    return make_user(username="operator", is_staff=True, is_superuser=True)


@pytest.fixture
def console(operator: User) -> Client:
    client = Client()
    client.force_login(operator)
    return client


@pytest.fixture
def rows(db: None) -> dict[str, Model]:
    return make_rows()


def errors_of(response: Any) -> dict[str, list[str]]:
    """What a form of the console says, by field."""
    return {name: list(found) for name, found in response.context["adminform"].form.errors.items()}


def make_viewer(*models: str) -> Client:
    """Someone who may look at the rows of these models, and do nothing."""
    viewer = make_user(is_staff=True)
    for model in models:
        app, name = model.split(".")
        viewer.user_permissions.add(
            Permission.objects.get(content_type__app_label=app, codename=f"view_{name}")
        )
    client = Client()
    client.force_login(viewer)
    return client


def make_rows() -> dict[str, Model]:
    """A row of every model that the console has a page for, by `app.model`."""
    now = clock.now()
    account = make_account()
    source = make_source(account)
    receipt = make_receipt(source, secret_id=str(source.secrets.get().pk), signed_at=now)
    subscription = make_subscription(account)
    event = make_event(
        account,
        causation_id=receipt.causation_id,
        not_matched=[{"subscription": str(subscription.pk), "reason": "expired"}],
    )
    delivery = make_delivery(event, subscription, lane=None, attempt_count=1, trigger="retry")
    attempt = make_attempt(delivery, dns_ms=1.0, connect_ms=2.0, first_byte_ms=9.0)
    event_type = EventType.objects.create(account=account, name="invoice.paid")
    EventSchema.objects.create(event_type=event_type, version=1, schema={"type": "object"})
    period = {"since": now - timedelta(days=1), "until": now, "created_at": now}
    journal.record_activity(account_id=account.pk, kind="test", text="A test.", subject=delivery)
    dashboard = make_dashboard(account)
    report = make_report(account, dashboard=dashboard)
    made = {
        "accounts.account": account,
        "accounts.apikey": make_api_key(account).api_key,
        "accounts.user": make_user(account),
        "subscriptions.subscription": subscription,
        "subscriptions.eventtype": event_type,
        "subscriptions.bulkjob": BulkJob.objects.create(
            account=account, action="pause", status="planned", created_at=now
        ),
        "outgoing.event": event,
        "outgoing.delivery": delivery,
        "outgoing.attempt": attempt,
        "outgoing.retry": make_retry(delivery),
        "outgoing.replay": Replay.objects.create(
            account=account, subscription=subscription, **period
        ),
        "incoming.source": source,
        "incoming.receipt": receipt,
        "incoming.handlerrun": make_run(receipt, status="dead", error="Traceback\nValueError: no"),
        "incoming.receiptreplay": ReceiptReplay.objects.create(account=account, **period),
        "incoming.refusalcount": RefusalCount.objects.create(
            account=account, source=source, hour=now, cause="signature_mismatch", count=3
        ),
        "monitoring.auditentry": journal.record_change(
            account_id=account.pk, action="test.changed", subject=subscription, after={"a": 1}
        ),
        "monitoring.auditanchor": make_anchor(account),
        "monitoring.finding": Finding.objects.create(
            account=account, subscription=subscription, kind="never_delivered", text="Nothing.",
            first_seen_at=now, last_seen_at=now,
        ),
        "monitoring.channel": create_channel(
            account=account, kind="email", name="Operators", recipients=["operator"]
        ),
        "analytics.rollup": make_rollup(subscription, now),
        "analytics.receiptrollup": make_receipt_rollup(source, now),
        "analytics.objective": Objective.objects.create(account=account, subscription=subscription),
        "analytics.dashboard": dashboard,
        "analytics.report": report,
        "analytics.reportrun": make_report_run(report),
        "hub.heartbeat": Heartbeat.objects.create(
            host=new_id().hex, cluster="hub", family="delivery", token=new_id(),
            started_at=now, beat_at=now,
        ),
    }  # fmt: skip
    made["monitoring.healthcheck"] = HealthCheck.objects.create(
        account=account, subscription=subscription, state="degraded", state_since=now,
        wanted_since=now, judged_at=now, reasons=["it is slow"],
        figures=EndpointFigures(id=subscription.pk, name="x").as_json(),
    )  # fmt: skip
    made["monitoring.healthpolicy"] = HealthPolicy.objects.create(account=account, created_at=now)
    made["monitoring.alertrule"] = rule = create_rule(
        account=account, name="Failing", kind="endpoint_failing"
    )
    made["monitoring.incident"] = Incident.objects.create(
        account=account, rule=rule, kind="endpoint_failing", severity="critical",
        key=f"{rule.pk.hex}:{subscription.pk.hex}:tls", subscription=subscription,
        title="Receiver is failing", opened_at=now, last_seen_at=now,
    )  # fmt: skip
    [made["monitoring.notification"]] = journal.record_notification(
        account_id=account.pk, kind="test", recipients=["ann@example.com"], title="A test",
        text="It is one.", subject=delivery,
    )  # fmt: skip
    made["monitoring.activity"] = journal.Activity.objects.filter(account=account).get()
    return made
