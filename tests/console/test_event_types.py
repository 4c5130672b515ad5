"""Event types in the console: their life, their schemas and their import."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from monitoring.models import AuditEntry
from subscriptions.event_types import add_schema, create_event_type
from subscriptions.models import EventSchema, EventType
from tests.console.conftest import make_viewer
from tests.factories import make_account, make_event
from webhooks_project.accounts.models import Account, User
from webhooks_project.admin.values import list_of, page_of

OLD = {"type": "object", "properties": {"a": {"type": "string"}}}
BROKEN = {"type": "object", "properties": {"a": {"type": "integer"}}}
LIST = "/admin/subscriptions/eventtype/"


@pytest.fixture
def event_type(db: None) -> EventType:
    event_type = create_event_type(account=make_account(), name="invoice.paid")
    add_schema(event_type=event_type, schema=OLD)
    return event_type


def path_of(event_type: EventType, button: str) -> str:
    return page_of("subscriptions.eventtype", event_type.pk).replace("/change/", f"/{button}/")


def numbers() -> list[str]:
    return [row.number for row in EventSchema.objects.order_by("version")]


def test_is_deprecated_archived_and_restored(console: Client, event_type: EventType) -> None:
    create_event_type(account=event_type.account, name="invoice.settled")
    console.post(path_of(event_type, "deprecate"), {"successor": "invoice.settled"})
    event_type.refresh_from_db()
    assert event_type.deprecated_at is not None
    assert event_type.successor is not None
    assert event_type.successor.name == "invoice.settled"
    console.post(path_of(event_type, "archive"))
    event_type.refresh_from_db()
    assert event_type.archived_at is not None
    page = console.get(page_of("subscriptions.eventtype", event_type.pk)).content.decode()
    assert "/restore/" in page
    assert "/add-schema/" not in page
    console.post(path_of(event_type, "restore"))
    event_type.refresh_from_db()
    assert (event_type.deprecated_at, event_type.archived_at) == (None, None)


def test_a_successor_that_is_not_there_is_refused(console: Client, event_type: EventType) -> None:
    create_event_type(account=make_account(), name="invoice.settled")
    console.post(path_of(event_type, "deprecate"), {"successor": "invoice.settled"})
    event_type.refresh_from_db()
    assert event_type.deprecated_at is None


# --- schemas ---


def test_the_page_starts_from_the_latest_schema(console: Client, event_type: EventType) -> None:
    form = console.get(path_of(event_type, "add-schema")).context["form"]
    assert form.initial["schema"] == OLD


def test_says_what_a_schema_breaks_before_it_is_added(
    console: Client, event_type: EventType
) -> None:
    fields = {"schema": orjson.dumps(BROKEN).decode()}
    checked = console.post(path_of(event_type, "add-schema"), {**fields, "check": "1"})
    html = checked.content.decode()
    assert "string became integer" in html
    assert not checked.context["form"].errors
    refused = console.post(path_of(event_type, "add-schema"), {**fields, "add": "1"})
    assert refused.context["form"].errors == {
        "__all__": ["It breaks what is listed below: say that it may."]
    }
    assert "string became integer" in refused.content.decode()
    assert numbers() == ["1.0"]


@pytest.mark.parametrize(("word", "number"), [("major", "2.0"), ("allow_breaking", "1.1")])
def test_adds_what_breaks_on_a_word(
    console: Client, operator: User, event_type: EventType, word: str, number: str
) -> None:
    fields = {"schema": orjson.dumps(BROKEN).decode(), word: "on", "downgrade": "$", "add": "1"}
    answer = console.post(path_of(event_type, "add-schema"), fields)
    assert answer.status_code == 302
    assert numbers() == ["1.0", number]
    entry = AuditEntry.objects.filter(action="event_type.schema_added").latest("sequence")
    assert entry.actor_label == operator.username


def test_an_example_that_does_not_fit_is_refused(console: Client, event_type: EventType) -> None:
    fields = {"schema": orjson.dumps(OLD).decode(), "examples": '[{"a": 1}]', "add": "1"}
    answer = console.post(path_of(event_type, "add-schema"), fields)
    assert "an example does not fit the schema: /0/a" in str(answer.context["form"].errors)
    assert numbers() == ["1.0"]


def test_the_page_shows_schemas_examples_and_use(console: Client, event_type: EventType) -> None:
    add_schema(event_type=event_type, schema=OLD, examples=[{"a": "an example"}])
    make_event(event_type.account, type="invoice.paid", schema_version="1.1")
    page = console.get(page_of("subscriptions.eventtype", event_type.pk)).content.decode()
    assert "Version 1.1" in page
    assert "an example" in page
    assert "0 subscriptions hear it now" in page


# --- import ---


def upload(name: str, document: Any) -> SimpleUploadedFile:
    return SimpleUploadedFile(name, orjson.dumps(document))


def test_an_import_is_planned_and_then_done(
    console: Client, operator: User, event_type: EventType
) -> None:
    account = str(event_type.account_id)
    assert (
        f"{LIST}import-types/" in console.get(list_of("subscriptions.eventtype")).content.decode()
    )
    files = [upload("order.made.json", OLD), upload("invoice.paid.json", BROKEN)]
    planned = console.post(f"{LIST}import-types/", {"account": account, "uploads": files})
    html = planned.content.decode()
    assert ("1 created, 1 broken" in html, "string became integer" in html) == (True, True)
    assert EventType.objects.count() == 1
    carried = {"account": account, "documents": planned.context["documents"], "import": "1"}
    refused = console.post(f"{LIST}import-types/", carried)
    assert "so none was" in str(refused.context["form"].errors)
    assert EventType.objects.count() == 1
    done = console.post(f"{LIST}import-types/", {**carried, "best_effort": "on"})
    assert done.status_code == 302
    assert list(EventType.objects.values_list("name", flat=True)) == ["invoice.paid", "order.made"]
    entry = AuditEntry.objects.filter(action="event_type.created").latest("sequence")
    assert entry.actor_label == operator.username


@pytest.mark.parametrize("documents", ["", "{", "5", "[1]", '[["a", 1]]'])
def test_an_import_needs_a_file(console: Client, documents: str) -> None:
    fields = {"account": str(make_account().pk), "documents": documents}
    answer = console.post(f"{LIST}import-types/", fields)
    assert answer.status_code == 200
    assert answer.context["form"].errors


def test_only_who_may_change_types_imports(db: None) -> None:
    viewer = make_viewer("subscriptions.eventtype")
    assert viewer.get(f"{LIST}import-types/").status_code == 403
    assert "import-types" not in viewer.get(LIST).content.decode()


def test_an_account_says_what_of_unknown_types_and_of_the_public(console: Client) -> None:
    account = make_account(slug="acme")
    fields = {
        "name": account.name, "slug": "acme", "unknown_event_types": "reject",
        "has_public_catalogue": "on", "memberships-TOTAL_FORMS": "0",
        "memberships-INITIAL_FORMS": "0",
    }  # fmt: skip
    console.post(page_of("accounts.account", account.pk), fields)
    account = Account.objects.get()
    assert (account.unknown_event_types, account.has_public_catalogue) == ("reject", True)
