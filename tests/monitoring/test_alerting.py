"""Whom an incident is told to, when, how often, and what becomes of it when it is over."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest
import time_machine
from django.core import mail
from django.db import IntegrityError, transaction

from monitoring import notifications, tasks, turns
from monitoring.admission import LIMIT_WITHOUT_CHANNEL, SUMMARY, Combine, Send, admit
from monitoring.alerting import GROUP_FOR, escalate_incidents, tell
from monitoring.channels import services
from monitoring.journal import record_notification
from monitoring.models import Activity, Incident, IncidentEntry, Notification
from monitoring.notifications import RETRY_SECONDS, send_due_notifications
from monitoring.retention import prune_incidents
from tests.factories import make_account, make_incident, make_user
from tests.monitoring.receivers import (
    NOW,
    Answer,
    WebServer,
    make_channel,
    make_rule,
    relays,
    resolve,
    web_server,
)
from webhooks_project.accounts.models import Account

pytestmark = pytest.mark.django_db

Moment = Notification.Moment


@pytest.fixture(autouse=True)
def clock() -> Iterator[time_machine.Coordinates]:
    with time_machine.travel(NOW, tick=False) as traveller:
        yield traveller


@pytest.fixture
def account() -> Account:
    return make_account(name="Acme")


@pytest.fixture
def slack(settings: Any) -> Iterator[WebServer]:
    with web_server() as server:
        settings.WEBHOOKS_CHANNEL_RELAYS = relays(server)
        yield server


def titles(server: WebServer) -> list[str]:
    return [body["text"] for body in server.bodies]


def texts(server: WebServer) -> list[str]:
    return [body["blocks"][1]["text"]["text"] for body in server.bodies]


def statuses(**filters: Any) -> list[str]:
    rows = Notification.objects.filter(**filters).order_by("created_at", "pk")
    return list(rows.values_list("status", flat=True))


# --- to whom --------------------------------------------------------------------------------------


def test_a_rule_without_channels_mails_the_operators(account: Account) -> None:
    make_user(account, "operator", email="operator@example.com")
    make_user(account, "viewer", email="viewer@example.com")
    incident = make_incident(make_rule(account))
    assert tell(incident, IncidentEntry.Kind.OPENED) == 1
    send_due_notifications()
    [sent] = mail.outbox
    assert (sent.to, sent.subject) == (["operator@example.com"], "Endpoint 0 fails")
    assert IncidentEntry.objects.get().text == "Opened: 1 message (1 by E-mail) queued."


def test_so_does_one_whose_channels_are_all_off(account: Account) -> None:
    make_user(account, "operator", email="operator@example.com")
    channel = make_channel(account, enabled=False)
    tell(make_incident(make_rule(account, channel)), Moment.OPENED)
    assert list(Notification.objects.values_list("via", "recipient")) == [
        ("email", "operator@example.com")
    ]


def test_so_does_an_incident_whose_rule_is_gone(account: Account) -> None:
    make_user(account, "operator", email="operator@example.com")
    assert tell(make_incident(account=account), Moment.OPENED) == 1


def test_where_nobody_has_an_address_an_activity_says_so(account: Account) -> None:
    incident = make_incident(make_rule(account))
    assert tell(incident, Moment.OPENED) == 0
    activity = Activity.objects.get()
    assert (activity.kind, activity.object_id) == ("notification.unaddressed", str(incident.pk))
    why = "Nobody was told: no operator of the account has an address."
    assert activity.text == f"{why} {incident.title}"
    entry = IncidentEntry.objects.get()
    assert (entry.kind, entry.text) == ("told", f"Opened: {why}")


def test_so_does_one_whose_channels_lead_to_nobody(account: Account) -> None:
    make_user(account, "operator", email="operator@example.com")
    channel = make_channel(account, "email", recipients=["admin"])
    assert tell(make_incident(make_rule(account, channel)), Moment.OPENED) == 1
    assert Notification.objects.get().recipient == "operator@example.com"
    assert Activity.objects.get().kind == "notification.unaddressed"
    assert list(IncidentEntry.objects.values_list("kind", "text")) == [
        ("told", f"Opened: Nobody was told: {channel.name} leads to nobody who has an address."),
        ("told", "Opened: 1 message (1 by E-mail) queued."),
    ]


def test_goes_through_no_channel_of_another_account(account: Account) -> None:
    channel = make_channel(make_account())
    tell(make_incident(make_rule(account, channel)), Moment.OPENED)
    assert not Notification.objects.filter(channel=channel).exists()


def test_goes_through_every_channel_of_the_rule(account: Account) -> None:
    kinds = ["slack", "teams", "pagerduty", "webhook", "email"]
    channels = [make_channel(account, kind) for kind in kinds]
    assert tell(make_incident(make_rule(account, *channels)), Moment.OPENED) == 5
    assert set(Notification.objects.values_list("via", flat=True)) == set(kinds)


def test_goes_with_the_caller_s_transaction(account: Account) -> None:
    incident = make_incident(make_rule(account, make_channel(account)))
    with transaction.atomic():
        tell(incident, Moment.OPENED)
        transaction.set_rollback(True)
    assert not Notification.objects.exists()


def test_the_database_itself_takes_the_same_once(account: Account) -> None:
    incident = make_incident(make_rule(account, make_channel(account)))
    tell(incident, Moment.OPENED)
    row = Notification.objects.get()
    row.pk = None
    with pytest.raises(IntegrityError), transaction.atomic():
        Notification.objects.create(
            account=account, incident=incident, moment="opened", target=row.target,
            recipient=row.recipient, title="A", text="B", created_at=NOW,
        )  # fmt: skip


def test_acknowledging_is_told_to_programs_alone(account: Account) -> None:
    kinds = ["slack", "teams", "pagerduty", "webhook", "email"]
    rule = make_rule(account, *[make_channel(account, kind) for kind in kinds])
    incident = make_incident(rule)
    tell(incident, Moment.OPENED)
    assert tell(incident, Moment.ACKNOWLEDGED) == 2
    told = Notification.objects.filter(moment="acknowledged").values_list("via", flat=True)
    assert set(told) == {"pagerduty", "webhook"}


# --- quiet hours ----------------------------------------------------------------------------------


def quiet_channel(account: Account, **fields: Any) -> Any:
    return make_channel(account, quiet_from=time(11), quiet_until=time(13), **fields)


def test_what_waited_is_sent_at_the_end_of_the_quiet_hours(
    account: Account, slack: WebServer, clock: Any
) -> None:
    tell(make_incident(make_rule(account, quiet_channel(account))), Moment.OPENED)
    clock.shift(3599)
    assert send_due_notifications() == 0
    clock.shift(1)
    assert send_due_notifications() == 1
    assert titles(slack) == ["Endpoint 0 fails"]


def test_what_is_over_by_then_is_one_line(account: Account, slack: WebServer, clock: Any) -> None:
    incident = make_incident(make_rule(account, quiet_channel(account)))
    tell(incident, Moment.OPENED)
    clock.shift(600)
    tell(resolve(incident, NOW + timedelta(minutes=10)), Moment.RESOLVED)
    assert statuses() == ["withdrawn", "pending"]
    clock.move_to(NOW + timedelta(hours=1))
    send_due_notifications()
    assert titles(slack) == ["Was open and is resolved: Endpoint 0 fails"]
    assert texts(slack) == [
        "It was open from 2026-03-04 12:00 UTC to 2026-03-04 12:10 UTC (10 min); nothing was sent "
        "meanwhile."
    ]
    assert statuses() == ["withdrawn", "sent"]


def test_hours_that_begin_before_a_retry_hold_it_back_uncounted(
    account: Account, slack: WebServer, clock: Any
) -> None:
    channel = make_channel(account, quiet_from=time(12, 1), quiet_until=time(13))
    slack.give(Answer(500), Answer(200))
    tell(make_incident(make_rule(account, channel)), Moment.OPENED)
    send_due_notifications()
    clock.shift(RETRY_SECONDS[0])
    assert send_due_notifications() == 0
    row = Notification.objects.get()
    assert (row.status, row.attempt_count, row.next_attempt_at) == (
        "pending", 1, NOW + timedelta(hours=1),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("now", "zone", "end"),
    [
        # The night in which Berlin's clock is put on: seven is an hour sooner.
        ("2026-03-28T22:30", "Europe/Berlin", "2026-03-29T05:00"),
        ("2026-03-27T22:30", "Europe/Berlin", "2026-03-28T06:00"),
        # The night in which it is put back.
        ("2026-10-24T22:30", "Europe/Berlin", "2026-10-25T06:00"),
        ("2026-10-23T22:30", "Europe/Berlin", "2026-10-24T05:00"),
        ("2026-03-08T06:30", "America/New_York", "2026-03-08T11:00"),
    ],
)
def test_they_end_by_the_channel_s_clock(
    account: Account, clock: Any, now: str, zone: str, end: str
) -> None:
    clock.move_to(datetime.fromisoformat(now).replace(tzinfo=UTC))
    channel = make_channel(account, quiet_from=time(22), quiet_until=time(7), time_zone=zone)
    tell(make_incident(make_rule(account, channel)), Moment.OPENED)
    expected = datetime.fromisoformat(end).replace(tzinfo=UTC)
    assert Notification.objects.get().next_attempt_at == expected


# --- the limit ------------------------------------------------------------------------------------


def test_those_over_the_limit_become_one_message(
    account: Account, slack: WebServer, clock: Any
) -> None:
    channel = make_channel(account, hourly_limit=3)
    rule = make_rule(account, channel)
    for _ in range(8):
        tell(make_incident(rule), Moment.OPENED)
    send_due_notifications()
    assert len(slack.asked) == 3
    clock.shift(3599)
    assert send_due_notifications() == 0
    clock.shift(1)
    assert send_due_notifications() == 1
    assert titles(slack)[3:] == ["5 more messages, over the hourly limit"]
    assert texts(slack)[3].splitlines() == [
        "So many were not sent one by one:",
        *[f"2026-03-04 12:00 UTC Endpoint {number} fails" for number in range(3, 8)],
    ]
    summary = Notification.objects.get(kind=SUMMARY)
    assert summary.parts.count() == 5
    assert summary.title == "5 more messages, over the hourly limit"
    assert statuses(incident__isnull=False) == ["sent"] * 3 + ["combined"] * 5


def test_the_summary_counts_what_comes_until_it_is_sent(
    account: Account, slack: WebServer, clock: Any
) -> None:
    rule = make_rule(account, make_channel(account, hourly_limit=1))
    tell(make_incident(rule), Moment.OPENED)
    send_due_notifications()
    for _ in range(3):
        clock.shift(60)
        tell(make_incident(rule), Moment.OPENED)
        send_due_notifications()
    clock.move_to(NOW + timedelta(hours=1))
    send_due_notifications()
    assert titles(slack) == ["Endpoint 0 fails", "3 more messages, over the hourly limit"]
    # The summary took the place of this hour.
    tell(make_incident(rule), Moment.OPENED)
    send_due_notifications()
    assert len(slack.asked) == 2


def test_a_retry_takes_no_second_place(account: Account, slack: WebServer, clock: Any) -> None:
    rule = make_rule(account, make_channel(account, hourly_limit=1))
    slack.give(Answer(500), Answer(200))
    tell(make_incident(rule), Moment.OPENED)
    send_due_notifications()
    clock.shift(RETRY_SECONDS[0])
    send_due_notifications()
    assert statuses() == ["sent"]


def test_the_limit_of_mails_is_each_person_s(account: Account, clock: Any) -> None:
    channel = make_channel(
        account, "email", recipients=["ann@example.com", "bob@example.com"], hourly_limit=2
    )
    rule = make_rule(account, channel)
    for _ in range(3):
        tell(make_incident(rule), Moment.OPENED)
    send_due_notifications()
    told = sorted(message.to[0] for message in mail.outbox)
    assert told == ["ann@example.com"] * 2 + ["bob@example.com"] * 2
    assert Notification.objects.filter(kind=SUMMARY).count() == 2


def test_operators_without_a_channel_have_a_limit_too(account: Account) -> None:
    make_user(account, "operator", email="operator@example.com")
    rule = make_rule(account)
    for _ in range(LIMIT_WITHOUT_CHANNEL + 2):
        tell(make_incident(rule), Moment.OPENED)
    send_due_notifications()
    assert len(mail.outbox) == LIMIT_WITHOUT_CHANNEL


def test_a_pager_is_told_of_every_end(account: Account, slack: WebServer, clock: Any) -> None:
    rule = make_rule(account, make_channel(account, "pagerduty", hourly_limit=2))
    incidents = [make_incident(rule) for _ in range(2)]
    for incident in incidents:
        tell(incident, Moment.OPENED)
    send_due_notifications()
    for incident in incidents:
        tell(resolve(incident, NOW), Moment.RESOLVED)
    send_due_notifications()
    assert [body["event_action"] for body in slack.bodies] == ["trigger"] * 2 + ["resolve"] * 2


# --- resolutions ----------------------------------------------------------------------------------


def opened(account: Account, count: int) -> list[Incident]:
    rule = make_rule(account, make_channel(account))
    incidents = [make_incident(rule) for _ in range(count)]
    for incident in incidents:
        tell(incident, Moment.OPENED)
    send_due_notifications()
    return incidents


def test_what_is_resolved_within_a_minute_is_one_message(
    account: Account, slack: WebServer, clock: Any
) -> None:
    incidents = opened(account, 3)
    for number, incident in enumerate(incidents):
        clock.move_to(NOW + timedelta(minutes=10, seconds=number))
        tell(resolve(incident, NOW + timedelta(minutes=10)), Moment.RESOLVED)
    clock.move_to(NOW + timedelta(minutes=10) + GROUP_FOR)
    assert send_due_notifications() == 1
    assert titles(slack)[3:] == ["3 incidents are resolved"]
    assert texts(slack)[3].splitlines() == [
        f"Endpoint {number} fails: 2026-03-04 12:00 UTC to 2026-03-04 12:10 UTC (10 min)"
        for number in range(3)
    ]
    assert statuses(moment="resolved") == ["sent", "combined", "combined"]
    clock.shift(600)
    assert send_due_notifications() == 0


@pytest.mark.parametrize(
    ("count", "title", "line"),
    [
        (1, "Closed, not recovered: Endpoint 0 fails",
         "It was open from 2026-03-04 12:00 UTC to 2026-03-04 12:10 UTC (10 min) and is closed, not"
         " recovered: what it is about, or the rule that opened it, is not active any more."),
        (2, "2 incidents are closed, 1 of them not recovered",
         "Endpoint 0 fails: 2026-03-04 12:00 UTC to 2026-03-04 12:10 UTC (10 min), closed, not"
         " recovered"),
    ],
)  # fmt: skip
def test_what_is_gone_is_not_said_to_be_resolved(
    account: Account, slack: WebServer, clock: Any, count: int, title: str, line: str
) -> None:
    incidents = opened(account, count)
    for incident, how in zip(incidents, ["gone", "recovered"], strict=False):
        tell(resolve(incident, NOW + timedelta(minutes=10), how), Moment.RESOLVED)
    clock.move_to(NOW + timedelta(minutes=10) + GROUP_FOR)
    send_due_notifications()
    assert titles(slack)[count:] == [title]
    assert texts(slack)[count].splitlines()[0] == line


def test_one_that_was_told_of_waits_for_its_opening_to_end(
    account: Account, slack: WebServer, clock: Any
) -> None:
    [incident] = opened(account, 1)
    opening = Notification.objects.filter(moment="opened")
    opening.update(status="sending", next_attempt_at=NOW + timedelta(minutes=3))
    tell(resolve(incident, NOW), Moment.RESOLVED)
    clock.shift(60)
    assert send_due_notifications() == 0
    assert Notification.objects.get(moment="resolved").attempt_count == 0
    opening.update(status="sent", next_attempt_at=None)
    clock.shift(60)
    assert send_due_notifications() == 1


def test_an_opening_that_may_have_arrived_has_its_end_told(
    account: Account, slack: WebServer, clock: Any
) -> None:
    slack.give(Answer(503), Answer(200))
    [incident] = opened(account, 1)
    tell(resolve(incident, NOW), Moment.RESOLVED)
    clock.shift(60)
    send_due_notifications()
    assert titles(slack)[1:] == ["Resolved: Endpoint 0 fails"]
    assert statuses() == ["withdrawn", "sent"]


def test_an_incident_that_told_nobody_tells_nobody_of_its_end(account: Account) -> None:
    incident = make_incident(make_rule(account, make_channel(account)))
    assert tell(resolve(incident, NOW), Moment.RESOLVED) == 0


def test_an_end_goes_where_the_opening_went(account: Account, slack: WebServer) -> None:
    """Whatever the rule says by then."""
    [incident] = opened(account, 1)
    assert incident.rule is not None
    incident.rule.channels.set([make_channel(account, "teams")])
    tell(resolve(incident, NOW), Moment.RESOLVED)
    assert Notification.objects.get(moment="resolved").via == "slack"


# --- escalation -----------------------------------------------------------------------------------


def escalating(account: Account, *escalation_channels: Any, **fields: Any) -> Incident:
    rule = make_rule(
        account,
        make_channel(account),
        escalates_after_seconds=900,
        escalation_channels=escalation_channels,
    )
    return make_incident(rule, **fields)


def test_is_escalated_once_when_nobody_acknowledged_it(
    account: Account, slack: WebServer, clock: Any
) -> None:
    incident = escalating(account, make_channel(account, "pagerduty"))
    clock.shift(899)
    assert escalate_incidents() == 0
    clock.shift(1)
    assert (escalate_incidents(), escalate_incidents()) == (1, 0)
    row = Notification.objects.get()
    assert (row.moment, row.via, row.title) == (
        "escalated", "pagerduty", "Not acknowledged: Endpoint 0 fails",
    )  # fmt: skip
    incident.refresh_from_db()
    assert incident.escalated_at == NOW + timedelta(seconds=900)
    entries = IncidentEntry.objects.values_list("kind", "text")
    assert list(entries) == [
        ("escalated", "Nobody has acknowledged it in 15 min."),
        ("told", "Escalated: 1 message (1 by PagerDuty) queued."),
    ]


@pytest.mark.parametrize("status", ["acknowledged", "resolved"])
def test_is_not_escalated_when_it_is_seen_to(account: Account, clock: Any, status: str) -> None:
    escalating(account, make_channel(account, "pagerduty"), status=status)
    clock.shift(3600)
    assert escalate_incidents() == 0
    assert not Notification.objects.exists()


def test_is_never_escalated_where_the_rule_says_so(account: Account, clock: Any) -> None:
    make_incident(make_rule(account, make_channel(account)))
    clock.shift(86_400)
    assert escalate_incidents() == 0


def test_without_escalation_channels_the_same_are_told_again(account: Account, clock: Any) -> None:
    incident = escalating(account)
    tell(incident, Moment.OPENED)
    clock.shift(900)
    escalate_incidents()
    assert [row.moment for row in Notification.objects.filter(via="slack").order_by("pk")] == [
        "opened", "escalated",
    ]  # fmt: skip


def test_what_is_acknowledged_before_the_escalation_is_sent_is_not_escalated(
    account: Account, slack: WebServer, clock: Any
) -> None:
    escalating(account)
    clock.shift(900)
    escalate_incidents()
    Incident.objects.update(status="acknowledged")
    send_due_notifications()
    assert (slack.asked, statuses()) == ([], ["withdrawn"])


def test_the_monitoring_task_escalates(account: Account, slack: WebServer, clock: Any) -> None:
    escalating(account)
    clock.shift(900)
    tasks.watch()
    assert titles(slack) == ["Not acknowledged: Endpoint 0 fails"]


# --- turns ----------------------------------------------------------------------------------------


def flood(account: Account, count: int) -> None:
    addresses = [f"person-{number}@example.com" for number in range(count)]
    record_notification(
        account_id=account.pk, kind="flood", recipients=addresses, title="Flood", text="F"
    )


def test_a_flood_of_one_account_does_not_delay_another_s(account: Account, clock: Any) -> None:
    flood(account, 50)
    clock.shift(60)  # what the others have waits less long
    others = [make_account() for _ in range(3)]
    for other in others:
        record_notification(
            account_id=other.pk, kind="one", recipients=["a@example.com"], title="One", text="O"
        )
    turns = iter([True] * 8 + [False])
    assert send_due_notifications(lambda: next(turns)) == 8
    assert [message.subject for message in mail.outbox].count("One") == 3


def test_the_next_turn_goes_on_where_the_last_one_ended(clock: Any) -> None:
    accounts = [make_account() for _ in range(6)]
    for account in accounts:
        flood(account, 10)
    for _ in range(3):
        turns = iter([True, True, False])
        send_due_notifications(lambda turns=turns: next(turns))
    sent = Notification.objects.filter(status="sent").values_list("account", flat=True)
    assert sorted(sent) == sorted(account.pk for account in accounts)


def test_one_host_of_teams_that_is_away_does_not_stop_another(
    account: Account, slack: WebServer, settings: Any
) -> None:
    other = "https://prod-99.westus.logic.azure.com/workflows/0123456789abcdef/x?sig=abcdefgh12345"
    away = make_channel(account, "teams", name="Away", secret=other)
    rule = make_rule(account, away, make_channel(account, "teams"))
    settings.WEBHOOKS_CHANNEL_RELAYS |= {"prod-99.westus.logic.azure.com": "http://127.0.0.1:9"}
    for _ in range(2):
        tell(make_incident(rule), Moment.OPENED)
    send_due_notifications()
    assert statuses(channel=away) == ["pending", "pending"]
    assert len(slack.asked) == 2


def test_a_host_that_is_slow_is_left_alone_for_a_while(
    account: Account, slack: WebServer, monkeypatch: pytest.MonkeyPatch, clock: Any
) -> None:
    monkeypatch.setattr(turns, "SLOW_SECONDS", -1.0)
    rule = make_rule(account, make_channel(account), make_channel(account, "email"))
    for _ in range(3):
        tell(make_incident(rule), Moment.OPENED)
    send_due_notifications()
    assert (len(slack.asked), len(mail.outbox)) == (1, 3)
    clock.shift(turns.AWAY_SECONDS)
    send_due_notifications()
    assert len(slack.asked) == 2


def test_a_renamed_channel_is_told_the_same_once(account: Account) -> None:
    channel = make_channel(account)
    incident = make_incident(make_rule(account, channel))
    assert tell(incident, Moment.OPENED) == 1
    services.change_channel(channel=channel, name="Other")
    assert tell(incident, Moment.OPENED) == 0


# --- again ----------------------------------------------------------------------------------------


def test_what_has_failed_is_sent_again_on_a_person_s_word(
    account: Account, slack: WebServer
) -> None:
    slack.give(Answer(404), Answer(200))
    opened(account, 1)
    row = Notification.objects.get()
    assert row.status == "failed"
    services.resend_notification(notification=row)
    send_due_notifications()
    row.refresh_from_db()
    assert (row.status, row.attempt_count, row.error) == ("sent", 1, "")
    with pytest.raises(services.ResendNotAllowed):
        services.resend_notification(notification=row)


def test_what_is_over_the_limit_is_a_part_as_soon_as_that_is_decided(account: Account) -> None:
    """Not only once the limit is free for others, who may send the summary by then."""
    rule = make_rule(account, make_channel(account, hourly_limit=1))
    decisions = []
    for _ in range(2):
        tell(make_incident(rule), Moment.OPENED)
        claim = notifications._claim(NOW)
        assert claim is not None
        decisions.append(admit(Notification.objects.get(pk=claim.id), NOW))
    assert decisions[0] == Send()
    assert isinstance(decisions[1], Combine)
    [part] = decisions[1].whole.parts.all()
    assert (part.pk, part.status, part.attempt_count, part.next_attempt_at) == (
        claim.id, "combined", 0, None,
    )  # fmt: skip


# --- retention ------------------------------------------------------------------------------------


def test_what_is_over_for_long_is_pruned(account: Account, clock: Any, settings: Any) -> None:
    make_user(account, "operator", email="operator@example.com")
    rule = make_rule(account)
    still_open, old, recent = (make_incident(rule) for _ in range(3))
    for incident in (still_open, old, recent):
        tell(incident, Moment.OPENED)
    send_due_notifications()
    record_notification(
        account_id=account.pk, kind="k", recipients=["a@example.com"], title="t", text="t"
    )
    resolve(old, NOW)
    resolve(recent, NOW + timedelta(days=1))
    clock.shift(timedelta(days=400, seconds=1))
    settings.WEBHOOKS_NOTIFICATION_DAYS = settings.WEBHOOKS_INCIDENT_DAYS = 0
    assert prune_incidents() == 0
    settings.WEBHOOKS_NOTIFICATION_DAYS, settings.WEBHOOKS_INCIDENT_DAYS = 401, 400
    assert prune_incidents() == 1
    assert set(Incident.objects.all()) == {still_open, recent}
    settings.WEBHOOKS_NOTIFICATION_DAYS = 400
    assert [prune_incidents(), prune_incidents()] == [1, 0]
    # Of what is open it must be known who was told; what waits is still to be sent.
    left = Notification.objects.order_by("created_at", "pk").values_list("incident", "status")
    assert list(left) == [(still_open.pk, "sent"), (None, "pending")]
    assert set(IncidentEntry.objects.values_list("incident", flat=True)) == {
        still_open.pk, recent.pk,
    }  # fmt: skip
