"""Deprecated, archived and restored types."""

from __future__ import annotations

import pytest

from monitoring.models import AuditEntry
from subscriptions.errors import EventTypeArchived, SuccessorNotAcceptable
from subscriptions.event_types import (
    archive_event_type,
    create_event_type,
    delete_event_type,
    deprecate_event_type,
    restore_event_type,
)
from subscriptions.models import EventType
from tests.factories import make_account
from webhooks_project.accounts.models import Account

pytestmark = pytest.mark.django_db


def make_type(account: Account, name: str = "a") -> EventType:
    return create_event_type(account=account, name=name)


def state(event_type: EventType) -> tuple[bool, bool, str | None]:
    row = EventType.objects.select_related("successor").get(pk=event_type.pk)
    successor = row.successor.name if row.successor else None
    return row.deprecated_at is not None, row.archived_at is not None, successor


def test_goes_through_its_life_and_back() -> None:
    account = make_account()
    old, new = make_type(account), make_type(account, "b")
    deprecate_event_type(event_type=old, successor=new)
    assert state(old) == (True, False, "b")
    since = old.deprecated_at
    deprecate_event_type(event_type=old)
    assert (state(old), old.deprecated_at) == ((True, False, None), since)
    archive_event_type(event_type=old)
    archive_event_type(event_type=old)
    assert state(old) == (True, True, None)
    restore_event_type(event_type=old)
    assert state(old) == (False, False, None)
    assert list(
        AuditEntry.objects.filter(object_id=str(old.pk))
        .order_by("sequence")
        .values_list("action", flat=True)
    ) == [
        "event_type.created",
        "event_type.deprecated",
        "event_type.deprecated",
        "event_type.archived",
        "event_type.restored",
    ]


def test_the_audit_names_the_successor() -> None:
    account = make_account()
    old, new = make_type(account), make_type(account, "b")
    deprecate_event_type(event_type=old, successor=new)
    entry = AuditEntry.objects.get(action="event_type.deprecated")
    assert '"successor":"b"' in entry.after


def test_a_successor_is_another_living_type_of_the_account() -> None:
    account = make_account()
    old, new, archived = (make_type(account, name) for name in "abc")
    archive_event_type(event_type=archived)
    for successor in (old, archived, make_type(make_account(), "b")):
        with pytest.raises(SuccessorNotAcceptable):
            deprecate_event_type(event_type=old, successor=successor)
    deprecate_event_type(event_type=new, successor=old)
    with pytest.raises(SuccessorNotAcceptable):
        deprecate_event_type(event_type=old, successor=new)
    assert state(old) == (False, False, None)


def test_an_archived_type_is_not_deprecated() -> None:
    event_type = make_type(make_account())
    archive_event_type(event_type=event_type)
    with pytest.raises(EventTypeArchived):
        deprecate_event_type(event_type=event_type)
    assert state(event_type) == (False, True, None)


def test_a_type_outlives_its_successor() -> None:
    account = make_account()
    old, new = make_type(account), make_type(account, "b")
    deprecate_event_type(event_type=old, successor=new)
    delete_event_type(event_type=new)
    assert state(old) == (True, False, None)
