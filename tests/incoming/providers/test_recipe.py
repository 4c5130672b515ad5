"""The declarative provider, and what it is made of: locators, encodings, timestamps, forms."""

from __future__ import annotations

from typing import Any

import pytest

from incoming.providers import PROVIDERS, Cause, Identity, Refused, Secret, Verified
from incoming.providers.describe import describe
from incoming.providers.encoding import decode_bytes, key_bytes
from incoming.providers.form import form_pairs
from incoming.providers.locator import dig, locate
from incoming.providers.recipe import Recipe
from incoming.providers.timestamp import Tolerance, parse_timestamp

from .cases import BODY, NOW, URL, based, call, mac, seconds

# Locators


@pytest.mark.parametrize(
    ("locator", "value"),
    [
        ("header:X-Id", "h1"),
        ("header:X_ID", "h1"),
        ("header:x-none", None),
        ("query:a", "1"),
        ("json:data.0.id", "j1"),
        ("json:data.*.id", "j1,j2"),
        ("json:data.*.kind", "x"),
        ("json:data.9.id", None),
        ("json:data.٣.id", None),
        ("json:data", None),
        ("json:flag", "true"),
        ("json:number", "7"),
        ("{header:x-id}:{json:number}", "h1:7"),
        ("{header:x-id}:{json:none}", None),
        ("signature:t", "12"),
    ],
)
def test_a_locator_names_a_place(locator: str, value: str | None) -> None:
    body = b'{"data":[{"id":"j1","kind":"x"},{"id":"j2","kind":"x"}],"flag":true,"number":7}'
    asked = call({"x-id": "h1"}, body, url=f"{URL}?a=1")
    assert locate(asked, locator, {"t": "12"}) == value


def test_a_form_and_an_xml_body_have_places_too() -> None:
    assert locate(call({}, b"a=1&b=%C3%AB"), "form:b") == "ë"
    xml = b'<?xml version="1.0"?><n:root xmlns:n="u"><n:kind a="b"> made </n:kind></n:root>'
    assert locate(call({}, xml), "xml:kind") == "made"
    assert locate(call({}, xml), "xml:") == "n:root"
    assert locate(call({}, b"no xml"), "xml:") is None


def test_digging_ends_where_there_is_nothing() -> None:
    assert dig({"a": [{"b": 1}]}, "a.0.b") == 1
    assert dig({"a": 1}, "a.b") is None
    assert dig([], "*") is None


@pytest.mark.parametrize("locator", ["x-id", "cookie:a", "", "{header:a}{b}"])
def test_a_recipe_with_no_such_place_is_refused_when_it_is_made(locator: str) -> None:
    with pytest.raises(ValueError, match="is not a locator"):
        Recipe(signature_headers=("x",), id=(locator,))


@pytest.mark.parametrize(
    "parts",
    [
        {"hash": "md5"},
        {"encoding": "base32"},
        {"algorithm": "rot13"},
        {"key": "rot13"},
        {"timestamp_unit": "days"},
        {"message": "{nonsense}"},
        {"message": "{timestamp}"},
        {"message": "{signature:t}"},
        {"timestamp": "signature:t"},
    ],
)
def test_a_recipe_that_cannot_work_is_refused_when_it_is_made(parts: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        Recipe(signature_headers=("x",), **parts)


@pytest.mark.parametrize(
    ("url", "path", "path_query"),
    [
        ("https://a.example/x/y?a=/b%20c", "/x/y", "/x/y?a=/b%20c"),
        ("https://a.example//x", "//x", "//x"),
        ("https://a.example", "/", "/"),
        ("https://[half/x", "/x", "/x"),
    ],
)
def test_path_and_query_are_signed_as_they_stand(url: str, path: str, path_query: str) -> None:
    for message, text in (("{path}", path), ("{path_query}", path_query), ("{url}", url)):
        recipe = Recipe(signature_headers=("x",), message=message)
        signed = call({"x": mac(b"secret", text.encode()).hex()}, url=url)
        assert recipe.verify(signed, [Secret(id="s0", value="secret")]) == Verified("s0")


# Encodings and keys


@pytest.mark.parametrize(
    ("text", "encoding", "value"),
    [
        ("00fF", "hex", b"\x00\xff"),
        ("0", "hex", None),
        ("0g", "hex", None),
        (" 00", "hex", None),
        ("é", "hex", None),
        ("AP8=", "base64", b"\x00\xff"),
        ("AP8", "base64", None),
        ("AP9=", "base64", None),
        ("AP-=", "base64", None),
        ("A P8=", "base64", None),
        ("-_8", "base64url", b"\xfb\xff"),
        ("-_8=", "base64url", b"\xfb\xff"),
        ("+/8", "base64url", None),
        ("-_9", "base64url", None),
        ("MDBmZg==", "base64-of-hex", b"\x00\xff"),
        ("AP8=", "base64-of-hex", None),
    ],
)
def test_signatures_are_decoded_strictly(text: str, encoding: str, value: bytes | None) -> None:
    assert decode_bytes(text, encoding) == value


@pytest.mark.parametrize(
    ("secret", "form", "key"),
    [
        ("tëxt", "text", "tëxt".encode()),
        ("\ud800", "text", b"\xed\xa0\x80"),
        ("00ff", "hex", b"\x00\xff"),
        ("xyz", "hex", None),
        (" AP8= ", "base64", b"\x00\xff"),
        ("AP8", "base64", b"\x00\xff"),
        ("é", "base64", None),
        ("whsec_AP8", "whsec", b"\x00\xff"),
        ("whsec_", "whsec", None),
        ("", "text", None),
        ("", "sha1", None),
    ],
)
def test_a_secret_becomes_a_key_or_none_but_never_an_empty_one(
    secret: str, form: str, key: bytes | None
) -> None:
    assert key_bytes(secret, form) == key


# Timestamps


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("1750000000", "s", 1_750_000_000.0),
        ("1750000000123", "ms", 1_750_000_000.123),
        ("2025-06-15T15:06:40Z", "iso", 1_750_000_000.0),
        ("2025-06-15T15:06:40.123456789Z", "iso", 1_750_000_000.123456),
        ("2025-06-15T08:06:40-07:00", "iso", 1_750_000_000.0),
        ("2025-06-15T15:06:40", "iso", None),
        ("2025-06-15", "iso", None),
        ("2025-W24-7T15:06:40Z", "iso", None),
        ("0000-00-00T00:00:00Z", "iso", None),
        ("0001-01-01T00:00:00+14:00", "iso", -62_135_647_200.0),
        ("1750000000", "iso", None),
        ("1750000000", "any", 1_750_000_000.0),
        ("2025-06-15T15:06:40Z", "any", 1_750_000_000.0),
        ("-1", "s", None),
        ("1.5", "s", None),
        ("1_0", "s", None),
        ("253402300799", "s", 253_402_300_799.0),
        ("253402300800", "s", None),
        ("１", "s", None),
        ("", "s", None),
    ],
)
def test_timestamps_are_read_strictly(text: str, unit: str, value: float | None) -> None:
    assert parse_timestamp(text, unit) == value


@pytest.mark.parametrize(
    ("tolerance", "chosen", "expected"),
    [
        (Tolerance(300, 300), None, (300, 300)),
        (Tolerance(300, 300), 10, (10, 10)),
        (Tolerance(300, None), 10, (10, None)),
        (Tolerance(None, None), 10, (10, None)),
        (Tolerance(600, 0), 900, (900, 900)),
    ],
)
def test_the_sources_tolerance_bounds_the_past(
    tolerance: Tolerance, chosen: int | None, expected: tuple[int | None, int | None]
) -> None:
    found = tolerance.or_chosen(chosen)
    assert (found.past_seconds, found.future_seconds) == expected


# Forms


@pytest.mark.parametrize(
    ("body", "kind", "pairs"),
    [
        (b"a=1&a=2&b=", "application/x-www-form-urlencoded", [("a", "1"), ("a", "2"), ("b", "")]),
        (b"a=1", "", [("a", "1")]),
        (b"a=1", "application/json; charset=utf-8", None),
        (b"a=1", "application/cloudevents+json", None),
        (b"\xff", "", None),
        (b"a&" * 1001, "", None),
        (b"--b\r\n", "multipart/form-data", None),
        (b"--b\r\n", "multipart/form-data; boundary=é", None),
        (b"--b" * 1002, "multipart/form-data; boundary=b", None),
    ],
)
def test_a_form_is_read_or_is_none(
    body: bytes, kind: str, pairs: list[tuple[str, str]] | None
) -> None:
    assert form_pairs(body, kind) == pairs


# The generic HMAC


def generic(options: dict[str, str], headers: dict[str, str]) -> Verified | Refused:
    secrets = [Secret(id="s0", value="secret")]
    return PROVIDERS["generic-hmac"].verify(call(headers), secrets, options=options)


def test_the_generic_hmac_follows_the_sources_options() -> None:
    text = f"{seconds(NOW)}|".encode() + BODY
    signature = based(mac(b"secret", text, "sha512"))
    options = {
        "header": "X-My-Signature",
        "hash": "sha512",
        "encoding": "base64",
        "split": ",",
        "version_key": "v1",
        "message": "{timestamp}|{body}",
        "timestamp": "signature:t",
        "id": "header:x-my-id",
    }
    headers = {"x-my-signature": f"t={seconds(NOW)},v1={signature}", "x-my-id": "m1"}
    assert generic(options, headers) == Verified(secret_id="s0", signed_at=NOW)
    identity = PROVIDERS["generic-hmac"].identify(call(headers), options)
    assert identity == Identity(external_id="m1", type="thing.made")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"colour": "red"}, "colour"),
        ({"hash": "md5"}, "hash"),
        ({"encoding": "base32"}, "encoding"),
        ({"header": " "}, "header"),
        ({"id": "x-id"}, "x-id"),
        ({"message": "{cookie:a}"}, "cookie:a"),
        ({"message": "{timestamp}{body}"}, "timestamp"),
        ({"hash": ["sha256"]}, "hash"),
    ],
)
def test_a_wrong_option_is_named_and_never_raises_on_a_call(
    options: dict[str, Any], named: str
) -> None:
    with pytest.raises(ValueError, match=named):
        PROVIDERS["generic-hmac"].check_options(options)
    verdict = generic(options, {"x-signature": "00"})
    assert isinstance(verdict, Refused)
    assert verdict.cause == Cause.SOURCE_MISCONFIGURED
    assert PROVIDERS["generic-hmac"].identify(call(), options) == Identity()


# Declarations


@pytest.mark.parametrize("name", sorted(PROVIDERS))
def test_every_provider_declares_itself_and_has_a_page(name: str) -> None:
    provider = PROVIDERS[name]
    assert provider.name == name
    assert name == name.lower().replace("_", "-")
    assert provider.label
    assert provider.docs.startswith("https://")
    assert provider.setup.endswith(".")
    assert "POST" in provider.methods
    assert provider.methods <= {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"}
    page = describe(provider)
    assert page.startswith(f"# {provider.label}\n\nProvider `{name}`.\n\n{provider.setup}\n\n- ")
    assert "\n- Signature: " in page
    assert page.endswith(f"<{provider.docs}>\n")


def test_a_page_tells_what_is_signed_and_what_is_not() -> None:
    github, twitch = describe(PROVIDERS["github"]), describe(PROVIDERS["twitch"])
    assert "- Signed content: `{body}`\n" in github
    assert "- Event type: `header:x-github-event` (not signed)\n" in github
    assert "- Id, for de-duplication: `header:twitch-eventsub-message-id`\n" in twitch
    assert "- Tolerance: 600 s old at most, 600 s ahead at most\n" in twitch
