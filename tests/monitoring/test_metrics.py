"""/metrics: who may read it, in which formats, what it says."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as open_metrics_families,
)

from incoming.models import Receipt
from incoming.providers import Cause
from monitoring.metrics import gauges, readings, views
from monitoring.metrics.catalogue import METRICS, Type
from monitoring.models import Incident, MetricsReading, Notification
from outgoing.models import Attempt, Delivery
from subscriptions.models import Subscription
from tests.factories import (
    make_account,
    make_attempt,
    make_delivery,
    make_event,
    make_receipt,
    make_retry,
    make_run,
    make_source,
    make_subscription,
)
from tests.monitoring.metrics_page import TOKEN, begin, get, parse, scrape
from webhooks_project import __version__
from webhooks_project.lib import clock
from webhooks_project.models import Heartbeat

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _token(settings: Any) -> None:
    settings.WEBHOOKS_METRICS_TOKEN = TOKEN


def ago(seconds: float) -> Any:
    return clock.now() - timedelta(seconds=seconds)


# --- who may read ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer ", "Bearer wrong", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x",
     "Bearer \xff"],
)  # fmt: skip
def test_without_the_token_nothing_is_told(
    authorization: str, django_assert_num_queries: Any
) -> None:
    with django_assert_num_queries(0):
        response = get("", Authorization=authorization)
    assert (response.status_code, response.content) == (401, b"")
    assert response.headers["WWW-Authenticate"] == "Bearer"


def test_where_no_token_is_set_there_is_no_such_page(
    settings: Any, django_assert_num_queries: Any
) -> None:
    settings.WEBHOOKS_METRICS_TOKEN = ""
    with django_assert_num_queries(0):
        responses = [get(""), get("anything"), get(" ")]
    assert [(one.status_code, one.content) for one in responses] == [(404, b"")] * 3


def test_it_is_open_where_the_settings_say_so(settings: Any) -> None:
    settings.WEBHOOKS_METRICS_TOKEN = ""
    settings.WEBHOOKS_METRICS_PUBLIC = True
    assert get("").status_code == 200


def test_is_only_read(settings: Any) -> None:
    settings.WEBHOOKS_METRICS_PUBLIC = True
    response = Client(enforce_csrf_checks=True).post("/metrics")
    assert (response.status_code, response.headers["Allow"]) == (405, "GET, HEAD")
    assert not MetricsReading.objects.exists()


def test_nothing_is_kept_on_the_way() -> None:
    response = get()
    assert response.headers["Cache-Control"] == "no-store"
    assert not response.cookies


# --- formats --------------------------------------------------------------------------------------


def fill() -> None:
    """Something of everything."""
    begin()
    make_attempt(first_byte_ms=3.0)
    make_attempt(outcome="failed", cause="status_5xx", status_code=500)
    make_event()
    make_receipt()
    Heartbeat.objects.create(host="a", cluster="hub", family="delivery", beat_at=clock.now())


def test_speaks_the_text_format() -> None:
    fill()
    response = get(Accept="text/plain;version=0.0.4")
    assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert "webhooks_build_info" in response.content.decode()


def test_speaks_open_metrics_where_that_is_asked_for() -> None:
    fill()
    scrape()
    accept = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
    response = get(Accept=accept)
    assert response.headers["Content-Type"].startswith("application/openmetrics-text")
    text = response.content.decode()
    assert text.endswith("# EOF\n")
    families = list(open_metrics_families(text))
    assert {family.name for family in families} <= {metric.name for metric in METRICS}
    assert len(families) > 20


@pytest.mark.parametrize(
    "accept", ["application/openmetrics-text;version=x.y", "*/*", ";;;,", "text/plain;version="]
)
def test_an_accept_header_that_makes_no_sense_gets_the_text_format(accept: str) -> None:
    response = get(Accept=accept)
    assert response.status_code == 200
    assert parse(response.content.decode()).samples


def test_names_follow_the_rules() -> None:
    names = [metric.name for metric in METRICS]
    assert len(set(names)) == len(names)
    for metric in METRICS:
        assert re.fullmatch(r"webhooks_[a-z0-9]+(_[a-z0-9]+)*", metric.name)
        assert not metric.name.endswith(("_total", "_count", "_sum", "_bucket", "_ms"))
        assert metric.help.endswith(".")
        for label in metric.labels:
            assert re.fullmatch(r"[a-z]+", label)
            assert label not in ("le", "job", "instance", "subscription", "customer")
        assert list(metric.buckets) == sorted(set(metric.buckets))
        if metric.type is Type.HISTOGRAM:
            assert metric.name.endswith("_seconds")


def test_every_metric_is_told_with_its_type_and_help() -> None:
    fill()
    text = scrape().text
    for metric in METRICS:
        if metric.type is Type.GAUGE and ("account" in metric.name or "database" in metric.name):
            continue  # of some settings, and of PostgreSQL alone
        name = metric.samples[0] if metric.type is Type.COUNTER else metric.name
        assert f"# HELP {name} " in text
        assert f"# TYPE {name} {metric.type.value}\n" in text


def test_no_id_and_no_name_of_a_customer_is_in_it() -> None:
    fill()
    text = scrape().text
    account = make_account(slug="secret-customer")
    make_attempt(make_delivery(make_event(account)))
    for row in [*Subscription.objects.all(), *Delivery.objects.all()]:
        assert str(row.pk) not in text
        assert row.pk.hex not in text
    assert "secret-customer" not in scrape().text
    assert "account=" not in text


# --- gauges ---------------------------------------------------------------------------------------


def test_lines_have_their_depth_and_age() -> None:
    now = ago(0)
    for lane, seconds in ((0, 10), (0, 5), (1, 20), (2, 30), (0, -3600)):
        make_delivery(lane=lane, next_attempt_at=now - timedelta(seconds=seconds))
    make_receipt(next_attempt_at=now - timedelta(seconds=7))
    make_run(make_receipt(next_attempt_at=None), next_attempt_at=now - timedelta(seconds=8))
    make_retry(due_at=now - timedelta(seconds=9))
    make_retry(due_at=now + timedelta(hours=1))
    page = scrape()
    assert page.all("webhooks_queue_depth") == {
        ("delivery", "again"): 1,
        ("delivery", "first"): 2,
        ("delivery", "limited"): 1,
        ("monitoring", "notifications"): 0,
        ("processing", "handlers"): 1,
        ("processing", "receipts"): 1,
        ("retry", "retries"): 1,
        ("analytics", "rollups"): 2,
    }
    ages = {key: int(value) for key, value in page.all("webhooks_queue_age_seconds").items()}
    assert ages == {
        ("delivery", "again"): pytest.approx(20, abs=2),
        ("delivery", "first"): pytest.approx(10, abs=2),
        ("delivery", "limited"): pytest.approx(30, abs=2),
        ("monitoring", "notifications"): 0,
        ("processing", "handlers"): pytest.approx(8, abs=2),
        ("processing", "receipts"): pytest.approx(7, abs=2),
        ("retry", "retries"): pytest.approx(9, abs=2),
        ("analytics", "rollups"): 0,
    }
    assert page.all("webhooks_retries") == {("due",): 1, ("waiting",): 1}


def test_deliveries_are_told_by_state() -> None:
    make_delivery()
    make_delivery(next_attempt_at=ago(-3600))
    make_retry()
    # One that waits for its order, and one that waits for its order's Retry.
    make_delivery(lane=None, order_key="k")
    make_retry(make_delivery(lane=None, order_key="k"))
    make_delivery(status="delivering", leased_until=ago(-5))
    make_delivery(status="held")
    for _ in range(3):
        make_delivery(status="exhausted")
    make_delivery(status="delivered")
    make_delivery(status="cancelled")
    assert scrape().all("webhooks_deliveries") == {
        ("in_line",): 2,
        ("retrying",): 2,
        ("in_order",): 1,
        ("delivering",): 1,
        ("held",): 1,
        ("exhausted",): 3,
    }


def test_what_waits_for_people_is_told() -> None:
    make_delivery(status="exhausted")
    make_receipt(status=Receipt.Status.DEAD, next_attempt_at=None, dead_at=ago(1))
    make_receipt(status=Receipt.Status.DEAD, next_attempt_at=None, discard_reason="old")
    account = make_account()
    for status, severity in (("open", "critical"), ("acknowledged", "critical"),
                             ("resolved", "warning")):  # fmt: skip
        Incident.objects.create(
            account=account, kind="backlog_old", severity=severity, key=status, title="t",
            status=status, opened_at=ago(1), last_seen_at=ago(1),
        )  # fmt: skip
    Notification.objects.create(
        account=account, kind="k", recipient="a@example.com", title="t", text="t",
        next_attempt_at=ago(1), created_at=ago(1),
    )  # fmt: skip
    page = scrape()
    assert page.all("webhooks_dead_letters_waiting") == {("delivery",): 1, ("receipt",): 1}
    assert page.all("webhooks_incidents") == {("critical",): 2, ("warning",): 0}
    assert page.get("webhooks_notifications_due") == 1


def test_subscriptions_and_breakers_are_told_by_state() -> None:
    for fields in ({}, {"breaker": "open"}, {"breaker": "half_open"}, {"status": "paused"},
                   {"status": "archived", "breaker": "open"}):  # fmt: skip
        make_subscription(**{"status": "active"} | fields)
    page = scrape()
    statuses = dict.fromkeys(Subscription.Status.values, 0) | {
        "active": 3, "paused": 1, "archived": 1,
    }  # fmt: skip
    assert page.all("webhooks_subscriptions") == {(key,): n for key, n in statuses.items()}
    assert page.all("webhooks_breakers") == {("closed",): 2, ("open",): 1, ("half_open",): 1}


def test_leases_that_ran_out_are_told() -> None:
    make_delivery(status="delivering", leased_until=ago(1))
    make_delivery(status="delivering", leased_until=ago(-5))
    make_receipt(status="processing", next_attempt_at=None, leased_until=ago(1))
    make_run(status="running", leased_until=ago(1))
    assert scrape().all("webhooks_leases_expired") == {
        ("delivery",): 1,
        ("receipt",): 1,
        ("handler_run",): 1,
    }


def test_the_life_of_clusters_is_told() -> None:
    for host, family, slot, seconds in (
        ("a", "delivery", 0, 3), ("a", "delivery", 1, 4), ("b", "delivery", 0, 40),
        ("b", "retry", 0, 100), ("a", "monitoring", 0, 100),
    ):  # fmt: skip
        Heartbeat.objects.create(
            host=host, cluster="hub", family=family, slot=slot, beat_at=ago(seconds)
        )
    page = scrape()
    ages = page.all("webhooks_heartbeat_age_seconds")
    assert ages == {
        ("delivery",): pytest.approx(3, abs=2),
        ("retry",): pytest.approx(100, abs=2),
        ("monitoring",): pytest.approx(100, abs=2),
    }
    assert page.all("webhooks_places_alive") == {
        ("processing",): 0, ("delivery",): 2, ("retry",): 0, ("monitoring",): 1, ("analytics",): 0,
    }  # fmt: skip
    assert page.get("webhooks_nodes_alive") == 1


def test_what_nobody_works_at_is_told_as_readiness_has_it() -> None:
    make_delivery(next_attempt_at=ago(4000))
    subscription = make_subscription()
    make_delivery(subscription=subscription, next_attempt_at=ago(9000))
    make_delivery(subscription=subscription, status="delivering", leased_until=ago(-5))
    unserved = scrape().all("webhooks_queue_unserved_age_seconds")
    assert unserved.pop(("delivery",)) == pytest.approx(4000, abs=2)
    assert unserved == {("processing",): 0, ("retry",): 0, ("monitoring",): 0, ("analytics",): 0}


def test_the_database_and_the_version_are_told() -> None:
    from django.db import connection

    page = scrape()
    [labels] = page.samples["webhooks_build_info"]
    assert dict(labels)["version"] == __version__
    assert dict(labels)["database"] == connection.vendor
    assert page.get("webhooks_database_size_bytes") is not None
    if connection.vendor == "postgresql":
        assert page.get("webhooks_database_connections", state="active") >= 1
        assert page.get("webhooks_database_connections_max") >= 10


# --- one reading for all --------------------------------------------------------------------------


def test_whoever_asks_within_seconds_gets_the_same_for_two_queries(
    django_assert_num_queries: Any,
) -> None:
    make_delivery()
    first = scrape()
    make_delivery()
    with django_assert_num_queries(1):
        again = scrape(fresh=False)
    changing = {"webhooks_reading_age_seconds"}
    assert {key: value for key, value in again.samples.items() if key not in changing} == {
        key: value for key, value in first.samples.items() if key not in changing
    }


def test_a_reading_is_taken_anew_when_it_is_no_longer_fresh() -> None:
    scrape()
    make_delivery()
    MetricsReading.objects.update(taken_at=ago(readings.FRESH_SECONDS + 0.1), seconds=0.1)
    assert scrape(fresh=False).get("webhooks_deliveries", state="in_line") == 1


def test_a_reading_that_took_long_is_given_out_for_longer() -> None:
    scrape()
    make_delivery()
    MetricsReading.objects.update(taken_at=ago(30), seconds=2.0)
    assert scrape(fresh=False).get("webhooks_deliveries", state="in_line") == 0
    MetricsReading.objects.update(taken_at=ago(41))
    assert scrape(fresh=False).get("webhooks_deliveries", state="in_line") == 1


def test_while_another_takes_it_the_last_one_is_given_out(monkeypatch: pytest.MonkeyPatch) -> None:
    scrape()
    make_delivery()
    MetricsReading.objects.update(taken_at=ago(60), claimed_until=ago(-30))
    page = scrape(fresh=False)
    assert page.get("webhooks_deliveries", state="in_line") == 0
    assert page.get("webhooks_reading_age_seconds") == pytest.approx(60, abs=2)
    MetricsReading.objects.update(claimed_until=ago(1))  # it died
    assert scrape(fresh=False).get("webhooks_deliveries", state="in_line") == 1


def test_of_two_that_claim_a_reading_one_gets_it() -> None:
    begin()
    reading = MetricsReading.objects.get()
    now = clock.now()
    assert [readings._claim(reading, now) for _ in range(3)] == [True, False, False]


def test_a_reading_that_fails_leaves_the_claim(monkeypatch: pytest.MonkeyPatch) -> None:
    scrape()
    MetricsReading.objects.update(taken_at=ago(60))
    monkeypatch.setattr(readings, "measure", _fail)
    page = scrape(fresh=False)  # the last one
    assert page.get("webhooks_reading_age_seconds") == pytest.approx(60, abs=2)
    assert MetricsReading.objects.get().claimed_until is None


def _fail(*_: Any) -> None:
    raise OperationalError


def test_without_its_database_it_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "current_reading", _fail)
    response = get()
    assert (response.status_code, response.content) == (503, b"")


def test_a_reading_asks_a_fixed_number_of_questions(
    django_assert_max_num_queries: Any,
) -> None:
    fill()
    for _ in range(5):
        make_delivery()
        make_source()
    MetricsReading.objects.update(taken_at=None)
    with django_assert_max_num_queries(60):
        get()


# --- accounts -------------------------------------------------------------------------------------


def test_accounts_have_series_where_the_settings_say_so_up_to_a_number(settings: Any) -> None:
    settings.WEBHOOKS_METRICS_ACCOUNTS = 2
    begin()
    for slug, count in (("one", 1), ("two", 2), ("three", 3), ("four", 4)):
        account = make_account(slug=slug)
        source = make_source(account)
        subscription = make_subscription(account)
        for _ in range(count):
            event = make_event(account)
            make_receipt(source)
            make_attempt(make_delivery(event, subscription, status="exhausted"), outcome="failed")
    page = scrape()
    counts = {("one",): 1, ("two",): 2, ("other",): 7}
    assert page.all("webhooks_account_events_total") == counts
    assert page.all("webhooks_account_receipts_total") == counts
    assert page.all("webhooks_account_attempts_total") == {
        (*key, "failed"): number for key, number in counts.items()
    }
    assert page.all("webhooks_account_dead_letters_waiting") == counts


def test_labels_come_from_enums_alone() -> None:
    causes = {*Cause, *Attempt.Cause.values}
    assert len(causes) < 100
    assert gauges.OTHER == "other"
