"""Versions of a type's schema."""

from __future__ import annotations

from typing import Any

import pytest

from monitoring.models import AuditEntry
from subscriptions import event_types
from subscriptions.errors import (
    EventTypeArchived,
    ExampleDoesNotFit,
    SchemaBreaksReaders,
    SchemaNotValid,
)
from subscriptions.event_types import (
    SchemaCheck,
    add_schema,
    archive_event_type,
    check_new_schema,
    create_event_type,
)
from subscriptions.models import EventSchema, EventType
from tests.factories import make_account
from webhooks_project.lib.jsonata import ExpressionNotAcceptable

pytestmark = pytest.mark.django_db

OLD: Any = {"type": "object", "properties": {"a": {"type": "string"}}}
WIDER: Any = {"type": "object", "properties": {"a": {"type": "string"}, "b": {}}}
BROKEN: Any = {"type": "object", "properties": {"a": {"type": "integer"}}}
CHANGES = [
    {
        "path": "/a",
        "kind": "retyped",
        "detail": "string became integer",
        "breaks": "readers",
    }
]


@pytest.fixture
def event_type() -> EventType:
    return create_event_type(account=make_account(), name="a")


def numbers() -> list[tuple[int, str]]:
    return [(row.version, row.number) for row in EventSchema.objects.order_by("version")]


def test_the_first_is_1_0_and_the_next_rises_as_it_breaks(event_type: EventType) -> None:
    add_schema(event_type=event_type, schema=OLD, examples=[{"a": "x"}])
    add_schema(event_type=event_type, schema=WIDER)
    add_schema(event_type=event_type, schema=BROKEN, major=True, downgrade='{"a": $string(a)}')
    add_schema(event_type=event_type, schema=OLD, allow_breaking=True)
    assert numbers() == [(1, "1.0"), (2, "1.1"), (3, "2.0"), (4, "2.1")]
    first, third = EventSchema.objects.get(version=1), EventSchema.objects.get(version=3)
    assert (first.schema, first.examples, first.downgrade) == (OLD, [{"a": "x"}], "")
    assert third.downgrade == '{"a": $string(a)}'
    entries = AuditEntry.objects.filter(action="event_type.schema_added").order_by("sequence")
    assert [("/a retyped" in entry.after) for entry in entries] == [False, False, True, True]


def test_what_breaks_needs_a_word(event_type: EventType) -> None:
    add_schema(event_type=event_type, schema=OLD)
    with pytest.raises(SchemaBreaksReaders) as caught:
        add_schema(event_type=event_type, schema=BROKEN)
    assert (caught.value.code, caught.value.status) == ("schema_breaks_readers", 409)
    assert caught.value.extra == {"changes": CHANGES}
    assert str(caught.value) == (
        "the schema breaks readers: /a: string became integer; it needs a new major version"
    )
    assert numbers() == [(1, "1.0")]


def test_a_check_says_what_would_be_and_writes_nothing(event_type: EventType) -> None:
    assert check_new_schema(event_type=event_type, schema=OLD) == SchemaCheck("1.0", (), True)
    add_schema(event_type=event_type, schema=OLD)
    before = AuditEntry.objects.count()
    check = check_new_schema(event_type=event_type, schema=BROKEN)
    assert (check.number, check.is_allowed, len(check.changes)) == ("1.1", False, 1)
    assert check_new_schema(event_type=event_type, schema=BROKEN, major=True).number == "2.0"
    assert check_new_schema(event_type=event_type, schema=BROKEN, allow_breaking=True).is_allowed
    assert numbers() == [(1, "1.0")]
    assert AuditEntry.objects.count() == before


def test_examples_fit(event_type: EventType) -> None:
    with pytest.raises(ExampleDoesNotFit) as caught:
        add_schema(event_type=event_type, schema=OLD, examples=[{"a": "x"}, {"a": 1}])
    assert caught.value.extra == {
        "errors": [{"path": "/1/a", "message": '1 is not of type "string"'}]
    }
    assert numbers() == []


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ({"schema": {"type": "nonsense"}}, SchemaNotValid),
        ({"schema": {"$ref": "https://example.com/a.json"}}, SchemaNotValid),
        ({"schema": {"description": "x" * 300}}, SchemaNotValid),
        ({"schema": {}, "examples": ["x" * 300]}, ExampleDoesNotFit),
        ({"schema": {}, "examples": [1] * 21}, ExampleDoesNotFit),
        ({"schema": {}, "downgrade": "{"}, ExpressionNotAcceptable),
    ],
)
def test_refuses_what_is_not_acceptable(
    event_type: EventType,
    monkeypatch: pytest.MonkeyPatch,
    words: dict[str, Any],
    error: type[Exception],
) -> None:
    monkeypatch.setattr(event_types, "MAX_SCHEMA_BYTES", 300)
    monkeypatch.setattr(event_types, "MAX_EXAMPLES_BYTES", 300)
    with pytest.raises(error):
        add_schema(event_type=event_type, **words)
    assert numbers() == []


def test_an_archived_type_takes_none(event_type: EventType) -> None:
    archive_event_type(event_type=event_type)
    with pytest.raises(EventTypeArchived):
        add_schema(event_type=event_type, schema=OLD)
    assert numbers() == []


@pytest.mark.parametrize("levels", [70, 400])
def test_refuses_a_schema_that_is_too_deep(event_type: EventType, levels: int) -> None:
    schema: Any = {}
    for _ in range(levels):
        schema = {"not": schema}
    with pytest.raises(SchemaNotValid):
        add_schema(event_type=event_type, schema=schema)
