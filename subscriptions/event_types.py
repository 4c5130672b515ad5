"""What is done with the catalogue of event types. Each function is one transaction and audited."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import orjson
from django.db import transaction

from monitoring import journal
from subscriptions.compatibility import Change, breaking_changes
from subscriptions.errors import (
    EventTypeArchived,
    EventTypeExists,
    EventTypeMalformed,
    ExampleDoesNotFit,
    SchemaBreaksReaders,
    SchemaNotValid,
    StateNotAllowed,
    SuccessorNotAcceptable,
)
from subscriptions.matching import is_event_type
from subscriptions.models import EventSchema, EventType
from subscriptions.schemas import MAX_ERRORS, check_payload
from webhooks_project.accounts.models import Account
from webhooks_project.lib import clock
from webhooks_project.lib.json_schema import walk
from webhooks_project.lib.jsonata import check_expression

MAX_SCHEMA_BYTES: Final = 1024 * 1024  # of one version; it is parsed by each process that checks
MAX_EXAMPLES: Final = 20
MAX_EXAMPLES_BYTES: Final = 1024 * 1024  # of one version's together


@dataclass(frozen=True)
class SchemaCheck:
    """What adding a schema would do: the number it would get, and what it would break.

    `is_allowed` is whether it may be added with the same words.
    """

    number: str
    changes: Sequence[Change]
    is_allowed: bool


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
    """Change description, group, owner, is_public or schema mode; a type's name stays."""
    if changes.pop("name", event_type.name) != event_type.name:
        raise StateNotAllowed("a type's name stays: events and subscriptions go by it")
    _hold(event_type)
    before = {name: getattr(event_type, name) for name in changes}
    return _changed(event_type, "event_type.changed", before, changes)


@transaction.atomic
def deprecate_event_type(*, event_type: EventType, successor: EventType | None = None) -> EventType:
    """Ask everybody to use another type, or none. It can be published and heard as before.

    Raises SuccessorNotAcceptable, and EventTypeArchived where it is archived.
    """
    _hold(event_type)
    if event_type.archived_at is not None:
        raise EventTypeArchived(f"{event_type.name} is archived")
    if successor is not None:
        _check_successor(event_type, successor)
    before = {"deprecated_at": event_type.deprecated_at, "successor": _name(event_type.successor)}
    changes = {"deprecated_at": event_type.deprecated_at or clock.now(), "successor": successor}
    return _changed(event_type, "event_type.deprecated", before, changes)


@transaction.atomic
def archive_event_type(*, event_type: EventType) -> EventType:
    """Take no more events and no more schemas of the type; its history stays."""
    _hold(event_type)
    if event_type.archived_at is not None:
        return event_type
    changes = {"archived_at": clock.now()}
    return _changed(event_type, "event_type.archived", {"archived_at": None}, changes)


@transaction.atomic
def restore_event_type(*, event_type: EventType) -> EventType:
    """Make an archived or deprecated type one like any other again."""
    _hold(event_type)
    names = ("deprecated_at", "archived_at")
    before = {
        **{name: getattr(event_type, name) for name in names},
        "successor": _name(event_type.successor),
    }
    changes = {**dict.fromkeys(names), "successor": None}
    return _changed(event_type, "event_type.restored", before, changes)


@transaction.atomic
def delete_event_type(*, event_type: EventType) -> None:
    """Take the type out of the catalogue. Events of its name are no longer checked."""
    _hold(event_type)
    journal.record_change(
        account_id=event_type.account_id,
        action="event_type.deleted",
        subject=event_type,
        before={"name": event_type.name},
    )
    event_type.delete()


def check_new_schema(
    *,
    event_type: EventType,
    schema: Any,
    examples: Sequence[Any] = (),
    downgrade: str = "",
    major: bool = False,
    allow_breaking: bool = False,
) -> SchemaCheck:
    """What `add_schema` with the same words would do; nothing is written.

    Raises EventTypeArchived, SchemaNotValid, ExampleDoesNotFit and ExpressionNotAcceptable.
    """
    if event_type.archived_at is not None:
        raise EventTypeArchived(f"{event_type.name} is archived and takes no new schema")
    check_schema(schema)
    _check_size(examples)
    check_examples(schema, examples)
    if downgrade:
        check_expression(downgrade)
    latest = event_type.schemas.first()
    if latest is None:
        return SchemaCheck("1.0", (), is_allowed=True)
    changes = breaking_changes(latest.schema, schema)
    number = f"{latest.major + 1}.0" if major else f"{latest.major}.{latest.minor + 1}"
    return SchemaCheck(number, changes, is_allowed=not changes or major or allow_breaking)


@transaction.atomic
def add_schema(
    *,
    event_type: EventType,
    schema: Any,
    examples: Sequence[Any] = (),
    downgrade: str = "",
    major: bool = False,
    allow_breaking: bool = False,
) -> EventSchema:
    """Add the next version of a type's schema; the latest is the one in force.

    It becomes the next major version with `major`, else the next minor one. A change that breaks
    readers or writers takes `major`, or the word `allow_breaking`. `downgrade` is JSONata that
    makes this version's data into the data of the major version before it.

    Raises what `check_new_schema` does, and SchemaBreaksReaders with the changes.
    """
    _hold(event_type)
    check = check_new_schema(
        event_type=event_type,
        schema=schema,
        examples=examples,
        downgrade=downgrade,
        major=major,
        allow_breaking=allow_breaking,
    )
    changes = [asdict(change) for change in check.changes]
    if not check.is_allowed:
        raise SchemaBreaksReaders(_words(check), changes=changes)
    latest = event_type.schemas.first()
    major_number, _, minor_number = check.number.partition(".")
    made = EventSchema.objects.create(
        event_type=event_type,
        version=latest.version + 1 if latest else 1,
        major=int(major_number),
        minor=int(minor_number),
        schema=schema,
        examples=list(examples),
        downgrade=downgrade,
    )
    journal.record_change(
        account_id=event_type.account_id,
        action="event_type.schema_added",
        subject=event_type,
        after={
            "version": made.number,
            "schema_sha256": hashlib.sha256(orjson.dumps(schema)).hexdigest(),
            "breaks": [f"{change['path']} {change['kind']}" for change in changes],
        },
    )
    return made


@transaction.atomic
def change_examples(*, schema: EventSchema, examples: Sequence[Any]) -> EventSchema:
    """Give a version other examples. Raises ExampleDoesNotFit."""
    _check_size(examples)
    check_examples(schema.schema, examples)
    schema.examples = list(examples)
    schema.save(update_fields=["examples"])
    journal.record_change(
        account_id=schema.event_type.account_id,
        action="event_type.examples_changed",
        subject=schema.event_type,
        after={"version": schema.number, "examples": len(schema.examples)},
    )
    return schema


def check_schema(schema: Any) -> None:
    """Raise SchemaNotValid where it is no JSON Schema, or too large."""
    try:
        if len(orjson.dumps(schema)) > MAX_SCHEMA_BYTES:
            raise SchemaNotValid(f"the schema has more than {MAX_SCHEMA_BYTES:,} bytes")
        for _ in walk(schema):  # which is too deep for some of the work on it
            pass
        check_payload(schema, None)
    except (TypeError, ValueError) as error:
        raise SchemaNotValid(str(error)) from error


def check_examples(schema: Any, examples: Sequence[Any]) -> None:
    """Raise ExampleDoesNotFit, with where, unless each is an example of the schema."""
    errors = [
        {"path": f"/{index}{error.path}", "message": error.message}
        for index, example in enumerate(examples)
        for error in check_payload(schema, example)
    ]
    if errors:
        raise ExampleDoesNotFit(
            f"an example does not fit the schema: {errors[0]['path']}: {errors[0]['message']}",
            errors=errors[:MAX_ERRORS],
        )


def _check_size(examples: Sequence[Any]) -> None:
    if len(examples) > MAX_EXAMPLES or len(orjson.dumps(list(examples))) > MAX_EXAMPLES_BYTES:
        raise ExampleDoesNotFit(
            f"at most {MAX_EXAMPLES} examples with {MAX_EXAMPLES_BYTES:,} bytes are kept"
        )


def _check_successor(event_type: EventType, successor: EventType) -> None:
    if successor.account_id != event_type.account_id or successor.archived_at is not None:
        raise SuccessorNotAcceptable
    met = {event_type.pk}
    step: EventType | None = successor
    while step is not None:
        if step.pk in met:
            raise SuccessorNotAcceptable("the successor's own successors lead back to it")
        met.add(step.pk)
        step = step.successor


def _hold(event_type: EventType) -> None:
    """Read the type anew, and hold it."""
    event_type.refresh_from_db(from_queryset=EventType.objects.select_for_update())


def _changed(
    event_type: EventType, action: str, before: dict[str, Any], changes: dict[str, Any]
) -> EventType:
    for name, value in changes.items():
        setattr(event_type, name, value)
    event_type.save(update_fields=list(changes))
    journal.record_change(
        account_id=event_type.account_id,
        action=action,
        subject=event_type,
        before=before,
        after={
            name: _name(value) if isinstance(value, EventType) else value
            for name, value in changes.items()
        },
    )
    return event_type


def _name(event_type: EventType | None) -> str | None:
    return event_type.name if event_type is not None else None


def _words(check: SchemaCheck) -> str:
    first = check.changes[0]
    more = f", and {len(check.changes) - 1} more" if len(check.changes) > 1 else ""
    return (
        f"the schema breaks {first.breaks}: {first.path or 'the whole'}: {first.detail}{more}; "
        "it needs a new major version"
    )
