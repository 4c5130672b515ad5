"""Who sees how far behind which work is."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.api.calls import Api
from tests.factories import (
    make_account,
    make_api_key,
    make_delivery,
    make_event,
    make_receipt,
    make_retry,
    make_source,
    make_subscription,
    make_user,
)
from webhooks_project.accounts.models import Account, Role
from webhooks_project.lib import clock
from webhooks_project.models import Heartbeat

pytestmark = pytest.mark.django_db

FAMILIES = ["processing", "delivery", "retry", "monitoring", "analytics"]


def work_of(account: Account, seconds: float) -> None:
    """A receipt, a first attempt, one of a subscription with limits and a retry, all overdue."""
    due_at = clock.now() - timedelta(seconds=seconds)
    make_receipt(make_source(account), next_attempt_at=due_at)
    for lane in (0, 2):
        subscription = make_subscription(account)
        make_delivery(make_event(account), subscription, lane=lane, next_attempt_at=due_at)
    waiting = make_delivery(make_event(account), make_subscription(account), lane=None)
    make_retry(waiting, due_at=due_at)


def shown(answer: Any) -> dict[str, dict[str, tuple[int, int]]]:
    """By family and lane, what is due and the age of the oldest."""
    assert answer.status == 200
    assert [row["family"] for row in answer.json] == FAMILIES
    return {
        row["family"]: {
            line["lane"]: (line["depth"], round(line["age_seconds"] / 10) * 10)
            for line in row["lines"]
        }
        for row in answer.json
    }


def expected(
    count: int, seconds: int, **rollups: tuple[int, int]
) -> dict[str, dict[str, tuple[int, int]]]:
    some, none = (count, seconds), (0, 0)
    return {
        "processing": {"receipts": some, "handlers": none},
        "delivery": {"first": some, "again": none, "limited": some},
        "retry": {"retries": some},
        "monitoring": {"notifications": none},
        "analytics": rollups,
    }


def test_an_account_sees_the_age_of_its_own_work_alone() -> None:
    account = make_account()
    work_of(account, 100)
    work_of(make_account(), 9000)
    Heartbeat.objects.create(host="a", cluster="hub", family="delivery", beat_at=clock.now())
    answer = Api(make_api_key(account, Role.VIEWER).text).get("monitoring/queues")
    assert shown(answer) == expected(1, 100)
    assert {row["heartbeat_seconds"] for row in answer.json} == {None}
    ages = {row["family"]: round(row["age_seconds"] / 10) * 10 for row in answer.json}
    assert ages == {"processing": 100, "delivery": 100, "retry": 100, "monitoring": 0,
                    "analytics": 0}  # fmt: skip


def test_an_account_without_work_sees_nothing_of_the_others() -> None:
    work_of(make_account(), 9000)
    answer = Api(make_api_key(make_account()).text).get("monitoring/queues")
    assert shown(answer) == expected(0, 0)
    assert {row["age_seconds"] for row in answer.json} == {0.0}


def test_staff_see_the_whole_hub() -> None:
    work_of(make_account(), 100)
    work_of(make_account(), 9000)
    Heartbeat.objects.create(host="a", cluster="hub", family="delivery", beat_at=clock.now())
    answer = Api(user=make_user(is_staff=True, is_superuser=True)).get("monitoring/queues")
    assert shown(answer) == expected(2, 9000, rollups=(2, 0))
    beats = {row["family"]: row["heartbeat_seconds"] for row in answer.json}
    assert beats.pop("delivery") < 60
    assert set(beats.values()) == {None}


def test_staff_and_members_of_several_ask_for_one_account() -> None:
    one, two = make_account(), make_account()
    work_of(one, 100)
    work_of(two, 9000)
    staff = Api(user=make_user(is_staff=True, is_superuser=True))
    assert shown(staff.get(f"monitoring/queues?account={one.pk}")) == expected(1, 100)
    assert staff.get("monitoring/queues?account=one").status == 400


def test_another_account_is_not_to_be_asked_for() -> None:
    other = make_account()
    work_of(other, 9000)
    api = Api(make_api_key(make_account()).text)
    assert shown(api.get(f"monitoring/queues?account={other.pk}")) == expected(0, 0)


@pytest.mark.parametrize("accounts", [1, 5])
def test_asks_a_fixed_number_of_questions(accounts: int, django_assert_num_queries: Any) -> None:
    account = make_account()
    for _ in range(accounts):
        work_of(account, 100)
    api = Api(make_api_key(account).text)
    api.get("monitoring/queues")
    with django_assert_num_queries(7):
        api.get("monitoring/queues")
