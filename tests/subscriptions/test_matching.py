"""What an event means for a subscription that hears its type."""

from __future__ import annotations

from typing import Any
from unittest.mock import ANY

import pytest

from subscriptions.event_types import create_event_type
from subscriptions.matching import Facts, Match, who_would_get
from subscriptions.models import EventSchema, Subscription
from tests.factories import make_subscription

pytestmark = pytest.mark.django_db


def match(subscription: Subscription, **facts: Any) -> Match:
    data = facts.pop("data", {"amount": 120, "customer": {"id": "c1"}})
    (found,) = who_would_get(
        account_id=subscription.account_id,
        facts=Facts(**{"type": "invoice.paid", "parse": lambda: data} | facts),
    )
    return found


@pytest.mark.parametrize(
    ("wanted", "given", "reason"),
    [
        ([], [], ""),
        ([], ["eu"], ""),
        (["eu"], [], "channels"),
        (["eu"], ["us"], "channels"),
        (["eu", "us"], ["asia", "us"], ""),
    ],
)
def test_channels(wanted: list[str], given: list[str], reason: str) -> None:
    assert match(make_subscription(channels=wanted), channels=given).reason == reason


@pytest.mark.parametrize(
    ("document", "passes"),
    [
        ({"data.amount": {"$gte": 100}}, True),
        ({"data.amount": {"$gt": 120}}, False),
        ({"data.missing": {"$gte": 1}}, False),
        ({"data.missing": {"$ne": 1}}, True),
        ({"type": {"$startsWith": "invoice."}}, True),
        ({"channels": "eu"}, True),
        ({"channels": {"$in": ["us"]}}, False),
        ({"metadata.region": "north"}, True),
        ({"headers.x-tenant": "acme"}, True),
        ({"headers.X-Tenant": "acme"}, False),
        ({"$or": [{"data.amount": 1}, {"data.customer.id": "c1"}]}, True),
        ({"$not": {"data.amount": 120}}, False),
    ],
)
def test_filter_over_all_that_an_event_has(document: dict[str, Any], passes: bool) -> None:
    found = match(
        make_subscription(filter=document),
        channels=["eu"],
        metadata={"region": "north"},
        headers={"X-Tenant": "acme"},
    )
    assert found.reason == ("" if passes else "filter")
    assert {clause.passed for clause in found.clauses} >= {passes}


def test_a_filter_that_is_changed_counts_at_once() -> None:
    subscription = make_subscription(filter={"data.amount": 1})
    assert match(subscription).reason == "filter"
    Subscription.objects.update(filter={"data.amount": 120})
    assert match(subscription).reason == ""


def test_what_is_kept_is_what_did_not_pass_and_little_of_it() -> None:
    clauses = {"data.amount": 120} | {f"data.key{number}": number for number in range(9)}
    subscription = make_subscription(filter=clauses)
    found = match(subscription)
    assert [clause.passed for clause in found.clauses] == [True] + [False] * 9
    from subscriptions.matching import hearers_of

    account = subscription.account_id
    (hearer,) = hearers_of({account: ["invoice.paid"]})[account, "invoice.paid"]
    kept = hearer.match(Facts(type="invoice.paid", parse=lambda: {"amount": 120})).as_json()
    assert kept["reason"] == "filter"
    assert [clause["path"] for clause in kept["clauses"]] == [
        "data.key0", "data.key1", "data.key2",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("status", "held", "reason"),
    [
        ("active", False, ""),
        ("paused", True, ""),
        ("disabled", True, ""),
        ("draft", False, "subscription_draft"),
        ("verifying", True, ""),
        ("expired", False, "subscription_expired"),
        ("archived", False, "subscription_archived"),
    ],
)
def test_status_comes_first(status: str, held: bool, reason: str) -> None:
    found = match(make_subscription(status=status))
    assert (found.held, found.reason) == (held, reason)


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("", ""),
        ("data.customer.id", "c1"),
        ("data.amount", "120"),
        ("data.customer", '{"id":"c1"}'),
        ("data.nothing", ""),
        ("type", "invoice.paid"),
    ],
)
def test_order_key(path: str, key: str) -> None:
    assert match(make_subscription(ordering="strict", order_key=path)).order_key == key
    assert match(make_subscription(order_key=path)).order_key is None


def test_a_long_order_key_is_kept_by_its_hash() -> None:
    subscription = make_subscription(ordering="strict", order_key="data.k")
    one, other = (match(subscription, data={"k": letter * 200}).order_key for letter in "ab")
    assert one is not None
    assert (len(one), one == other) == (64, False)
    assert match(subscription, data={"k": "a" * 200}).order_key == one
    assert match(subscription, data={"k": "a\x00"}).order_key == match(
        subscription, data={"k": "a\x00"}
    ).order_key != "a\x00"  # fmt: skip


def test_an_order_key_may_be_any_json() -> None:
    subscription = make_subscription(ordering="strict", order_key="data.k")
    one, other = (match(subscription, data={"k": k}) for k in ({"a": 1, "b": 2}, {"b": 2, "a": 1}))
    assert one.order_key == other.order_key == '{"a":1,"b":2}'
    deep: Any = []
    for _ in range(500):
        deep = [deep]
    assert len(match(subscription, data={"k": deep}).order_key or "") == 64
    assert match(subscription, data={"k": 1.5}).order_key == "1.5"


@pytest.mark.parametrize(
    ("pinned", "published", "downgrades", "reason"),
    [
        (1, "1.4", [], ""),
        (1, "", [], ""),
        (1, "2.0", [], "schema_version"),
        (1, "2.0", [2], ""),
        (1, "3.1", [3], "schema_version"),
        (1, "3.1", [2, 3], ""),
        (2, "1.0", [2, 3], "schema_version"),
    ],
)
def test_a_pinned_version(pinned: int, published: str, downgrades: list[int], reason: str) -> None:
    subscription = make_subscription(schema_versions={"invoice.paid": pinned})
    event_type = create_event_type(account=subscription.account, name="invoice.paid")
    for number, major in enumerate((1, 2, 3), start=1):
        EventSchema.objects.create(
            event_type=event_type, version=number, major=major, schema={},
            downgrade="$" if major in downgrades else "",
        )  # fmt: skip
    assert match(subscription, schema_version=published).reason == reason
    assert match(make_subscription(subscription.account.__class__.objects.create(
        name="other", slug="other"), schema_versions={"order.made": 1})).reason == ""  # fmt: skip


def test_limits_are_told() -> None:
    assert match(make_subscription()).is_limited is False
    assert match(make_subscription(rate_limit=5)) == Match(ANY, is_limited=True)
