"""Which subscriptions hear an event type."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from uuid import UUID

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st

from subscriptions.matching import (
    Facts,
    Match,
    hearers_of,
    is_event_type,
    is_pattern,
    patterns_for,
)
from subscriptions.models import Subscription
from tests.factories import make_account, make_subscription

Status = Subscription.Status


def match_types(types: Mapping[UUID, Collection[str]]) -> dict[tuple[UUID, str], list[Match]]:
    """What an event of each type, with no data, means for those that hear it."""
    return {
        key: [hearer.match(Facts(type=key[1], parse=dict)) for hearer in hearers]
        for key, hearers in hearers_of(types).items()
    }


@pytest.mark.parametrize(
    ("event_type", "patterns"),
    [
        ("ping", ["ping", "*"]),
        ("invoice.paid", ["invoice.paid", "invoice.*", "*"]),
        ("a.b.c.d", ["a.b.c.d", "a.b.c.*", "a.b.*", "a.*", "*"]),
    ],
)
def test_a_type_is_heard_by_itself_and_each_wildcard_above_it(
    event_type: str, patterns: list[str]
) -> None:
    assert patterns_for(event_type) == patterns


@pytest.mark.parametrize(
    "text", ["a", "invoice.paid", "A-b_1.c", "1.2.3", "a" * 128, "x.y-z_0.w", "-", "_"]
)
def test_takes_a_dotted_name(text: str) -> None:
    assert is_event_type(text)
    assert is_pattern(text)


@pytest.mark.parametrize(
    "text",
    ["", ".", "a.", ".a", "a..b", "a b", "a/b", "é", "a\n", "a.b\n", "a*", "*.a", "a.*.b", "**",
     "a" * 129, "٣", "a\x00"],
)  # fmt: skip
def test_refuses_what_is_neither_name_nor_wildcard(text: str) -> None:
    assert not is_event_type(text)
    assert not is_pattern(text)


@pytest.mark.parametrize("text", ["*", "a.*", "a.b.*"])
def test_a_wildcard_is_a_pattern_and_no_type(text: str) -> None:
    assert is_pattern(text)
    assert not is_event_type(text)


@given(st.from_regex(r"[A-Za-z0-9_-]{1,4}(\.[A-Za-z0-9_-]{1,4}){0,5}", fullmatch=True))
def test_every_pattern_of_a_type_may_be_subscribed(event_type: str) -> None:
    patterns = patterns_for(event_type)
    assert all(is_pattern(pattern) for pattern in patterns)
    assert len(set(patterns)) == len(patterns) == event_type.count(".") + 2


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("subscribed", "heard"),
    [
        (("invoice.paid",), True),
        (("invoice.*",), True),
        (("*",), True),
        (("order.*", "invoice.paid"), True),
        (("invoice.paid", "invoice.*", "*"), True),  # and yet once
        (("invoice",), False),
        (("invoice.paid.*",), False),
        (("invoice.paid.late",), False),
        (("inv.*",), False),
        (("Invoice.paid",), False),
        ((), False),
    ],
)
def test_hears_by_name_and_by_wildcard(subscribed: tuple[str, ...], heard: bool) -> None:
    subscription = make_subscription(event_types=subscribed)
    key = (subscription.account_id, "invoice.paid")
    expected = [Match(subscription.pk)] if heard else []
    assert match_types({key[0]: ["invoice.paid"]}) == {key: expected}


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("status", "held", "reason"),
    [
        (Status.ACTIVE, False, ""),
        (Status.PAUSED, True, ""),
        (Status.DISABLED, True, ""),
        (Status.DRAFT, False, "subscription_draft"),
        (Status.VERIFYING, False, "subscription_verifying"),
        (Status.EXPIRED, False, "subscription_expired"),
        (Status.ARCHIVED, False, "subscription_archived"),
    ],
)
def test_the_status_decides_between_a_delivery_one_held_and_none(
    status: Status, held: bool, reason: str
) -> None:
    subscription = make_subscription(status=status)
    (matches,) = match_types({subscription.account_id: ["invoice.paid"]}).values()
    assert matches == [Match(subscription.pk, held=held, reason=reason)]


@pytest.mark.django_db
def test_every_status_is_decided_on() -> None:
    for status in Status:
        make_subscription(account := make_account(), status=status)
        (match,) = match_types({account.pk: ["a"]})[account.pk, "a"]
        assert (match.reason == "") == (status in {Status.ACTIVE, *Subscription.HOLDING})


@pytest.mark.django_db
def test_hears_nothing_of_another_account() -> None:
    mine, other = make_subscription(), make_subscription()
    accounts = {mine.account_id: ["a.b"], other.account_id: ["c"]}
    assert match_types(accounts) == {
        (mine.account_id, "a.b"): [Match(mine.pk)],
        (other.account_id, "c"): [Match(other.pk)],
    }


@pytest.mark.django_db
def test_looks_many_types_up_in_one_query() -> None:
    account = make_account()
    for number in range(5):
        make_subscription(account, event_types=(f"type.{number}", "every.*"))
    with CaptureQueriesContext(connection) as queries:
        matches = match_types({account.pk: [f"type.{number}" for number in range(5)] + ["every.x"]})
    assert len(queries) == 1
    assert [len(matches[account.pk, f"type.{number}"]) for number in range(5)] == [1] * 5
    assert len(matches[account.pk, "every.x"]) == 5


@pytest.mark.django_db
def test_asks_nothing_for_no_types() -> None:
    with CaptureQueriesContext(connection) as queries:
        assert match_types({}) == {}
        assert match_types({make_account().pk: []}) == {}
    assert not [query for query in queries if "subscribedtype" in query["sql"]]
