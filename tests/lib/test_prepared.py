from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from subscriptions.models import SubscribedType
from tests.factories import make_account, make_subscription
from webhooks_project.lib import prepared
from webhooks_project.lib.prepared import Prepared

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
