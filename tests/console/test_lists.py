"""What is looked for is found: by search, by filters, by date."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext

from tests.factories import (
    make_attempt,
    make_delivery,
    make_event,
    make_receipt,
    make_retry,
    make_source,
    make_subscription,
)
from webhooks_project.admin.values import list_of


def found(console: Client, model: str, **filters: Any) -> list[Any]:
    response = console.get(list_of(model, **filters))
    assert response.status_code == 200
    return [row.pk for row in response.context["cl"].result_list]


def test_webhook_id_finds_the_event_and_what_belongs_to_it(console: Client) -> None:
    delivery = make_delivery()
    attempt = make_attempt(delivery)
    retry = make_retry(delivery)
    make_attempt()
    term = delivery.event.webhook_id

    assert found(console, "outgoing.event", q=term) == [delivery.event_id]
    assert found(console, "outgoing.delivery", q=term) == [delivery.pk]
    assert found(console, "outgoing.attempt", q=term) == [attempt.pk]
    assert found(console, "outgoing.retry", q=term) == [retry.pk]


def test_event_is_found_by_its_own_and_others_names(console: Client) -> None:
    receipt = make_receipt()
    event = make_event(
        type="order.shipped", idempotency_key="key-1", correlation_id="a" * 32,
        causation_id=receipt.causation_id,
    )  # fmt: skip
    make_event()

    for term in (event.pk, "order.shipped", "key-1", "a" * 32, receipt.pk):
        assert found(console, "outgoing.event", q=term) == [event.pk], term
    assert found(console, "outgoing.event", q="order") == []


def test_delivery_is_found_by_ids_and_type(console: Client) -> None:
    delivery = make_delivery(make_event(type="order.shipped"))
    make_delivery()

    for term in (delivery.pk, delivery.event_id, delivery.subscription_id, "order.shipped"):
        assert found(console, "outgoing.delivery", q=term) == [delivery.pk], term


def test_receipt_is_found_by_what_the_provider_calls_it(console: Client) -> None:
    receipt = make_receipt(
        external_id="72d3162e-cc78-11e3-81ab-4c9367dc0958", type="invoice.paid",
        request_id="b" * 32, remote_address="192.0.2.7",
    )  # fmt: skip
    make_receipt()

    for term in (receipt.pk, receipt.external_id, "invoice.paid", "b" * 32, "192.0.2.7"):
        assert found(console, "incoming.receipt", q=term) == [receipt.pk], term


def test_source_is_found_by_its_ingest_url(console: Client) -> None:
    source = make_source(name="Shop")
    make_source()

    for term in (source.pk, f"https://hub.example/in/{source.token}", "Sho"):
        assert found(console, "incoming.source", q=term) == [source.pk], term


def test_subscription_is_found_by_part_of_its_url(console: Client) -> None:
    subscription = make_subscription(url="http://127.0.0.1/billing")
    make_subscription()

    for term in (subscription.pk, "billing"):
        assert found(console, "subscriptions.subscription", q=term) == [subscription.pk], term


def test_deliveries_by_status_and_cause(console: Client) -> None:
    exhausted = make_delivery(status="exhausted", last_cause="dns")
    held = make_delivery(status="held")
    make_delivery(status="exhausted", last_cause="tls")

    assert found(
        console, "outgoing.delivery", status__exact="exhausted", last_cause="dns"
    ) == [exhausted.pk]  # fmt: skip
    assert found(
        console, "outgoing.delivery", subscription__id__exact=held.subscription_id
    ) == [held.pk]  # fmt: skip
    assert found(console, "outgoing.delivery", event__id__exact=held.event_id) == [held.pk]


def test_several_statuses_at_once(console: Client) -> None:
    held = make_delivery(status="held")
    exhausted = make_delivery(status="exhausted")
    make_delivery(status="delivered")

    response = console.get("/admin/outgoing/delivery/?status__exact=held&status__exact=exhausted")

    assert {row.pk for row in response.context["cl"].result_list} == {held.pk, exhausted.pk}


def test_receipts_by_provider(console: Client) -> None:
    receipt = make_receipt(make_source(provider="stripe"))
    make_receipt()

    assert found(console, "incoming.receipt", source__provider__exact="stripe") == [receipt.pk]


def test_sources_by_state(console: Client) -> None:
    disabled = make_source(disabled_at=datetime(2026, 1, 1, tzinfo=UTC))
    enabled = make_source()

    assert found(console, "incoming.source", state="disabled") == [disabled.pk]
    assert found(console, "incoming.source", state="enabled") == [enabled.pk]


@pytest.fixture
def three_days(db: None) -> list[Any]:
    """Events of 31 December 2025, and 1 and 2 January 2026, at noon; the newest first."""
    days = [(2026, 1, 2), (2026, 1, 1), (2025, 12, 31)]
    return [make_event(created_at=datetime(*day, 12, tzinfo=UTC)).pk for day in days]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, [0, 1, 2]),
        ({"created_at_from_0": "2026-01-01"}, [0, 1]),
        ({"created_at_to_0": "2026-01-01"}, [1, 2]),
        ({"created_at_from_0": "2026-01-01", "created_at_from_1": "12:00:01"}, [0]),
        ({"created_at_to_0": "2025-12-31", "created_at_to_1": "11:59:59"}, []),
        ({"created_at_from_0": "nonsense"}, [0, 1, 2]),
        ({"created_at_from_0": "2026-13-45"}, [0, 1, 2]),
        ({"created_at__year": "2026"}, [0, 1]),
        ({"created_at__year": "2026", "created_at__month": "1", "created_at__day": "2"}, [0]),
    ],
)
def test_periods(
    console: Client, three_days: list[Any], filters: dict[str, str], expected: list[int]
) -> None:
    assert found(console, "outgoing.event", **filters) == [three_days[place] for place in expected]


@pytest.mark.parametrize(
    ("filters", "back", "choices"),
    [
        ({}, None, ["2025", "2026"]),
        ({"created_at__year": "2026"}, "All dates", ["January 2026"]),
        (
            {"created_at__year": "2026", "created_at__month": "1"},
            "2026",
            ["January 1", "January 2"],
        ),
        (
            {"created_at__year": "2026", "created_at__month": "1", "created_at__day": "2"},
            "January 2026",
            ["January 2"],
        ),
    ],
)
def test_way_down_the_dates(
    console: Client,
    three_days: list[Any],
    filters: dict[str, str],
    back: str | None,
    choices: list[str],
) -> None:
    steps = console.get(list_of("outgoing.event", **filters)).context["date_steps"]

    assert (steps["back"] and steps["back"]["title"]) == back
    assert [choice["title"] for choice in steps["choices"]] == choices


def test_dates_in_one_month_start_with_its_days(console: Client) -> None:
    make_event(created_at=datetime(2026, 1, 30, tzinfo=UTC))
    make_event(created_at=datetime(2026, 1, 31, tzinfo=UTC))

    steps = console.get(list_of("outgoing.event")).context["date_steps"]

    assert [choice["title"] for choice in steps["choices"]] == ["January 30", "January 31"]
    assert steps["choices"][0]["link"] == (
        "?created_at__day=30&created_at__month=1&created_at__year=2026"
    )


@pytest.mark.parametrize(
    ("model", "columns"),
    [
        ("outgoing.event", ["data", "not_matched"]),
        ("outgoing.delivery", ["data", "not_matched"]),
        ("outgoing.attempt", ["response_body", "response_headers", "request_headers", "data"]),
        ("outgoing.retry", ["data"]),
        ("incoming.receipt", ["body", "headers", "query"]),
    ],
)
def test_lists_do_not_read_what_they_do_not_show(
    console: Client, rows: dict[str, Model], model: str, columns: list[str]
) -> None:
    with CaptureQueriesContext(connection) as queries:
        assert found(console, model) == [rows[model].pk]

    read = " ".join(query["sql"] for query in queries)
    assert [column for column in columns if f'"{column}"' in read] == []


def test_no_rows_have_no_dates(console: Client) -> None:
    assert console.get(list_of("outgoing.event")).context["date_steps"] is None


@pytest.mark.parametrize("year", ["x", "0"])
def test_a_year_that_is_none_shows_all(console: Client, year: str) -> None:
    make_event()

    response = console.get(list_of("outgoing.event", created_at__year=year))

    assert response.status_code == 302


def test_a_notification_is_found_by_whom_it_told_and_what_about(
    console: Client, rows: dict[str, Model]
) -> None:
    notification = rows["monitoring.notification"]
    for term in (notification.pk, notification.object_id, "ann@example.com", "test"):
        assert found(console, "monitoring.notification", q=term) == [notification.pk], term
    assert found(console, "monitoring.notification", q="bob@example.com") == []
