"""Replay of events through the API."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine

from monitoring.models import AuditEntry
from outgoing.models import Delivery, Replay
from outgoing.replays import advance_replays
from subscriptions.models import Subscription
from tests.api.calls import Api
from tests.factories import make_api_key, make_delivery, make_event, make_subscription
from webhooks_project.accounts.models import Role

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
PERIOD = {"since": "2026-03-04T00:00:00Z", "until": "2026-03-04T12:00:00Z"}


@pytest.fixture(autouse=True)
def _frozen() -> Any:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def shop() -> Subscription:
    return make_subscription(name="Shop")


@pytest.fixture
def api(shop: Subscription) -> Api:
    return Api(make_api_key(shop.account, Role.OPERATOR).text)


def past(shop: Subscription, **fields: Any) -> Delivery:
    event = make_event(shop.account, created_at=NOW - timedelta(hours=2), channels=["eu"])
    return make_delivery(event, shop, **{"status": "exhausted"} | fields)


def test_plan_run_and_end(api: Api, shop: Subscription) -> None:
    past(shop)
    past(shop, status="delivered")
    past(make_subscription())
    asked = {
        **PERIOD, "kind": "recover", "subscription": str(shop.pk), "event_type": "invoice.*",
        "channel": "eu", "filter": {"data.amount": 1},
    }  # fmt: skip

    planned = api.post("outgoing/replays", asked)

    replay = Replay.objects.get()
    assert planned.status == 201
    assert planned.json == {
        "id": str(replay.pk), "account": str(shop.account_id), **asked, "statuses": [],
        "status": "planned", "paused_at": None, "planned_count": 1, "redelivered_count": 0,
        "plan": {
            "count": 1, "oldest": "2026-03-04T10:00:00Z",
            "deliveries": [{"event_type": "invoice.paid", "subscription": str(shop.pk),
                            "subscription_name": "Shop", "count": 1}],
            "left_out": {}, "estimated_seconds": 0, "is_complete": True,
        },
        "error": "", "requested_by": replay.requested_by, "created_at": "2026-03-04T12:00:00Z",
        "started_at": None, "finished_at": None,
    }  # fmt: skip
    assert replay.requested_by
    path = f"outgoing/replays/{replay.pk}"
    assert api.post(f"{path}/run").json["status"] == "running"
    assert api.post(f"{path}/pause").json["paused_at"] == "2026-03-04T12:00:00Z"
    assert advance_replays(NOW) == 0
    assert api.post(f"{path}/resume").json["paused_at"] is None
    assert advance_replays(NOW) == 1
    assert advance_replays(NOW) == 0
    ended = api.get(path).json
    assert (ended["status"], ended["redelivered_count"]) == ("finished", 1)
    again = api.post(f"{path}/cancel")
    assert (again.status, again.code) == (409, "state_not_allowed")
    kinds = AuditEntry.objects.filter(object_id=replay.pk).values_list("actor_kind", flat=True)
    assert list(kinds) == ["key"] * 4


def test_cancel(api: Api, shop: Subscription) -> None:
    past(shop)
    key = api.post("outgoing/replays", {"since": PERIOD["since"], "kind": "missing"}).json["id"]
    assert api.post(f"outgoing/replays/{key}/cancel").json["status"] == "cancelled"
    again = api.post(f"outgoing/replays/{key}/run")
    assert (again.status, again.json["code"]) == (409, "state_not_allowed")


def test_a_filter_of_replays_finds_these_alone(api: Api) -> None:
    recover = api.post("outgoing/replays", {**PERIOD, "kind": "recover"}).json["id"]
    replay = api.post("outgoing/replays", PERIOD).json["id"]
    for query, found in {
        "": {recover, replay},
        "kind=recover": {recover},
        "kind=replay": {replay},
        "kind=missing": set(),
        "status=planned": {recover, replay},
    }.items():
        rows = api.get(f"outgoing/replays?{query}").rows
        assert {row["id"] for row in rows} == found, query


@pytest.mark.parametrize(
    ("fields", "errors"),
    [
        ({"until": PERIOD["since"]}, {"/until": "invalid"}),
        ({"kind": "again"}, {"/kind": "invalid_choice"}),
        ({"statuses": ["gone"]}, {"/statuses/0": "invalid_choice"}),
        ({"event_type": "a" * 129}, {"/event_type": "max_length"}),
    ],
)
def test_says_what_is_wrong(api: Api, fields: dict[str, Any], errors: dict[str, str]) -> None:
    answer = api.post("outgoing/replays", {**PERIOD, **fields})
    assert (answer.status, answer.errors) == (400, errors)
    assert not Replay.objects.exists()


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"event_type": "a*b"}, "event_type"),
        ({"filter": {"data": {"$no": 1}}}, "filter"),
        ({"kind": "missing", "statuses": ["delivered"]}, "statuses"),
        ({"since": "2026-03-05T00:00:00Z", "until": "2026-03-06T00:00:00Z"}, "since"),
    ],
)
def test_says_what_cannot_be_meant(api: Api, fields: dict[str, Any], field: str) -> None:
    answer = api.post("outgoing/replays", {**PERIOD, **fields})
    assert (answer.status, answer.json["code"]) == (400, "selection_not_acceptable")
    assert answer.json["field"] == field
    assert not Replay.objects.exists()


def test_a_subscription_of_another_account_is_none(api: Api) -> None:
    body = {**PERIOD, "subscription": str(make_subscription().pk)}
    assert api.post("outgoing/replays", body).errors == {"/subscription": "does_not_exist"}


def test_what_an_older_release_planned_is_shown(api: Api, shop: Subscription) -> None:
    old = Replay.objects.create(account=shop.account, since=NOW, until=NOW, created_at=NOW)
    assert api.get(f"outgoing/replays/{old.pk}").json["plan"] == {
        "count": 0, "oldest": None, "deliveries": [], "left_out": {}, "estimated_seconds": 0,
        "is_complete": True,
    }  # fmt: skip
