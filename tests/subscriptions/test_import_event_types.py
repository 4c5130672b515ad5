"""Event types from JSON Schema files, bundles of them and OpenAPI documents."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from monitoring.models import AuditEntry
from subscriptions.documents import Described, File, read_files
from subscriptions.errors import DocumentNotAcceptable, ImportNotAcceptable
from subscriptions.event_types import add_schema, create_event_type
from subscriptions.imports import Import, Outcome, import_event_types, plan_import
from subscriptions.models import EventSchema, EventType
from subscriptions.schemas import check_payload
from tests.factories import make_account
from webhooks_project.accounts.models import Account


def file(document: Any, name: str = "invoice.paid.json") -> File:
    return File(name, document if isinstance(document, bytes) else orjson.dumps(document))


def read(document: Any, name: str = "invoice.paid.json") -> list[Described]:
    return read_files([file(document, name)])


def named(found: list[Described]) -> dict[str, Described]:
    return {item.name: item for item in found}


THING: Any = {
    "type": "object",
    "properties": {"owner": {"$ref": "#/definitions/user"}},
    "required": ["owner"],
}
USER: Any = {"type": "object", "properties": {"boss": {"$ref": "#/definitions/user"}, "id": {}}}
BUNDLED_USER: Any = {"type": "object", "properties": {"boss": {"$ref": "#/$defs/user"}, "id": {}}}
WHOLE: Any = {
    "type": "object",
    "properties": {"owner": {"$ref": "#/$defs/user"}},
    "required": ["owner"],
    "$defs": {"user": BUNDLED_USER},
}


# --- JSON Schema ---


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("invoice.paid.json", "invoice.paid"),
        ("invoice.paid.schema.json", "invoice.paid"),
        ("invoice/paid.yaml", "invoice.paid"),
        ("Paid.yml", "Paid"),
    ],
)
def test_a_file_of_one_schema_names_its_type(path: str, name: str) -> None:
    schema = {"type": "object", "description": "D", "deprecated": True, "examples": [{"a": 1}]}
    assert read(schema, path) == [
        Described(
            name,
            path,
            schema={"type": "object", "description": "D", "deprecated": True},
            description="D",
            is_deprecated=True,
            examples=({"a": 1},),
        )
    ]


def test_a_schema_may_name_its_type_itself() -> None:
    (found,) = read({"x-event-type": "order.made", "type": "object"}, "x.json")
    assert (found.name, found.schema) == ("order.made", {"type": "object"})


@pytest.mark.parametrize("word", ["oneOf", "anyOf"])
def test_a_bundle_lists_its_events(word: str) -> None:
    document = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "definitions": {
            "user": USER,
            "push$event": THING,
            "issues$opened": THING,
            "issues_event": {"oneOf": [{"$ref": "#/definitions/issues$opened"}]},
            "other$event": THING,
        },
        word: [{"$ref": "#/definitions/push$event"}, {"$ref": "#/definitions/issues_event"}],
    }
    found = named(read(document, "bundle.json"))
    assert found.keys() == {"push", "issues"}
    assert found["push"].schema == WHOLE
    assert found["push"].where == "bundle.json#/definitions/push$event"
    assert found["issues"].schema == {
        "oneOf": [{"$ref": "#/$defs/issues$opened"}],
        "$defs": {
            "issues$opened": {key: value for key, value in WHOLE.items() if key != "$defs"},
            "user": BUNDLED_USER,
        },
    }


def test_a_bundle_without_a_list_has_its_events_by_their_names() -> None:
    document = {
        "definitions": {
            "user": USER,
            "push$event": THING,
            "star$created": THING,
            "issues_event": {"oneOf": [{"$ref": "#/definitions/issues$opened"}]},
            "issues$opened": THING,
        }
    }
    assert named(read(document)).keys() == {"push", "star.created", "issues"}


def test_a_bundle_without_such_names_has_those_to_which_none_refers() -> None:
    document = {"$defs": {"user": {}, "order.made": {"properties": {"u": {"$ref": "#/$defs/user"}}},
                          "order.sent": {"type": "object"}}}  # fmt: skip
    assert named(read(document)).keys() == {"order.made", "order.sent"}


def test_alternatives_that_are_no_events_are_one_type() -> None:
    document = {
        "oneOf": [{"$ref": "#/$defs/card"}, {"$ref": "#/$defs/bank"}],
        "$defs": {"card": {"type": "object"}, "bank": {"type": "object"}},
    }
    (found,) = read(document, "payment.made.json")
    assert (found.name, found.schema) == ("payment.made", document)


def test_older_drafts_are_read_as_2020_12() -> None:
    (found,) = read(
        {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "$id": "https://example.com/a.json",
            "properties": {
                "pair": {"items": [{"type": "string"}], "additionalItems": False},
                "age": {"minimum": 0, "exclusiveMinimum": True},
                "to": {"$ref": "https://example.com/a.json#/definitions/to", "maxLength": 1},
                "id": {"$ref": "#id"},
            },
            "dependencies": {"a": ["b"], "c": {"required": ["d"]}},
            "definitions": {"to": {"type": "string"}, "other": {"$id": "#id", "type": "integer"}},
        }
    )
    assert found.schema == {
        "properties": {
            "pair": {"prefixItems": [{"type": "string"}], "items": False},
            "age": {"exclusiveMinimum": 0},
            "to": {"$ref": "#/$defs/to"},
            "id": {"$ref": "#/$defs/id"},
        },
        "dependentRequired": {"a": ["b"]},
        "dependentSchemas": {"c": {"required": ["d"]}},
        "$defs": {"to": {"type": "string"}, "id": {"type": "integer"}},
    }


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("https://example.com/user.json", "https://example.com/user.json leads out of the"),
        ("user.json#/definitions/user", "user.json#/definitions/user leads out of the document"),
        ("file:///etc/passwd", "file:///etc/passwd leads out of the document"),
        ("#/definitions/nobody", "#/definitions/nobody leads to nothing"),
        ("#nobody", "#nobody leads to nothing"),
    ],
)
def test_a_reference_out_of_the_document_refuses_the_type(reference: str, words: str) -> None:
    document = {
        "definitions": {
            "a$event": {"properties": {"a": {"$ref": reference}}},
            "b$event": {"type": "object"},
        }
    }
    found = named(read(document))
    assert found["a"].problem.startswith(words)
    assert found["b"].problem == ""


def test_what_merely_looks_like_a_reference_is_data() -> None:
    schema = {"properties": {"$ref": {"const": {"$ref": "x.json"}}, "a": {"enum": [{"$ref": 1}]}}}
    assert read(schema)[0].schema == schema


# --- OpenAPI ---

ENVELOPE: Any = {
    "type": "object",
    "properties": {
        "type": {"const": "invoice.paid"},
        "timestamp": {"type": "string", "format": "date-time"},
        "data": {"$ref": "#/components/schemas/Invoice"},
    },
    "required": ["type", "timestamp", "data"],
}


def openapi(operation: Any, *, version: str = "3.1.0", word: str = "webhooks") -> Any:
    return {
        "openapi": version,
        "info": {"title": "A", "version": "1"},
        word: {"paid": {"post": operation}},
        "components": {
            "schemas": {
                "Invoice": {
                    "type": "object",
                    "properties": {"id": {"$ref": "#/components/schemas/Id"}},
                },
                "Id": {"type": "string"},
            },
            "requestBodies": {
                "Paid": {
                    "content": {
                        "text/plain": {"schema": {"type": "string"}},
                        "application/json": {"schema": {"$ref": "#/components/schemas/Invoice"}},
                    }
                }
            },
            "examples": {"One": {"value": {"id": "1"}}},
            "pathItems": {"Paid": {"post": operation}},
        },
    }  # fmt: skip


INVOICE: Any = {
    "type": "object",
    "properties": {"id": {"$ref": "#/$defs/Id"}},
    "$defs": {"Id": {"type": "string"}},
}


def test_webhooks_are_types() -> None:
    operation = {
        "summary": "An invoice was paid.",
        "tags": ["Billing", "Money"],
        "deprecated": True,
        "x-successor": "settled",
        "x-owner": "Billing team",
        "requestBody": {
            "content": {
                "application/json; charset=utf-8": {
                    "schema": {"$ref": "#/components/schemas/Invoice"},
                    "example": {"id": "0"},
                    "examples": {"one": {"$ref": "#/components/examples/One"}},
                }
            }
        },
    }
    assert read(openapi(operation), "api.json") == [
        Described(
            "paid",
            "api.json#/webhooks/paid",
            schema=INVOICE,
            description="An invoice was paid.",
            group="Billing",
            owner="Billing team",
            is_deprecated=True,
            successor="settled",
            examples=({"id": "0"}, {"id": "1"}),
        )
    ]


def test_a_body_and_a_whole_webhook_may_be_referred_to() -> None:
    document = openapi({"requestBody": {"$ref": "#/components/requestBodies/Paid"}})
    document["webhooks"]["paid"] = {"$ref": "#/components/pathItems/Paid"}
    (found,) = read(document)
    assert (found.name, found.schema) == ("paid", INVOICE)


def test_an_envelope_is_taken_off() -> None:
    body = {"type": "invoice.paid", "timestamp": "2026-01-01T00:00:00Z", "data": {"id": "x"}}
    content = {"schema": ENVELOPE, "example": body}
    (found,) = read(openapi({"requestBody": {"content": {"application/json": content}}}))
    assert (found.name, found.schema, found.examples) == ("invoice.paid", INVOICE, ({"id": "x"},))


def test_openapi_3_0_has_other_words() -> None:
    content = {
        "application/json": {
            "schema": {
                "type": "object",
                "properties": {
                    "a": {"type": "string", "nullable": True, "enum": ["x"]},
                    "b": {"allOf": [{"$ref": "#/components/schemas/Id"}], "nullable": True},
                    "c": {"type": "integer", "minimum": 1, "exclusiveMinimum": True, "example": 5},
                },
            }
        }
    }
    document = openapi({"requestBody": {"content": content}}, version="3.0.3", word="x-webhooks")
    (found,) = read(document)
    assert found.where == "invoice.paid.json#/x-webhooks/paid"
    assert found.schema == {
        "type": "object",
        "properties": {
            "a": {"type": ["string", "null"], "enum": ["x", None]},
            "b": {"anyOf": [{"allOf": [{"$ref": "#/$defs/Id"}]}, {"type": "null"}]},
            "c": {"type": "integer", "exclusiveMinimum": 1, "examples": [5]},
        },
        "$defs": {"Id": {"type": "string"}},
    }


def test_a_webhook_without_a_schema_is_refused() -> None:
    (found,) = read(openapi({"summary": "A"}))
    assert (found.name, found.problem) == ("paid", "its request has no schema")


# --- YAML, bounds and what is none ---


def test_yaml_is_read_as_its_core_types() -> None:
    text = b"""
type: object
properties:
  on: {enum: [no, yes, 2026-01-01, 1.5, true, null, 0x1F]}
  200: &any {type: string}
  b: *any
"""
    (found,) = read(text, "a.yaml")
    assert found.schema == {
        "type": "object",
        "properties": {
            "on": {"enum": ["no", "yes", "2026-01-01", 1.5, True, None, "0x1F"]},
            "200": {"type": "string"},
            "b": {"type": "string"},
        },
    }


LAUGHS = b"a: &a [x, x, x, x, x, x, x, x, x, x]\n" + b"".join(
    b"%c: &%c [%s]\n" % (letter, letter, b", ".join([b"*%c" % (letter - 1)] * 10))
    for letter in range(ord("b"), ord("k"))
)


@pytest.mark.parametrize(
    ("content", "name", "words"),
    [
        (b"{", "a.json", "it is no JSON"),
        (b"{", "a", "it is no JSON"),
        (b"a: [", "a.yaml", "it is no YAML"),
        (b"[1]", "a.json", "it is neither a JSON Schema nor an OpenAPI document"),
        (b"text", "a.yaml", "it is neither a JSON Schema nor an OpenAPI document"),
        (b"!!python/object/apply:os.system [id]", "a.yaml", "it is no YAML"),
        (b"&a [*a]", "a.yaml", "it is nested in more than 200 levels"),
        (LAUGHS, "a.yaml", "it has more than 3,000,000 values"),
        (b"? [1]\n: 2", "a.yaml", "it is no YAML"),
        (b'{"openapi": "3.1.0", "paths": {}}', "a.json", "the OpenAPI document has no webhooks"),
        (b'{"asyncapi": "3.0.0"}', "a.json", "AsyncAPI documents are not read"),
        (b'{"event": "a"}', "a.jsonl", "line 1 has no event with a payload"),
        (b"{}\nx", "a.jsonl", "line 1 has no event"),
    ],
)
def test_says_why_a_document_cannot_be_read(content: bytes, name: str, words: str) -> None:
    (found,) = read(content, name)
    assert found.problem.startswith(words)


@pytest.mark.parametrize(("name", "limit"), [("a.json", "DOCUMENT"), ("a.yaml", "YAML")])
def test_a_document_has_a_largest_size(
    monkeypatch: pytest.MonkeyPatch, name: str, limit: str
) -> None:
    monkeypatch.setattr(f"subscriptions.documents.files.MAX_{limit}_BYTES", 10)
    (found,) = read(b'{"type": "object"}', name)
    assert found.problem.endswith("it has more than 10 bytes")


def test_all_together_have_a_largest_size(monkeypatch: pytest.MonkeyPatch) -> None:
    files = [file({"type": "object"}, "a.json"), file({"type": "object"}, "b.json")]
    monkeypatch.setattr("subscriptions.documents.reading.MAX_TYPES", 1)
    with pytest.raises(DocumentNotAcceptable, match="at most 1 types"):
        read_files(files)
    monkeypatch.setattr("subscriptions.documents.reading.MAX_SCHEMAS_BYTES", 20)
    with pytest.raises(DocumentNotAcceptable, match="more than 20 bytes"):
        read_files(files)


def test_a_schema_that_is_too_deep_is_refused() -> None:
    schema: Any = {}
    for _ in range(70):
        schema = {"not": schema}
    assert read(schema)[0].problem == "it is nested in more than 64 levels"
    for _ in range(140):
        schema = {"not": schema}
    assert read(schema)[0].problem == "it is nested in more than 200 levels"


def test_a_chain_of_references_may_be_long() -> None:
    count = 2_000
    chain = {f"d{n}": {"properties": {"next": {"$ref": f"#/$defs/d{n + 1}"}}} for n in range(count)}
    document = {"type": "object", "$ref": "#/$defs/d0", "$defs": {**chain, f"d{count}": {}}}
    (found,) = read(document)
    assert found.problem == ""
    assert len(found.schema["$defs"]) == count + 1


def test_names_are_dotted_and_come_once() -> None:
    found = read_files([file({}, "a.json"), file({}, "x/a b.json"), file({}, "a.yaml")])
    assert [(item.name, item.problem) for item in found] == [
        ("a", ""),
        ("a", "the name comes twice"),
        ("x.a b", "its name is no event type; such are dotted names"),
    ]


def test_lines_of_examples_go_to_their_types() -> None:
    lines = b'{"event": "a", "payload": {"n": 1}}\n\n{"type": "b", "data": 2}\n'
    found = named(read_files([file({"type": "object"}, "a.json"), file(lines, "e.jsonl")]))
    assert found["a"].examples == ({"n": 1},)
    assert found["b"].problem == "there are examples of it, and no schema"


# --- into the catalogue ---

OLD: Any = {"type": "object", "properties": {"a": {"type": "string"}}}
WIDER: Any = {"type": "object", "properties": {"a": {"type": "string"}, "b": {}}}
BROKEN: Any = {"type": "object", "properties": {"a": {"type": "integer"}}}


def lines(done: Import) -> list[tuple[str, str, str]]:
    return [(line.name, str(line.outcome), line.version) for line in done.lines]


@pytest.fixture
def account(db: None) -> Account:
    account = make_account()
    for name in ("broken", "same", "wider"):
        add_schema(event_type=create_event_type(account=account, name=name), schema=OLD)
    create_event_type(account=make_account(), name="new")
    return account


ITEMS = [
    Described("broken", "f", BROKEN),
    Described("new", "f", OLD, description="D", group="G", owner="O", examples=({"a": "x"},)),
    Described("refused", "f", problem="why"),
    Described("same", "f", OLD),
    Described("wider", "f", WIDER),
]
PLANNED = [
    ("broken", "broken", "1.1"),
    ("new", "created", "1.0"),
    ("refused", "refused", ""),
    ("same", "unchanged", ""),
    ("wider", "changed", "1.1"),
]


def test_a_plan_says_what_would_be_and_writes_nothing(account: Account) -> None:
    before = AuditEntry.objects.count()
    plan = plan_import(account=account, described=ITEMS)
    assert (lines(plan), plan.is_done) == (PLANNED, False)
    assert plan.counts == dict.fromkeys(Outcome, 1)
    assert [change.path for change in plan.lines[0].changes] == ["/a"]
    assert plan.lines[2].problem == "why"
    assert (EventSchema.objects.count(), AuditEntry.objects.count()) == (3, before)


def test_all_or_nothing(account: Account) -> None:
    with pytest.raises(ImportNotAcceptable) as caught:
        import_event_types(account=account, described=ITEMS)
    assert [line["outcome"] for line in caught.value.extra["lines"]] == [
        outcome for _, outcome, _ in PLANNED
    ]
    assert EventSchema.objects.count() == 3


def test_the_rest_where_that_is_asked_for(account: Account) -> None:
    done = import_event_types(account=account, described=ITEMS, best_effort=True)
    assert (lines(done), done.is_done) == (PLANNED, True)
    made = EventType.objects.get(account=account, name="new")
    assert (made.description, made.group, made.owner) == ("D", "G", "O")
    assert made.schemas.get().examples == [{"a": "x"}]
    numbers = EventSchema.objects.filter(event_type__account=account).order_by("pk")
    assert sorted(f"{row.event_type.name} {row.number}" for row in numbers) == [
        "broken 1.0",
        "new 1.0",
        "same 1.0",
        "wider 1.0",
        "wider 1.1",
    ]


@pytest.mark.parametrize(
    ("words", "number"), [({"major": True}, "2.0"), ({"allow_breaking": True}, "1.1")]
)
def test_what_breaks_is_taken_on_a_word(
    account: Account, words: dict[str, bool], number: str
) -> None:
    items = [ITEMS[0], ITEMS[4]]
    planned = plan_import(account=account, described=items, **words)
    done = import_event_types(account=account, described=items, **words)
    assert lines(done) == [("broken", "changed", number), ("wider", "changed", "1.1")]
    assert lines(planned) == lines(done)
    assert EventType.objects.get(name="broken").schemas.first().number == number


def test_the_same_again_changes_nothing(account: Account) -> None:
    import_event_types(account=account, described=ITEMS, best_effort=True)
    before = AuditEntry.objects.count()
    again = import_event_types(account=account, described=[ITEMS[1], ITEMS[3]])
    assert [outcome for _, outcome, _ in lines(again)] == ["unchanged", "unchanged"]
    assert AuditEntry.objects.count() == before


def test_what_a_document_does_not_say_stays(account: Account) -> None:
    event_type = create_event_type(
        account=account, name="kept", description="D", group="G", owner="O", is_public=False
    )
    add_schema(event_type=event_type, schema=OLD, examples=[{"a": "x"}])
    done = import_event_types(account=account, described=[Described("kept", "f", OLD, group="New")])
    assert [line.changed_fields for line in done.lines] == [("group",)]
    event_type.refresh_from_db()
    assert (event_type.description, event_type.group, event_type.owner) == ("D", "New", "O")
    assert event_type.schemas.get().examples == [{"a": "x"}]


def test_examples_that_do_not_fit_are_left_out(account: Account) -> None:
    item = Described("new", "f", OLD, examples=({"a": 1}, {"a": "x"}))
    (line,) = import_event_types(account=account, described=[item]).lines
    assert line.example_count == 1
    assert line.example_problems == ('example 1: /a: 1 is not of type "string"',)
    schema = EventSchema.objects.get(event_type__name="new", event_type__account=account)
    assert schema.examples == [{"a": "x"}]


def test_other_examples_change_the_version_that_is_there(account: Account) -> None:
    item = Described("same", "f", OLD, examples=({"a": "y"},))
    (line,) = import_event_types(account=account, described=[item]).lines
    assert (line.outcome, line.version, line.changed_fields) == ("changed", "", ("examples",))
    assert EventSchema.objects.get(event_type__name="same").examples == [{"a": "y"}]


def test_a_deprecated_type_gets_its_successor(account: Account) -> None:
    items = [Described("a", "f", OLD, is_deprecated=True, successor="z"), Described("z", "f", OLD)]
    import_event_types(account=account, described=items)
    found = EventType.objects.get(account=account, name="a")
    assert found.deprecated_at is not None
    assert found.successor is not None
    assert found.successor.name == "z"
    again = plan_import(account=account, described=items)
    assert [outcome for _, outcome, _ in lines(again)] == ["unchanged", "unchanged"]


def test_a_plan_takes_few_queries(account: Account, django_assert_num_queries: Any) -> None:
    # The types, the numbers of their schemas, the latest of these; one for each schema to compare.
    with django_assert_num_queries(5):
        plan_import(account=account, described=ITEMS)


def test_a_recursive_schema_still_checks(account: Account) -> None:
    (item,) = read({"definitions": {"user": USER, "a$event": THING}})
    import_event_types(account=account, described=[item])
    schema = EventSchema.objects.get(event_type__name="a").schema
    assert check_payload(schema, {"owner": {"boss": {"boss": {}}}}) == []
    assert [error.path for error in check_payload(schema, {"owner": {"boss": 5}})] == [
        "/owner/boss"
    ]
