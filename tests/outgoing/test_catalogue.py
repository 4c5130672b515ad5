"""The public catalogue of an account's event types."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import orjson
import pytest
from django.template.loader import get_template
from django.test import Client
from standardwebhooks import Webhook

from outgoing.catalogue import LANGUAGES, SAMPLE_SECRET, sample_delivery
from subscriptions.event_types import (
    add_schema,
    archive_event_type,
    change_event_type,
    create_event_type,
    deprecate_event_type,
)
from subscriptions.exports import openapi_of
from subscriptions.models import EventType
from tests.factories import make_account
from webhooks_project.accounts.models import Account
from webhooks_project.lib import clock
from webhooks_project.lib.signing import key_of, signature_header

SCHEMA: Any = {
    "type": "object",
    "properties": {"amount": {"type": "integer", "description": "<b>Cents</b>"}},
    "required": ["amount"],
}


@pytest.fixture
def account(db: None) -> Account:
    account = make_account(name="Acme", slug="acme", has_public_catalogue=True)
    paid = make_type(account, "invoice.paid", group="Billing", description="It is paid in full.")
    add_schema(event_type=paid, schema=SCHEMA, examples=[{"amount": 5}])
    return account


def make_type(account: Account, name: str, **fields: Any) -> EventType:
    return create_event_type(account=account, name=name, **fields)


def page(path: str = "", status: int = 200) -> str:
    response = Client().get(f"/catalogue/acme/{path}")
    assert response.status_code == status
    return response.content.decode()


def names(html: str) -> list[str]:
    return re.findall(r'class="name"[^>]*>([^<]+)<', html)


PATHS = [
    "",
    "openapi.json",
    "verify/",
    "types/invoice.paid/",
    "types/invoice.paid/schema.json",
]


@pytest.mark.parametrize("path", PATHS)
def test_is_there_only_where_the_account_says_so(account: Account, path: str) -> None:
    response = Client().get(f"/catalogue/acme/{path}")
    assert response.status_code == 200
    assert "set-cookie" not in response.headers
    assert Client().post(f"/catalogue/acme/{path}").status_code == 405
    Account.objects.update(has_public_catalogue=False)
    assert Client().get(f"/catalogue/acme/{path}").status_code == 404
    assert Client().get(f"/catalogue/nobody/{path}").status_code == 404


@pytest.mark.parametrize("path", PATHS)
def test_runs_no_script_and_loads_nothing_from_others(account: Account, path: str) -> None:
    response = Client().get(f"/catalogue/acme/{path}")
    policy = response["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'self';")
    html = response.content.decode()
    assert not re.search(r"<script|<style|\sstyle=|\son[a-z]+=|https?://(?!json-schema\.org)", html)


def test_shows_what_is_public_and_nothing_else(account: Account) -> None:
    make_type(account, "ping")
    hidden = make_type(account, "secret.thing", is_public=False)
    archived = make_type(account, "old.thing")
    archive_event_type(event_type=archived)
    make_type(make_account(has_public_catalogue=True), "another")
    assert names(page()) == ["invoice.paid", "ping"]
    for name in (hidden.name, archived.name, "another"):
        page(f"types/{name}/", 404)
        page(f"types/{name}/schema.json", 404)
    assert orjson.loads(page("openapi.json")) == openapi_of(account, public_only=True)


def test_is_grouped(account: Account) -> None:
    make_type(account, "invoice.void", group="Billing")
    make_type(account, "user.left", group="People")
    make_type(account, "ping")
    html = page()
    assert re.findall(r"<h2[^>]*>([^<]+)<", html) == ["Billing", "Events", "People"]
    assert names(html) == ["invoice.paid", "invoice.void", "ping", "user.left"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("paid", ["invoice.paid"]),
        ("FULL", ["invoice.paid"]),
        ("billing", ["invoice.paid"]),
        ("billing full", ["invoice.paid"]),
        ("billing nobody", []),
        ("%", []),
        ("\0", ["invoice.paid", "user.left"]),
        ("", ["invoice.paid", "user.left"]),
    ],
)
def test_is_searched(account: Account, query: str, found: list[str]) -> None:
    make_type(account, "user.left")
    response = Client().get("/catalogue/acme/", {"q": query})
    assert names(response.content.decode()) == found


def test_a_search_is_shown_as_text(account: Account) -> None:
    html = Client().get("/catalogue/acme/", {"q": '"><script>'}).content.decode()
    assert 'value="&quot;&gt;&lt;script&gt;"' in html


def test_a_deprecated_type_names_its_successor(account: Account) -> None:
    paid = EventType.objects.get(name="invoice.paid")
    old = make_type(account, "invoice.done")
    deprecate_event_type(event_type=old, successor=paid)
    link = '<a href="/catalogue/acme/types/invoice.paid/">invoice.paid</a>'
    assert f"Use {link} instead." in page()
    assert f"Use {link} instead." in page("types/invoice.done/")
    change_event_type(event_type=paid, is_public=False)
    assert "deprecated" in page()
    assert "invoice.paid" not in page() + page("types/invoice.done/")


def test_a_type_has_its_versions(account: Account) -> None:
    paid = EventType.objects.get(name="invoice.paid")
    add_schema(event_type=paid, schema={"type": "string"}, major=True)
    html = page("types/invoice.paid/")
    assert re.findall(r'href="\?version=([0-9.]+)"( aria-current="page")?', html) == [
        ("2.0", ' aria-current="page"'),
        ("1.0", ""),
    ]
    old = page("types/invoice.paid/?version=1.0")
    assert "This is not the latest version" in old
    assert "&lt;b&gt;Cents&lt;/b&gt;" in old
    assert orjson.loads(page("types/invoice.paid/schema.json")) == {"type": "string"}
    assert orjson.loads(page("types/invoice.paid/schema.json?version=1.0")) == SCHEMA
    for version in ("3.0", "x", "1", "1.x", "99999999999999999999.0", "١.0"):
        page(f"types/invoice.paid/?version={version}", 404)


def test_a_type_without_a_schema_has_a_page(account: Account) -> None:
    make_type(account, "ping")
    assert "No schema is set: the data may be anything." in page("types/ping/")
    page("types/ping/schema.json", 404)


def test_pages_take_few_queries(account: Account, django_assert_num_queries: Any) -> None:
    for number in range(5):
        add_schema(event_type=make_type(account, f"type.{number}"), schema=SCHEMA)
    page("types/invoice.paid/")
    with django_assert_num_queries(2):  # the account, the types
        page()
    with django_assert_num_queries(4):  # the account, the type, its versions, one of them
        page("types/invoice.paid/")


# --- a delivery and how to verify it ---


@pytest.fixture
def sample(account: Account) -> tuple[dict[str, str], bytes]:
    event_type = EventType.objects.get(name="invoice.paid")
    made = sample_delivery(event_type, event_type.schemas.get())
    headers = dict(line.split(": ", 1) for line in made.headers)
    return headers, made.body.encode()


def test_the_sample_is_as_it_is_sent(sample: tuple[dict[str, str], bytes]) -> None:
    headers, body = sample
    assert orjson.loads(body)["data"] == {"amount": 5}
    assert orjson.loads(body)["type"] == "invoice.paid"
    assert list(headers) == [
        "Content-Type",
        "webhook-id",
        "webhook-timestamp",
        "webhook-signature",
    ]
    Webhook(SAMPLE_SECRET).verify(body, headers)


def test_an_example_may_be_any_value(account: Account) -> None:
    event_type = make_type(account, "counted")
    schema = add_schema(event_type=event_type, schema={"type": "integer"}, examples=[0])
    made = sample_delivery(event_type, schema)
    assert (made.is_made_up, orjson.loads(made.body)["data"]) == (False, 0)


def test_data_is_made_up_where_there_is_no_example(account: Account) -> None:
    event_type = make_type(account, "order.made")
    schema = add_schema(event_type=event_type, schema=SCHEMA)
    made = sample_delivery(event_type, schema)
    assert made.is_made_up
    assert orjson.loads(made.body)["data"] == {"amount": 1}
    assert sample_delivery(make_type(account, "ping"), None).body.endswith('"data":{}}')


def text_of(language: str) -> str:
    return get_template(f"catalogue/verify/{language}.txt").template.source  # type: ignore[attr-defined]


def calls(now: int) -> list[tuple[bool, dict[str, str], bytes]]:
    """Calls with what is to be said of them."""
    body = '{"type":"a","data":"ä"}'.encode()
    key = key_of(SAMPLE_SECRET)

    def headers(at: int = now, keys: tuple[bytes, ...] = (key,)) -> dict[str, str]:
        signature = signature_header(keys, message_id="evt_1", timestamp=at, body=body)
        return {
            "webhook-id": "evt_1",
            "webhook-timestamp": str(at),
            "webhook-signature": signature,
        }

    return [
        (True, headers(), body),
        (True, headers(keys=(b"x" * 32, key)), body),
        (True, headers(at=now - 200), body),
        (False, headers(), body + b" "),
        (False, headers(keys=(b"x" * 32,)), body),
        (False, headers(at=now - 400), body),
        (False, headers(at=now + 400), body),
        (False, {**headers(), "webhook-id": "evt_2"}, body),
        (False, {**headers(), "webhook-timestamp": str(now + 1)}, body),
        (False, {**headers(), "webhook-timestamp": "now"}, body),
        (False, {**headers(), "webhook-signature": ""}, body),
        (False, {**headers(), "webhook-signature": "v1,"}, body),
    ]


def test_the_python_code_tells_true_from_false() -> None:
    place: dict[str, Any] = {}
    exec(text_of("python"), place)
    for expected, headers, body in calls(int(clock.now().timestamp())):
        assert place["is_genuine"](SAMPLE_SECRET, headers, body) is expected, headers


RUNS = {
    "javascript": (
        "node",
        "verify.js",
        "const {isGenuine} = require('./verify.js');"
        "const c = JSON.parse(require('fs').readFileSync(0));"
        "console.log(c.map(x => isGenuine(x[0], x[1], Buffer.from(x[2]))).join(' '))",
        "-e",
    ),
    "ruby": (
        "ruby",
        "verify.rb",
        "require './verify.rb'; require 'json';"
        "puts JSON.parse(STDIN.read).map { |s, h, b| genuine?(s, h, b) }.join(' ')",
        "-e",
    ),
    "php": (
        "php",
        "verify.php",
        "require './verify.php'; echo implode(' ', array_map(fn($x) => "
        "is_genuine($x[0], $x[1], $x[2]) ? 'true' : 'false', "
        "json_decode(file_get_contents('php://stdin'), true)));",
        "-r",
    ),
}


@pytest.mark.parametrize("language", RUNS)
def test_the_code_of_other_languages_does_where_they_are_installed(
    language: str, tmp_path: Path
) -> None:
    program, name, code, option = RUNS[language]
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    (tmp_path / name).write_text(text_of(language))
    asked = calls(int(clock.now().timestamp()))
    given = orjson.dumps([[SAMPLE_SECRET, headers, body.decode()] for _, headers, body in asked])
    done = subprocess.run(
        [program, option, code], input=given, cwd=tmp_path, capture_output=True, check=False
    )
    assert done.stdout.decode().split() == [str(expected).lower() for expected, _, _ in asked], (
        done.stderr
    )


def test_shows_how_to_verify_in_five_languages(account: Account) -> None:
    for path in ("verify/", "types/invoice.paid/"):
        html = page(path)
        shown = re.findall(r"<details name=\"language\"[^>]*>\s*<summary>([^<]+)<", html)
        assert shown == list(LANGUAGES.values())
        assert html.count("webhook-signature") >= len(LANGUAGES)
