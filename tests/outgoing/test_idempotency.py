"""The same call again: what counts as the same, and for how long."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine

from outgoing.errors import IdempotencyConflict
from outgoing.models import Delivery, Event
from outgoing.services import publish
from subscriptions.event_types import add_schema, create_event_type
from tests.factories import make_account, make_subscription
from webhooks_project.accounts.models import Account

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
FIRST: dict[str, Any] = {
    "type": "a",
    "data": b'{"a":1,"b":[1.0,"x"]}',
    "channels": ["one", "two"],
    "metadata": {"m": "1"},
    "headers": {"X-H": "1"},
    "deliver_at": NOW + timedelta(days=1),
}


def publish_first(account: Account, **changes: Any) -> Any:
    return publish(account=account, idempotency_key="k", **{**FIRST, **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"data": b' { "b": [ 1, "\\u0078" ], "a": 1.0 } '},
        {"channels": ["two", "one"]},
        {"occurred_at": NOW - timedelta(days=1)},
        {"correlation_id": "another-request"},
        {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
    ],
)
@time_machine.travel(NOW, tick=False)
def test_what_means_the_same_gets_the_first_event(changes: dict[str, Any]) -> None:
    account = make_subscription().account
    first = publish_first(account)
    again = publish_first(account, **changes)
    assert (again.event, again.is_new) == (first.event, False)
    assert bytes(again.event.data) == FIRST["data"]
    assert Event.objects.count() == Delivery.objects.count() == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"type": "b"},
        {"data": b'{"a":true,"b":[1,"x"]}'},
        {"data": b'{"a":1,"b":["x",1]}'},
        {"channels": ["one"]},
        {"metadata": {"m": "2"}},
        {"headers": {}},
        {"deliver_at": NOW + timedelta(days=2)},
        {"deliver_at": None},
    ],
)
@time_machine.travel(NOW, tick=False)
def test_what_means_something_else_is_a_conflict_that_names_the_first(
    changes: dict[str, Any],
) -> None:
    account = make_subscription().account
    first = publish_first(account)
    with pytest.raises(IdempotencyConflict) as caught:
        publish_first(account, **changes)
    assert caught.value.extra == {"event": str(first.event.pk)}
    assert Event.objects.count() == Delivery.objects.count() == 1


@pytest.mark.parametrize("gone", ["body_pruned_at", "expunged_at"])
def test_what_cannot_be_compared_any_more_is_not_said_to_be_something_else(gone: str) -> None:
    account = make_account()
    first = publish_first(account, deliver_at=None)
    Event.objects.update(data=b"null", **{gone: NOW})
    for data in (FIRST["data"], b"null"):
        with pytest.raises(IdempotencyConflict) as caught:
            publish_first(account, deliver_at=None, data=data)
        assert str(caught.value) == (
            "the idempotency key was used before; the data of then is not kept any more, so "
            "whether it was for the same cannot be told"
        )
        assert caught.value.extra == {"event": str(first.event.pk)}
    assert Event.objects.count() == 1


def test_integers_of_more_than_64_bits_are_told_apart() -> None:
    account = make_account()
    publish(account=account, type="a", data=b"18446744073709551617", idempotency_key="k")
    with pytest.raises(IdempotencyConflict):
        publish(account=account, type="a", data=b"18446744073709551618", idempotency_key="k")


def test_the_version_that_was_asked_for_counts_and_not_the_one_it_means_by_now() -> None:
    account = make_account()
    event_type = create_event_type(account=account, name="a")
    add_schema(event_type=event_type, schema={"type": "object"})
    fields: dict[str, Any] = {"account": account, "type": "a", "data": {}, "idempotency_key": "k"}
    first = publish(**fields)
    add_schema(event_type=event_type, schema={"type": "object", "title": "newer"})
    assert publish(**fields).event == first.event
    assert publish(**fields).event.schema_version == "1.0"
    with pytest.raises(IdempotencyConflict):
        publish(**fields, schema_version="1.0")


def test_a_repeat_hears_the_first_warnings_whatever_the_catalogue_says_by_now() -> None:
    account = make_account(unknown_event_types="warn")
    fields: dict[str, Any] = {"account": account, "type": "a", "data": {}, "idempotency_key": "k"}
    first = publish(**fields)
    assert first.warnings == ("a is not in the catalogue of event types",)
    Account.objects.update(unknown_event_types="reject")
    again = publish(**fields)
    assert (again.is_new, again.warnings) == (False, first.warnings)
