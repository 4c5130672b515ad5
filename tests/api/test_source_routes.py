"""The routes of a source in their order, by way of the API."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from incoming.models import Route, Source
from monitoring.models import AuditEntry
from tests.api.calls import Api
from tests.api.rows import everything
from tests.factories import make_account, make_api_key, make_source
from webhooks_project.accounts.models import Account, Role

pytestmark = pytest.mark.django_db


@pytest.fixture
def account() -> Account:
    return make_account()


@pytest.fixture
def api(account: Account) -> Api:
    return Api(make_api_key(account, Role.DEVELOPER).text)


@pytest.fixture
def source(account: Account) -> Source:
    return make_source(account, routes=tuple({"type_pattern": name} for name in "abc"))


def routes_of(source: Source) -> list[Route]:
    return list(Route.objects.filter(source=source))


def test_they_are_followed_in_the_new_order(api: Api, source: Source) -> None:
    path = f"incoming/sources/{source.pk}/routes"
    a, b, c = (str(route.pk) for route in routes_of(source))
    answer = api.post(f"{path}/reorder", {"routes": [c, a, b]})
    assert answer.status == 200
    expected = [(c, 0, "c"), (a, 1, "a"), (b, 2, "b")]
    rows = [
        answer.json,
        api.get(path).rows,
        api.get(f"incoming/sources/{source.pk}").json["routes"],
    ]
    for shown in rows:
        assert [(row["id"], row["position"], row["type_pattern"]) for row in shown] == expected
    entry = AuditEntry.objects.get(action="source.routes_reordered")
    assert entry.object_id == str(source.pk)
    assert orjson.loads(entry.before) == {"routes": [a, b, c]}
    assert orjson.loads(entry.after) == {"routes": [c, a, b]}


def _one_missing(keys: list[str]) -> list[str]:
    return keys[:2]


def _one_twice(keys: list[str]) -> list[str]:
    return [*keys[:2], keys[0]]


def _one_unknown(keys: list[str]) -> list[str]:
    return [*keys[:2], str(uuid.UUID(int=1))]


def _one_too_many(keys: list[str]) -> list[str]:
    return [*keys, keys[0]]


def _one_of_another_source(keys: list[str]) -> list[str]:
    return [*keys[:2], str(make_source(Account.objects.get(), routes=({},)).routes.get().pk)]


@pytest.mark.parametrize(
    "change", [_one_missing, _one_twice, _one_unknown, _one_too_many, _one_of_another_source]
)
def test_the_order_names_each_of_them_once(
    api: Api, source: Source, change: Callable[[list[str]], list[str]]
) -> None:
    order = change([str(route.pk) for route in routes_of(source)])
    before = everything()
    answer = api.post(f"incoming/sources/{source.pk}/routes/reorder", {"routes": order})
    assert (answer.status, answer.code) == (400, "source_not_acceptable")
    assert [error["code"] for error in answer.json["errors"]] == ["not_all_routes"]
    assert everything() == before


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        (None, {"/routes": "required"}),
        ({"routes": None}, {"/routes": "null"}),
        ({"routes": "a"}, {"/routes": "not_a_list"}),
        ({"routes": ["a"]}, {"/routes/0": "invalid"}),
    ],
)
def test_an_order_that_is_none_is_refused(
    api: Api, source: Source, body: Any, errors: dict[str, str]
) -> None:
    before = everything()
    answer = api.post(f"incoming/sources/{source.pk}/routes/reorder", body)
    assert (answer.status, answer.errors) == (400, errors)
    assert everything() == before


def test_a_source_without_routes_has_an_order_too(api: Api, account: Account) -> None:
    source = make_source(account, routes=())
    answer = api.post(f"incoming/sources/{source.pk}/routes/reorder", {"routes": []})
    assert (answer.status, answer.json) == (200, [])
