"""The migrations on a database that the version before them has filled."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.core.management import call_command
from django.db import connection
from django.db.migrations.loader import MigrationLoader

from analytics.counting import count_marked
from analytics.models import Detail, ReceiptRollup, Rollup, Scope
from analytics.periods import Grain
from incoming.models import Receipt, Source
from monitoring.models import AlertRule, Incident, Notification
from outgoing.models import Delivery, Event
from tests.factories import (
    make_attempt,
    make_delivery,
    make_event,
    make_receipt,
    make_source,
    make_subscription,
)
from webhooks_project.lib import clock
from webhooks_project.lib.ids import new_id
from webhooks_project.models import Uncounted

pytestmark = pytest.mark.django_db(transaction=True)

BEFORE = [("incoming", "0009_run_due_by_source"), ("monitoring", "0009_incident_by_end")]
NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)


def go_back(targets: list[tuple[str, str]]) -> Any:
    for app, name in targets:
        call_command("migrate", app, name, verbosity=0, interactive=False)
    return MigrationLoader(connection, replace_migrations=False).project_state(targets).apps


def upgrade() -> None:
    """One by one where only some of what a squashed migration replaces is there."""
    call_command("migrate", verbosity=0, interactive=False)


@pytest.fixture(autouse=True)
def latest_again(settings: Any) -> Iterator[None]:
    """The database is there again after the test."""
    settings.MIGRATION_MODULES = {}
    yield
    upgrade()


def test_what_a_version_before_kept_is_carried_over() -> None:
    subscription, source = make_subscription(), make_source()
    account = subscription.account
    old = go_back(BEFORE)
    of_account = {"account_id": account.pk, "created_at": NOW}
    receipts = {
        name: old.get_model("incoming", "Receipt").objects.create(
            id=new_id(), account_id=source.account_id, source_id=source.pk, received_at=NOW,
            external_id=name, body=b"{}", headers=b"{}", body_sha256=b"0" * 32,
            next_attempt_at=None, **fields,
        ).pk
        for name, fields in {
            "limited": {"status": "refused", "cause": "rate_limited"},
            "dropped": {"status": "refused", "cause": "schema_mismatch", "dedup_slot": 0},
            "dead": {"status": "dead", "cause": "handler_failed"},
        }.items()
    }  # fmt: skip
    old.get_model("monitoring", "HealthPolicy").objects.create(**of_account)
    rules = {
        name: old.get_model("monitoring", "AlertRule").objects.create(
            name=name, kind=kind, threshold=threshold, window_seconds=3_600, **of_account
        ).pk
        for name, kind, threshold in (
            ("Dead letters rising", "dead_letters_rising", 1),
            ("Mine", "dead_letters_rising", 7),
            ("30 days", "expiring", 30),
            ("1 day", "expiring", 1),
        )
    }  # fmt: skip
    incidents = {
        name: old.get_model("monitoring", "Incident").objects.create(
            account_id=account.pk, rule_id=rules[name], kind="expiring", severity=severity,
            subscription_id=subscription.pk, title=name, opened_at=NOW - timedelta(days=days),
            key=f"{rules[name].hex}:{subscription.pk.hex}:secret", last_seen_at=NOW,
        ).pk
        for name, severity, days in (("30 days", "warning", 29), ("1 day", "critical", 1))
    }  # fmt: skip
    for name, key in incidents.items():
        old.get_model("monitoring", "Notification").objects.create(
            **of_account, kind="incident.opened", incident_id=key, target="slack", moment="opened",
            title=name, next_attempt_at=NOW,
        )  # fmt: skip

    upgrade()

    assert dict(Receipt.objects.values_list("pk", "refusal")) == {
        receipts["limited"]: "rate_limited", receipts["dropped"]: "", receipts["dead"]: "",
    }  # fmt: skip
    assert set(AlertRule.objects.values_list("name", "rise_factor", "kind")) == {
        ("Dead letters rising", 3.0, "dead_letters_rising"),
        ("Mine", None, "dead_letters_rising"),
        ("30 days", None, "expiring"),
        ("1 day", None, "expiring"),
        ("Backlog not shrinking", None, "backlog_not_shrinking"),
        ("Set-up wrong", None, "setup_wrong"),
    }
    goes_on, merged = (Incident.objects.get(pk=incidents[name]) for name in ("1 day", "30 days"))
    assert (goes_on.status, goes_on.key) == ("open", f"{subscription.pk.hex}:secret")
    assert set(goes_on.rules.values_list("name", flat=True)) == {"1 day", "30 days"}
    assert (merged.status, merged.resolution) == ("resolved", "gone")
    assert set(Notification.objects.values_list("title", "moment", "status", "round")) == {
        ("1 day", "opened", "pending", 0),
        ("30 days", "opened", "withdrawn", 0),
    }


def test_what_was_counted_before_sources_and_types_were_is_counted_once() -> None:
    subscription = make_subscription()
    source = make_source(subscription.account)
    delivery = make_delivery(make_event(source.account, source_id=source.pk), subscription)
    with time_machine.travel(NOW, tick=False):
        Detail.objects.create(since=NOW + timedelta(days=30))  # so that it counts as it did
        happens(delivery, source)
        count_marked()
        Detail.objects.all().delete()
        old = go_back([("analytics", "0006_widget_kinds"), ("outgoing", "0011_replay_lagging")])
        for name, new in (("Rollup", (5,)), ("ReceiptRollup", (2, 5))):
            rows = old.get_model("analytics", name).objects
            rows.filter(scope__in=new).delete()  # those of the version before
        upgrade()
        assert Detail.objects.get().since == datetime(2026, 11, 27, tzinfo=UTC)
        Event.objects.update(source_id=source.pk)
        happens(delivery, source)
        count_marked()
        assert counts(ReceiptRollup, "receipts") == {
            (grain, scope): [("", 2)]
            for grain in Grain
            for scope in Scope
            if scope is not Scope.SUBSCRIPTION
            and (grain is not Grain.MINUTE or scope in (Scope.HUB, Scope.ACCOUNT, Scope.FULL))
        }
        assert {
            scope: found
            for (grain, scope), found in counts(Rollup, "attempts", "source_id").items()
            if grain == Grain.DAY
        } == {scope: [(None, 2)] for scope in Scope if scope is not Scope.SOURCE}
    with time_machine.travel(NOW + timedelta(days=1), tick=False):
        happens(delivery, source)
        count_marked()
    rows = Rollup.objects.filter(grain=Grain.DAY, scope=Scope.FULL).order_by("at")
    assert list(rows.values_list("source_id", "attempts")) == [(None, 2), (source.pk, 1)]
    receipts = ReceiptRollup.objects.filter(grain=Grain.DAY, scope=Scope.FULL).order_by("at")
    assert list(receipts.values_list("event_type", "receipts")) == [("", 2), ("order.paid", 1)]


def happens(delivery: Delivery, source: Source) -> None:
    """An attempt, and a call, now."""
    make_attempt(delivery, cause="dns", status_code=None)
    make_receipt(source, type="order.paid", received_at=clock.now(), next_attempt_at=None)


def counts(model: Any, count: str, key: str = "event_type") -> dict[tuple[int, int], list[Any]]:
    """Of each grain and scope the rows' keys and counts."""
    found: dict[tuple[int, int], list[Any]] = {}
    for grain, scope, *values in model.objects.values_list("grain", "scope", key, count):
        found.setdefault((grain, scope), []).append(tuple(values))
    return found


def test_analytics_that_were_taken_back_count_what_is_there() -> None:
    make_attempt(started_at=NOW)
    Uncounted.objects.all().delete()
    call_command("migrate", "analytics", "zero", verbosity=0, interactive=False)
    upgrade()
    marked = Uncounted.objects.filter(kind=Uncounted.Kind.ATTEMPT).values_list("minute", flat=True)
    assert list(marked) == [NOW]
