"""Publishing by what the catalogue says, and events that wait for an operator's word."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine

from monitoring.models import AuditEntry
from outgoing.errors import (
    EventTypeArchived,
    EventTypeUnknown,
    SchemaMismatch,
    SchemaVersionUnknown,
    StateNotAllowed,
)
from outgoing.expunging import expunge_events
from outgoing.models import Delivery, Event
from outgoing.services import drop_event, publish, release_event
from subscriptions.event_types import add_schema, create_event_type
from subscriptions.models import EventType
from tests.factories import make_account, make_subscription
from webhooks_project.accounts.models import Account
from webhooks_project.lib import clock

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
SCHEMA = {"type": "object", "required": ["amount"], "properties": {"amount": {"type": "integer"}}}
MISFIT = [{"path": "", "message": '"amount" is a required property'}]


def account_with(mode: str) -> Account:
    account = make_account()
    event_type = create_event_type(account=account, name="order.made", schema_mode=mode)
    add_schema(event_type=event_type, schema=SCHEMA)
    make_subscription(account)
    return account


@pytest.mark.parametrize(
    ("mode", "errors", "is_quarantined", "deliveries"),
    [("off", [], False, 1), ("warn", MISFIT, False, 1), ("quarantine", MISFIT, True, 0)],
)
def test_what_does_not_fit(
    mode: str, errors: list[Any], is_quarantined: bool, deliveries: int
) -> None:
    published = publish(account=account_with(mode), type="order.made", data={})
    event = Event.objects.get()
    assert event.schema_errors == errors
    assert (event.quarantined_at is not None) is is_quarantined
    assert Delivery.objects.count() == len(published.delivery_ids) == deliveries
    assert event.schema_version == ("" if mode == "off" else "1.0")
    assert list(published.warnings) == (
        [] if mode == "off" else ["the data does not fit order.made v1.0"]
    )


def test_what_does_not_fit_and_is_rejected_is_not_stored() -> None:
    with pytest.raises(SchemaMismatch) as caught:
        publish(account=account_with("reject"), type="order.made", data={})
    assert caught.value.extra["errors"] == MISFIT
    assert not Event.objects.exists()


def test_a_call_made_again_has_its_first_answer_whatever_is_in_force_now() -> None:
    account = account_with("warn")
    call = {"account": account, "type": "order.made", "data": {}, "idempotency_key": "k"}
    first = publish(**call)
    EventType.objects.update(schema_mode="reject")
    again = publish(**call)
    assert (again.is_new, again.event) == (False, first.event)


def test_a_version_that_is_asked_for() -> None:
    account = account_with("reject")
    event_type = EventType.objects.get()
    add_schema(event_type=event_type, schema={"required": ["total"]}, major=True)
    for version, data, kept in (("1", {"amount": 1}, "1.0"), ("", {"total": 1}, "2.0")):
        published = publish(account=account, type="order.made", data=data, schema_version=version)
        assert published.event.schema_version == kept
    with pytest.raises(SchemaVersionUnknown):
        publish(account=account, type="order.made", data={}, schema_version="3")


def test_a_type_that_is_archived_or_unknown() -> None:
    account = account_with("off")
    EventType.objects.update(archived_at=clock.now())
    with pytest.raises(EventTypeArchived):
        publish(account=account, type="order.made", data={})
    assert publish(account=account, type="other", data={}).warnings == ()
    Account.objects.update(unknown_event_types="warn")
    assert list(publish(account=account, type="other", data={}).warnings) == [
        "other is not in the catalogue of event types"
    ]
    Account.objects.update(unknown_event_types="reject")
    with pytest.raises(EventTypeUnknown):
        publish(account=account, type="other", data={})


def test_release_delivers_to_those_that_match_now() -> None:
    account = account_with("quarantine")
    event = publish(account=account, type="order.made", data={}).event
    late = make_subscription(account, filter={"data.amount": 1})
    released = release_event(event=event)
    event.refresh_from_db()
    assert event.quarantined_at is None
    assert [item["subscription"] for item in released.not_matched] == [str(late.pk)]
    assert Delivery.objects.get().status == "pending"
    assert AuditEntry.objects.get(action="event.released").object_id == str(event.pk)


@pytest.mark.parametrize("in_days", [None, 1, 9])
def test_what_is_released_is_due_from_then_on_or_at_its_time(in_days: int | None) -> None:
    account = account_with("quarantine")
    with time_machine.travel(NOW, tick=False) as traveller:
        deliver_at = NOW + timedelta(days=in_days) if in_days else None
        event = publish(account=account, type="order.made", data={}, deliver_at=deliver_at).event
        traveller.shift(timedelta(days=2))
        release_event(event=event)
        delivery, released_at = Delivery.objects.get(), clock.now()
    assert delivery.created_at == released_at
    assert delivery.next_attempt_at == (deliver_at if in_days == 9 else released_at)
    assert delivery.asked_at == (deliver_at if in_days == 9 else None)


def test_what_was_expunged_is_not_released_and_can_be_dropped() -> None:
    event = publish(account=account_with("quarantine"), type="order.made", data={"x": 1}).event
    expunge_events([event.pk])
    with pytest.raises(StateNotAllowed) as caught:
        release_event(event=event)
    assert str(caught.value) == "the event's data is not kept any more: drop it"
    assert not Delivery.objects.exists()
    assert not AuditEntry.objects.filter(action="event.released").exists()
    assert drop_event(event=event).dropped_at is not None


def test_drop_delivers_to_nobody() -> None:
    event = publish(account=account_with("quarantine"), type="order.made", data={}).event
    drop_event(event=event)
    event.refresh_from_db()
    assert (event.quarantined_at, event.dropped_at is not None) == (None, True)
    assert not Delivery.objects.exists()
    assert AuditEntry.objects.filter(action="event.dropped").count() == 1


@pytest.mark.parametrize("act", [release_event, drop_event])
def test_what_is_in_no_quarantine_is_left_alone(act: Any) -> None:
    event = publish(account=account_with("warn"), type="order.made", data={}).event
    with pytest.raises(StateNotAllowed):
        act(event=event)
    assert Delivery.objects.count() == 1
