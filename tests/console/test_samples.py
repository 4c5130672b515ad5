"""A sample goes through the real door, and the page tells what came of it."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from django.test import Client

from incoming.models import Receipt, Source
from monitoring.models import AuditEntry
from tests.console.conftest import make_viewer
from tests.factories import SOURCE_SECRET, make_receipt, make_source
from webhooks_project.admin.values import page_of

ATTACK = "<script>alert(1)</script>"


def path_of(source: Source) -> str:
    return page_of("incoming.source", source.pk).replace("/change/", "/send-sample/")


def text_of(response: Any) -> str:
    text: str = response.content.decode()
    return text


@pytest.fixture
def door(live_server: Any, settings: Any, transactional_db: None) -> None:
    settings.PUBLIC_URL = live_server.url


@pytest.mark.usefixtures("door")
@pytest.mark.parametrize("body", [b"", b'{\n"amount": 7}'])
def test_what_is_sent_is_received(console: Client, body: bytes) -> None:
    source = make_source()

    given = {"type": "issues", "body": body.decode().replace("\n", "\r\n")}
    response = console.post(path_of(source), given)

    receipt = Receipt.objects.get()
    assert (receipt.status, receipt.type, receipt.is_verified) == ("accepted", "issues", True)
    assert not body or bytes(receipt.body) == body
    told = text_of(response)
    assert page_of("incoming.receipt", receipt.pk) in told
    assert "x-github-event: issues" in told
    assert "x-hub-signature-256: [redacted]" in told
    assert SOURCE_SECRET not in told


@pytest.mark.usefixtures("door")
def test_a_refusal_is_told_with_its_receipt(console: Client) -> None:
    source = make_source(schema={"required": ["id"]}, schema_mode="reject")

    told = text_of(console.post(path_of(source), {"body": "{}"}))

    receipt = Receipt.objects.get()
    assert (receipt.status, receipt.cause) == ("refused", "schema_mismatch")
    assert "schema_mismatch" in told
    assert page_of("incoming.receipt", receipt.pk) in told


@pytest.mark.usefixtures("door")
def test_what_is_hostile_is_text(console: Client) -> None:
    source = make_source(answer_status=200, answer_body=ATTACK, routes=({"type_pattern": ATTACK},))
    make_receipt(source, status="processed", type=f"{ATTACK}2")

    shown = text_of(console.get(path_of(source)))
    told = text_of(console.post(path_of(source), {"type": ATTACK, "body": ATTACK + "x" * 5000}))

    for text in (shown, told):
        assert ATTACK not in text
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text


def test_a_body_to_start_from(console: Client) -> None:
    source = make_source(provider="stripe")

    response = console.post(path_of(source), {"type": "invoice.paid", "make_body": "1"})

    body = orjson.loads(response.context["form"]["body"].value())
    assert body["type"] == "invoice.paid"
    assert body["id"]
    assert not Receipt.objects.exists()


def test_types_to_choose_from(console: Client) -> None:
    source = make_source(routes=({"type_pattern": "push"}, {"type_pattern": "issues*"}))
    make_receipt(source, status="processed", type="star")

    assert console.get(path_of(source)).context["types"] == ["push", "star"]


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"provider": "paypal"}, "the hub cannot make PayPal&#x27;s proof itself"),
        ({"secret": None}, "the source has no secret to sign with"),
    ],
)
def test_why_none_can_be_sent(console: Client, fields: dict[str, Any], why: str) -> None:
    source = make_source(**fields)

    shown = text_of(console.get(path_of(source)))
    told = text_of(console.post(path_of(source), {"body": "{}"}))

    assert f"No sample can be sent: {why}" in shown
    assert f"No sample can be sent: {why}" in told
    assert ">Send<" not in shown.replace("\n", "").replace(" ", "")


def test_a_door_that_is_not_reached_is_said(console: Client, settings: Any) -> None:
    settings.PUBLIC_URL = "http://127.0.0.1:9"

    told = text_of(console.post(path_of(make_source()), {}))

    assert "address http://127.0.0.1:9 cannot be reached" in told


def test_a_provider_that_is_gone(console: Client) -> None:
    source = make_source()
    Source.objects.update(provider="gone-since")

    assert "There is no provider gone-since" in text_of(console.get(path_of(source)))


def test_get_sends_nothing_and_a_viewer_may_not(console: Client) -> None:
    source = make_source()
    viewer = make_viewer("incoming.source", "incoming.receipt")

    assert console.get(path_of(source)).status_code == 200
    assert viewer.get(path_of(source)).status_code == 403
    assert viewer.post(path_of(source), {}).status_code == 403
    assert console.put(path_of(source)).status_code == 405
    assert path_of(source) not in text_of(viewer.get(page_of("incoming.source", source.pk)))
    assert path_of(source) in text_of(console.get(page_of("incoming.source", source.pk)))
    assert not Receipt.objects.exists()
    assert not AuditEntry.objects.exists()
