"""People hear of one thing from one place."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from monitoring.alert_rules import create_rule, delete_rule
from monitoring.journal import has_rule
from monitoring.models import AlertRule, Notification
from outgoing.expiry import watch_expiry
from outgoing.failing import Seen, note_attempts
from outgoing.models import Event
from outgoing.operational import Exhausted, note_exhausted
from subscriptions.models import Subscription
from tests.factories import make_account, make_delivery, make_source, make_subscription
from webhooks_project.accounts.models import Account

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clock")]

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


def end_soon(account: Account) -> Subscription:
    row = make_subscription(account, expires_at=NOW + timedelta(days=2))
    watch_expiry()
    return row


def give_up(account: Account) -> Subscription:
    row = make_subscription(account)
    delivery = make_delivery(subscription=row, status="exhausted")
    note_exhausted([Exhausted(delivery.pk, delivery.event_id, row.pk, "dns", None, 8)])
    return row


def recover(account: Account) -> Subscription:
    row = make_subscription(
        account, failing_since=NOW, last_failed_at=NOW, failing_noticed_percent=50
    )
    note_attempts({row.pk: Seen(succeeded=True)})
    return row


CASES = [
    (end_soon, "expiring", "subscription.expiring"),
    (give_up, "dead_letters_rising", "delivery.exhausted"),
    (recover, "endpoint_failing", "subscription.recovered"),
]


@pytest.mark.parametrize(("happens", "kind", "told"), CASES)
def test_without_a_rule_the_lifecycle_tells(
    account: Account, happens: Any, kind: str, told: str
) -> None:
    happens(account)
    assert [row.kind for row in Notification.objects.all()] == [told]


@pytest.mark.parametrize(("happens", "kind", "told"), CASES)
def test_with_a_rule_its_incident_tells_and_the_event_is_published(
    account: Account, happens: Any, kind: str, told: str
) -> None:
    make_subscription(account, event_types=(told,))
    create_rule(account=account, name="It", kind=kind)
    happens(account)
    assert Notification.objects.count() == 0
    assert [event.type for event in Event.objects.filter(type=told)] == [told]


def test_a_rule_counts_where_it_is_on_and_about_it(account: Account) -> None:
    one, other = make_subscription(account), make_subscription(account)
    facts = {"account_id": account.pk, "kind": "expiring", "subscription_id": one.pk}
    assert not has_rule(**facts)
    rule = create_rule(account=account, name="All", kind="expiring")
    assert has_rule(**facts)
    AlertRule.objects.update(enabled=False)
    assert not has_rule(**facts)
    delete_rule(rule=rule)
    create_rule(account=account, name="Other", kind="expiring", subscription=other)
    create_rule(account=account, name="Source", kind="expiring", source=make_source(account))
    create_rule(account=make_account(), name="Foreign", kind="expiring")
    assert not has_rule(**facts)
    create_rule(account=account, name="One", kind="expiring", subscription=one)
    assert has_rule(**facts)
