"""Which changes of a schema break whom, and where."""

from __future__ import annotations

from typing import Any

import pytest

from subscriptions.compatibility import MAX_CHANGES, MAX_DEPTH, breaking_changes

STRING, INTEGER, NUMBER = {"type": "string"}, {"type": "integer"}, {"type": "number"}


def thing(properties: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties or {}, **more}


def changes(old: Any, new: Any) -> list[tuple[str, str, str]]:
    return [(change.path, str(change.kind), change.breaks) for change in breaking_changes(old, new)]


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        pytest.param(
            thing({"a": STRING, "b": STRING}),
            thing({"b": STRING}),
            [("/a", "removed_property", "readers")],
            id="a property is gone",
        ),
        pytest.param(
            thing({"a": STRING}),
            thing({"a": INTEGER}),
            [("/a", "retyped", "readers")],
            id="another type",
        ),
        pytest.param(
            thing({"a": STRING}),
            thing({"a": {"type": ["string", "null"]}}),
            [("/a", "retyped", "readers")],
            id="a wider type",
        ),
        pytest.param(
            thing({"a": NUMBER}),
            thing({"a": INTEGER}),
            [("/a", "retyped", "writers")],
            id="a narrower type",
        ),
        pytest.param(
            thing({"a": INTEGER}),
            thing({"a": NUMBER}),
            [("/a", "retyped", "readers")],
            id="numbers where integers were",
        ),
        pytest.param(
            thing({"a": STRING}),
            thing({"a": STRING, "b": STRING}, required=["b"]),
            [("/b", "new_required", "writers")],
            id="a new required property",
        ),
        pytest.param(
            thing({"a": STRING}),
            thing({"a": STRING}, required=["a"]),
            [("/a", "new_required", "writers")],
            id="a property becomes required",
        ),
        pytest.param(
            thing({"a": STRING}, required=["a"]),
            thing({"a": STRING}),
            [("/a", "no_longer_required", "readers")],
            id="a property may be absent",
        ),
        pytest.param(
            thing(required=["a"]),
            thing(),
            [("/a", "no_longer_required", "readers")],
            id="a property without a schema may be absent",
        ),
        pytest.param(
            thing({"a": {"enum": ["x", "y"]}}),
            thing({"a": {"enum": ["x"]}}),
            [("/a", "narrowed_enum", "writers")],
            id="a narrower enum",
        ),
        pytest.param(
            thing({"a": {"enum": ["x"]}}),
            thing({"a": {"enum": ["x", "y"]}}),
            [("/a", "widened_enum", "readers")],
            id="a wider enum",
        ),
        pytest.param(
            thing({"a": {"const": "x"}}),
            thing({"a": {"const": "y"}}),
            [("/a", "narrowed_enum", "writers"), ("/a", "widened_enum", "readers")],
            id="another constant",
        ),
        pytest.param(
            thing({"a": STRING}),
            thing({"a": {"const": "x"}}),
            [("/a", "narrowed_enum", "writers")],
            id="a constant where any was",
        ),
        pytest.param(
            thing({"a": {"type": "string", "enum": ["x"]}}),
            thing({"a": STRING}),
            [("/a", "widened_enum", "readers")],
            id="any where a value was",
        ),
        pytest.param(
            thing({"a": {"type": "string", "format": "date"}}),
            thing({"a": {"type": "string", "format": "date-time"}}),
            [("/a", "changed_rule", "readers")],
            id="another format",
        ),
        pytest.param(
            thing({"a": {"type": "string", "pattern": "^a"}}),
            thing({"a": STRING}),
            [("/a", "widened", "readers")],
            id="no pattern any more",
        ),
        pytest.param(
            thing({"a": STRING}),
            thing({"a": {"type": "string", "maxLength": 5}}),
            [("/a", "narrowed", "writers")],
            id="a new limit",
        ),
        pytest.param(
            thing({"a": {"type": "integer", "minimum": 1}}),
            thing({"a": {"type": "integer", "minimum": 0}}),
            [("/a", "widened", "readers")],
            id="a lower minimum",
        ),
        pytest.param(
            thing({"a": {"type": "integer", "maximum": 9}}),
            thing({"a": {"type": "integer", "maximum": 5}}),
            [("/a", "narrowed", "writers")],
            id="a lower maximum",
        ),
        pytest.param(
            thing({"a": STRING}),
            thing({"a": STRING}, additionalProperties=False),
            [("", "closed", "writers")],
            id="no other properties",
        ),
        pytest.param(
            thing(additionalProperties=STRING),
            thing(additionalProperties=INTEGER),
            [("/*", "retyped", "readers")],
            id="other properties of another type",
        ),
        pytest.param(
            thing({"a": thing({"b/c": thing({"d": STRING})})}),
            thing({"a": thing({"b/c": thing()})}),
            [("/a/b~1c/d", "removed_property", "readers")],
            id="deep inside",
        ),
        pytest.param(
            thing({"a": {"type": "array", "items": thing({"b": STRING})}}),
            thing({"a": {"type": "array", "items": thing({"b": INTEGER})}}),
            [("/a/*/b", "retyped", "readers")],
            id="in the items of an array",
        ),
        pytest.param(
            {"type": "array", "prefixItems": [STRING, INTEGER]},
            {"type": "array", "prefixItems": [STRING, STRING]},
            [("/1", "retyped", "readers")],
            id="in one item of a tuple",
        ),
        pytest.param(STRING, thing(), [("", "retyped", "readers")], id="the whole"),
        pytest.param({}, STRING, [("", "retyped", "writers")], id="a type where any was"),
        pytest.param(True, False, [("", "retyped", "readers")], id="nothing fits any more"),
        pytest.param(
            thing({"a": STRING, "b": INTEGER}, required=["a"]),
            thing({"a": INTEGER}, required=[]),
            [
                ("/a", "no_longer_required", "readers"),
                ("/a", "retyped", "readers"),
                ("/b", "removed_property", "readers"),
            ],
            id="several at once",
        ),
    ],
)
def test_lists_what_breaks(old: Any, new: Any, found: list[tuple[str, str, str]]) -> None:
    assert changes(old, new) == found


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param(thing({"a": STRING}), thing({"a": STRING}), id="the same"),
        pytest.param(thing({"a": STRING}), thing({"a": STRING, "b": STRING}), id="an optional one"),
        pytest.param(
            thing({"a": STRING}, additionalProperties=False),
            thing({"a": STRING, "b": STRING}, additionalProperties=False),
            id="an optional one where no others are allowed",
        ),
        pytest.param(
            thing({"a": STRING}, additionalProperties=False), thing({"a": STRING}), id="opened"
        ),
        pytest.param(
            thing({"a": STRING}),
            thing({"a": {**STRING, "description": "A", "examples": ["x"], "title": "A"}}),
            id="words for people",
        ),
        pytest.param({"enum": ["x", "y"]}, {"enum": ["y", "x"]}, id="the order of values"),
        pytest.param({"const": "x"}, {"enum": ["x"]}, id="a constant as an enum of one"),
        pytest.param({"type": "string"}, {"type": ["string"]}, id="a list of one type"),
        pytest.param(
            {"type": ["string", "null"]},
            {"anyOf": [{"type": "null"}, {"type": "string"}]},
            id="types as alternatives",
        ),
        pytest.param(
            thing({"a": STRING}),
            {"$ref": "#/$defs/thing", "$defs": {"thing": thing({"a": STRING})}},
            id="moved to $defs",
        ),
        pytest.param(
            thing({"a": STRING}, required=["a"]),
            {"allOf": [thing({"a": STRING}), {"required": ["a"]}]},
            id="taken apart with allOf",
        ),
        pytest.param(
            {"oneOf": [thing({"a": STRING}), STRING]},
            {"oneOf": [STRING, thing({"a": STRING, "b": STRING})]},
            id="alternatives in another order",
        ),
    ],
)
def test_lists_nothing_where_nothing_breaks(old: Any, new: Any) -> None:
    assert changes(old, new) == []


def test_follows_references_into_each_schema() -> None:
    def schema(kind: dict[str, Any]) -> dict[str, Any]:
        return {
            **thing({"from": {"$ref": "#/$defs/user"}, "to": {"$ref": "#/$defs/user"}}),
            "$defs": {"user": thing({"id": kind})},
        }

    assert changes(schema(STRING), schema(INTEGER)) == [
        ("/from/id", "retyped", "readers"),
        ("/to/id", "retyped", "readers"),
    ]


def test_ends_with_a_schema_that_contains_itself() -> None:
    def schema(kind: dict[str, Any]) -> dict[str, Any]:
        tree = thing({"value": kind, "children": {"type": "array", "items": {"$ref": "#"}}})
        return {**tree, "$defs": {"loop": {"$ref": "#/$defs/loop"}}}

    assert changes(schema(STRING), schema(INTEGER)) == [
        ("/value", "retyped", "readers"),
        ("/children/*/value", "retyped", "readers"),
    ]
    assert changes({"$ref": "#"}, {"$ref": "#"}) == []


def test_takes_the_branches_of_all_of_together() -> None:
    old = {"allOf": [thing({"a": STRING}), thing({"b": STRING}, required=["b"])]}
    new = {"allOf": [thing({"a": STRING}), thing({"b": INTEGER})]}
    assert changes(old, new) == [
        ("/b", "no_longer_required", "readers"),
        ("/b", "retyped", "readers"),
    ]


def event(action: str, **properties: Any) -> dict[str, Any]:
    return thing({"action": {"const": action}, **properties}, required=["action"])


def test_an_alternative_may_come_or_go() -> None:
    one, two = event("opened"), event("closed")
    assert changes({"oneOf": [one, two]}, {"oneOf": [one]}) == [
        ("", "removed_alternative", "writers")
    ]
    assert changes({"oneOf": [one]}, {"oneOf": [one, {**two, "title": "Closed"}]}) == [
        ("", "added_alternative", "readers")
    ]


def test_an_alternative_is_compared_with_its_like() -> None:
    old = {"oneOf": [{"title": "A", **event("a", x=STRING)}, {"title": "B", **event("b")}]}
    new = {"oneOf": [{"title": "B", **event("b")}, {"title": "A", **event("a", x=INTEGER)}]}
    assert changes(old, new) == [("/x", "retyped", "readers")]


def test_alternatives_without_names_are_compared_with_what_is_closest() -> None:
    old = {"oneOf": [event("a", x=STRING), event("b", y=STRING)]}
    new = {"oneOf": [event("b", y=INTEGER), event("a", x=INTEGER)]}
    assert changes(old, new) == [("/x", "retyped", "readers"), ("/y", "retyped", "readers")]


@pytest.mark.parametrize(
    "rule",
    [
        {"not": {"$ref": "#/$defs/id"}},
        {"patternProperties": {"^x": {"$ref": "#/$defs/id"}}},
        {"propertyNames": {"$ref": "#/$defs/id"}},
    ],
)
def test_a_rule_that_refers_to_what_has_changed_counts(rule: dict[str, Any]) -> None:
    old, new = ({**rule, "$defs": {"id": kind}} for kind in (STRING, INTEGER))
    assert changes(old, new) == [("", "changed_rule", "readers")]
    assert changes(old, old) == []


def test_what_stands_beside_alternatives_counts_in_each() -> None:
    choices = [{"required": ["a"]}, {"required": ["b"]}]
    old = {"allOf": [thing({"a": STRING, "b": STRING})], "anyOf": choices}
    new = {"allOf": [thing({"a": STRING, "b": INTEGER})], "anyOf": choices}
    assert changes(old, new) == [("/b", "retyped", "readers")]
    assert changes(old, old) == []


def test_a_detail_is_written_for_people() -> None:
    (change,) = breaking_changes({"enum": ["x"]}, {"enum": ["x", "y"]})
    assert change.detail == '"y" may come now'
    (change,) = breaking_changes(STRING, {"type": ["integer", "null"]})
    assert change.detail == "string became integer or null"


def test_the_list_is_bounded() -> None:
    old = thing({f"p{number}": STRING for number in range(500)})
    assert len(breaking_changes(old, thing())) == MAX_CHANGES


def test_says_so_where_it_cannot_look_deeper() -> None:
    count = 300
    chain = {f"d{n}": thing({"next": {"$ref": f"#/$defs/d{n + 1}"}}) for n in range(count)}
    schema = {"$ref": "#/$defs/d0", "$defs": {**chain, f"d{count}": STRING}}
    (change,) = breaking_changes(schema, schema)
    assert (change.path, change.kind) == ("/next" * (MAX_DEPTH + 1), "changed_rule")
