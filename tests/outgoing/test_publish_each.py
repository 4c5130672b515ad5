"""Each of many, in one transaction: what is refused keeps nothing else back."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction

from outgoing.errors import OutgoingError
from outgoing.models import Delivery, Event
from outgoing.services import NewEvent, Published, publish_each, publish_many
from subscriptions.event_types import add_schema, create_event_type
from tests.factories import make_subscription
from webhooks_project.accounts.models import Account
from webhooks_project.lib import clock

pytestmark = pytest.mark.django_db


def new(account: Account, data: Any = None, **fields: Any) -> NewEvent:
    return NewEvent(**{"account_id": account.pk, "type": "a", "data": data or {}} | fields)


def codes(outcomes: list[Published | OutgoingError]) -> list[str]:
    return [
        outcome.code if isinstance(outcome, OutgoingError) else "new" if outcome.is_new else "again"
        for outcome in outcomes
    ]


def test_what_is_refused_keeps_nothing_else_back() -> None:
    account = make_subscription().account
    event_type = create_event_type(account=account, name="typed")
    add_schema(event_type=event_type, schema={"type": "object"})
    outcomes = publish_each(
        [
            new(account, type="first"),
            new(account, type="no type"),
            new(account, b"[NaN]"),
            new(account, channels=["no channel"]),
            new(account, type="typed", data=[1]),
            new(account, type="typed", schema_version="7.1"),
            new(account, type="delivery.exhausted"),
            new(account, deliver_at=clock.now() + timedelta(days=31)),
            new(account, type="typed"),
        ]
    )
    assert codes(outcomes) == [
        "new", "event_type_malformed", "payload_not_json", "event_not_acceptable",
        "schema_mismatch", "schema_version_unknown", "event_type_reserved",
        "event_not_acceptable", "new",
    ]  # fmt: skip
    assert sorted(Event.objects.values_list("type", flat=True)) == ["first", "typed"]
    assert Delivery.objects.count() == 2


def test_a_key_twice_is_one_event_or_a_conflict() -> None:
    account = make_subscription().account
    outcomes = publish_each(
        [
            new(account, {"n": 1}, idempotency_key="k"),
            new(account, {"n": 1}, idempotency_key="k"),
            new(account, {"n": 2}, idempotency_key="k"),
            new(account, {"n": 3}),
        ]
    )
    assert codes(outcomes) == ["new", "again", "idempotency_conflict", "new"]
    assert Event.objects.count() == Delivery.objects.count() == 2


def test_more_than_one_statement_holds() -> None:
    account = make_subscription().account
    outcomes = publish_each([new(account, {"n": n}) for n in range(450)])
    assert codes(outcomes) == ["new"] * 450
    assert [outcome.event.payload for outcome in outcomes if isinstance(outcome, Published)] == [
        {"n": n} for n in range(450)
    ]
    assert Event.objects.count() == Delivery.objects.count() == 450


def test_none_are_none() -> None:
    assert publish_each([]) == publish_many([]) == []


def test_many_are_all_or_none() -> None:
    account = make_subscription().account
    with pytest.raises(OutgoingError), transaction.atomic():
        publish_many([new(account), new(account, type="no type")])
    assert not Event.objects.exists()


def test_a_rollback_takes_all_of_them_back() -> None:
    account = make_subscription().account
    with transaction.atomic():
        publish_each([new(account), new(account)])
        transaction.set_rollback(True)
    assert not Event.objects.exists()
