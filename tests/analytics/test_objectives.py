"""Objectives: what is attained, what is left of the budget, how fast it burns."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import time_machine

from analytics.counting import count_marked
from analytics.errors import ObjectiveExists, SubscriptionOfAnother
from analytics.models import Objective
from analytics.objectives import (
    burn_rates,
    change_objective,
    create_objective,
    delete_objective,
    status_of,
    targets_of,
)
from monitoring.models import AuditEntry
from tests.api.calls import Api
from tests.factories import (
    make_account,
    make_api_key,
    make_attempt,
    make_delivery,
    make_event,
    make_subscription,
)
from webhooks_project.accounts.models import Role

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 14, 15, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def frozen() -> Any:
    with time_machine.travel(NOW, tick=False):
        yield


def attempts(subscription: Any, ago: timedelta, *, succeeded: int, failed: int) -> None:
    for number in range(succeeded + failed):
        delivery = make_delivery(make_event(subscription.account), subscription)
        failing = {"cause": "dns", "outcome": "failed"} if number < failed else {}
        make_attempt(delivery, started_at=NOW - ago, **failing)
    count_marked()


def test_what_is_attained_and_what_is_left() -> None:
    subscription = make_subscription()
    attempts(subscription, HOUR * 2, succeeded=17, failed=1)
    attempts(subscription, timedelta(days=31), succeeded=0, failed=9)
    attempts(make_subscription(subscription.account), HOUR, succeeded=0, failed=2)
    objective = create_objective(account=subscription.account, subscription=subscription,
                                 target_percent=Decimal(90))  # fmt: skip
    status = status_of(objective, NOW)
    assert (status.total, status.failed, status.is_met) == (18, 1, True)
    assert status.attained == pytest.approx(17 / 18)
    assert status.budget == pytest.approx(1.8)
    assert status.budget_left == pytest.approx(0.8)
    assert status.budget_left_rate == pytest.approx(0.8 / 1.8)
    of_all = create_objective(account=subscription.account, target_percent=Decimal(90))
    missed = status_of(of_all, NOW)
    assert (missed.total, missed.failed, missed.is_met) == (20, 3, False)
    assert missed.budget_left_rate == pytest.approx(-0.5)


def test_what_is_just_at_its_target_is_met() -> None:
    subscription = make_subscription()
    attempts(subscription, HOUR, succeeded=9, failed=1)
    objective = create_objective(account=subscription.account, target_percent=Decimal(90))
    status = status_of(objective, NOW)
    assert (status.is_met, status.budget, status.budget_left_rate) == (True, 1.0, 0.0)


def test_burn_rates_by_window() -> None:
    subscription = make_subscription()
    attempts(subscription, timedelta(minutes=3), succeeded=1, failed=1)
    attempts(subscription, HOUR * 5, succeeded=8, failed=0)
    objective = create_objective(account=subscription.account, subscription=subscription)
    found = {burn.window: burn.rate for burn in burn_rates(objective, NOW)}
    assert found[timedelta(minutes=5)] == pytest.approx(50)
    assert found[HOUR * 6] == pytest.approx(10)
    later = {burn.window: burn.rate for burn in burn_rates(objective, NOW + HOUR * 2)}
    assert later[timedelta(minutes=5)] is None


def test_first_attempts_alone_may_count() -> None:
    subscription = make_subscription()
    delivery = make_delivery(subscription=subscription)
    make_attempt(delivery, started_at=NOW - HOUR, cause="dns", outcome="failed")
    make_attempt(delivery, started_at=NOW - HOUR)
    count_marked()
    objective = create_objective(account=subscription.account, subscription=subscription,
                                 counts="first_attempts")  # fmt: skip
    assert (status_of(objective, NOW).total, status_of(objective, NOW).failed) == (1, 1)


def test_of_nothing_nothing_is_missed() -> None:
    status = status_of(create_objective(account=make_account()), NOW)
    assert (status.attained, status.is_met, status.budget_left_rate) == (None, True, 1.0)


def test_targets_by_subscription_and_account() -> None:
    subscription = make_subscription()
    other = make_subscription()
    create_objective(account=subscription.account, target_percent=Decimal("99.5"))
    create_objective(account=subscription.account, subscription=subscription,
                     target_percent=Decimal(95))  # fmt: skip
    found = targets_of()
    assert found.of(subscription.pk, subscription.account_id) == 95
    assert found.of(other.pk, subscription.account_id) == 99.5
    assert found.of(other.pk, other.account_id) is None
    assert targets_of([other.account_id]).accounts == {}


def test_changes_are_audited_and_one_of_a_kind_is_enough() -> None:
    subscription = make_subscription()
    account = subscription.account
    objective = create_objective(account=account, subscription=subscription)
    with pytest.raises(ObjectiveExists):
        create_objective(account=account, subscription=subscription)
    with pytest.raises(SubscriptionOfAnother):
        create_objective(account=make_account(), subscription=subscription)
    change_objective(objective=objective, window_days=7)
    change_objective(objective=objective, window_days=7)
    delete_objective(objective=objective)
    entries = AuditEntry.objects.filter(account=account).order_by("sequence")
    assert [entry.action for entry in entries] == [
        "objective.created", "objective.changed", "objective.deleted",
    ]  # fmt: skip
    assert json.loads(entries[1].before)["window_days"] == "30"
    assert not Objective.objects.exists()


def test_over_http() -> None:
    account = make_account()
    subscription = make_subscription(account)
    attempts(subscription, HOUR, succeeded=3, failed=1)
    api = Api(make_api_key(account, Role.OPERATOR).text)
    made = api.post("analytics/objectives", {"subscription": str(subscription.pk),
                                             "target_percent": "99.9"})  # fmt: skip
    assert (made.status, made.json["target_percent"]) == (201, "99.900")
    path = f"analytics/objectives/{made.json['id']}"
    status = api.get(f"{path}/status").json
    assert (status["attained"], status["is_met"], status["failed"]) == (0.75, False, 1)
    assert [burn["window_seconds"] for burn in status["burn"]] == [
        300, 1800, 3600, 21_600, 86_400, 259_200,
    ]  # fmt: skip
    again = api.post("analytics/objectives", {"subscription": str(subscription.pk)})
    assert (again.status, again.json["code"]) == (409, "objective_exists")
    for wrong in ({"target_percent": "100"}, {"window_days": 0}, {"counts": "all"},
                  {"subscription": str(make_subscription().pk)}):  # fmt: skip
        assert api.post("analytics/objectives", wrong).status == 400
    moved = api.patch(path, {"subscription": None})
    assert moved.status == 400
    assert api.patch(path, {"window_days": 7}).json["window_days"] == 7
    assert api.delete(path).status == 204


@pytest.mark.parametrize(
    ("percent", "target"), [("99.9", 0.999), ("99.99", 0.9999), ("95", 0.95), ("99.995", 0.99995)]
)
def test_a_target_is_the_very_share(percent: str, target: float) -> None:
    objective = Objective(target_percent=Decimal(percent))
    assert (objective.target, objective.budget_share) == (target, 1 - Decimal(percent) / 100)
