"""Bodies as JSON values, whatever they are made of."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from incoming.models import Receipt
from incoming.payload import call_of, data_of, document_of, parse
from incoming.providers import Call

FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("body", "content_type", "value"),
    [
        (b'{"a":1}', "application/json", {"a": 1}),
        (b'{"a":1}', "", {"a": 1}),
        (b'{"a":1}', "text/plain", {"a": 1}),  # as SNS sends it
        (b"null", "application/json", None),
        (b"{", "application/json", {"text": "{"}),
        (b"a=1&b=2&a=3&c=", FORM, {"a": ["1", "3"], "b": "2", "c": ""}),
        (b"a=%C3%A9", FORM + "; charset=utf-8", {"a": "é"}),
        (b'{"a":1}', FORM, {'{"a":1}': ""}),
        (b"hello", "text/plain", {"text": "hello"}),
        (b"", "", {"text": ""}),
        (b"\xff\xfe", "text/plain", {"base64": "//4="}),
        (b"<a x='1'><b>2</b><b>3</b></a>", "text/xml", {"a": {"@x": "1", "b": ["2", "3"]}}),
        (b"<a x='1'>t</a>", "text/xml", {"a": {"@x": "1", "#text": "t"}}),
        (b"<a><b/></a>", "application/soap+xml; charset=utf-8", {"a": {"b": None}}),
        (b"<a>", "text/xml", {"text": "<a>"}),
        (b"no xml", "application/xml", {"text": "no xml"}),
        (b"<?xml version='1.0' encoding='latin-1'?><a>\xe9</a>", "text/xml", {"a": "é"}),
    ],
)  # fmt: skip
def test_a_body_is_read_by_its_media_type(body: bytes, content_type: str, value: Any) -> None:
    assert parse(body, content_type) == value


ENTITIES = b"""<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x "xxxxxxxxxx">
<!ENTITY y "&x;&x;&x;&x;&x;&x;&x;&x;&x;&x;"><!ENTITY z SYSTEM "file:///etc/hostname">]>
<a>&y;&z;</a>"""


@pytest.mark.parametrize(
    "body",
    [
        ENTITIES,
        b"<a>" * 5000 + b"</a>" * 5000,
        b"<a xmlns='" + b"x" * 10_000 + b"'/",
        b"\x00<a/>",
        b"<?xml version='1.0' encoding='utf-7'?><a/>",
        b"<?xml version='1.0' encoding='no-such'?><a/>",
    ],
)
def test_xml_that_would_do_harm_stays_text(body: bytes) -> None:
    assert parse(body, "text/xml") == {"text": body.decode()}


def multipart(*parts: bytes) -> bytes:
    return b"".join(b"--frontier\r\n" + part + b"\r\n" for part in parts) + b"--frontier--\r\n"


MULTIPART = "multipart/form-data; boundary=frontier"


def test_a_multipart_body_has_its_fields_and_its_files() -> None:
    body = multipart(
        b'Content-Disposition: form-data; name="to"\r\n\r\na@example.com',
        b'Content-Disposition: form-data; name="to"\r\n\r\nb@example.com',
        b'Content-Disposition: form-data; name="note"\r\n\r\nZo\xc3\xab',
        b'Content-Disposition: form-data; name="file"; filename="../../x.bin"\r\n'
        b"Content-Type: application/octet-stream\r\n\r\n\x00\xff",
    )
    assert parse(body, MULTIPART) == {
        "to": ["a@example.com", "b@example.com"],
        "note": "Zoë",
        "file": {
            "filename": "x.bin",
            "content_type": "application/octet-stream",
            "size": 2,
            "base64": "AP8=",
        },
    }


def test_a_large_file_is_not_lost() -> None:
    head = b'Content-Disposition: form-data; name="file"; filename="x"\r\n\r\n'
    value = parse(multipart(head + b"x" * 4_000_000), MULTIPART)
    assert value["file"]["size"] == 4_000_000


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"not multipart", MULTIPART),
        (multipart(b"a"), "multipart/form-data"),
        (multipart(b"a"), "multipart/form-data; boundary=" + "x" * 300),
        (multipart(*[b'Content-Disposition: form-data; name="a"\r\n\r\n1'] * 1001), MULTIPART),
    ],
)
def test_a_multipart_body_that_is_none_stays_text(body: bytes, content_type: str) -> None:
    assert parse(body, content_type) == {"text": body.decode()}


def receipt(body: bytes, query: str = "", **headers: str) -> Receipt:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Receipt(body=body, headers=orjson.dumps(named), method="POST", query=query)


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", ""])
def test_json_is_an_event_s_data_byte_for_byte(content_type: str) -> None:
    body = b'{"b": 1,\t"a":1.0,"n":123456789012345678901234567890}\r\n'
    assert data_of(receipt(body, content_type=content_type)) == body
    packed = receipt(gzip.compress(body), content_type=content_type, content_encoding="gzip")
    assert data_of(packed) == body


def test_other_bodies_are_an_event_s_data_as_json() -> None:
    assert data_of(receipt(b"a=1", content_type=FORM)) == b'{"a":"1"}'
    assert data_of(receipt(b"<a>1</a>", content_type="text/xml")) == b'{"a":"1"}'


def test_a_body_that_does_not_expand_is_kept_as_it_came() -> None:
    assert data_of(receipt(b"{}", content_encoding="gzip")) == b"{}"


def test_a_receipt_s_call_has_its_query_and_its_expanded_body() -> None:
    row = receipt(gzip.compress(b"{}"), "a=1", content_encoding="gzip")
    row.received_at = datetime(2026, 1, 1, tzinfo=UTC)
    call = call_of(row, "https://hub.example/in/x")
    assert (call.url, call.body) == ("https://hub.example/in/x?a=1", b"{}")
    assert call.query == {"a": "1"}


def test_a_condition_sees_the_whole_call() -> None:
    call = Call("PUT", "https://hub.example/in/x?a=1&a=2", {"x-b": "c"}, b"{}", 0)
    assert document_of(call, type_="t", provider="github", data=[1]) == {
        "type": "t",
        "provider": "github",
        "method": "PUT",
        "headers": {"x-b": "c"},
        "query": {"a": "2"},
        "data": [1],
    }
