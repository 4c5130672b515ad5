"""The retry queue, by way of the API."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from outgoing.models import Retry
from tests.api.calls import Api
from tests.factories import (
    make_account,
    make_api_key,
    make_delivery,
    make_event,
    make_retry,
    make_subscription,
    make_user,
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


def make_waiting(account: Account, *, due_in: timedelta = timedelta(0), **fields: Any) -> Retry:
    delivery = make_delivery(
        make_event(account, type=fields.pop("type", "invoice.paid")),
        make_subscription(account),
        lane=None, attempt_count=1, trigger="retry", last_status_code=500, **fields,
    )  # fmt: skip
    return make_retry(delivery, due_at=clock.now() + due_in)


def test_tells_when_which_number_and_why(api: Api, account: Account) -> None:
    retry = make_waiting(account)
    row = api.get(f"retry/{retry.pk}").json
    assert row.pop("due_at") is not None
    assert row.pop("created_at") is not None
    assert row == {
        "delivery": str(retry.pk), "account": str(account.pk),
        "subscription": str(retry.delivery.subscription_id),
        "event": str(retry.delivery.event_id), "event_type": "invoice.paid", "number": 2,
        "cause": "status_5xx", "status_code": 500,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("event_type=invoice.paid", True),
        ("event_type=order.made", False),
        ("due_since=2000-01-01T00:00:00Z", True),
        ("due_since=2100-01-01T00:00:00Z", False),
        ("due_before=2100-01-01T00:00:00Z", True),
        ("due_before=2000-01-01T00:00:00Z", False),
    ],
)
def test_lists_and_counts_by_filters(api: Api, account: Account, query: str, found: bool) -> None:
    make_waiting(account)
    assert len(api.get(f"retry?{query}").rows) == found
    assert sum(api.get(f"retry/counts?{query}").json.values()) == found


def test_lists_by_account(account: Account) -> None:
    retry = make_waiting(account)
    make_waiting(make_account())
    api = Api(user=make_user(is_superuser=True))
    assert [row["delivery"] for row in api.get(f"retry?account={account.pk}").rows] == [
        str(retry.pk)
    ]


def test_counts_the_caller_s_own_by_due_time(api: Api, account: Account) -> None:
    for seconds in (-5, 30, 300, 1_800, 7_200, 86_400, 90_000):
        make_waiting(account, due_in=timedelta(seconds=seconds))
    make_waiting(make_account())
    assert api.get("retry/counts").json == {
        "overdue": 1, "within_1_minute": 1, "within_10_minutes": 1, "within_1_hour": 1,
        "within_6_hours": 1, "later": 2,
    }  # fmt: skip


def test_tells_the_policies_with_their_times(api: Api) -> None:
    policies = {item["name"]: item["attempts"] for item in api.get("retry/policies").json}
    assert {name: len(attempts) for name, attempts in policies.items()} == {
        "standard": 8, "quick": 6, "patient": 12, "none": 1,
    }  # fmt: skip
    assert policies["standard"][2] == {
        "number": 3, "after_seconds": 305, "earliest_seconds": 244, "latest_seconds": 366,
    }  # fmt: skip


def test_tells_when_a_subscription_s_attempts_would_be(api: Api, account: Account) -> None:
    subscription = make_subscription(
        account,
        retry_policy="custom",
        retry_schedule={"kind": "linear", "base": 10, "step": 10, "attempts": 3, "jitter": 0.5},
        retry_max_age_seconds=40,
    )
    assert api.get(f"subscriptions/{subscription.pk}/retry-times").json == {
        "subscription": str(subscription.pk),
        "attempts": [
            {"number": 1, "after_seconds": 0, "earliest_seconds": 0, "latest_seconds": 0},
            {"number": 2, "after_seconds": 10, "earliest_seconds": 5, "latest_seconds": 15},
            {"number": 3, "after_seconds": 30, "earliest_seconds": 15, "latest_seconds": 40},
        ],
    }


def test_brings_forward_and_postpones(api: Api, account: Account) -> None:
    retry = make_waiting(account, due_in=timedelta(hours=1))
    assert api.post(f"retry/{retry.pk}/bring-forward").status == 200
    retry.refresh_from_db()
    assert retry.due_at <= clock.now()
    until = clock.now() + timedelta(days=2)
    answer = api.post(f"retry/{retry.pk}/postpone", {"until": until.isoformat()})
    assert answer.status == 200
    retry.refresh_from_db()
    assert retry.due_at == until


def test_postpones_to_no_past_moment(api: Api, account: Account) -> None:
    retry = make_waiting(account)
    answer = api.post(f"retry/{retry.pk}/postpone", {"until": "2000-01-01T00:00:00Z"})
    assert (answer.status, answer.code) == (409, "state_not_allowed")
    assert api.post(f"retry/{retry.pk}/postpone", {}).errors == {"/until": "required"}


def test_cancels(api: Api, account: Account) -> None:
    retry = make_waiting(account)
    answer = api.post(f"retry/{retry.pk}/cancel")
    assert (answer.status, answer.json["status"]) == (200, "cancelled")
    assert not Retry.objects.exists()


@pytest.mark.parametrize(
    ("schedule", "errors"),
    [
        ({"kind": "exponential", "base": 5, "factor": 2, "cap": 3600, "attempts": 10}, {}),
        ([5, 60], {}),
        ({"kind": "exponential", "base": 5}, {"/retry_schedule/attempts": "required"}),
        ("soon", {"/retry_schedule": "not_a_schedule"}),
    ],
)
def test_a_schedule_is_taken_as_a_list_or_as_how_it_grows(
    account: Account, schedule: Any, errors: dict[str, str]
) -> None:
    api = Api(make_api_key(account, "developer").text)
    subscription = make_subscription(account)
    answer = api.patch(
        f"subscriptions/{subscription.pk}",
        {"retry_policy": "custom", "retry_schedule": schedule, "retry_max_age_seconds": 3600},
    )
    if errors:
        assert answer.code == "subscription_not_acceptable"
        assert {item["path"]: item["code"] for item in answer.json["errors"]} == errors
    else:
        assert (answer.status, answer.json["retry_schedule"]) == (200, schedule)
        assert answer.json["retry_max_age_seconds"] == 3600
