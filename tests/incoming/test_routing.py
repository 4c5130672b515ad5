"""What follows a receipt, found out without writing anything."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from incoming.handlers import handles
from incoming.models import Receipt, Route, Source
from incoming.routing import (
    Failed,
    Following,
    Handle,
    Notify,
    Publish,
    Update,
    what_follows,
    what_follows_each,
)
from tests.factories import make_receipt, make_source
from tests.incoming.handlers import no_handlers  # noqa: F401 - a fixture
from webhooks_project.lib import filters, jsonata

pytestmark = pytest.mark.django_db

ORDER = {
    "id": 7,
    "total": 12.5,
    "customer": {"name": "Zoë", "vip": True},
    "tags": ["a", "b"],
    "odd": "one\r\ntwo\x00\x1b[31m\u202ethree",
}


def receipt_of(source: Source, **fields: Any) -> Receipt:
    defaults = {
        "type": "orders/create",
        "body": orjson.dumps(ORDER),
        "headers": {"content-type": "application/json", "x-topic": "Orders/New", "x-token": "s3"},
        "query": "shop=north&token=s3",
    }
    return make_receipt(source, **defaults | fields)


def follow(*routes: dict[str, Any], source: Source | None = None, **fields: Any) -> Any:
    source = source or make_source(routes=routes, provider="shopify")
    return what_follows(source, list(source.routes.all()), receipt_of(source, **fields))


def actions(following: Any) -> list[Any]:
    """What follows, without the routes."""
    assert isinstance(following, Following)
    plain: list[Any] = []
    for action in following.actions:
        match action:
            case Publish():
                plain.append(action.event_type)
            case Handle():
                plain.append(f"handler {action.handler}")
            case Update():
                plain.append(dict(action.changes))
            case Notify():
                plain.append((action.title, action.text))
    return plain


# --- order and conditions -------------------------------------------------------------------------


def test_routes_are_followed_in_the_order_of_their_positions() -> None:
    source = make_source(routes=(), provider="shopify")
    for position, name in ((3, "c"), (1, "a"), (2, "b")):
        Route.objects.create(source=source, position=position, event_type=name)
    assert actions(follow(source=source)) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("condition", "taken"),
    [
        ({}, True),
        ({"data.total": {"$gte": 12}}, True),
        ({"data.total": {"$gt": 13}}, False),
        ({"type": "orders/create"}, True),
        ({"provider": "shopify", "method": "POST"}, True),
        ({"method": "PUT"}, False),
        ({"headers.x-topic": "Orders/New"}, True),
        ({"query.shop": "north"}, True),
        # What may be a secret is not to be found out by asking.
        ({"headers.x-token": "s3"}, False),
        ({"query.token": "s3"}, False),
    ],
)
def test_a_condition_is_asked_of_the_whole_receipt(condition: dict[str, Any], taken: bool) -> None:
    following = follow({"condition": condition, "event_type": "a"})
    assert actions(following) == ["a"] * taken
    assert following.detail == ("" if taken else "no route takes it")


def test_routes_after_the_last_one_that_takes_it_do_not_see_it() -> None:
    following = follow(
        {"event_type": "a", "is_last": True, "type_pattern": "other"},
        {"event_type": "b", "is_last": True, "condition": {"data.id": 8}},
        {"event_type": "c", "is_last": True},
        {"event_type": "d"},
    )
    assert actions(following) == ["c"]
    assert [route.event_type for route in following.routes] == ["c"]


def test_a_condition_is_compiled_once_for_each_version_of_its_row(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compiled: list[Any] = []
    real = filters.compile_filter

    def compile_filter(document: Any) -> Any:
        compiled.append(document)
        return real(document)

    monkeypatch.setattr("incoming.routing.routes.compile_filter", compile_filter)
    source = make_source(routes=({"condition": {"data.id": 7}, "event_type": "a"},))
    for _ in range(3):
        assert actions(follow(source=source)) == ["a"]
    source.routes.update(condition={"data.id": 8})
    assert actions(follow(source=source)) == []
    assert compiled == [{"data.id": 7}, {"data.id": 8}]


# --- event types ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "event_type"),
    [
        ("{provider}.{type}", "shopify.orders.create"),
        ("shop.{header:X-Topic}", "shop.Orders.New"),
        ("shop.{header:x_topic}", "shop.Orders.New"),
        ("shop.{header:X-Absent}", "shop.unknown"),
        ("shop.{header:X-Token}", "shop._redacted_"),
        ("order.{json:customer.name}.{json:tags.1}", "order.Zo_.b"),
        ("order.{json:id}", "order.7"),
        ("order.{json:customer}", "order.unknown"),
        ("order.{json:a.b.c}", "order.unknown"),
        ("x" * 127 + ".{type}", "x" * 127),
    ],
)
def test_an_event_s_type_is_filled_in(template: str, event_type: str) -> None:
    assert actions(follow({"event_type": template})) == [event_type]


@pytest.mark.parametrize(
    ("expression", "event_types"),
    [
        ('"order." & (total > 10 ? "large" : "small")', ["order.large"]),
        ('$provider & "/" & $type & "/" & $method', ["shopify.orders.create.POST"]),
        ("$headers.`x-topic`", ["Orders.New"]),
        ("$headers.`x-token`", ["_redacted_"]),
        ("$query.shop", ["north"]),
        ("nothing.here", []),
    ],
)
def test_an_expression_may_give_an_event_s_type(expression: str, event_types: list[str]) -> None:
    following = follow({"expression": expression})
    assert actions(following) == event_types
    assert following.detail == ""
    assert len(following.routes) == 1


def test_an_expression_that_gives_no_text_is_no_event_type() -> None:
    assert follow({"event_type": "a"}, {"expression": "total"}) == Failed(
        "result_not_acceptable",
        "the route at 1: the expression of an event's type gives a text",
    )


def test_an_expression_that_fails_is_the_receipt_s_failure() -> None:
    failed = follow({"expression": '$error("no " & id)'})
    assert isinstance(failed, Failed)
    assert failed.cause == "evaluation_failed"
    assert failed.detail.startswith("the route at 0: failed: ")
    assert "no 7" in failed.detail


# --- transformation -------------------------------------------------------------------------------


def test_routes_see_what_the_transformation_gives() -> None:
    source = make_source(
        provider="shopify",
        transformation='{"sum": total * 2, "kind": $type}',
        routes=(
            {"condition": {"data.sum": 25}, "event_type": "sum.{json:sum}"},
            {"condition": {"data.total": 12.5}, "event_type": "before"},
            {"expression": "kind"},
        ),
    )
    following = follow(source=source)
    assert actions(following) == ["sum.25", "orders.create"]
    assert orjson.loads(following.data) == {"sum": 25, "kind": "orders/create"}


def test_without_a_transformation_the_payload_stays_as_it_came() -> None:
    body = b'{"b": 1,\t"a":1.0, "a":1e2}\n'
    assert follow({"event_type": "a"}, body=body).data == body


def test_nothing_follows_what_is_transformed_to_nothing() -> None:
    handles("shopify", name="all")(lambda webhook: None)
    source = make_source(provider="shopify", transformation="absent", routes=({},))
    following = follow(source=source)
    assert actions(following) == []
    assert following.detail == "the transformation gives nothing"


def test_null_is_not_nothing() -> None:
    source = make_source(provider="shopify", transformation="null", routes=({"event_type": "a"},))
    following = follow(source=source)
    assert (actions(following), following.data) == (["a"], b"null")


def test_a_transformation_that_fails_is_its_receipt_s_failure_alone() -> None:
    source = make_source(
        provider="shopify", transformation="10 + total", routes=({"event_type": "a"},)
    )
    routes = list(source.routes.all())
    items = [
        (source, routes, receipt_of(source, body=body))
        for body in (b'{"total": 1}', b'{"total": "no"}', b'{"total": 2}')
    ]
    first, failed, last = what_follows_each(items)
    assert isinstance(failed, Failed)
    assert failed.cause == "evaluation_failed"
    assert failed.detail.startswith("the transformation: failed: ")
    assert [orjson.loads(each.data) for each in (first, last)] == [11, 12]  # type: ignore[union-attr]


def test_all_of_a_batch_are_evaluated_together_and_what_needs_none_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []
    real = jsonata.evaluate_many

    def evaluate_many(items: Any) -> Any:
        asked.append(len(items))
        return real(items)

    monkeypatch.setattr("incoming.routing.stages.evaluate_many", evaluate_many)
    source = make_source(provider="shopify", transformation="total")
    plain = make_source(provider="shopify")
    items = [
        (each, list(each.routes.all()), receipt_of(each))
        for each in (source, plain, source, plain, source)
    ]
    answers = what_follows_each(items)
    assert [answer.data for answer in answers] == [  # type: ignore[union-attr]
        b"12.5", orjson.dumps(ORDER), b"12.5", orjson.dumps(ORDER), b"12.5",
    ]  # fmt: skip
    assert asked == [3]


TOO_LONG = "The conditions and expressions of the receipt's source take too long together."


def slow_evaluations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the time for a batch be over after its first evaluations."""
    monkeypatch.setattr("incoming.routing.following.EVALUATION_SECONDS", -1.0)
    monkeypatch.setattr("incoming.routing.stages.EVALUATIONS_AT_ONCE", 2)


def test_what_the_time_does_not_reach_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    slow_evaluations(monkeypatch)
    source = make_source(provider="shopify", transformation="total", routes=({},))
    routes = list(source.routes.all())
    answers = what_follows_each([(source, routes, receipt_of(source)) for _ in range(4)])
    assert [type(answer).__name__ for answer in answers] == [
        "Following", "Following", "NoneType", "NoneType",
    ]  # fmt: skip


def test_a_receipt_that_alone_takes_too_long_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    slow_evaluations(monkeypatch)
    assert follow(*[{"expression": '"a"'}] * 3) == Failed("evaluation_too_long", TOO_LONG)


def test_what_the_time_for_conditions_does_not_reach_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("incoming.routing.stages.ASKING_SECONDS", -1.0)
    source = make_source(provider="shopify", routes=({"condition": {"type": "orders/create"}},))
    routes = list(source.routes.all())
    answers = what_follows_each([(source, routes, receipt_of(source)) for _ in range(3)])
    assert [type(answer).__name__ for answer in answers] == ["Following", "NoneType", "NoneType"]


def test_a_receipt_whose_conditions_alone_take_too_long_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("incoming.routing.routes.ASKING_SECONDS", -1.0)
    route = {"condition": {"type": "orders/create"}}
    assert follow(route, route) == Failed("evaluation_too_long", TOO_LONG)


# --- handlers, updates, people --------------------------------------------------------------------


def test_handlers_run_once_whoever_asks_for_them() -> None:
    handles("shopify", "orders/*", name="orders")(lambda webhook: None)
    handles("shopify", "refunds/*", name="refunds")(lambda webhook: None)
    handles("shopify", name="routed", routed=True)(lambda webhook: None)
    following = follow(
        {"action": "handle", "handler": "routed"},
        {"event_type": "a"},
        {"action": "handle", "handler": "routed"},
        {"action": "handle", "handler": "orders", "is_last": True},
    )
    assert actions(following) == ["handler routed", "a", "handler orders"]


def test_handlers_run_also_where_no_route_takes_it() -> None:
    handles("shopify", name="all")(lambda webhook: None)
    assert actions(follow()) == ["handler all"]


@pytest.mark.parametrize(
    ("expression", "changes"),
    [
        ('{"plan": customer.name, "gone": null}', [{"plan": "Zoë", "gone": None}]),
        ("absent", []),
    ],
)
def test_an_update_is_an_object(expression: str, changes: list[Any]) -> None:
    assert actions(follow({"action": "update", "expression": expression})) == changes


def test_an_update_that_is_no_object_fails() -> None:
    assert follow({"action": "update", "expression": "total"}) == Failed(
        "result_not_acceptable", "the route at 0: the expression of an update gives an object"
    )


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ("{type} of {json:customer.name}: {json:total}", "orders/create of Zoë: 12.5"),
        ("{header:X-Topic}, {header:X-Token}", "Orders/New, [redacted]"),
        ("[{json:absent}] {unknown}", "[] {unknown}"),
        ("{json:odd}!", "one\ntwo[31mthree!"),
        ("x" * 2_500, "x" * 2_000),
    ],
)
def test_people_are_told_in_the_route_s_words(message: str, text: str) -> None:
    route = {"action": "notify", "recipients": ["operator"], "message": message}
    assert actions(follow(route)) == [("GitHub: orders/create", text)]


def test_what_was_pruned_is_not_followed() -> None:
    receipt = receipt_of(make_source())
    receipt.body_pruned_at = receipt.received_at
    assert what_follows(receipt.source, [], receipt) == Failed(
        "body_pruned", "The receipt's body is no longer kept."
    )
