"""Objectives at the console: what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from analytics.models import Objective
from analytics.objectives import create_objective
from tests.console.conftest import errors_of
from tests.factories import make_subscription
from webhooks_project.admin.values import list_of


@pytest.mark.parametrize("of_all", [False, True])
def test_a_second_one_of_the_same_is_refused_in_words(console: Client, of_all: bool) -> None:
    subscription = make_subscription()
    of: dict[str, Any] = {"account": subscription.account}
    if not of_all:
        of["subscription"] = subscription
    create_objective(**of)
    page = console.post(
        f"{list_of('analytics.objective')}add/",
        {name: str(row.pk) for name, row in of.items()}
        | {"counts": "attempts", "target_percent": "99", "window_days": "30"},
    )
    assert errors_of(page) == {
        "subscription": ["There is an objective for that already; change it."]
    }
    assert Objective.objects.count() == 1


@pytest.mark.parametrize("sent", ["x", "\x00", "-1", "9" * 30, "[" * 1000, "\u202e"])
@pytest.mark.parametrize("field", ["account", "subscription"])
def test_what_is_no_key_of_a_row_is_refused_in_words(
    console: Client, field: str, sent: str
) -> None:
    subscription = make_subscription()
    page = console.post(
        f"{list_of('analytics.objective')}add/",
        {"account": str(subscription.account.pk), "subscription": str(subscription.pk)}
        | {"counts": "attempts", "target_percent": "99", "window_days": "30", field: sent},
    )
    assert page.status_code == 200
    assert list(errors_of(page)) == [field]
    assert not Objective.objects.exists()


def test_days_beyond_all_calendars_are_refused_in_words(console: Client) -> None:
    objective = create_objective(account=make_subscription().account)
    page = console.post(
        f"{list_of('analytics.objective')}{objective.pk}/change/",
        {"counts": "attempts", "target_percent": "99", "window_days": "9" * 23},
    )
    assert page.status_code == 200
    assert list(errors_of(page)) == ["window_days"]
