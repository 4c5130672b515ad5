"""A value is written where a locator finds it again."""

from __future__ import annotations

import pytest

from incoming.providers.encoding import SIGNATURE_ENCODINGS, decode_bytes, encode_bytes
from incoming.providers.locator import locate
from incoming.providers.placing import place
from incoming.providers.timestamp import UNITS, parse_timestamp, write_timestamp

from .cases import NOW, URL, call

FORM = {"content-type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize(
    "locator",
    [
        "header:X_Id",
        "query:a b",
        "json:id",
        "json:data.*.id",
        "json:data.0.id",
        "form:data[id]",
        "xml:id",
        "{json:type}:{header:x-id}",
    ],
)
@pytest.mark.parametrize("value", ["a:b", "Zoë + 1:%"])
def test_what_is_placed_is_found(locator: str, value: str) -> None:
    found = locate(place(call({}, b"{}"), locator, value), locator)
    assert found == value


@pytest.mark.parametrize(
    ("body", "locator", "after"),
    [
        (b'{"a":1}', "json:b.c", b'{"a":1,"b":{"c":"v"}}'),
        (b'{"a":{"b":1}}', "json:a.c", b'{"a":{"b":1,"c":"v"}}'),
        (b'[{"a":1},{}]', "json:*.b", b'[{"a":1,"b":"v"},{"b":"v"}]'),
        (b'[{"a":1},{}]', "json:1.b", b'[{"a":1},{"b":"v"}]'),
        (b'{"a":"text"}', "json:a.b", b'{"a":"text"}'),
        (b'{"a":1}', "json:*.b", b'{"a":1}'),
        (b"[1]", "json:b", b"[1]"),
        (b"no JSON", "json:b", b"no JSON"),
        (b"<n><a/><b></b></n>", "xml:b", b"<n><a/><b>v</b></n>"),
        (b"{}", "signature:t", b"{}"),
    ],
)
def test_the_rest_stays(body: bytes, locator: str, after: bytes) -> None:
    assert place(call({}, body), locator, "v").body == after


def test_a_query_and_a_form_keep_what_they_have() -> None:
    assert place(call({}, b"", url=f"{URL}?a=1"), "query:b", "v&w").url == f"{URL}?a=1&b=v%26w"
    assert place(call(FORM, b"a=1&b=2&a=3"), "form:a", "v").body == b"b=2&a=v"
    assert place(call({}, b"{}"), "form:a", "v").headers == FORM


def test_of_a_template_only_empty_places_are_filled() -> None:
    template = "{json:type}:{json:id}:{json:at}:{json:ok}"
    made = place(call({}, b'{"type":"x","ok":false}'), template, "1")
    assert made.json == {"type": "x", "ok": False, "id": "1", "at": "sample"}


@pytest.mark.parametrize("encoding", SIGNATURE_ENCODINGS)
def test_what_is_encoded_can_be_decoded(encoding: str) -> None:
    for signature in (b"\xfb\xff\xfe", b"\x00\x01", bytes(range(256))):
        assert decode_bytes(encode_bytes(signature, encoding), encoding) == signature
    with pytest.raises(ValueError, match="unknown encoding 'no'"):
        encode_bytes(b"", "no")


@pytest.mark.parametrize("unit", UNITS)
def test_a_written_moment_can_be_read(unit: str) -> None:
    assert parse_timestamp(write_timestamp(NOW, unit), unit) == NOW
