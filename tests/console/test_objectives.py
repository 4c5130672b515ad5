"""Objectives at the console: how they stand, and what is refused."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal
from html import unescape
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test import Client
from django.utils.html import strip_tags

from analytics.counting import count_marked
from analytics.models import Objective
from analytics.objectives import create_objective
from monitoring.models import AuditEntry
from subscriptions.models import Subscription
from tests.console.conftest import errors_of
from tests.console.test_roles import member
from tests.factories import make_account, make_attempt, make_delivery, make_subscription
from webhooks_project.accounts.models import Role
from webhooks_project.admin.values import list_of, page_of
from webhooks_project.lib import clock

pytestmark = pytest.mark.django_db

NOTHING = ["-"] * 3
# The session and the user, two counts, the page; what grains are kept, and of one length of time
# its minutes, hours and days, which PostgreSQL reads at once.
QUERIES = 8 if connection.vendor == "postgresql" else 9


def attempted(name: str, total: int, failed: int, **of: Any) -> Subscription:
    """A subscription, of which so many of its attempts failed an hour ago."""
    made = make_subscription(name=name, **of)
    delivery = make_delivery(subscription=made)
    for number in range(total):
        failing = {"outcome": "failed", "cause": "dns", "status_code": None}
        make_attempt(
            delivery,
            started_at=clock.now() - timedelta(hours=1),
            **(failing if number < failed else {}),
        )
    count_marked()
    return made


def objective_of(subscription: Subscription, percent: str, **fields: Any) -> Objective:
    return create_objective(
        account=subscription.account, subscription=subscription, target_percent=Decimal(percent),
        **fields,
    )  # fmt: skip


def cells(console: Client, *names: str) -> list[list[str]]:
    """Of each row of the list, from above, what stands in these columns."""
    text = console.get(list_of("analytics.objective")).content.decode()
    found = [
        [
            " ".join(unescape(strip_tags(cell)).split())
            for cell in re.findall(rf"<t[dh][^>]*field-{name}\b[^>]*>(.*?)</t[dh]>", text, re.S)
        ]
        for name in names
    ]
    return [list(row) for row in zip(*found, strict=True)]


# --- the list -------------------------------------------------------------------------------------


def test_the_list_says_how_each_stands(console: Client) -> None:
    billing = attempted("Billing", 20, 1)
    objective_of(billing, "90")
    objective_of(attempted("Warehouse", 4, 1), "99.9")
    objective_of(make_subscription(name="Unused"), "99")
    create_objective(account=billing.account, target_percent=Decimal(95), window_days=7)
    assert cells(console, "__str__", "of", "state", "attained", "budget_left") == [
        ["95 % in 7 days", "all of the account", "met", "95 %", "0 %"],
        ["99 % in 30 days", "Unused", *NOTHING],
        ["99.9 % in 30 days", "Warehouse", "missed", "75 %", "-24,900 %"],
        ["90 % in 30 days", "Billing", "met", "95 %", "50 %"],
    ]


def test_how_many_there_are_makes_no_more_queries(
    console: Client, django_assert_num_queries: Any
) -> None:
    half_past = clock.now().replace(minute=30)  # at a full hour there are no minutes to be read
    with time_machine.travel(half_past, tick=False):
        for number in range(3):
            objective_of(attempted(f"S{number}", 1, 0), "90")
        with django_assert_num_queries(QUERIES):
            assert len(cells(console, "state")) == 3
        for number in range(20):
            objective_of(make_subscription(name=f"T{number}"), "90")
        with django_assert_num_queries(QUERIES):
            assert len(cells(console, "state")) == 23


def test_a_long_name_is_at_the_pointer(console: Client) -> None:
    objective_of(make_subscription(name="Warehouse management <system>"), "90")
    text = console.get(list_of("analytics.objective")).content.decode()
    assert '<span title="Warehouse management &lt;system&gt;">Warehouse management…</span>' in text


# --- the page -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("percent", "shown"), [("99", "99"), ("99.9", "99.9"), ("99.999", "99.999"), ("50", "50")]
)
def test_the_target_has_no_zeros_at_its_end_and_saving_it_changes_nothing(
    console: Client, percent: str, shown: str
) -> None:
    objective = objective_of(make_subscription(), percent)
    page = page_of("analytics.objective", objective.pk)
    text = console.get(page).content.decode()
    assert re.findall(r'<input type="number" name="target_percent" value="(.*?)"', text) == [shown]
    entries = AuditEntry.objects.count()
    given = {"counts": "attempts", "target_percent": shown, "window_days": "30"}
    assert console.post(page, given).status_code == 302
    assert AuditEntry.objects.count() == entries


def test_the_add_page_starts_with_the_usual_target(console: Client) -> None:
    text = console.get(f"{list_of('analytics.objective')}add/").content.decode()
    assert 'name="target_percent" value="99"' in text
    assert "Empty for all deliveries of the account." in text


def test_what_is_fixed_has_no_help_for_filling_it_in(console: Client) -> None:
    objective = objective_of(make_subscription(name="Billing"), "99")
    text = console.get(page_of("analytics.objective", objective.pk)).content.decode()
    assert "Empty for all deliveries of the account." not in text
    assert "The share that is to succeed, 50 to 99.999." in text
    assert page_of("subscriptions.subscription", objective.subscription_id) in text


def test_who_may_only_look_sees_the_target_and_no_help() -> None:
    account = make_account()
    objective = objective_of(make_subscription(account), "99.5", window_days=7)
    page = page_of("analytics.objective", objective.pk)
    response = member(Role.VIEWER, account).get(page)
    shown = re.findall(r'<div class="readonly[^>]*>(.*?)</div>', response.content.decode(), re.S)
    assert [unescape(strip_tags(text)).strip() for text in shown] == [
        str(account), "Receiver", "attempts", "99.5", "7",
    ]  # fmt: skip
    assert "The share that is to succeed" not in response.content.decode()


# --- refusals -------------------------------------------------------------------------------------


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


@pytest.mark.parametrize(
    ("counts", "said"),
    [("attempts", "Attempts 3 Failed 2 of"), ("first_attempts", "First attempts 1 Failed 1 of"),
     ("deliveries", "Deliveries that ended 2 Failed 1 of")],
)  # fmt: skip
def test_a_page_says_what_there_were_so_many_of(console: Client, counts: str, said: str) -> None:
    made = make_subscription()
    delivery = make_delivery(subscription=made)
    for gave_up, cause in ((False, "dns"), (True, "dns"), (False, "")):
        make_attempt(
            delivery, started_at=clock.now() - timedelta(hours=1), cause=cause, gave_up=gave_up
        )
    count_marked()
    objective = objective_of(made, "99", counts=counts)
    page = console.get(page_of("analytics.objective", objective.pk)).content.decode()
    text = " ".join(unescape(strip_tags(page)).split())
    assert re.findall(r"Target 99 % (.* Failed \d+ of)", text) == [said]
