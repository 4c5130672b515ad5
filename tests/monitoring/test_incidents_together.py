"""Two nodes that look at the same account at the same moment."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection, connections

from monitoring import incident_changes
from monitoring.alert_rules import create_rule, give_defaults
from monitoring.evaluating import _claim
from monitoring.incidents import follow
from monitoring.models import AlertRule, HealthPolicy, Incident, IncidentEntry, Notification
from monitoring.problems import Known, Seen, known_problems
from monitoring.rules import Signal, key_of, problem_of
from tests.factories import make_account, make_subscription
from webhooks_project.accounts.models import Account
from webhooks_project.lib import clock

pytestmark = pytest.mark.django_db(transaction=True)

NODES = 4
several_writers = pytest.mark.skipif(
    connection.vendor != "postgresql", reason="SQLite has one writer at a time"
)


def together(work: Any) -> list[Any]:
    """What each of some threads came to, all begun at one moment."""
    start = threading.Barrier(NODES)

    def one(number: int) -> Any:
        start.wait(10)
        try:
            return work(number)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(NODES) as pool:
        return list(pool.map(one, range(NODES)))


def seen_by(rule: AlertRule, subscription: Any, *, is_there: bool = True) -> Seen:
    key = key_of(rule.pk, problem_of(subscription.pk, "tls"))
    signal = Signal(
        key=key, cause="tls", is_over=True, value=60.0, title="Shop is failing", text="It is.",
        subscription_id=subscription.pk,
    )  # fmt: skip
    return Seen(
        account_id=rule.account_id,
        signals={key: signal} if is_there else {},
        rules={rule.pk: rule},
        subjects={subscription.pk},
    )


@several_writers
def test_one_problem_is_one_incident_told_once(account: Account) -> None:
    rule = create_rule(
        account=account, name="Failing", kind="endpoint_failing", opens_after_seconds=0
    )
    seen = seen_by(rule, make_subscription(account))
    now = clock.now()
    assert sum(together(lambda number: follow(seen, Known(), now))) == 1
    incident = Incident.objects.get()
    opened = incident.entries.filter(kind=IncidentEntry.Kind.OPENED)
    assert opened.count() == 1
    assert Notification.objects.filter(kind="incident.opened").count() == 1


@several_writers
def test_one_that_joins_raises_and_tells_once(account: Account) -> None:
    first, second = (
        create_rule(
            account=account, name=severity, kind="endpoint_failing", severity=severity,
            opens_after_seconds=0,
        )
        for severity in ("warning", "critical")
    )  # fmt: skip
    subscription = make_subscription(account)
    now = clock.now()
    follow(seen_by(first, subscription), Known(), now)
    Notification.objects.update(status="sent", next_attempt_at=None)
    known = [known_problems([account.pk], now)[account.pk] for _ in range(NODES)]
    later = now + timedelta(minutes=1)
    both = [seen_by(rule, subscription) for rule in (first, second)]
    seen = Seen(
        account_id=account.pk,
        signals={**both[0].signals, **both[1].signals},
        rules={first.pk: first, second.pk: second},
        subjects={subscription.pk},
    )
    assert sum(together(lambda number: follow(seen, known[number], later))) == 0
    incident = Incident.objects.get()
    assert (incident.severity, incident.rule, incident.raised_at) == ("critical", second, later)
    assert set(incident.rules.all()) == {first, second}
    assert incident.entries.filter(kind=IncidentEntry.Kind.JOINED).count() == 1
    assert Notification.objects.filter(kind="incident.raised").count() == 1


@several_writers
def test_one_recovery_is_told_once(account: Account) -> None:
    rule = create_rule(
        account=account, name="Failing", kind="endpoint_failing", opens_after_seconds=0,
        resolves_after_seconds=0,
    )  # fmt: skip
    subscription = make_subscription(account)
    follow(seen_by(rule, subscription), Known(), clock.now())
    gone = seen_by(rule, subscription, is_there=False)
    now = clock.now()
    known = [known_problems([account.pk], now)[account.pk] for _ in range(NODES)]
    assert sum(together(lambda number: follow(gone, known[number], now))) == 1
    assert Incident.objects.get().status == "resolved"
    assert Notification.objects.filter(kind="incident.resolved").count() == 1


@several_writers
def test_each_account_gets_its_rules_once() -> None:
    for _ in range(3):
        make_account()
    together(lambda number: give_defaults())
    assert HealthPolicy.objects.count() == 3
    for account in Account.objects.all():
        assert account.alert_rules.count() == 12


@several_writers
def test_an_account_is_claimed_by_one() -> None:
    for _ in range(3):
        make_account()
    give_defaults()
    now = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
    claims = together(lambda number: [row.pk for row in _claim(now)])
    claimed = [key for keys in claims for key in keys]
    assert len(claimed) == len(set(claimed)) == 3
    assert _claim(now + timedelta(seconds=49)) == []
    assert len(_claim(now + timedelta(seconds=50))) == 3


def test_one_that_cannot_be_opened_keeps_no_other_back(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule = create_rule(
        account=account, name="Failing", kind="endpoint_failing", opens_after_seconds=0
    )
    one, two = make_subscription(account), make_subscription(account)
    both = [seen_by(rule, one), seen_by(rule, two)]
    real = incident_changes.tell

    def failing(incident: Incident, moment: Any) -> int:
        if incident.subscription_id == one.pk:
            raise ZeroDivisionError
        return real(incident, moment)

    monkeypatch.setattr(incident_changes, "tell", failing)
    seen = Seen(
        account_id=account.pk,
        signals={**both[0].signals, **both[1].signals},
        rules={rule.pk: rule},
        subjects={one.pk, two.pk},
    )
    assert follow(seen, Known(), clock.now()) == 1
    assert Incident.objects.get().subscription == two
    assert not IncidentEntry.objects.exclude(incident__subscription=two).exists()
