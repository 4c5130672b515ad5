from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from subscriptions.models import SubscribedType
from tests.factories import make_account, make_subscription
from webhooks_project.accounts.models import Account
from webhooks_project.lib import prepared
from webhooks_project.lib.prepared import Prepared, rows_of_both

pytestmark = pytest.mark.django_db


def patterns(accounts: Any, names: Any) -> Any:
    return SubscribedType.objects.filter(account__in=accounts, pattern__in=names).values_list(
        "account_id", "pattern", "subscription__channels", "subscription__created_at"
    )


def test_gives_what_the_queryset_would_give() -> None:
    one = make_subscription(event_types=("a", "b", "c"), channels=["x", {"y": 1}])
    other = make_subscription(event_types=("a",))
    query = Prepared(patterns)
    for accounts, names in (
        ([one.account_id], ["a"]),
        ([other.account_id], ["a"]),
        ([one.account_id, other.account_id], ["b", "a"]),
        ([make_account().pk], ["a", "b", "c"]),
    ):
        found = query.rows(accounts, names)
        assert sorted(found, key=str) == sorted(patterns(accounts, names), key=str)
    (row,) = query.rows([other.account_id], ["a"])
    assert (row[0], row[2]) == (other.account_id, [])
    assert isinstance(row[0], UUID)


def test_the_statement_is_made_once_for_as_many_values() -> None:
    built: list[Any] = []

    def build(*lists: Any) -> Any:
        built.append(lists)
        return patterns(*lists)

    query = Prepared(build)
    account = make_account()
    with CaptureQueriesContext(connection) as queries:
        for name in ("a", "b", "c"):
            query.rows([account.pk], [name])
        query.rows([account.pk], ["a", "b"])
    assert (len(built), len(queries)) == (2, 4)


def test_with_many_values_it_is_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepared, "MAX_VALUES", 3)
    subscription = make_subscription(event_types=("a",))
    names = ["a", "b", "c"]
    (row,) = Prepared(patterns).rows([subscription.account_id], names)
    assert row[:2] == (subscription.account_id, "a")


@pytest.mark.parametrize("max_values", [3, 64])
def test_two_queries_are_asked_in_one_statement(
    monkeypatch: pytest.MonkeyPatch, max_values: int
) -> None:
    monkeypatch.setattr(prepared, "MAX_VALUES", max_values)
    one = make_subscription(event_types=("a", "b", "c"), channels=["x", {"y": 1}])
    make_account(name="Zoë")
    subscribed = Prepared(patterns)
    accounts = Prepared(
        lambda keys: Account.objects.filter(pk__in=keys).values_list(
            "name", "has_public_catalogue", "created_at", "pk"
        )
    )
    lists, names = [one.account_id], ["a", "b", "c"]
    for first, second in (
        ((accounts, [lists]), (subscribed, [lists, names])),
        ((subscribed, [lists, names]), (accounts, [lists])),
        ((subscribed, [lists, ["nobody", "hears", "it"]]), (accounts, [lists])),
    ):
        with CaptureQueriesContext(connection) as queries:
            found, others = rows_of_both(*first, *second)
        assert len(queries) == (1 if max_values == 64 else 2)
        assert sorted(found) == sorted(first[0].rows(*first[1]))
        assert sorted(others) == sorted(second[0].rows(*second[1]))
