"""No secret in clear at rest: what a call holds of it is taken out before the call is kept."""

from __future__ import annotations

import base64
import gzip
import hashlib
import zlib
from typing import Any

import orjson
import pytest

from incoming.models import Receipt, SourceSecret
from incoming.payload import body_of, headers_of
from incoming.processing import process_due_receipts
from outgoing.models import Event
from tests.factories import make_source
from tests.incoming.calls import hex_hmac, post

pytestmark = pytest.mark.django_db

SECRET = 'p&ss "wörd" 1234'
GRAPH = {"value": [{"clientState": SECRET, "changeType": "updated", "subscriptionId": "s-1"}]}


def kept(receipt: Receipt) -> str:
    return bytes(receipt.headers).decode() + receipt.query + bytes(receipt.body).decode()


@pytest.mark.parametrize(
    ("provider", "call"),
    [
        ("gitlab", {"headers": {"x-gitlab-token": "a-token-of-ours", "x-gitlab-event": "Push"}}),
        ("okta", {"headers": {"authorization": "Bearer a-token-of-ours"}}),
        (
            "postmark",
            {"headers": {"authorization": "Basic " + base64.b64encode(b"user:a-token").decode()}},
        ),
        ("salesforce", {"query": "token=a-token-of-ours&a=1", "headers": {}}),
        ("mollie", {"query": "token=a-token-of-ours", "headers": {}}),
    ],
)
def test_a_token_that_comes_with_each_call_is_not_kept(provider: str, call: Any) -> None:
    secret = "user:a-token" if provider == "postmark" else "a-token-of-ours"
    source = make_source(provider=provider, secret=secret)
    assert post(source, **call).status_code == 200
    receipt = Receipt.objects.get()
    assert (receipt.status, receipt.is_verified) == ("accepted", True)
    text = kept(receipt)
    assert secret not in text
    assert base64.b64encode(secret.encode()).decode() not in text
    assert "[redacted]" in text


@pytest.mark.parametrize("ascii_only", [True, False])
def test_a_token_in_the_body_is_not_kept_however_it_is_written(ascii_only: bool) -> None:
    source = make_source(provider="microsoft-graph", secret=SECRET)
    body = orjson.dumps(GRAPH)
    if ascii_only:
        body = body.replace("ö".encode(), b"\\u00f6")
    assert post(source, body, headers={}).status_code in (200, 202)
    receipt = Receipt.objects.get()
    assert orjson.loads(bytes(receipt.body)) == {
        "value": [{**GRAPH["value"][0], "clientState": "[redacted]"}]
    }


# --- in a compressed body -------------------------------------------------------------------------

PACKED = {"content-encoding": "gzip"}
TOLD = orjson.dumps(GRAPH)


def masked() -> Any:
    return {"value": [{**GRAPH["value"][0], "clientState": "[redacted]"}]}


@pytest.mark.parametrize("encoding", ["gzip", "X-GZIP"])
def test_a_token_in_a_compressed_body_is_not_kept_and_the_body_is_kept_expanded(
    encoding: str,
) -> None:
    source = make_source(provider="microsoft-graph", secret=SECRET)
    headers = {"content-encoding": encoding, "x-a": "b"}
    assert post(source, gzip.compress(TOLD), headers=headers).status_code in (200, 202)
    receipt = Receipt.objects.get()
    assert (receipt.status, receipt.is_verified) == ("accepted", True)
    assert orjson.loads(bytes(receipt.body)) == masked()
    assert receipt.body_sha256 == hashlib.sha256(bytes(receipt.body)).digest()
    kept_headers = headers_of(receipt)
    assert "content-encoding" not in kept_headers
    assert kept_headers["x-a"] == "b"
    assert process_due_receipts() == 1
    assert orjson.loads(bytes(Event.objects.get().data)) == masked()


def test_a_compressed_body_without_the_token_is_kept_as_it_came() -> None:
    source = make_source(provider="gitlab", secret="a-token-of-ours")
    body = gzip.compress(b'{"a":1}')
    headers = {"x-gitlab-token": "a-token-of-ours", "x-gitlab-event": "Push Hook", **PACKED}
    assert post(source, body, headers=headers).status_code == 200
    receipt = Receipt.objects.get()
    assert bytes(receipt.body) == body
    assert headers_of(receipt)["content-encoding"] == "gzip"
    assert body_of(receipt) == b'{"a":1}'


@pytest.mark.parametrize(
    "refused", [{"allowed_networks": ["192.0.2.0/24"]}, {"content_types": ["text/xml"]}]
)
def test_a_refused_call_s_compressed_token_is_not_kept_either(refused: Any) -> None:
    source = make_source(provider="microsoft-graph", secret=SECRET, **refused)
    assert post(source, gzip.compress(TOLD), headers=PACKED).status_code in (403, 415)
    receipt = Receipt.objects.get()
    assert receipt.status == "refused"
    assert orjson.loads(bytes(receipt.body)) == masked()
    assert "content-encoding" not in headers_of(receipt)


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (gzip.compress(TOLD)[:-1], "gzip"),
        (gzip.compress(TOLD)[:-8] + bytes(8), "gzip"),
        (gzip.compress(b"{}") + gzip.compress(TOLD), "gzip"),
        (gzip.compress(TOLD + b" " * 200_000), "gzip"),
        (gzip.compress(gzip.compress(TOLD)), "gzip, gzip"),
        (zlib.compress(TOLD), "deflate"),
    ],
    ids=["cut off", "wrong sum", "two members", "too large", "twice", "another"],
)
def test_a_compressed_body_that_cannot_be_looked_into_is_not_kept(
    body: bytes, encoding: str
) -> None:
    source = make_source(provider="microsoft-graph", secret=SECRET, max_body_bytes=100_000)
    assert post(source, body, headers={"content-encoding": encoding}).status_code >= 400
    receipt = Receipt.objects.get()
    assert (receipt.status, bytes(receipt.body)) == ("refused", b"")


def test_a_body_that_is_wrongly_called_compressed_is_kept_without_the_token() -> None:
    source = make_source(provider="microsoft-graph", secret=SECRET)
    assert post(source, TOLD, headers=PACKED).status_code >= 400
    assert orjson.loads(bytes(Receipt.objects.get().body)) == masked()


def test_a_secret_that_no_call_holds_is_not_looked_for() -> None:
    body = b'{"note":"a-source-secret is a name like any other"}'
    headers = {"x-signature": hex_hmac(body)}
    post(make_source(provider="generic-hmac"), body, headers=headers)
    assert bytes(Receipt.objects.get().body) == body


def test_a_word_that_a_handshake_holds_is_not_kept() -> None:
    source = make_source(provider="meta")
    SourceSecret.objects.create(source=source, option="verify_token", secret="a word of ours")
    query = "hub.mode=subscribe&hub.challenge=42&hub.verify_token=a+word%20of+ours"
    response = post(source, b"", method="GET", headers={}, query=query)
    assert (response.status_code, response.content) == (200, b"42")
    query = "hub.mode=subscribe&hub.challenge=42&hub.verify_token=a+word+of+ours"
    post(source, b"", method="GET", headers={}, query=query)
    assert Receipt.objects.latest("received_at").query.endswith("verify_token=[redacted]")


def test_a_secret_that_a_handshake_tells_is_not_kept() -> None:
    source = make_source(provider="notion", secret=None)
    body = b'{"verification_token":"secret_tMrlL1qK5vuQAh1b6cZGhFChZTSYJlce98V0pYn7yBl"}'
    assert post(source, body, headers={}).status_code == 200
    receipt = Receipt.objects.get()
    assert receipt.status == "handshake"
    assert bytes(receipt.body) == b'{"verification_token":"[redacted]"}'
    source = make_source(provider="asana", secret=None)
    post(source, b"{}", headers={"x-hook-secret": "b537207f20cbfa02357cf448134da559e8bd39d61597"})
    receipt = Receipt.objects.get(source=source)
    assert orjson.loads(bytes(receipt.headers))["x-hook-secret"] == "[redacted]"
