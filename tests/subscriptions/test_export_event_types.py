"""The catalogue as an OpenAPI document, and back."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import orjson
import pytest
from django.core.management import CommandError, call_command
from jsonschema_rs import validator_for

from subscriptions.documents import File, read_files
from subscriptions.event_types import (
    add_schema,
    archive_event_type,
    create_event_type,
    deprecate_event_type,
)
from subscriptions.exports import openapi_of
from subscriptions.imports import plan_import
from subscriptions.models import EventSchema, EventType
from tests.factories import make_account
from webhooks_project.accounts.models import Account

pytestmark = pytest.mark.django_db

SCHEMA: Any = {
    "type": "object",
    "properties": {"to": {"$ref": "#/$defs/user"}, "$ref": {"const": "x"}},
    "$defs": {"user": {"type": "object", "properties": {"boss": {"$ref": "#/$defs/user"}}}},
}


@pytest.fixture
def account() -> Account:
    account = make_account(name="Acme", slug="acme")
    paid = create_event_type(
        account=account, name="invoice.paid", description="It is paid.", group="Billing", owner="B"
    )
    add_schema(event_type=paid, schema=True)
    add_schema(event_type=paid, schema=SCHEMA, examples=[{"to": {}}], major=True)
    old = create_event_type(account=account, name="invoice.done", is_public=False)
    deprecate_event_type(event_type=old, successor=paid)
    gone = create_event_type(account=account, name="gone")
    archive_event_type(event_type=gone)
    create_event_type(account=make_account(), name="another")
    return account


def is_valid(document: Any) -> bool:
    from drf_spectacular.validation import validate_schema

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        validate_schema(document)
    return True


def test_each_type_is_a_webhook(account: Account) -> None:
    document = openapi_of(account)
    assert is_valid(document)
    assert list(document["webhooks"]) == ["invoice.done", "invoice.paid"]
    assert document["webhooks"]["invoice.done"]["post"] == {
        "operationId": "invoice.done",
        "x-event-type": "invoice.done",
        "deprecated": True,
        "x-successor": "invoice.paid",
        "parameters": [
            {"$ref": f"#/components/parameters/webhook-{name}"}
            for name in ("id", "timestamp", "signature")
        ],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {
                        "type": "object",
                        "properties": {
                            "type": {"const": "invoice.done"},
                            "timestamp": {"type": "string", "format": "date-time"},
                            "data": {},
                        },
                        "required": ["type", "timestamp", "data"],
                    }
                }
            },
        },
        "responses": {
            "2XX": {"description": "Taken; anything else is tried again."},
            "410": {"description": "No more of this: the subscription is disabled."},
        },
    }
    paid = document["webhooks"]["invoice.paid"]["post"]
    assert (paid["tags"], paid["x-owner"], paid["x-schema-version"]) == (["Billing"], "B", "2.0")
    media = paid["requestBody"]["content"]["application/json"]
    assert media["schema"]["properties"]["data"] == {"$ref": "#/components/schemas/invoice.paid"}
    assert media["examples"]["example-1"]["value"]["data"] == {"to": {}}


def test_references_lead_to_where_the_schema_is(account: Account) -> None:
    document = openapi_of(account)
    user = "#/components/schemas/invoice.paid/$defs/user"
    assert document["components"]["schemas"]["invoice.paid"] == {
        "type": "object",
        "properties": {"to": {"$ref": user}, "$ref": {"const": "x"}},
        "$defs": {"user": {"type": "object", "properties": {"boss": {"$ref": user}}}},
    }
    media = document["webhooks"]["invoice.paid"]["post"]["requestBody"]["content"]
    check = validator_for({**media["application/json"]["schema"], **document})
    body = {"type": "invoice.paid", "timestamp": "2026-01-01T00:00:00Z"}
    assert check.is_valid({**body, "data": {"to": {"boss": {}}}})
    assert not check.is_valid({**body, "data": {"to": {"boss": 1}}})
    assert not check.is_valid({**body, "type": "another", "data": {}})


def test_what_is_public_is_all_that_strangers_get(account: Account) -> None:
    document = openapi_of(account, public_only=True)
    assert list(document["webhooks"]) == ["invoice.paid"]
    assert str(account.pk) not in str(document)
    assert "x-owner" not in document["webhooks"]["invoice.paid"]["post"]


def test_what_was_exported_is_imported_without_a_change(account: Account) -> None:
    # A type without a schema takes anything, and an import gives it one that says so.
    add_schema(event_type=EventType.objects.get(name="invoice.done"), schema=True)
    described = read_files([File("api.json", orjson.dumps(openapi_of(account)))])
    plan = plan_import(account=account, described=described)
    assert [(line.name, str(line.outcome)) for line in plan.lines] == [
        ("invoice.done", "unchanged"),
        ("invoice.paid", "unchanged"),
    ]


def test_takes_as_many_queries_whatever_its_length(
    account: Account, django_assert_num_queries: Any
) -> None:
    with django_assert_num_queries(2):
        openapi_of(account)


# --- commands ---


def run(name: str, *words: str) -> str:
    out = io.StringIO()
    call_command(name, *words, stdout=out)
    return out.getvalue()


def test_the_command_prints_or_writes_the_document(account: Account, tmp_path: Path) -> None:
    assert orjson.loads(run("export_event_types", "--account", "acme")) == openapi_of(account)
    path = tmp_path / "api.json"
    said = run("export_event_types", "--account", "acme", "--public", "--out", str(path))
    assert said == "1 event types exported\n"
    assert orjson.loads(path.read_bytes()) == openapi_of(account, public_only=True)
    with pytest.raises(CommandError, match="there is no account nobody"):
        run("export_event_types", "--account", "nobody")


def test_the_command_plans_and_imports(tmp_path: Path) -> None:
    account = make_account(slug="acme")
    (tmp_path / "order").mkdir()
    (tmp_path / "order" / "made.json").write_bytes(b'{"type": "object"}')
    (tmp_path / "order.yaml").write_bytes(b"type: object\n")
    (tmp_path / "examples.jsonl").write_bytes(b'{"type": "order", "data": {}}\n')
    (tmp_path / "README.md").write_bytes(b"no schema")
    planned = run("import_event_types", str(tmp_path), "--dry-run")
    assert planned == (
        "  created  order  v1.0, 1 examples\n"
        "  created  order.made  v1.0\n"
        "2 of 2 event types would be imported: 2 created\n"
    )
    assert not EventType.objects.exists()
    done = run("import_event_types", str(tmp_path), "--account", "acme")
    assert done.endswith("2 of 2 event types imported: 2 created\n")
    assert list(account.event_types.values_list("name", flat=True)) == ["order", "order.made"]


def test_the_command_says_what_would_break(tmp_path: Path) -> None:
    account = make_account(slug="acme")
    path = tmp_path / "a.json"
    for kind in ("string", "integer"):
        path.write_bytes(orjson.dumps({"properties": {"a": {"type": kind}}}))
        if kind == "string":
            run("import_event_types", str(path))
    with pytest.raises(CommandError, match="1 of 1 types cannot be imported, so none was"):
        run("import_event_types", str(path))
    planned = run("import_event_types", str(path), "--dry-run")
    assert "broken  a  the schema breaks readers" in planned
    assert "/a: string became integer" in planned
    assert planned.endswith("0 of 1 event types would be imported: 1 broken\n")
    run("import_event_types", str(path), "--major")
    latest = EventSchema.objects.filter(event_type__account=account).first()
    assert latest is not None
    assert latest.number == "2.0"


def test_the_command_asks_for_an_account_and_a_file(tmp_path: Path) -> None:
    make_account()
    with pytest.raises(CommandError, match="cannot be read"):
        run("import_event_types", str(tmp_path / "nothing.json"))
    make_account()
    with pytest.raises(CommandError, match="name the account"):
        run("import_event_types", str(tmp_path))
