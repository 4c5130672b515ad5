"""Deliveries, retries and replays, by way of the API."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from outgoing.models import Delivery, Replay, Retry
from outgoing.replays import advance_replays
from tests.api.calls import Api
from tests.factories import (
    make_account,
    make_api_key,
    make_attempt,
    make_delivery,
    make_event,
    make_retry,
    make_subscription,
)
from webhooks_project.accounts.models import Account
from webhooks_project.lib import clock

pytestmark = pytest.mark.django_db


@pytest.fixture
def account() -> Account:
    return make_account()


@pytest.fixture
def api(account: Account) -> Api:
    return Api(make_api_key(account, "operator").text)


def iso(moment: Any) -> str:
    return str(moment.isoformat())


def test_a_delivery_is_shown_with_its_attempts_and_its_retry(api: Api, account: Account) -> None:
    delivery = make_delivery(make_event(account), lane=None, attempt_count=1, trigger="retry")
    attempt = make_attempt(
        delivery, outcome="failed", cause="status_5xx", status_code=500, response_body=b"a\xff"
    )
    make_retry(delivery)
    answer = api.get(f"outgoing/deliveries/{delivery.pk}")
    assert (answer.json["status"], answer.json["attempt_count"]) == ("pending", 1)
    assert set(answer.json["retry"]) == {"due_at", "number", "cause"}
    assert answer.json["retry"]["number"] == 2
    (shown,) = answer.json["attempts"]
    assert (shown["id"], shown["cause"], shown["status_code"]) == (
        str(attempt.pk),
        "status_5xx",
        500,
    )
    assert shown["response_body"] == "a\ufffd"
    assert "attempts" not in api.get("outgoing/deliveries").rows[0]
    (retry,) = api.get("retry").rows
    assert (retry["delivery"], retry["event"]) == (str(delivery.pk), str(delivery.event_id))
    assert retry["subscription"] == str(delivery.subscription_id)


def test_redelivers(api: Api, account: Account) -> None:
    delivery = make_delivery(make_event(account), status="exhausted", attempt_count=8)
    answer = api.post(f"outgoing/deliveries/{delivery.pk}/redeliver")
    assert (answer.status, answer.json["status"], answer.json["trigger"]) == (
        200,
        "pending",
        "redeliver",
    )


def test_does_not_redeliver_what_is_under_way(api: Api, account: Account) -> None:
    delivery = make_delivery(make_event(account), status="delivering")
    answer = api.post(f"outgoing/deliveries/{delivery.pk}/redeliver")
    assert (answer.status, answer.code) == (409, "state_not_allowed")
    assert Delivery.objects.get().status == "delivering"


def test_cancels(api: Api, account: Account) -> None:
    delivery = make_retry(make_delivery(make_event(account), lane=None)).delivery
    answer = api.post(f"outgoing/deliveries/{delivery.pk}/cancel")
    assert (answer.status, answer.json["status"], answer.json["retry"]) == (200, "cancelled", None)
    assert not Retry.objects.exists()
    again = api.post(f"outgoing/deliveries/{delivery.pk}/cancel")
    assert (again.status, again.code) == (409, "state_not_allowed")


def test_a_replay_is_planned_and_then_run(api: Api, account: Account) -> None:
    now = clock.now()
    rows = [make_delivery(make_event(account), status="delivered") for _ in range(2)]
    make_delivery(make_event(account, type="other"), status="delivered")
    body = {"since": iso(now - timedelta(hours=1)), "until": iso(now + timedelta(hours=1)),
            "event_type": "invoice.*"}  # fmt: skip
    planned = api.post("outgoing/replays", body)
    assert (planned.status, planned.json["status"], planned.json["planned_count"]) == (
        201,
        "planned",
        2,
    )
    assert Delivery.objects.filter(status="delivered").count() == 3
    run = api.post(f"outgoing/replays/{planned.json['id']}/run")
    assert (run.status, run.json["status"]) == (200, "running")
    assert advance_replays(clock.now()) == 2
    found = Delivery.objects.filter(status="pending", replay=planned.json["id"])
    assert set(found) == set(rows)
    assert api.get(f"outgoing/deliveries?replay={planned.json['id']}").status == 200
    again = api.post(f"outgoing/replays/{planned.json['id']}/run")
    assert (again.status, again.code) == (409, "state_not_allowed")


def test_a_replay_of_one_subscription(api: Api, account: Account) -> None:
    now = clock.now()
    one, two = make_subscription(account), make_subscription(account)
    for subscription in (one, two):
        make_delivery(make_event(account), subscription, status="delivered")
    body = {"since": iso(now - timedelta(hours=1)), "until": iso(now + timedelta(hours=1)),
            "subscription": str(one.pk)}  # fmt: skip
    assert api.post("outgoing/replays", body).json["planned_count"] == 1


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        ({}, {"/since"}),
        ({"since": "2026-01-02T00:00:00Z", "until": "2026-01-01T00:00:00Z"}, {"/until"}),
        ({"since": "2026-01-01T00:00:00Z", "until": "2026-01-01T00:00:00Z"}, {"/until"}),
        ({"since": "x", "until": "2026-01-01T00:00:00Z"}, {"/since"}),
    ],
)
def test_a_replay_has_a_period(api: Api, body: Any, errors: set[str]) -> None:
    assert set(api.post("outgoing/replays", body).errors) == errors
    assert not Replay.objects.exists()
