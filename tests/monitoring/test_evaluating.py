"""The look at every account, from stored attempts and receipts to health and incidents."""

from __future__ import annotations

import importlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.apps import apps
from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext

from analytics import answering
from analytics.counting import count_marked
from monitoring import evaluating, gathering, incidents, outcomes, problems
from monitoring.alert_rules import create_rule, default_rules, delete_rule
from monitoring.evaluating import evaluate_health
from monitoring.figures import HOUR, WINDOWS, EndpointFigures
from monitoring.kinds import KINDS, Kind
from monitoring.models import (
    Activity,
    AlertRule,
    Finding,
    HealthCheck,
    HealthPolicy,
    Incident,
    Notification,
    Sighting,
)
from monitoring.policies import change_policy
from monitoring.responses import acknowledge_incident, resolve_incident
from monitoring.validation import validate
from outgoing.models import Breaker, Delivery
from subscriptions.models import Subscription
from subscriptions.services import set_status
from tests.factories import (
    make_account,
    make_attempt,
    make_delivery,
    make_event,
    make_receipt,
    make_source,
    make_subscription,
    make_user,
)
from webhooks_project.accounts.models import Account, Role
from webhooks_project.models import Uncounted
from webhooks_project.uncounted import Kind as Counted
from webhooks_project.uncounted import mark_uncounted

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clock")]

NOW = datetime(2026, 3, 4, 12, 0, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def shop(account: Account) -> Subscription:
    return make_subscription(account, name="Shop", health_checked_at=NOW)


def attempt(subscription: Subscription, count: int, cause: str = "", **more: Any) -> None:
    """So many attempts a minute ago, counted."""
    at = more.pop("started_at", NOW - MINUTE)
    delivery = make_delivery(make_event(subscription.account), subscription, lane=None)
    for _ in range(count):
        make_attempt(
            delivery,
            started_at=at,
            outcome="failed" if cause else "succeeded",
            cause=cause,
            status_code=500 if cause == "status_5xx" else None if cause else 200,
            **more,
        )
    mark_uncounted(Counted.ATTEMPT, [at])
    count_marked()


def state_of(subject: Any) -> str:
    return HealthCheck.objects.get(subscription=subject).state


# --- health ---------------------------------------------------------------------------------------


def test_an_endpoint_is_judged_by_what_was_counted(shop: Subscription) -> None:
    attempt(shop, 19, duration_ms=40.0)
    attempt(shop, 1, "timeout_response")
    evaluate_health()
    check = HealthCheck.objects.get()
    assert (check.account, check.subscription, check.source) == (shop.account, shop, None)
    assert (check.state, check.state_since, check.judged_at) == ("healthy", NOW, NOW)
    for seconds in WINDOWS:
        window = check.figures["windows"][str(seconds)]
        assert (window["attempts"], window["succeeded"]) == (20, 19), seconds
        assert window["by_cause"] == {"timeout_response": 1}
        assert window["p50_ms"] == pytest.approx(40, rel=0.02)


def test_failures_in_a_row_and_the_breaker_count(shop: Subscription) -> None:
    attempt(shop, 3, "dns", started_at=NOW - 30 * MINUTE)  # before the last success
    attempt(shop, 12, "dns", started_at=NOW - 20 * MINUTE)
    Subscription.objects.update(failing_since=NOW - 20 * MINUTE, breaker="open")
    evaluate_health()
    check = HealthCheck.objects.get()
    assert check.figures["consecutive_failures"] == 12
    assert (check.figures["breaker"], check.state) == ("open", "down")
    assert check.reasons[0] == "12 failures without a success since 2026-03-04 11:40 UTC"
    assert Breaker.objects.count() == 0


def test_what_is_due_and_waits_is_the_backlog(shop: Subscription) -> None:
    event = make_event(shop.account)
    make_delivery(event, shop, next_attempt_at=NOW - 10 * MINUTE)
    for lane in (1, 2):
        make_delivery(make_event(shop.account), shop, lane=lane, next_attempt_at=NOW - MINUTE)
    make_delivery(make_event(shop.account), shop, next_attempt_at=NOW + MINUTE)
    make_delivery(make_event(shop.account), shop, lane=None, attempt_count=1)
    evaluate_health()
    figures = HealthCheck.objects.get().figures
    assert (figures["backlog"], figures["backlog_age_seconds"]) == (3, 600)
    assert state_of(shop) == "degraded"


def test_the_backlog_is_counted_only_so_far(
    shop: Subscription, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "COUNTED_BACKLOG", 2)
    for minutes in (9, 8, 7):
        make_delivery(make_event(shop.account), shop, next_attempt_at=NOW - minutes * MINUTE)
    evaluate_health()
    figures = HealthCheck.objects.get().figures
    assert (figures["backlog"], figures["backlog_age_seconds"]) == (2, 540)


def test_a_source_is_judged_by_its_calls_and_its_secrets(account: Account) -> None:
    source = make_source(account, last_received_at=NOW, last_verified_at=NOW - MINUTE)
    source.secrets.update(expires_at=NOW + timedelta(days=3))
    make_receipt(source, status="dead", next_attempt_at=None, dead_at=NOW - MINUTE)
    make_receipt(source, status="processed", next_attempt_at=None, received_at=NOW - MINUTE)
    make_receipt(source, received_at=NOW - MINUTE, next_attempt_at=NOW - 6 * MINUTE)
    make_receipt(
        source, status="refused", cause="rate_limited", next_attempt_at=None,
        received_at=NOW - MINUTE,
    )  # fmt: skip
    mark_uncounted(Counted.RECEIPT, [NOW - MINUTE, NOW])
    count_marked()
    evaluate_health()
    check = HealthCheck.objects.get()
    assert (check.source, check.subscription, check.state) == (source, None, "degraded")
    figures = check.figures
    assert figures["dead_receipts"] == {"300": 1, "3600": 1, "86400": 1}
    assert (figures["backlog"], figures["backlog_age_seconds"]) == (1, 360)
    assert figures["ends"] == {"secret": (NOW + timedelta(days=3)).isoformat()}
    assert figures["last_received_at"] == (NOW - MINUTE).isoformat()  # which was proved
    assert figures["windows"]["3600"]["received"] >= 2


def test_who_is_paused_is_not_judged_and_who_is_archived_is_let_go(account: Account) -> None:
    one = make_subscription(account, health_checked_at=NOW)
    source = make_source(account, disabled_at=NOW)
    evaluate_health()
    set_status(subscription=one, status=Subscription.Status.PAUSED)
    HealthPolicy.objects.update(judged_at=None)
    evaluate_health()
    assert HealthCheck.objects.get(subscription=one).reasons == ["it is paused"]
    assert HealthCheck.objects.get(source=source).reasons == ["it is disabled"]
    assert set(HealthCheck.objects.values_list("state", flat=True)) == {"unknown"}
    set_status(subscription=one, status=Subscription.Status.ARCHIVED)
    HealthPolicy.objects.update(judged_at=None)
    evaluate_health()
    assert [row.source for row in HealthCheck.objects.all()] == [source]


def test_a_worse_state_is_taken_after_a_minute_and_said(shop: Subscription, clock: Any) -> None:
    evaluate_health()
    Subscription.objects.update(health_check_failures=2, health_problem="it hung up")
    states = []
    for _ in range(3):
        clock.shift(MINUTE)
        evaluate_health()
        check = HealthCheck.objects.get()
        states.append((check.state, check.wanted_state))
    assert states == [("healthy", "down"), ("down", "down"), ("down", "down")]
    [said] = Activity.objects.filter(kind="health.changed")
    assert said.text == "Shop was healthy and is down: the last 2 checks found: it hung up"
    assert said.object_id == str(shop.pk)


def test_goes_by_the_accounts_own_thresholds(shop: Subscription) -> None:
    attempt(shop, 10, duration_ms=900.0)
    evaluate_health()
    assert state_of(shop) == "healthy"
    policy = HealthPolicy.objects.get()
    change_policy(
        policy=policy, thresholds={"degraded_p95_ms": 800.0, "worsens_after_seconds": 0.0}
    )
    HealthPolicy.objects.update(judged_at=None)
    evaluate_health()
    assert state_of(shop) == "degraded"


def test_what_did_not_change_is_not_written(shop: Subscription, clock: Any) -> None:
    evaluate_health()
    clock.shift(MINUTE)
    evaluate_health()
    assert HealthCheck.objects.get().judged_at == NOW
    clock.shift(5 * MINUTE)
    evaluate_health()
    assert HealthCheck.objects.get().judged_at == NOW + 6 * MINUTE
    assert HealthPolicy.objects.get().judged_at == NOW + 6 * MINUTE


def test_what_is_usual_is_learned_once_a_day(account: Account, clock: Any) -> None:
    source = make_source(account, name="Bank", last_verified_at=NOW - timedelta(hours=8))
    for days in range(1, 21):
        for hour in range(24):
            at = NOW - timedelta(days=days, hours=hour)
            if at < NOW - timedelta(hours=8):
                for _ in range(2):
                    make_receipt(source, received_at=at, status="processed", next_attempt_at=None)
                mark_uncounted(Counted.RECEIPT, [at])
    count_marked()
    evaluate_health()
    check = HealthCheck.objects.get()
    assert check.learned_at == NOW
    usual = check.figures["usual_silence_seconds"]
    # Two an hour: five are to be expected two and a half hours after the hour is over.
    assert usual == pytest.approx((2.5 + 59.5 / 60) * 3600, abs=60)
    assert check.state == "degraded"
    [incident] = Incident.objects.all()
    assert (incident.kind, incident.source, incident.title) == (
        "source_silent", source, "Bank is silent",
    )  # fmt: skip
    clock.shift(MINUTE)
    with CaptureQueriesContext(connection) as queries:
        evaluate_health()
    assert not [item for item in queries if "receiptrollup" in item["sql"] and "672" in item["sql"]]
    assert HealthCheck.objects.get().learned_at == NOW


def test_a_source_that_stays_silent_is_not_taken_for_well_as_its_history_fades(
    account: Account, clock: Any
) -> None:
    source = make_source(account, name="Bank", last_verified_at=NOW - timedelta(hours=8))
    for hours in range(8, 20 * 24):
        at = NOW - timedelta(hours=hours)
        make_receipt(source, received_at=at, status="processed", next_attempt_at=None)
        mark_uncounted(Counted.RECEIPT, [at])
    count_marked()
    evaluate_health()
    profile = HealthCheck.objects.get().profile
    clock.shift(timedelta(days=27))  # of the four weeks one day is left
    look(clock, 7)
    check = HealthCheck.objects.get()
    assert (check.profile, check.learned_at, check.state) == (profile, NOW, "failing")
    [incident] = Incident.objects.all()
    assert (incident.kind, incident.status) == ("source_silent", "open")
    # It is heard again: what it is like now is learned when it is silent next.
    heard_at = NOW + timedelta(days=28)
    clock.move_to(heard_at + timedelta(hours=1))
    type(source).objects.update(last_verified_at=heard_at)
    look(clock)
    assert HealthCheck.objects.get().learned_at == heard_at + timedelta(hours=1, minutes=1)


def test_a_hub_of_many_endpoints_is_judged_all_the_same(
    shop: Subscription, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is counted over the whole hub has more rows than an answer to people may have."""
    monkeypatch.setattr(answering, "MAX_ROWS", 1)
    other = make_subscription(health_checked_at=NOW)
    for subscription in (shop, other):
        attempt(subscription, 20)
    assert evaluate_health() == 2
    for subscription in (shop, other):
        figures = HealthCheck.objects.get(subscription=subscription).figures
        assert figures["windows"][str(86_400)]["attempts"] == 20


def test_a_window_that_cannot_be_counted_keeps_nobody_from_being_judged(
    shop: Subscription, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt(shop, 20)

    def fail(now: datetime) -> None:
        raise RuntimeError

    with monkeypatch.context() as patched:
        patched.setattr(outcomes, "_outcomes_of_day", fail)
        assert evaluate_health() == 1
    windows = HealthCheck.objects.get().figures["windows"]
    assert windows["3600"]["attempts"] == 20
    assert windows.get("86400", {}).get("attempts", 0) == 0


# --- accounts take turns --------------------------------------------------------------------------


def test_every_account_gets_a_policy_and_rules_once(account: Account) -> None:
    assert evaluate_health() == 1
    assert HealthPolicy.objects.get().account == account
    names = set(AlertRule.objects.values_list("name", flat=True))
    assert names == {fields["name"] for fields in default_rules()}
    kinds = set(AlertRule.objects.values_list("kind", flat=True))
    assert kinds == {kind.value for kind, facts in KINDS.items() if not facts.is_hub_wide}
    AlertRule.objects.all().delete()
    evaluate_health()
    assert AlertRule.objects.count() == 0  # what is deleted stays so


def test_an_account_is_judged_once_a_minute_by_one(account: Account, clock: Any) -> None:
    assert [evaluate_health(), evaluate_health()] == [1, 0]
    clock.shift(MINUTE)
    assert evaluate_health() == 1


def test_who_is_not_reached_is_first_in_the_next_turn(
    clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluating, "ACCOUNTS_AT_ONCE", 2)
    for _ in range(3):
        make_account()
    turns = iter([True, False])
    assert evaluate_health(lambda: next(turns)) == 2
    waiting = HealthPolicy.objects.get(judged_at=None)
    clock.shift(MINUTE)
    turns = iter([True, False])
    evaluate_health(lambda: next(turns))
    waiting.refresh_from_db()
    assert waiting.judged_at == NOW + MINUTE


def test_takes_as_many_queries_whatever_there_is_to_judge() -> None:
    counts = []
    for accounts, rows in ((1, 1), (3, 6)):
        for _ in range(accounts):
            account = make_account()
            for _ in range(rows):
                subscription = make_subscription(account)
                make_delivery(
                    make_event(account), subscription, next_attempt_at=NOW - timedelta(hours=2)
                )
                attempt(subscription, 2, "dns")
                make_source(account)
        evaluate_health()
        Incident.objects.all().delete()
        Sighting.objects.all().delete()
        AlertRule.objects.all().delete()
        HealthPolicy.objects.update(judged_at=None)
        with CaptureQueriesContext(connection) as queries:
            evaluate_health()
        counts.append(len(queries))
    assert counts[0] == counts[1] <= 45


# --- incidents ------------------------------------------------------------------------------------


def fail(subscription: Subscription, is_failing: bool = True) -> None:
    """Its breaker stands for whatever was counted."""
    breaker = "open" if is_failing else "closed"
    Subscription.objects.filter(pk=subscription.pk).update(breaker=breaker)


def look(clock: Any, minutes: int = 1) -> None:
    for _ in range(minutes):
        clock.shift(MINUTE)
        evaluate_health()


def told() -> list[str]:
    return list(Notification.objects.order_by("created_at", "id").values_list("kind", flat=True))


def test_an_incident_is_opened_told_and_resolved(shop: Subscription, clock: Any) -> None:
    fail(shop)
    look(clock, 2)
    assert Incident.objects.count() == 0
    assert Sighting.objects.count() == 1
    look(clock)
    incident = Incident.objects.get()
    assert (incident.account, incident.subscription, incident.kind, incident.severity) == (
        shop.account, shop, "endpoint_failing", "critical",
    )  # fmt: skip
    assert incident.title.startswith("Shop is failing")
    assert (incident.opened_at, incident.status) == (NOW + 3 * MINUTE, "open")
    assert Sighting.objects.count() == 0
    assert told() == ["incident.opened"]
    look(clock, 5)
    incident.refresh_from_db()
    assert incident.last_seen_at == NOW + 8 * MINUTE
    fail(shop, False)
    look(clock, 5)
    incident.refresh_from_db()
    assert (incident.status, incident.well_since) == ("open", NOW + 9 * MINUTE)
    look(clock)
    incident.refresh_from_db()
    assert (incident.status, incident.resolution) == ("resolved", "recovered")
    assert incident.resolved_at == NOW + 14 * MINUTE
    assert told() == ["incident.opened", "incident.resolved"]
    kinds = [entry.kind for entry in incident.entries.all() if entry.kind != "told"]
    assert kinds == ["opened", "recovering", "resolved"]


def test_a_mass_outage_is_opened_turn_by_turn(
    shop: Subscription, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(problems, "LEAST_OPENED", 1)
    monkeypatch.setattr(evaluating, "Openings", lambda: problems.Openings(left=2))
    rows = [shop, *(make_subscription(shop.account, health_checked_at=NOW) for _ in range(3))]
    rows.append(make_subscription(health_checked_at=NOW))
    for subscription in rows:
        fail(subscription)
    counts = []
    for _ in range(5):
        look(clock)
        counts.append([Incident.objects.filter(account=row.account).count() for row in rows[3:]])
    # The other account has its one, whatever this one has.
    assert counts[:2] == [[0, 0]] * 2
    assert [sum(both) for both in counts[2:]] == [3, 5, 5]
    assert counts[2][1] == 1
    assert Sighting.objects.count() == 0


def test_a_look_that_is_late_resolves_nothing_that_has_come_back(
    shop: Subscription, clock: Any
) -> None:
    fail(shop)
    look(clock, 3)
    fail(shop, False)
    look(clock, 5)
    incident = Incident.objects.get()
    assert incident.well_since is not None
    late = problems.known_problems([shop.account_id], NOW)[shop.account_id]
    fail(shop)
    look(clock)
    rule = AlertRule.objects.get(pk=incident.rule_id)
    seen = problems.Seen(shop.account_id, {}, {rule.pk: rule}, {shop.pk})
    assert incidents.follow(seen, late, NOW + timedelta(hours=1)) == 0
    incident.refresh_from_db()
    assert (incident.status, incident.well_since) == ("open", None)


def test_what_wavers_is_one_incident(shop: Subscription, clock: Any) -> None:
    """Three bad minutes and three good ones, for two hours."""
    for minute in range(120):
        fail(shop, minute % 6 < 3)
        look(clock)
    incident = Incident.objects.get()
    assert (incident.status, incident.relapse_count) == ("open", 19)
    assert told() == ["incident.opened"]
    assert incident.entries.count() <= 25  # its timeline does not grow for ever


def test_near_its_threshold_an_incident_is_neither_worse_nor_well(
    shop: Subscription, clock: Any
) -> None:
    delivery = make_delivery(make_event(shop.account), shop, next_attempt_at=NOW)

    def wait(seconds: int, minutes: int = 1) -> None:
        for _ in range(minutes):
            due_at = NOW + (clock_minutes() + 1) * MINUTE - timedelta(seconds=seconds)
            Delivery.objects.filter(pk=delivery.pk).update(next_attempt_at=due_at)
            look(clock)

    def clock_minutes() -> int:
        return round((datetime.now(tz=UTC) - NOW) / MINUTE)

    wait(1_000, 3)
    incident = Incident.objects.get()
    wait(10, 4)
    incident.refresh_from_db()
    assert incident.well_since == NOW + 4 * MINUTE
    wait(800)  # of 900, which is over; below 720 it is well
    incident.refresh_from_db()
    assert (incident.well_since, incident.last_seen_at) == (NOW + 8 * MINUTE, NOW + 8 * MINUTE)
    assert (incident.relapse_count, incident.status) == (0, "open")
    wait(10, 4)
    incident.refresh_from_db()
    assert incident.status == "open"
    wait(10)
    incident.refresh_from_db()
    assert (incident.status, incident.resolved_at) == ("resolved", NOW + 13 * MINUTE)
    kinds = [entry.kind for entry in incident.entries.all() if entry.kind != "told"]
    assert kinds == ["opened", "recovering", "resolved"]


def test_what_comes_back_soon_must_stay_away_longer(shop: Subscription, clock: Any) -> None:
    for is_failing, minutes in ((True, 4), (False, 7), (True, 4), (False, 7)):
        fail(shop, is_failing)
        look(clock, minutes)
    second, first = Incident.objects.order_by("-opened_at")
    assert (first.status, second.status, second.relapse_count) == ("resolved", "open", 1)
    opened = second.entries.get(kind="opened")
    assert opened.text.startswith("It is back, ")
    look(clock, 5)
    second.refresh_from_db()
    assert second.status == "resolved"


def test_acknowledged_it_stays_one_until_it_recovers(shop: Subscription, clock: Any) -> None:
    fail(shop)
    look(clock, 3)
    acknowledge_incident(incident=Incident.objects.get())
    look(clock, 3)
    assert Incident.objects.get().status == "acknowledged"
    fail(shop, False)
    look(clock, 6)
    assert Incident.objects.get().status == "resolved"


def test_resolved_by_a_person_it_is_left_in_peace(shop: Subscription, clock: Any) -> None:
    fail(shop)
    look(clock, 3)
    resolve_incident(incident=Incident.objects.get(), comment="A known fault.")
    look(clock, 50)
    assert Incident.objects.count() == 1
    look(clock, 20)
    assert Incident.objects.count() == 2
    resolve_incident(incident=Incident.objects.get(status="open"))
    fail(shop, False)
    look(clock)
    fail(shop)
    look(clock, 3)
    assert Incident.objects.count() == 3


@pytest.mark.parametrize("how", ["paused", "rule deleted", "rule off", "left to another"])
def test_what_is_not_looked_at_any_more_is_gone(shop: Subscription, clock: Any, how: str) -> None:
    fail(shop)
    look(clock, 3)
    rule = AlertRule.objects.get(kind="endpoint_failing")
    match how:
        case "paused":
            set_status(subscription=shop, status=Subscription.Status.PAUSED)
        case "rule deleted":
            delete_rule(rule=rule)
        case "rule off":
            AlertRule.objects.filter(pk=rule.pk).update(enabled=False)
        case _:
            create_rule(
                account=shop.account, name="Its own", kind="endpoint_failing", subscription=shop
            )
    look(clock, 6)
    incident = Incident.objects.get()
    if how == "left to another":  # which holds it from then on
        assert (incident.status, incident.well_since) == ("open", None)
        assert {rule.name for rule in incident.rules.all()} == {"Endpoint failing", "Its own"}
    else:
        assert (incident.status, incident.resolution) == ("resolved", "gone")


@pytest.mark.parametrize("status", ["paused", "disabled"])
def test_people_hear_that_a_paused_one_ends(shop: Subscription, clock: Any, status: str) -> None:
    set_status(subscription=shop, status=Subscription.Status(status))
    Subscription.objects.update(
        expires_at=NOW + timedelta(days=5), certificate_expires_at=NOW + timedelta(days=5)
    )
    look(clock, 10)
    [incident] = Incident.objects.all()  # of the certificate of what nothing is sent to, none
    assert (incident.kind, incident.cause, incident.status) == ("expiring", "subscription", "open")
    assert incident.title == "Shop ends on 2026-03-09"
    assert "incident.opened" in told()
    set_status(subscription=shop, status=Subscription.Status.ARCHIVED)
    look(clock)
    incident.refresh_from_db()
    assert (incident.status, incident.resolution) == ("resolved", "gone")


def test_paused_while_it_is_about_to_end_it_ends_still(shop: Subscription, clock: Any) -> None:
    Subscription.objects.update(
        expires_at=NOW + timedelta(days=5), certificate_expires_at=NOW + timedelta(days=5)
    )
    look(clock, 3)
    shop.refresh_from_db()
    set_status(subscription=shop, status=Subscription.Status.PAUSED)
    look(clock, 3)
    found = {row.cause: (row.status, row.resolution) for row in Incident.objects.all()}
    assert found == {"subscription": ("open", ""), "certificate": ("resolved", "gone")}


def test_one_failing_rule_stops_no_other(
    shop: Subscription, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate_health()
    real = evaluating.signals_of

    def failing(rule: Any, *args: Any, **more: Any) -> Any:
        if rule.kind == Kind.BACKLOG_OLD:
            raise ZeroDivisionError
        return real(rule, *args, **more)

    make_delivery(make_event(shop.account), shop, next_attempt_at=NOW - timedelta(hours=2))
    look(clock, 2)
    assert [row.kind for row in Incident.objects.all()] == ["backlog_old"]
    monkeypatch.setattr(evaluating, "signals_of", failing)
    fail(shop)
    look(clock, 9)
    found = {row.kind: row.status for row in Incident.objects.all()}
    # Of the one that cannot be asked nothing is known: it is neither seen nor gone.
    assert found == {"backlog_old": "open", "endpoint_failing": "open"}


def test_one_account_that_fails_stops_no_other(
    shop: Subscription, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = make_subscription(make_account(), name="Other")
    evaluate_health()
    real = evaluating.follow

    def failing(seen: Any, *args: Any) -> int:
        if seen.account_id == shop.account_id:
            raise ZeroDivisionError
        return real(seen, *args)

    monkeypatch.setattr(evaluating, "follow", failing)
    fail(shop)
    fail(other)
    look(clock, 3)
    assert [row.subscription for row in Incident.objects.all()] == [other]


def test_without_a_success_nothing_recovers(shop: Subscription, clock: Any) -> None:
    """One event, answered with 500 each time: by the standard policy it is tried for 27.6 hours."""
    hours = (0, 5 / 3600, 305 / 3600, 35 / 60, 2.6, 7.6, 17.6, 27.6)
    Subscription.objects.update(failing_since=NOW)
    for after in hours:
        at = NOW + timedelta(hours=after)
        if after == 7.6:
            clock.move_to(NOW + timedelta(hours=3))
            look(clock, 3)
            assert Incident.objects.get().status == "open"
        clock.move_to(at + MINUTE)
        attempt(shop, 1, "status_5xx", started_at=at)
        evaluate_health()
    # Of the last day three are left, then none; seven was the most in a day.
    for after in (28, 60, 200):
        clock.move_to(NOW + timedelta(hours=after))
        look(clock, 10)
        check = HealthCheck.objects.get()
        assert (check.state, check.figures["consecutive_failures"]) == ("failing", 7)
        incident = Incident.objects.get()
        assert (incident.status, incident.cause, incident.well_since) == (
            "open", "answers_5xx", None,
        )  # fmt: skip
    assert told() == ["incident.opened"]
    Subscription.objects.update(failing_since=None)
    attempt(shop, 1, started_at=NOW + timedelta(hours=200))
    look(clock, 8)
    assert HealthCheck.objects.get().state == "healthy"
    assert Incident.objects.get().resolution == "recovered"


def test_what_failed_days_ago_keeps_an_incident_and_opens_none(
    shop: Subscription, clock: Any
) -> None:
    Subscription.objects.update(failing_since=NOW - MINUTE)
    attempt(shop, 8, "status_5xx")
    look(clock, 3)
    resolve_incident(incident=Incident.objects.get())
    clock.move_to(NOW + timedelta(hours=30))
    cache.clear()  # Redis has a clock of its own
    look(clock, 5)
    assert Incident.objects.count() == 1
    assert HealthCheck.objects.get().state == "failing"
    # It began anew: what was known before is of another time.
    Subscription.objects.update(failing_since=NOW + timedelta(hours=30))
    look(clock, 7)
    assert HealthCheck.objects.get().figures["consecutive_failures"] == 0


@pytest.mark.parametrize("why", ["analytics stands still", "the query fails"])
def test_what_is_not_counted_has_not_recovered(
    shop: Subscription, clock: Any, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    attempt(shop, 10, "status_5xx")
    look(clock, 3)
    before = HealthCheck.objects.get()
    assert (Incident.objects.get().status, before.state) == ("open", "failing")

    def fail(now: datetime, seconds: int) -> None:
        raise RuntimeError

    with monkeypatch.context() as patched:
        if why == "the query fails":
            patched.setattr(outcomes, "_recent_outcomes", fail)
        else:
            mark_uncounted(Counted.ATTEMPT, [NOW + minute * MINUTE for minute in range(70)])
        clock.move_to(NOW + 60 * MINUTE)
        cache.clear()  # Redis has a clock of its own
        look(clock, 8)
    incident = Incident.objects.get()
    check = HealthCheck.objects.get()
    assert (incident.status, incident.well_since) == ("open", None)
    assert (check.state, check.state_since, check.reasons) == (
        "failing", before.state_since, before.reasons,
    )  # fmt: skip
    count_marked()
    cache.clear()
    look(clock, 8)
    assert Incident.objects.get().resolution == "recovered"
    assert HealthCheck.objects.get().state == "healthy"


def test_what_is_seen_in_what_is_not_all_counted_is_so(shop: Subscription, clock: Any) -> None:
    mark_uncounted(Counted.ATTEMPT, [NOW - minute * MINUTE for minute in range(20)])
    fail(shop)
    look(clock, 4)
    assert Incident.objects.get().kind == "endpoint_failing"
    assert HealthCheck.objects.get().state == "failing"


def test_marks_of_the_last_minutes_blind_nobody(shop: Subscription, clock: Any) -> None:
    attempt(shop, 10, "status_5xx")
    look(clock, 3)
    for minute in range(4, 13):
        moment = NOW + minute * MINUTE
        Uncounted.objects.all().delete()
        mark_uncounted(Counted.ATTEMPT, [moment - back * MINUTE for back in range(4)])
        look(clock)
    assert Incident.objects.get().resolution == "recovered"


def test_calls_that_are_not_counted_do_not_blind_for_attempts(
    account: Account, shop: Subscription, clock: Any
) -> None:
    make_source(account, last_received_at=NOW)
    mark_uncounted(Counted.RECEIPT, [NOW - minute * MINUTE for minute in range(20)])
    attempt(shop, 10)
    mark_uncounted(Counted.RECEIPT, [NOW - minute * MINUTE for minute in range(20)])
    evaluate_health()
    assert HealthCheck.objects.get(subscription=shop).state == "healthy"
    check = HealthCheck.objects.get(source__isnull=False)
    assert (check.state, check.reasons) == ("unknown", ["not all calls are counted yet"])


def test_dead_letters_open_an_incident_at_once(shop: Subscription) -> None:
    make_delivery(
        make_event(shop.account), shop, status=Delivery.Status.EXHAUSTED,
        exhausted_at=NOW - MINUTE,
    )  # fmt: skip
    evaluate_health()
    [incident] = Incident.objects.all()
    assert (incident.kind, incident.figures["value"]) == ("dead_letters_rising", 1)


def test_a_failure_that_goes_on_does_not_become_usual(shop: Subscription, clock: Any) -> None:
    def die(since: datetime, hours: int) -> None:
        for number in range(hours * 6):
            at = since + number * 10 * MINUTE
            event = make_event(shop.account)
            make_delivery(event, shop, status="exhausted", lane=None, exhausted_at=at)

    die(NOW - 20 * 60 * MINUTE + MINUTE, 1)  # one in four hours is usual
    die(NOW - 58 * MINUTE, 1)
    look(clock)
    incident = Incident.objects.get()
    usual = incident.figures["usual"]
    assert (incident.figures["value"], usual, incident.figures["threshold"]) == (6, 0.26, 1)
    die(NOW + MINUTE, 14)
    clock.move_to(NOW + 14 * 60 * MINUTE)
    look(clock, 30)
    incident.refresh_from_db()
    assert (incident.status, incident.well_since, incident.figures["usual"]) == (
        "open",
        None,
        usual,
    )
    clock.move_to(NOW + 15 * 60 * MINUTE)
    look(clock, 30)
    incident.refresh_from_db()
    assert (incident.status, incident.resolution) == ("resolved", "recovered")


def test_the_last_secrets_end_is_seen_while_another_has_none(
    shop: Subscription, clock: Any
) -> None:
    shop.secrets.update(expires_at=NOW + timedelta(days=6))
    evaluate_health()
    incident = Incident.objects.get()
    assert {rule.name for rule in incident.rules.all()} == {
        "Ending soon: 30 days", "Ending soon: 7 days",
    }  # fmt: skip
    assert incident.cause == "secret"
    from tests.factories import SigningSecret

    SigningSecret.objects.create(subscription=shop, secret="whsec_bmV3")
    look(clock)
    assert set(Incident.objects.values_list("resolution", flat=True)) == {"recovered"}


def test_a_rule_of_the_hub_sees_its_queues(
    account: Account, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_rule(account=account, name="Queues", kind="queue_not_drained", is_staff=True)
    states = {"retry": {"heartbeat_seconds": 1.0, "age_seconds": 400.0}}
    monkeypatch.setattr(gathering, "queue_states", lambda now: states)
    evaluate_health()
    look(clock, 2)
    [incident] = Incident.objects.all()
    assert (incident.title, incident.cause) == ("The retry queue is not drained", "retry")
    states["retry"]["age_seconds"] = 0.0
    look(clock, 7)
    assert Incident.objects.get().resolution == "recovered"


def test_the_account_that_is_named_is_given_the_rule_of_the_hub_once(
    account: Account, clock: Any, settings: Any
) -> None:
    make_account(slug="platform")
    settings.WEBHOOKS_PLATFORM_ACCOUNT = "platform"
    evaluate_health()
    rule = AlertRule.objects.get(kind="queue_not_drained")
    assert (rule.account.slug, rule.name, rule.threshold, rule.severity) == (
        "platform", "Queue not drained", 300, "critical",
    )  # fmt: skip
    delete_rule(rule=rule)
    look(clock)
    assert not AlertRule.objects.filter(kind="queue_not_drained").exists()


def test_else_the_oldest_account_of_the_platforms_staff_is(account: Account, clock: Any) -> None:
    look(clock)
    assert not AlertRule.objects.filter(kind="queue_not_drained").exists()
    customer, own, other = make_account(), make_account(), make_account()
    make_user(customer, Role.ADMIN)
    make_user(customer, Role.ADMIN, is_superuser=True)
    look(clock, 2)
    assert not AlertRule.objects.filter(kind="queue_not_drained").exists()
    for one in (other, own):
        make_user(one, Role.ADMIN, is_superuser=True)
    look(clock, 2)
    assert AlertRule.objects.get(kind="queue_not_drained").account == own


def test_a_backlog_that_does_not_shrink_is_raised_above_one_that_is_old(
    shop: Subscription, clock: Any
) -> None:
    for _ in range(3):
        make_delivery(make_event(shop.account), shop, next_attempt_at=NOW)
    look(clock, 17)
    incident = Incident.objects.get()
    assert (incident.kind, incident.severity, incident.cause) == (
        "backlog_old", "warning", "backlog",
    )  # fmt: skip
    look(clock, 16)
    incident.refresh_from_db()
    assert (incident.kind, incident.severity) == ("backlog_not_shrinking", "critical")
    assert incident.text == (
        "3 deliveries are due, the oldest for 32 min. Since 2026-03-04 12:01 UTC there were never "
        "fewer than 3."
    )
    figures = HealthCheck.objects.get().figures
    assert (figures["backlog_low"], figures["backlog_low_since"]) == (
        3, (NOW + MINUTE).isoformat(),
    )  # fmt: skip


def test_a_backlog_that_shrinks_slowly_is_old_and_no_more(shop: Subscription, clock: Any) -> None:
    for _ in range(9):
        make_delivery(make_event(shop.account), shop, next_attempt_at=NOW)
    for _ in range(8):
        look(clock, 20)
        Delivery.objects.filter(pk=Delivery.objects.values("pk")[:1]).delete()
    assert [row.kind for row in Incident.objects.all()] == ["backlog_old"]


def test_of_a_backlog_that_is_not_counted_to_its_end_it_is_not_said_whether_it_shrinks(
    shop: Subscription, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "COUNTED_BACKLOG", 2)
    for _ in range(3):
        make_delivery(make_event(shop.account), shop, next_attempt_at=NOW - MINUTE)
    evaluate_health()
    assert HealthCheck.objects.get().figures["backlog_low_since"] is None


def test_the_backlog_of_others_hides_none_that_does_not_shrink(
    shop: Subscription, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "COUNTED_BACKLOG", 6)
    for _ in range(3):
        make_delivery(make_event(shop.account), shop, next_attempt_at=NOW)
    look(clock)
    other = make_subscription(make_account(), name="Other", health_checked_at=NOW)
    for _ in range(5):  # with what waits for longer
        make_delivery(make_event(other.account), other, next_attempt_at=NOW - 60 * MINUTE)
    look(clock, 2)
    figures = HealthCheck.objects.get(subscription=shop).figures
    assert (figures["backlog"], figures["backlog_low"], figures["backlog_low_since"]) == (
        1, 3, (NOW + MINUTE).isoformat(),
    )  # fmt: skip
    look(clock, 30)
    incident = Incident.objects.get(subscription=shop)
    assert (incident.kind, incident.severity) == ("backlog_not_shrinking", "critical")


def test_a_finding_opens_an_incident_that_its_mending_resolves(
    account: Account, clock: Any
) -> None:
    draft = make_subscription(account, name="Draft", status="verifying")
    Finding.objects.create(
        account=account, subscription=draft, kind="unverifiable", text="It has been verifying.",
        first_seen_at=NOW, last_seen_at=NOW,
    )  # fmt: skip
    look(clock, 5)
    incident = Incident.objects.get()
    assert (incident.kind, incident.cause, incident.title, incident.text) == (
        "setup_wrong", "unverifiable", "Draft: unverifiable", "It has been verifying.",
    )  # fmt: skip
    assert (incident.severity, told()) == ("warning", ["incident.opened"])
    Finding.objects.update(resolved_at=NOW)
    look(clock)
    incident.refresh_from_db()
    assert (incident.status, incident.resolution) == ("resolved", "recovered")
    assert told() == ["incident.opened", "incident.resolved"]


def test_what_the_hourly_look_finds_is_told_and_resolved(account: Account, clock: Any) -> None:
    make_user(account, Role.ADMIN, email="admin@example.com")
    shop = make_subscription(account, name="Shop", health_checked_at=NOW, event_types=("a", "b"))
    shop.secrets.update(expires_at=NOW - timedelta(days=40))
    AlertRule.objects.all().delete()
    validate()
    look(clock)
    [incident] = Incident.objects.filter(kind="setup_wrong")
    assert (incident.title, incident.text) == (
        "Shop: no valid secret", "It has no valid signing secret: nothing can be delivered.",
    )  # fmt: skip
    validate()
    look(clock, 3)
    assert Incident.objects.filter(kind="setup_wrong").count() == 1
    shop.secrets.update(expires_at=None)
    validate()
    look(clock)
    incident.refresh_from_db()
    assert (incident.status, incident.resolution) == ("resolved", "recovered")


def test_accounts_that_have_rules_are_given_the_new_ones(account: Account) -> None:
    evaluate_health()
    new = ("backlog_not_shrinking", "setup_wrong")
    made = {rule.kind: rule for rule in AlertRule.objects.filter(kind__in=new)}
    AlertRule.objects.filter(kind__in=new).delete()
    create_rule(account=make_account(), name="Set-up wrong", kind="latency_above")
    HealthPolicy.objects.create(account=AlertRule.objects.latest("pk").account, created_at=NOW)
    step = importlib.import_module("monitoring.migrations.0012_told_of_findings")
    step.give_the_new_default_rules(apps, None)
    given = AlertRule.objects.filter(kind__in=new)
    assert {(rule.account, rule.kind) for rule in given} == {
        (account, "backlog_not_shrinking"), (account, "setup_wrong"),
        (HealthPolicy.objects.latest("created_at", "pk").account, "backlog_not_shrinking"),
    }  # fmt: skip
    names = ("name", "severity", "threshold", "window_seconds", "rise_factor",
             "opens_after_seconds", "resolves_after_seconds")  # fmt: skip
    for rule in given.filter(account=account):
        assert all(getattr(rule, name) == getattr(made[rule.kind], name) for name in names)


def test_no_account_hears_of_anothers(shop: Subscription, clock: Any) -> None:
    other = make_account()
    make_user(other, Role.OPERATOR, email="other@example.com")
    fail(shop)
    look(clock, 3)
    assert {row.account for row in Incident.objects.all()} == {shop.account}
    assert set(Notification.objects.values_list("recipient", flat=True)) == {"operator@example.com"}


def test_figures_are_of_three_windows(shop: Subscription) -> None:
    attempt(shop, 5, "status_5xx", started_at=NOW - timedelta(hours=3))
    attempt(shop, 5, started_at=NOW - timedelta(minutes=30))
    now = NOW
    hub = gathering.read_hub(now)
    account = gathering.read_accounts([shop.account_id], hub, {}, now)[shop.account_id]
    [figures] = account.endpoints
    assert isinstance(figures, EndpointFigures)
    assert [figures.over(seconds).attempts for seconds in WINDOWS] == [0, 5, 10]
    assert figures.over(HOUR).failed == 0
    assert figures.over(86_400).by_cause == {"status_5xx": 5}
