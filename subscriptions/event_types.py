"""What is done with the catalogue of event types. Each function is one transaction and audited."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from monitoring import journal
from subscriptions.errors import (
    EventTypeExists,
    EventTypeMalformed,
    SchemaNotValid,
    StateNotAllowed,
)
from subscriptions.matching import is_event_type
from subscriptions.models import EventSchema, EventType
from subscriptions.schemas import check_payload
from webhooks_project.accounts.models import Account


@transaction.atomic
def create_event_type(*, account: Account, name: str, **fields: Any) -> EventType:
    """Add a type to the account's catalogue. Raises EventTypeMalformed, EventTypeExists."""
    if not is_event_type(name):
        raise EventTypeMalformed(f"{name!r} is no event type; such are dotted names")
    if EventType.objects.filter(account=account, name=name).exists():
        raise EventTypeExists(f"{name} is in the catalogue already")
    event_type = EventType.objects.create(account=account, name=name, **fields)
    journal.record_change(
        account_id=account.pk,
        action="event_type.created",
        subject=event_type,
        after={"name": name, **fields},
    )
    return event_type


@transaction.atomic
def change_event_type(*, event_type: EventType, **changes: Any) -> EventType:
    """Change description or schema mode; a type's name stays."""
    if changes.pop("name", event_type.name) != event_type.name:
        raise StateNotAllowed("a type's name stays: events and subscriptions go by it")
    before = {name: getattr(event_type, name) for name in changes}
    for name, value in changes.items():
        setattr(event_type, name, value)
    event_type.save(update_fields=list(changes))
    journal.record_change(
        account_id=event_type.account_id,
        action="event_type.changed",
        subject=event_type,
        before=before,
        after=changes,
    )
    return event_type


@transaction.atomic
def delete_event_type(*, event_type: EventType) -> None:
    """Take the type out of the catalogue. Events of its name are no longer checked."""
    journal.record_change(
        account_id=event_type.account_id,
        action="event_type.deleted",
        subject=event_type,
        before={"name": event_type.name},
    )
    event_type.delete()


@transaction.atomic
def add_schema(*, event_type: EventType, schema: Any, examples: Any = ()) -> EventSchema:
    """Add the next version of a type's schema; the latest is the one in force.

    Raises SchemaNotValid where it is no JSON Schema.
    """
    try:
        check_payload(schema, None)
    except ValueError as error:
        raise SchemaNotValid(str(error)) from error
    event_type = EventType.objects.select_for_update().get(pk=event_type.pk)
    latest = event_type.schemas.first()
    made = EventSchema.objects.create(
        event_type=event_type,
        version=latest.version + 1 if latest else 1,
        major=latest.major if latest else 1,
        minor=latest.minor + 1 if latest else 0,
        schema=schema,
        examples=list(examples),
    )
    journal.record_change(
        account_id=event_type.account_id,
        action="event_type.schema_added",
        subject=event_type,
        after={"version": made.version, "schema": schema},
    )
    return made
