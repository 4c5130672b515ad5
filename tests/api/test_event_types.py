"""The catalogue by API: the life of types, their schemas, import and export."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from monitoring.models import AuditEntry
from subscriptions.event_types import add_schema, create_event_type
from subscriptions.exports import openapi_of
from subscriptions.models import EventSchema, EventType
from tests.api.calls import Api
from tests.factories import make_account, make_api_key
from webhooks_project.accounts.models import Account, Role

pytestmark = pytest.mark.django_db

OLD: Any = {"type": "object", "properties": {"a": {"type": "string"}}}
BROKEN: Any = {"type": "object", "properties": {"a": {"type": "integer"}}}
CHANGE = {
    "path": "/a",
    "kind": "retyped",
    "detail": "string became integer",
    "breaks": "readers",
}


@pytest.fixture
def account() -> Account:
    return make_account()


@pytest.fixture
def api(account: Account) -> Api:
    return Api(make_api_key(account, Role.DEVELOPER).text)


@pytest.fixture
def event_type(account: Account) -> EventType:
    event_type = create_event_type(account=account, name="invoice.paid")
    add_schema(event_type=event_type, schema=OLD)
    return event_type


def path_of(event_type: EventType, action: str = "") -> str:
    return f"subscriptions/event-types/{event_type.pk}{action}"


def numbers() -> list[str]:
    return [row.number for row in EventSchema.objects.order_by("version")]


def test_a_type_has_its_words(api: Api) -> None:
    words = {
        "name": "order.made",
        "description": "d",
        "group": "Orders",
        "owner": "Shop",
        "is_public": False,
        "schema_mode": "quarantine",
    }
    made = api.post("subscriptions/event-types", words)
    assert made.status == 201
    shown = {"deprecated_at": None, "archived_at": None, "successor": None, "schemas": []}
    expected = words | shown | {key: made.json[key] for key in ("id", "account", "created_at")}
    assert made.json == expected
    changed = api.patch(
        f"subscriptions/event-types/{made.json['id']}", {"group": "Shop", "is_public": True}
    )
    assert (changed.json["group"], changed.json["is_public"]) == ("Shop", True)


def test_a_list_has_the_numbers_of_schemas_alone(api: Api, event_type: EventType) -> None:
    (row,) = api.get("subscriptions/event-types").rows
    schema = event_type.schemas.get()
    assert [{**item, "created_at": ""} for item in row["schemas"]] == [
        {"id": str(schema.pk), "version": 1, "number": "1.0", "created_at": ""}
    ]
    assert api.get("subscriptions/event-types?group=x").rows == []
    assert len(api.get("subscriptions/event-types?is_public=true&schema_mode=reject").rows) == 1


def test_goes_through_its_life(api: Api, account: Account, event_type: EventType) -> None:
    create_event_type(account=account, name="invoice.settled")
    answer = api.post(path_of(event_type, "/deprecate"), {"successor": "invoice.settled"})
    assert (answer.status, answer.json["successor"]) == (200, "invoice.settled")
    assert answer.json["deprecated_at"] is not None
    assert api.post(path_of(event_type, "/deprecate")).json["successor"] is None
    assert api.post(path_of(event_type, "/archive")).json["archived_at"] is not None
    refused = api.post(path_of(event_type, "/schemas"), {"schema": {}})
    assert (refused.status, refused.code) == (409, "event_type_archived")
    restored = api.post(path_of(event_type, "/restore")).json
    assert (restored["deprecated_at"], restored["archived_at"]) == (None, None)


def test_a_successor_is_of_the_same_account(api: Api, event_type: EventType) -> None:
    create_event_type(account=make_account(), name="another")
    for name in ("another", "nobody", "invoice.paid"):
        answer = api.post(path_of(event_type, "/deprecate"), {"successor": name})
        assert (answer.status, answer.code) == (400, "successor_not_acceptable")
    event_type.refresh_from_db()
    assert event_type.deprecated_at is None


# --- schemas ---


def test_a_check_says_what_would_break_and_adds_nothing(api: Api, event_type: EventType) -> None:
    path = path_of(event_type, "/schemas/check")
    before = AuditEntry.objects.count()
    assert api.post(path, {"schema": BROKEN}).json == {
        "number": "1.1",
        "changes": [CHANGE],
        "is_allowed": False,
    }
    assert api.post(path, {"schema": BROKEN, "major": True}).json == {
        "number": "2.0",
        "changes": [CHANGE],
        "is_allowed": True,
    }
    assert (numbers(), AuditEntry.objects.count()) == (["1.0"], before)


def test_what_breaks_is_a_conflict_unless_that_is_said(api: Api, event_type: EventType) -> None:
    path = path_of(event_type, "/schemas")
    refused = api.post(path, {"schema": BROKEN})
    assert (refused.status, refused.code) == (409, "schema_breaks_readers")
    assert refused.json["changes"] == [CHANGE]
    assert numbers() == ["1.0"]
    made = api.post(path, {"schema": BROKEN, "major": True, "downgrade": "$"})
    assert (made.status, made.json["number"], made.json["downgrade"]) == (201, "2.0", "$")
    made = api.post(path, {"schema": OLD, "allow_breaking": True, "examples": [{"a": "x"}]})
    assert (made.json["number"], made.json["examples"]) == ("2.1", [{"a": "x"}])


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ({"schema": OLD, "examples": [{"a": 1}]}, "example_does_not_fit"),
        ({"schema": OLD, "downgrade": "{"}, "expression_not_acceptable"),
    ],
)
def test_refuses_what_is_wrong(
    api: Api, event_type: EventType, words: dict[str, Any], code: str
) -> None:
    for action in ("/schemas", "/schemas/check"):
        answer = api.post(path_of(event_type, action), words)
        assert (answer.status, answer.code) == (400, code)
    assert numbers() == ["1.0"]


# --- import and export ---


def documents(schema: Any = OLD, name: str = "order.made.json") -> Any:
    return {"documents": [{"name": name, "content": orjson.dumps(schema).decode()}]}


def test_an_import_is_a_dry_run_until_it_is_not(api: Api, account: Account) -> None:
    path = f"accounts/{account.pk}/event-types/import"
    line = {
        "name": "order.made",
        "where": "order.made.json",
        "outcome": "created",
        "version": "1.0",
        "changed_fields": [],
        "changes": [],
        "example_count": 0,
        "example_problems": [],
        "problem": "",
    }
    counts = {"created": 1, "changed": 0, "unchanged": 0, "broken": 0, "refused": 0}
    planned = api.post(path, documents())
    assert planned.json == {"is_done": False, "counts": counts, "lines": [line]}
    assert not EventType.objects.exists()
    done = api.post(path, {**documents(), "dry_run": False})
    assert done.json == {"is_done": True, "counts": counts, "lines": [line]}
    assert EventType.objects.get().account == account


def test_an_import_is_all_or_nothing(api: Api, account: Account, event_type: EventType) -> None:
    path = f"accounts/{account.pk}/event-types/import"
    both = {
        "documents": [
            *documents()["documents"],
            *documents(BROKEN, "invoice.paid.json")["documents"],
        ],
        "dry_run": False,
    }
    refused = api.post(path, both)
    assert (refused.status, refused.code) == (409, "import_not_acceptable")
    assert [line["outcome"] for line in refused.json["lines"]] == ["broken", "created"]
    assert refused.json["lines"][0]["changes"] == [CHANGE]
    assert EventType.objects.count() == 1
    assert api.post(path, {**both, "best_effort": True}).json["counts"]["broken"] == 1
    assert api.post(path, {**both, "major": True}).json["lines"][0]["version"] == "2.0"


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        ({}, {"/documents": "required"}),
        ({"documents": []}, {"/documents": "empty"}),
        ({"documents": [{"name": "a"}]}, {"/documents/0/content": "required"}),
        ({"documents": [{"name": "a", "content": "{}"}] * 501}, {"/documents": "max_length"}),
    ],
)
def test_an_import_has_documents(
    api: Api, account: Account, body: Any, errors: dict[str, str]
) -> None:
    assert api.post(f"accounts/{account.pk}/event-types/import", body).errors == errors


def test_the_catalogue_is_exported(api: Api, account: Account, event_type: EventType) -> None:
    create_event_type(account=account, name="hidden", is_public=False)
    path = f"accounts/{account.pk}/event-types/export"
    assert api.get(path).json == openapi_of(account)
    assert api.get(f"{path}?public=true").json == openapi_of(account, public_only=True)


def test_an_administrator_says_what_of_unknown_types(account: Account) -> None:
    api = Api(make_api_key(account, Role.ADMIN).text)
    path = f"accounts/{account.pk}"
    answer = api.patch(path, {"unknown_event_types": "reject", "has_public_catalogue": True})
    assert answer.status == 200
    account.refresh_from_db()
    assert (account.unknown_event_types, account.has_public_catalogue) == ("reject", True)
    wrong = api.patch(path, {"unknown_event_types": "nonsense"})
    assert wrong.errors == {"/unknown_event_types": "invalid_choice"}
