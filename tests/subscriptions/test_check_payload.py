"""Payloads against JSON Schemas."""

from __future__ import annotations

from typing import Any

import pytest

from subscriptions.schemas import MAX_ERRORS, SchemaError, check_payload

SCHEMA = {
    "type": "object",
    "required": ["amount"],
    "properties": {
        "amount": {"type": "integer", "minimum": 0},
        "lines": {"type": "array", "items": {"type": "object", "required": ["a/b"]}},
    },
}


@pytest.mark.parametrize(
    "payload", [{"amount": 0}, {"amount": 5, "lines": [{"a/b": 1}], "x": None}]
)
def test_a_fitting_payload_has_no_errors(payload: Any) -> None:
    assert check_payload(SCHEMA, payload) == []


@pytest.mark.parametrize(
    ("payload", "errors"),
    [
        ({}, [SchemaError("", '"amount" is a required property')]),
        ({"amount": -1}, [SchemaError("/amount", "-1 is less than the minimum of 0")]),
        ({"amount": "5"}, [SchemaError("/amount", '"5" is not of type "integer"')]),
        ([], [SchemaError("", '[] is not of type "object"')]),
        (None, [SchemaError("", 'null is not of type "object"')]),
        (
            {"amount": 1, "lines": [{"a/b": 1}, {}]},
            [SchemaError("/lines/1", '"a/b" is a required property')],
        ),
    ],
)
def test_says_where_a_payload_does_not_fit(payload: Any, errors: list[SchemaError]) -> None:
    assert check_payload(SCHEMA, payload) == errors


@pytest.mark.parametrize(
    ("name", "pointer"),
    [("a/b", "/a~1b"), ("a~b", "/a~0b"), ("~1", "/~01"), ("plain", "/plain")],
)
def test_the_path_is_a_json_pointer(name: str, pointer: str) -> None:
    (error,) = check_payload({"additionalProperties": {"type": "string"}}, {name: 1})
    assert error.path == pointer


def test_reports_a_bounded_number_of_errors() -> None:
    errors = check_payload({"items": {"type": "string"}}, [1] * 1000)
    assert len(errors) == MAX_ERRORS
    assert errors[0].path == "/0"


def test_a_message_is_bounded() -> None:
    (error,) = check_payload({"type": "integer"}, "x" * 10_000)
    assert len(error.message) <= 500


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "no-such-type"},
        {"minimum": "five"},
        {"pattern": "("},
        {"$ref": "#/nowhere"},
        "text",
        5,
        [],
        None,
    ],
)
def test_refuses_what_is_no_schema(schema: Any) -> None:
    with pytest.raises(ValueError, match="this is no JSON Schema"):
        check_payload(schema, {})


@pytest.mark.parametrize("schema", [True, {}])
def test_a_schema_may_allow_everything(schema: Any) -> None:
    assert check_payload(schema, {"any": "thing"}) == []


@pytest.mark.parametrize(
    "reference",
    [
        "http://169.254.169.254/latest/meta-data",
        "https://example.com/schema.json",
        "file:///etc/passwd",
        "other.json",
    ],
)
@pytest.mark.parametrize("keyword", ["$ref", "$dynamicRef"])
def test_fetches_no_other_document(reference: str, keyword: str) -> None:
    # Names and sockets beyond loopback are blocked in the tests: a try to fetch would show.
    with pytest.raises(ValueError, match=r"may not refer to another document|this is no JSON"):
        check_payload({"properties": {"a": {keyword: reference}}}, {"a": 1})


def test_a_reference_into_the_schema_itself_is_followed() -> None:
    schema = {"$defs": {"id": {"type": "string"}}, "properties": {"id": {"$ref": "#/$defs/id"}}}
    assert check_payload(schema, {"id": "x"}) == []
    assert [error.path for error in check_payload(schema, {"id": 1})] == ["/id"]


def test_a_pattern_takes_linear_time() -> None:
    errors = check_payload({"pattern": "^(a+)+$"}, "a" * 50_000 + "!")
    assert len(errors) == 1
