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
