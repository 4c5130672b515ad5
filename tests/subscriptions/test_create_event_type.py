from __future__ import annotations

import pytest

from monitoring.models import AuditEntry
from subscriptions.errors import EventTypeExists, EventTypeMalformed, StateNotAllowed
from subscriptions.event_types import (
    change_event_type,
    create_event_type,
    delete_event_type,
)
from subscriptions.models import EventType
from tests.factories import make_account

pytestmark = pytest.mark.django_db


def actions() -> list[str]:
    return list(AuditEntry.objects.order_by("sequence").values_list("action", flat=True))


def test_adds_a_type_to_the_catalogue_of_its_account() -> None:
    account, other = make_account(), make_account()
    create_event_type(account=account, name="invoice.paid", description="d")
    create_event_type(account=other, name="invoice.paid")
    made = EventType.objects.get(account=account)
    assert (made.name, made.description, made.schema_mode) == ("invoice.paid", "d", "reject")
    assert actions() == ["event_type.created"] * 2


@pytest.mark.parametrize("name", ["", "a b", "*", "a.*", "a" * 129])
def test_refuses_what_is_no_type(name: str) -> None:
    with pytest.raises(EventTypeMalformed):
        create_event_type(account=make_account(), name=name)
    assert not EventType.objects.exists()
    assert actions() == []


def test_refuses_a_name_that_is_taken() -> None:
    account = make_account()
    create_event_type(account=account, name="a")
    with pytest.raises(EventTypeExists):
        create_event_type(account=account, name="a")
    assert EventType.objects.count() == 1
    assert actions() == ["event_type.created"]


def test_a_name_stays() -> None:
    event_type = create_event_type(account=make_account(), name="a")
    with pytest.raises(StateNotAllowed):
        change_event_type(event_type=event_type, name="b", description="x")
    change_event_type(event_type=event_type, name="a", description="new")
    assert EventType.objects.values_list("name", "description").get() == ("a", "new")
    assert actions() == ["event_type.created", "event_type.changed"]


def test_deleting_is_audited() -> None:
    event_type = create_event_type(account=make_account(), name="a")
    key = str(event_type.pk)
    delete_event_type(event_type=event_type)
    assert not EventType.objects.exists()
    entry = AuditEntry.objects.get(action="event_type.deleted")
    assert (entry.before, entry.object_id) == ('{"name":"a"}', key)
