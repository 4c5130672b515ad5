"""One incident for each endpoint or source and cause, whichever rules see it."""

from __future__ import annotations

import importlib
from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest
from django.apps import apps

from monitoring.admission import Send, admit
from monitoring.alert_rules import create_rule, delete_rule
from monitoring.alerting import escalate_incidents, tell
from monitoring.channels.services import create_channel
from monitoring.evaluating import evaluate_health
from monitoring.models import AlertRule, Channel, Incident, Notification, Sighting
from monitoring.responses import acknowledge_incident, resolve_incident
from monitoring.rules import key_of
from subscriptions.models import Subscription
from tests.factories import make_incident, make_subscription
from tests.monitoring.receivers import make_channel, make_rule
from webhooks_project.accounts.models import Account

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clock")]

NOW = datetime(2026, 3, 4, 12, 0, 30, tzinfo=UTC)
DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def shop(account: Account) -> Subscription:
    """One whose certificate ends in twenty days."""
    return make_subscription(
        account, name="Shop", health_checked_at=NOW, certificate_expires_at=NOW + 20 * DAY
    )


def look_at(clock: Any, moment: datetime) -> None:
    """What was queued before is sent by then."""
    Notification.objects.update(status="sent", next_attempt_at=None)
    clock.move_to(moment)
    evaluate_health()


def told(incident: Incident) -> list[tuple[str, str]]:
    rows = Notification.objects.filter(incident=incident).order_by("created_at", "id")
    return list(rows.values_list("moment", "title"))


def names(incident: Incident) -> set[str]:
    return set(incident.rules.values_list("name", flat=True))


def add_channel(account: Account, name: str, *rules: str, **fields: Any) -> Channel:
    channel = create_channel(
        account=account, kind="slack", name=name,
        secret="https://hooks.slack.com/services/T00/B00/XXXX", **fields,
    )  # fmt: skip
    for rule in AlertRule.objects.filter(account=account, name__in=rules):
        rule.channels.add(channel)
    return channel


def test_a_certificate_has_one_incident_that_its_rules_join(shop: Subscription, clock: Any) -> None:
    look_at(clock, NOW)
    incident = Incident.objects.get()
    assert (incident.severity, names(incident)) == ("warning", {"Ending soon: 30 days"})
    look_at(clock, NOW + 14 * DAY)
    incident.refresh_from_db()
    assert (incident.severity, incident.raised_at) == ("warning", None)
    look_at(clock, NOW + 19 * DAY)
    incident.refresh_from_db()
    assert (incident.severity, incident.raised_at) == ("critical", NOW + 19 * DAY)
    assert (incident.rule.name, len(names(incident))) == ("Ending soon: 1 day", 3)  # type: ignore[union-attr]
    title = "The certificate of Shop ends on 2026-03-24"
    assert told(incident) == [
        ("opened", title), ("reminded", f"Reminder: {title}"), ("raised", f"Now critical: {title}"),
    ]  # fmt: skip
    text = "It ends on 2026-03-24 12:00 UTC."
    said = [(entry.kind, entry.text) for entry in incident.entries.all() if entry.kind != "told"]
    assert said == [
        ("opened", text),
        ("joined", f"Ending soon: 7 days sees it too. {text}"),
        ("joined", f"Ending soon: 1 day sees it too, and makes it critical. {text}"),
    ]
    Subscription.objects.update(certificate_expires_at=NOW + 400 * DAY)
    look_at(clock, NOW + 19 * DAY + MINUTE)
    incident.refresh_from_db()
    assert (incident.status, incident.resolution) == ("resolved", "recovered")
    assert (Incident.objects.count(), Sighting.objects.count()) == (1, 0)


def test_rules_that_see_it_at_once_open_one_and_tell_once(shop: Subscription, clock: Any) -> None:
    Subscription.objects.update(certificate_expires_at=NOW + DAY / 2)
    look_at(clock, NOW)
    incident = Incident.objects.get()
    assert (incident.severity, incident.rule.name) == ("critical", "Ending soon: 1 day")  # type: ignore[union-attr]
    assert len(names(incident)) == 3
    assert [moment for moment, _ in told(incident)] == ["opened"]


def test_is_held_until_no_rule_holds_it(shop: Subscription, clock: Any) -> None:
    look_at(clock, NOW + 14 * DAY)
    Subscription.objects.update(certificate_expires_at=NOW + 30 * DAY)  # the rule of 30 days alone
    look_at(clock, NOW + 14 * DAY + MINUTE)
    assert Incident.objects.get().status == "open"
    delete_rule(rule=AlertRule.objects.get(name="Ending soon: 7 days"))
    look_at(clock, NOW + 14 * DAY + 2 * MINUTE)
    assert Incident.objects.get().status == "open"
    delete_rule(rule=AlertRule.objects.get(name="Ending soon: 30 days"))
    look_at(clock, NOW + 14 * DAY + 3 * MINUTE)
    assert Incident.objects.get().resolution == "gone"


def test_a_rule_that_joins_tells_its_own_channels_too(
    shop: Subscription, account: Account, clock: Any
) -> None:
    look_at(clock, NOW - 20 * DAY)  # gives the rules
    first = add_channel(account, "Team", "Ending soon: 30 days", "Ending soon: 1 day")
    second = add_channel(account, "Pager", "Ending soon: 1 day")
    look_at(clock, NOW)
    look_at(clock, NOW + 19 * DAY)
    found = Notification.objects.filter(incident__isnull=False).order_by("created_at", "id")
    rows = [(row.channel, row.moment) for row in found]
    assert rows == [(first, "opened"), (second, "opened"), (first, "raised")]


def test_what_waits_for_the_end_of_quiet_hours_says_it_as_it_is_now(
    shop: Subscription, account: Account, clock: Any
) -> None:
    look_at(clock, NOW - 20 * DAY)
    add_channel(
        account, "Team", "Ending soon: 30 days", "Ending soon: 1 day",
        quiet_from=time(0, 0), quiet_until=time(23, 59),
    )  # fmt: skip
    look_at(clock, NOW)
    Subscription.objects.update(certificate_expires_at=NOW + DAY / 2)
    clock.move_to(NOW + MINUTE)
    evaluate_health()
    row = Notification.objects.get(incident__isnull=False)
    assert (row.moment, row.next_attempt_at) == ("opened", NOW + MINUTE)
    assert row.title == "The certificate of Shop ends on 2026-03-05"


def test_escalates_by_the_time_of_the_rule_that_raised_it(
    shop: Subscription, account: Account, clock: Any
) -> None:
    look_at(clock, NOW)
    AlertRule.objects.filter(name="Ending soon: 1 day").update(escalates_after_seconds=600)
    look_at(clock, NOW + 19 * DAY)
    clock.move_to(NOW + 19 * DAY + timedelta(seconds=599))
    assert escalate_incidents() == 0
    clock.move_to(NOW + 19 * DAY + timedelta(seconds=600))
    assert (escalate_incidents(), escalate_incidents()) == (1, 0)
    entry = Incident.objects.get().entries.get(kind="escalated")
    assert entry.text == "Nobody has acknowledged it in 10 min."


def test_who_was_told_by_escalation_hears_that_it_is_raised_and_of_the_next_escalation(
    shop: Subscription, account: Account, clock: Any
) -> None:
    look_at(clock, NOW - 20 * DAY)  # gives the rules
    team = add_channel(account, "Team", "Ending soon: 30 days", "Ending soon: 1 day")
    chief = add_channel(account, "Chief")
    rules = AlertRule.objects.filter(name__in=["Ending soon: 30 days", "Ending soon: 1 day"])
    rules.update(escalates_after_seconds=600)
    for rule in rules:
        rule.escalation_channels.add(chief)
    look_at(clock, NOW)
    clock.move_to(NOW + timedelta(seconds=600))
    assert escalate_incidents() == 1
    look_at(clock, NOW + 19 * DAY)
    clock.move_to(NOW + 19 * DAY + timedelta(seconds=600))
    Notification.objects.update(status="sent", next_attempt_at=None)
    assert (escalate_incidents(), escalate_incidents()) == (1, 0)
    rows = Notification.objects.filter(incident__isnull=False).order_by("created_at", "channel")
    assert [(row.channel, row.moment, row.round) for row in rows] == [
        (team, "opened", 0), (chief, "escalated", 0), (chief, "raised", 0), (team, "raised", 0),
        (chief, "escalated", 1),
    ]  # fmt: skip
    raised = rows.get(channel=chief, moment="raised")
    assert raised.title == "Now critical: The certificate of Shop ends on 2026-03-24"
    assert not tell(Incident.objects.get(), Notification.Moment.RAISED)  # twice is once


def test_each_rule_that_joins_later_reminds(
    shop: Subscription, account: Account, clock: Any
) -> None:
    look_at(clock, NOW - 20 * DAY)
    create_rule(account=account, name="Fortnight", kind="expiring", threshold=14)
    look_at(clock, NOW)
    look_at(clock, NOW + 7 * DAY)
    look_at(clock, NOW + 14 * DAY)
    incident = Incident.objects.get()
    assert [moment for moment, _ in told(incident)] == ["opened", "reminded", "reminded"]
    assert incident.round == 2


def test_rules_that_join_at_once_remind_once(
    shop: Subscription, account: Account, clock: Any
) -> None:
    look_at(clock, NOW - 20 * DAY)
    create_rule(account=account, name="Fortnight", kind="expiring", threshold=14)
    look_at(clock, NOW)
    look_at(clock, NOW + 14 * DAY)
    incident = Incident.objects.get()
    assert [moment for moment, _ in told(incident)] == ["opened", "reminded"]
    assert len(names(incident)) == 3


def test_what_another_rule_joins_is_not_over(
    shop: Subscription, account: Account, clock: Any
) -> None:
    """The rule that opened it is done with it in the same look in which another takes it up."""
    look_at(clock, NOW)
    create_rule(account=account, name="Fortnight", kind="expiring", threshold=14)
    AlertRule.objects.filter(name="Ending soon: 30 days").update(threshold=1)
    look_at(clock, NOW + 7 * DAY)
    incident = Incident.objects.get()
    assert (incident.status, incident.well_since) == ("open", None)
    assert names(incident) == {"Ending soon: 30 days", "Fortnight"}


def test_what_another_rule_joins_does_not_recover(
    shop: Subscription, account: Account, clock: Any
) -> None:
    look_at(clock, NOW)
    create_rule(account=account, name="Fortnight", kind="expiring", threshold=14)
    AlertRule.objects.filter(name="Ending soon: 30 days").update(
        threshold=1, resolves_after_seconds=60
    )
    look_at(clock, NOW + 7 * DAY)
    incident = Incident.objects.get()
    assert (incident.status, incident.well_since, incident.relapse_count) == ("open", None, 0)


def test_acknowledged_it_stays_so_when_it_is_raised(shop: Subscription, clock: Any) -> None:
    look_at(clock, NOW)
    acknowledge_incident(incident=Incident.objects.get())
    look_at(clock, NOW + 19 * DAY)
    incident = Incident.objects.get()
    assert (incident.status, incident.severity) == ("acknowledged", "critical")


def test_resolved_by_a_person_none_of_its_rules_opens_it_for_an_hour(
    shop: Subscription, clock: Any
) -> None:
    at = NOW + 14 * DAY  # seen by two
    look_at(clock, at)
    resolve_incident(incident=Incident.objects.get())
    look_at(clock, at + 59 * MINUTE)
    assert Incident.objects.count() == 1
    look_at(clock, at + 61 * MINUTE)
    assert Incident.objects.count() == 2


@pytest.mark.parametrize(("severity", "count"), [("warning", 1), ("critical", 2)])
def test_resolved_by_a_person_a_rule_that_waits_opens_it_only_where_it_is_more_severe(
    shop: Subscription, clock: Any, severity: str, count: int
) -> None:
    look_at(clock, NOW - 20 * DAY)  # gives the rules
    create_rule(
        account=shop.account, name="Mine", kind="expiring", threshold=25, opens_after_seconds=120,
        severity=severity,
    )  # fmt: skip
    look_at(clock, NOW)
    resolve_incident(incident=Incident.objects.get())
    for minute in range(1, 60):
        look_at(clock, NOW + minute * MINUTE)
    assert Incident.objects.count() == count
    for minute in range(60, 63):
        look_at(clock, NOW + minute * MINUTE)
    assert Incident.objects.count() == 2  # and no longer than that


def test_resolved_by_a_person_it_may_come_back_by_a_rule_that_waited(
    shop: Subscription, clock: Any
) -> None:
    look_at(clock, NOW - 20 * DAY)
    create_rule(
        account=shop.account, name="Mine", kind="expiring", threshold=25, opens_after_seconds=120
    )
    look_at(clock, NOW)
    resolve_incident(incident=Incident.objects.get())
    Subscription.objects.update(certificate_expires_at=NOW + 400 * DAY)
    look_at(clock, NOW + MINUTE)
    AlertRule.objects.filter(name="Ending soon: 30 days").update(threshold=1)
    Subscription.objects.update(certificate_expires_at=NOW + 20 * DAY)
    for minute in range(2, 5):
        look_at(clock, NOW + minute * MINUTE)
    assert Incident.objects.filter(status="open").count() == 1


def test_a_rule_joins_once_it_was_seen_for_its_own_time(shop: Subscription, clock: Any) -> None:
    create_rule(
        account=shop.account, name="Mine", kind="expiring", threshold=25, opens_after_seconds=120
    )
    joined = []
    for minute in range(4):
        look_at(clock, NOW + minute * MINUTE)
        joined.append("Mine" in names(Incident.objects.get()))
    assert joined == [False, False, True, True]


def test_old_keys_are_named_anew(account: Account) -> None:
    """What was opened by a version whose keys name the rule first."""
    shop = make_subscription(account)
    rules = [
        make_rule(account, name=name, kind=kind)
        for name, kind in (("30", "expiring"), ("1", "expiring"), ("Slow", "latency_above"))
    ]
    of_shop = {"subscription": shop}
    long, short = (
        make_incident(
            rule, kind="expiring", severity=severity, opened_at=NOW - age * DAY, **of_shop,
            key=f"{rule.pk.hex}:{shop.pk.hex}:secret",
        )
        for rule, severity, age in ((rules[0], "warning", 29), (rules[1], "critical", 1))
    )  # fmt: skip
    slow = make_incident(
        rules[2], kind="latency_above", key=f"{rules[2].pk.hex}:{shop.pk.hex}:", **of_shop
    )
    Sighting.objects.create(account=account, key=f"{rules[2].pk.hex}:hub:")
    Incident.rules.through.objects.all().delete()
    step = importlib.import_module("monitoring.migrations.0010_incidents_by_problem")
    step.name_by_problem(apps, None)
    for incident in (long, short, slow):
        incident.refresh_from_db()
    assert (short.key, names(short)) == (f"{shop.pk.hex}:secret", {"30", "1"})
    assert (slow.key, names(slow)) == (f"{shop.pk.hex}:latency_above", {"Slow"})
    assert (long.status, long.resolution, names(long)) == ("resolved", "gone", set())
    assert (short.status, slow.status) == ("open", "open")
    assert Sighting.objects.get().key == key_of(rules[2].pk, "hub:latency_above")


def test_what_is_merged_is_closed_in_pagers_and_told_to_nobody(
    account: Account, clock: Any
) -> None:
    shop = make_subscription(account)
    pager = make_channel(account, "pagerduty")
    team = make_channel(account, "slack")
    mute = make_channel(account, "slack", name="Later")
    merged, kept = (
        make_incident(
            rule, kind="expiring", severity=severity, subscription=shop,
            key=f"{rule.pk.hex}:{shop.pk.hex}:secret",
        )
        for rule, severity in (
            (make_rule(account, pager, team, name="30", kind="expiring"), "warning"),
            (make_rule(account, name="1", kind="expiring"), "critical"),
        )
    )  # fmt: skip
    tell(merged, Notification.Moment.OPENED)
    Notification.objects.update(status="sent", next_attempt_at=None, attempt_count=1)
    AlertRule.objects.get(name="30").channels.add(mute)
    tell(merged, Notification.Moment.OPENED)
    step = importlib.import_module("monitoring.migrations.0010_incidents_by_problem")
    step.name_by_problem(apps, None)
    rows = Notification.objects.filter(incident=merged).order_by("moment", "channel")
    assert [(row.channel, row.moment, row.status) for row in rows] == [
        (pager, "opened", "sent"), (team, "opened", "sent"), (mute, "opened", "withdrawn"),
        (pager, "resolved", "pending"),
    ]  # fmt: skip
    assert isinstance(admit(rows[3], NOW), Send)
    merged.refresh_from_db()
    assert (merged.status, merged.resolved_at) == ("resolved", NOW)
    entry = merged.entries.get(kind="resolved")
    assert entry.text == f"It is one with another incident now, which goes on: {kept.title}"
    evaluate_health()
    assert not Notification.objects.filter(incident=merged, moment="resolved", via="slack").exists()
