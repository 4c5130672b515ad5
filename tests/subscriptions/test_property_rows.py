"""A schema as rows that people read, and values made up for it."""

from __future__ import annotations

from typing import Any

import pytest

from subscriptions.properties import MAX_ROWS, Row, property_rows, sample_of


def test_each_property_is_a_row_and_those_in_it_follow() -> None:
    schema = {
        "type": "object",
        "required": ["id", "lines"],
        "properties": {
            "id": {"type": "string", "format": "uuid", "description": "D", "deprecated": True},
            "lines": {
                "type": "array",
                "minItems": 1,
                "items": {"properties": {"n": {"type": ["integer", "null"], "minimum": 0}}},
            },
            "kind": {"enum": ["a", "b"]},
            "extra": {"type": "object", "additionalProperties": {"type": "string"}},
            "any": {},
        },
    }
    assert property_rows(schema) == [
        Row("id", 0, "string (uuid)", True, True, "D"),
        Row("lines", 0, "array of object", True, limits=("1 items at least",)),
        Row("lines[].n", 1, "integer or null", limits=("at least 0",)),
        Row("kind", 0, "string", values=('"a"', '"b"')),
        Row("extra", 0, "object"),
        Row("extra.*", 1, "string"),
        Row("any", 0, "any"),
    ]


def test_what_is_referred_to_twice_is_shown_once() -> None:
    schema = {
        "properties": {"from": {"$ref": "#/$defs/user"}, "to": {"$ref": "#/$defs/user"}},
        "$defs": {"user": {"properties": {"boss": {"$ref": "#/$defs/user"}}}},
    }
    assert property_rows(schema) == [
        Row("from", 0, "object"),
        Row("from.boss", 1, "object", like="user"),
        Row("to", 0, "object", like="user"),
    ]


def test_alternatives_have_titles() -> None:
    schema = {
        "oneOf": [
            {"title": "Opened", "properties": {"a": {"const": 1}}},
            {"properties": {"b": {"anyOf": [{"type": "string"}, {"type": "null"}]}}},
        ]
    }
    assert property_rows(schema) == [
        Row("", 0, title="Opened"),
        Row("a", 0, "value", values=("1",)),
        Row("", 0, title="Alternative 2"),
        Row("b", 0, "string or null"),
    ]


@pytest.mark.parametrize(
    "schema",
    [
        True,
        False,
        {},
        {"type": "string"},
        {"$ref": "#/nowhere"},
        {"$ref": "#"},
        {"allOf": [{"$ref": "#"}]},
        {"properties": 5, "required": 1, "enum": {}, "items": [], "oneOf": 1},
    ],
)
def test_a_schema_without_properties_has_no_rows(schema: Any) -> None:
    assert property_rows(schema) == []
    sample_of(schema)


def test_a_table_ends() -> None:
    assert len(property_rows({"properties": {f"p{n}": {} for n in range(900)}})) == MAX_ROWS


@pytest.mark.parametrize(
    ("schema", "made"),
    [
        ({"type": "object", "properties": {"a": {"type": "string"}}}, {"a": "text"}),
        ({"properties": {"a": {"const": 5}}}, {"a": 5}),
        ({"enum": ["x", "y"]}, "x"),
        ({"type": "array", "items": {"type": "integer", "minimum": 3}}, [3]),
        ({"type": ["string", "null"], "format": "date"}, "2026-01-31"),
        ({"oneOf": [{"type": "boolean"}, {"type": "null"}]}, True),
        ({"allOf": [{"properties": {"a": {"type": "null"}}}, {"required": ["a"]}]}, {"a": None}),
        ({"type": "string", "examples": ["x"]}, "x"),
        ({"type": "string", "pattern": "^[0-9]+$"}, {}),  # none is found
        ({"$ref": "#"}, {}),
    ],
)
def test_a_value_is_made_up_that_fits(schema: Any, made: Any) -> None:
    assert sample_of(schema) == made
