"""Several nodes at once: told once, escalated once, and never over the limit."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction

from monitoring.admission import SUMMARY
from monitoring.alerting import escalate_incidents, tell
from monitoring.models import Incident, IncidentEntry, Notification
from monitoring.notifications import send_due_notifications
from tests.factories import make_account, make_incident
from tests.monitoring.receivers import (
    WebServer,
    make_channel,
    make_rule,
    relays,
    resolve,
    web_server,
)
from webhooks_project.lib import clock

pytestmark = [
    pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer at a time"),
    pytest.mark.django_db(transaction=True),
]

Moment = Notification.Moment
NODES = 4


@pytest.fixture
def slack(settings: Any) -> Iterator[WebServer]:
    with web_server() as server:
        settings.WEBHOOKS_CHANNEL_RELAYS = relays(server)
        yield server


def at_once(work: Callable[[], Any]) -> list[Any]:
    """The result of the same work on each node, begun at the same moment."""
    barrier = threading.Barrier(NODES)
    results: list[Any] = []

    def run() -> None:
        try:
            barrier.wait()
            results.append(work())
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(NODES)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == NODES
    return results


def test_an_incident_is_told_once(slack: WebServer) -> None:
    account = make_account()
    incident = make_incident(make_rule(account, make_channel(account)))
    assert sorted(at_once(lambda: tell(incident, Moment.OPENED))) == [0, 0, 0, 1]
    assert sum(at_once(send_due_notifications)) == 1
    assert len(slack.asked) == 1


def test_the_limit_is_exact_and_the_summary_one(slack: WebServer) -> None:
    account = make_account()
    rule = make_rule(account, make_channel(account, hourly_limit=7))
    for _ in range(30):
        tell(make_incident(rule), Moment.OPENED)
    at_once(send_due_notifications)
    assert len(slack.asked) == 7
    summary = Notification.objects.get(kind=SUMMARY)
    assert summary.parts.count() == 23
    assert Notification.objects.filter(status="sent").count() == 7


def test_is_escalated_once(slack: WebServer) -> None:
    account = make_account()
    pager = make_channel(account, "pagerduty")
    rule = make_rule(
        account, make_channel(account), escalates_after_seconds=60, escalation_channels=[pager]
    )
    early = clock.now() - timedelta(minutes=2)
    for _ in range(5):
        make_incident(rule, opened_at=early)
    assert sum(at_once(escalate_incidents)) == 5
    assert Notification.objects.filter(moment="escalated").count() == 5
    assert IncidentEntry.objects.filter(kind="escalated").count() == 5


def test_is_not_escalated_where_it_is_acknowledged_at_the_same_moment(slack: WebServer) -> None:
    account = make_account()
    rule = make_rule(account, make_channel(account), escalates_after_seconds=60)
    incident = make_incident(rule, opened_at=clock.now() - timedelta(minutes=2))
    begun = threading.Event()
    counts: list[int] = []

    def escalate() -> None:
        try:
            begun.wait()
            counts.append(escalate_incidents())
        finally:
            connection.close()

    thread = threading.Thread(target=escalate)
    thread.start()
    with transaction.atomic():
        Incident.objects.filter(pk=incident.pk, status="open").update(status="acknowledged")
        begun.set()
        thread.join(timeout=0.5)  # it waits for this transaction, or has not begun
    thread.join()
    assert counts == [0]
    assert not Notification.objects.exists()


def test_resolutions_are_one_message_of_one_node(slack: WebServer) -> None:
    account = make_account()
    rule = make_rule(account, make_channel(account))
    incidents = [make_incident(rule) for _ in range(12)]
    for incident in incidents:
        tell(incident, Moment.OPENED)
    send_due_notifications()
    for incident in incidents:
        tell(resolve(incident, clock.now()), Moment.RESOLVED)
    Notification.objects.filter(moment="resolved").update(next_attempt_at=clock.now())
    at_once(send_due_notifications)
    told = [body["text"] for body in slack.bodies[12:]]
    named = sum(int(title.split()[0]) if title[0].isdigit() else 1 for title in told)
    assert named == 12  # each once; as many messages as nodes that had one in hand
    assert len(told) <= NODES
