"""Rows for tests: plain functions, every argument defaulted."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import Any

import orjson

from analytics.models import (
    Dashboard,
    ReceiptRollup,
    Report,
    ReportFile,
    ReportRun,
    Rollup,
    Scope,
    Widget,
)
from analytics.periods import Grain
from analytics.sketches import bin_of, stored
from incoming.models import HandlerRun, Receipt, Route, Source, SourceSecret
from monitoring.models import AlertRule, AuditAnchor, HealthCheck, Incident
from outgoing.models import Attempt, Delivery, Event, Retry
from subscriptions.models import SigningSecret, SubscribedType, Subscription
from webhooks_project.accounts.models import Account, Membership, Role, User
from webhooks_project.accounts.services import NewApiKey, create_api_key
from webhooks_project.lib import clock
from webhooks_project.lib.ids import new_id
from webhooks_project.uncounted import Kind, mark_uncounted

SIGNING_SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
SOURCE_SECRET = "a-source-secret"


def make_account(**fields: Any) -> Account:
    slug = fields.pop("slug", f"account-{new_id().hex[-12:]}")
    return Account.objects.create(**{"name": slug.title(), "slug": slug} | fields)


def make_account_with_operator(**fields: Any) -> Account:
    """An account whose operator has an address."""
    account = make_account(**fields)
    make_user(account, Role.OPERATOR, email="operator@example.com")
    return account


def make_anchor(account: Account | None = None, **fields: Any) -> AuditAnchor:
    """An anchor without the chain that it is of."""
    return AuditAnchor.objects.create(
        **{
            "account": account or make_account(),
            "number": AuditAnchor.objects.count() + 1,
            "sequence": AuditAnchor.objects.count() + 1,
            "head_hash": "1" * 64,
            "created_at": clock.now(),
            "previous_hash": "0" * 64,
            "hash": "2" * 64,
        }
        | fields
    )


def make_user(account: Account | None = None, role: str = Role.VIEWER, **fields: Any) -> User:
    user = User.objects.create_user(
        **{"username": f"user-{new_id().hex[-12:]}", "password": "pw"} | fields
    )
    if account is not None:
        Membership.objects.create(account=account, user=user, role=role)
    return user


def make_api_key(account: Account | None = None, *scopes: str, **fields: Any) -> NewApiKey:
    return create_api_key(
        account=account or make_account(),
        name="test",
        scopes=scopes or (Role.ADMIN,),
        **fields,
    )


def make_incident(rule: AlertRule | None = None, account: Any = None, **fields: Any) -> Incident:
    account = account or (rule.account if rule else make_account())
    number = Incident.objects.count()
    now = clock.now()
    given = {
        "kind": "endpoint_failing",
        "severity": "warning",
        "key": f"endpoint:{number}",
        "title": f"Endpoint {number} fails",
        "text": "9 of 10 attempts have failed.",
        "opened_at": now,
        "last_seen_at": now,
    }
    incident = Incident.objects.create(account=account, rule=rule, **given | fields)
    if rule is not None:
        incident.rules.add(rule)
    return incident


def make_check(account: Account, state: str = "healthy", **about: Any) -> HealthCheck:
    """The health of what is named, as it was judged now."""
    now = clock.now()
    return HealthCheck.objects.create(
        **{
            "account": account,
            "state": state,
            "wanted_state": state,
            "state_since": now,
            "wanted_since": now,
            "judged_at": now,
        }
        | about
    )


def make_subscription(
    account: Account | None = None,
    *,
    event_types: tuple[str, ...] = ("*",),
    secret: str | None = SIGNING_SECRET,
    **fields: Any,
) -> Subscription:
    """A subscription without the checks that creating one by the service makes."""
    account = account or make_account()
    subscription = Subscription.objects.create(
        **{"account": account, "name": "Receiver", "url": "http://127.0.0.1:9/hook"} | fields
    )
    for pattern in event_types:
        SubscribedType.objects.create(subscription=subscription, account=account, pattern=pattern)
    if secret is not None:
        SigningSecret.objects.create(subscription=subscription, secret=secret)
    return subscription


def make_event(account: Account | None = None, *, data: Any = None, **fields: Any) -> Event:
    now = clock.now()
    return Event.objects.create(
        **{
            "account": account or make_account(),
            "type": "invoice.paid",
            "data": orjson.dumps({"amount": 1} if data is None else data),
            "occurred_at": now,
            "created_at": now,
        }
        | fields
    )


def make_delivery(
    event: Event | None = None, subscription: Subscription | None = None, **fields: Any
) -> Delivery:
    if subscription is None:
        subscription = make_subscription(event.account if event else None)
    event = event or make_event(subscription.account)
    status = fields.get("status", Delivery.Status.PENDING)
    now = clock.now()
    return Delivery.objects.create(
        **{
            "account": subscription.account,
            "event": event,
            "subscription": subscription,
            "status": status,
            "lane": Delivery.Lane.FIRST if status == Delivery.Status.PENDING else None,
            "next_attempt_at": now,
            "created_at": now,
            "exhausted_at": now if status == Delivery.Status.EXHAUSTED else None,
        }
        | fields
    )


def make_attempt(delivery: Delivery | None = None, **fields: Any) -> Attempt:
    delivery = delivery or make_delivery()
    made = Attempt.objects.create(
        **{
            "delivery": delivery,
            "number": delivery.attempts.count() + 1,
            "trigger": "first",
            "outcome": "succeeded",
            "status_code": 200,
            "started_at": clock.now(),
            "queue_wait_ms": 1.5,
            "duration_ms": 12.5,
            "request_bytes": 100,
            "response_bytes": 2,
            "response_body": b"ok",
        }
        | fields
    )
    mark_uncounted(Kind.ATTEMPT, [made.started_at])
    return made


def make_retry(delivery: Delivery | None = None, *, due_at: datetime | None = None) -> Retry:
    delivery = delivery or make_delivery(lane=None, attempt_count=1, trigger="retry")
    now = clock.now()
    return Retry.objects.create(
        delivery=delivery,
        due_at=due_at or now,
        number=delivery.attempt_count + 1,
        cause=Attempt.Cause.STATUS_5XX,
        created_at=now,
    )


def make_source(
    account: Account | None = None,
    *,
    provider: str = "github",
    secret: str | None = SOURCE_SECRET,
    routes: tuple[dict[str, Any], ...] = ({},),
    **fields: Any,
) -> Source:
    source = Source.objects.create(
        **{"account": account or make_account(), "name": "GitHub", "provider": provider} | fields
    )
    if secret is not None:
        SourceSecret.objects.create(source=source, secret=secret)
    for position, route in enumerate(routes):
        Route.objects.create(source=source, position=position, **route)
    return source


def make_receipt(source: Source | None = None, *, body: bytes = b"{}", **fields: Any) -> Receipt:
    source = source or make_source()
    headers = fields.pop("headers", {"content-type": "application/json"})
    if fields.get("status") == Receipt.Status.REFUSED:  # as it is refused on arrival
        fields.setdefault("refusal", fields.get("cause", ""))
    made = Receipt.objects.create(
        **{
            "account": source.account,
            "source": source,
            "status": Receipt.Status.ACCEPTED,
            "external_id": str(new_id()),
            "type": "push",
            "method": "POST",
            "headers": orjson.dumps(headers),
            "body": body,
            "body_sha256": hashlib.sha256(body).digest(),
            "remote_address": "127.0.0.1",
            "request_id": new_id().hex,
            "received_at": clock.now(),
            "next_attempt_at": clock.now(),
        }
        | fields
    )
    mark_uncounted(Kind.RECEIPT, [made.received_at])
    return made


def make_rollup(subscription: Subscription, at: datetime, **fields: Any) -> Rollup:
    """One minute's row of the full key; no coarser rows."""
    return Rollup.objects.create(
        **{
            "id": new_id(),
            "scope": Scope.FULL,
            "grain": Grain.MINUTE,
            "at": at.replace(second=0, microsecond=0),
            "account": subscription.account,
            "subscription": subscription,
            "event_type": "invoice.paid",
            "status_class": "2xx",
            "attempts": 1,
            "first_attempts": 1,
            "total_us_sum": 1000,
            "total_us_max": 1000,
            "total": stored({bin_of(1.0): 1}),
        }
        | fields
    )


def make_receipt_rollup(source: Source, at: datetime, **fields: Any) -> ReceiptRollup:
    """One minute's row of the full key; no coarser rows."""
    return ReceiptRollup.objects.create(
        **{
            "id": new_id(),
            "scope": Scope.FULL,
            "grain": Grain.MINUTE,
            "at": at.replace(second=0, microsecond=0),
            "account": source.account,
            "source": source,
            "verdict": "accepted",
            "receipts": 1,
            "receipt_bytes": 9,
        }
        | fields
    )


def make_dashboard(account: Account | None = None, **fields: Any) -> Dashboard:
    """A dashboard with two widgets."""
    now = clock.now()
    dashboard = Dashboard.objects.create(
        **{
            "account": account or make_account(),
            "name": "Board",
            "created_at": now,
            "changed_at": now,
        }
        | fields
    )
    make_widget(dashboard, title="Attempts")
    make_widget(dashboard, title="Over time", kind="line", position=1)
    return dashboard


def make_widget(dashboard: Dashboard, **fields: Any) -> Widget:
    return Widget.objects.create(
        **{"dashboard": dashboard, "title": "W", "kind": "number", "measures": ["attempts"]}
        | fields
    )


def make_report(account: Account | None = None, **fields: Any) -> Report:
    """A report on demand, of what the hub knows, unless said."""
    return Report.objects.create(
        **{
            "account": account or make_account(),
            "name": "Health",
            "subject": "" if "dashboard" in fields else "integration_health",
            "period": "daily",
            "formats": ["csv"],
            "recipients": ["ann@example.com"],
            "enabled": False,
            "created_at": clock.now(),
        }
        | fields
    )


def make_report_run(report: Report | None = None, **fields: Any) -> ReportRun:
    """A finished run with a CSV file."""
    report = report or make_report()
    now = clock.now()
    run = ReportRun.objects.create(
        **{
            "account": report.account,
            "report": report,
            "trigger": "demand",
            "status": "finished",
            "since": now - timedelta(days=1),
            "until": now,
            "created_at": now,
            "finished_at": now,
        }
        | fields
    )
    ReportFile.objects.create(
        run=run,
        format="csv",
        name="health.csv",
        content=str(run.pk).encode(),
        size_bytes=36,
        created_at=now,
    )
    return run


def make_run(receipt: Receipt | None = None, **fields: Any) -> HandlerRun:
    receipt = receipt or make_receipt()
    return HandlerRun.objects.create(
        **{
            "account": receipt.account,
            "source": receipt.source,
            "receipt": receipt,
            "handler": "app.handlers.paid",
            "round": receipt.round,
            "created_at": clock.now(),
        }
        | fields
    )
