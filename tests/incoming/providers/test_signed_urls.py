"""Third parties that sign the URL: the source's own counts, never the Host header."""

from __future__ import annotations

import hashlib

import pytest

from incoming.providers import Cause

from .cases import BODY, NOW, URL, based, call, hexed, mac, seconds
from .cases_of_modules import FORM, FORM_TYPE
from .verdicts import cause_of

SECRET = "the-secret"


def digest(text: bytes, *, hash_name: str = "sha256") -> str:
    return hexed(mac(SECRET.encode(), text, hash_name))


# Signed URLs: the source's own URL counts, never the Host header


@pytest.mark.parametrize(
    ("name", "headers", "body"),
    [
        (
            "square",
            {"x-square-hmacsha256-signature": based(mac(SECRET.encode(), URL.encode() + BODY))},
            BODY,
        ),
        (
            "trello",
            {"x-trello-webhook": based(mac(SECRET.encode(), BODY + URL.encode(), "sha1"))},
            BODY,
        ),
        (
            "favro",
            {"x-favro-webhook": based(mac(SECRET.encode(), b"p1" + URL.encode(), "sha1"))},
            b'{"payloadId":"p1"}',
        ),
    ],
)
def test_the_host_header_is_not_part_of_the_url(
    name: str, headers: dict[str, str], body: bytes
) -> None:
    told_otherwise = call({**headers, "host": "evil.example"}, body)
    elsewhere = call({**headers, "host": "hub.example.com"}, body, url="https://evil.example/in")
    assert cause_of(name, told_otherwise, SECRET) is None
    assert cause_of(name, elsewhere, SECRET) == Cause.SIGNATURE_MISMATCH


# Twilio


def twilio_signature(url: str, form: str = "") -> dict[str, str]:
    return {"x-twilio-signature": based(mac(SECRET.encode(), (url + form).encode(), "sha1"))}


@pytest.mark.parametrize(
    ("signed_url", "our_url"),
    [
        ("https://a.example/x?y=1", "https://a.example:8443/x?y=1"),
        ("https://a.example:443/x?y=1", "https://a.example/x?y=1"),
        ("http://a.example:80/x", "http://a.example/x"),
        ("http://a.example:1234/x", "http://a.example:1234/x"),
        ("https://a.example?y=1:2", "https://a.example?y=1:2"),
        ("https://[::1]:443/x", "https://[::1]/x"),
    ],
)
def test_twilios_url_is_tried_with_and_without_port(signed_url: str, our_url: str) -> None:
    signed = call(twilio_signature(signed_url), b"", url=our_url)
    assert cause_of("twilio", signed, SECRET) is None


def test_twilios_repeated_fields_count_once_and_mandrills_twice() -> None:
    once = "Digits1234Digits5678From+14158675309NameZoë"
    twice = "Digits1234" + once
    for form, twilio, mandrill in (
        (once, None, Cause.SIGNATURE_MISMATCH),
        (twice, Cause.SIGNATURE_MISMATCH, None),
    ):
        headers = twilio_signature(URL, form) | FORM_TYPE
        headers["x-mandrill-signature"] = headers["x-twilio-signature"]
        signed = call(headers, FORM)
        assert cause_of("twilio", signed, SECRET) == twilio
        assert cause_of("mandrill", signed, SECRET) == mandrill


@pytest.mark.parametrize("changed", [False, True])
def test_twilios_json_is_covered_by_the_hash_in_the_url(changed: bool) -> None:
    url = f"{URL}?bodySHA256={hashlib.sha256(BODY).hexdigest()}"
    headers = twilio_signature(url) | {"content-type": "application/json"}
    signed = call(headers, BODY + b" " if changed else BODY, url=url)
    assert cause_of("twilio", signed, SECRET) == (Cause.SIGNATURE_MISMATCH if changed else None)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (BODY, "application/json"),
        (b"\xff\xfe", "application/x-www-form-urlencoded"),
        (b"&&&", "application/x-www-form-urlencoded"),
        (b"a=1&" * 2000, "application/x-www-form-urlencoded"),
    ],
)
def test_a_body_that_twilio_did_not_sign_is_refused(body: bytes, content_type: str) -> None:
    """The signature of a call without a body must not carry one."""
    signed = call(twilio_signature(URL) | {"content-type": content_type}, body)
    assert cause_of("twilio", signed, SECRET) == Cause.SIGNATURE_MISMATCH


# HubSpot


def test_hubspots_older_versions_are_told_by_a_header() -> None:
    v1 = hashlib.sha256(SECRET.encode() + BODY).hexdigest()
    v2 = hashlib.sha256(f"{SECRET}POST{URL}".encode() + BODY).hexdigest()
    for version, signature in (("v1", v1), ("v2", v2)):
        headers = {"x-hubspot-signature": signature, "x-hubspot-signature-version": version}
        assert cause_of("hubspot", call(headers), SECRET) is None
    crossed = {"x-hubspot-signature": v1, "x-hubspot-signature-version": "v2"}
    assert cause_of("hubspot", call(crossed), SECRET) == Cause.SIGNATURE_MISMATCH
    unknown = {"x-hubspot-signature": v1, "x-hubspot-signature-version": "v9"}
    assert cause_of("hubspot", call(unknown), SECRET) == Cause.SIGNATURE_MALFORMED


@pytest.mark.parametrize(
    ("query", "signed"),
    [
        ("a=b%40c", "a=b%40c"),
        ("a=b%40c%20d", "a=b@c%20d"),
        ("a=b%40c%20d%3fe", "a=b@c d%3Fe"),
    ],
)
def test_hubspots_url_is_tried_as_it_stands_and_decoded(query: str, signed: str) -> None:
    stamp = seconds(NOW) + "000"
    text = f"POST{URL}?{signed}".encode() + BODY + stamp.encode()
    headers = {
        "x-hubspot-signature-v3": based(mac(SECRET.encode(), text)),
        "x-hubspot-request-timestamp": stamp,
    }
    assert cause_of("hubspot", call(headers, url=f"{URL}?{query}"), SECRET) is None
    late = call(headers, url=f"{URL}?{query}", at=NOW + 301)
    assert cause_of("hubspot", late, SECRET) == Cause.TIMESTAMP_TOO_OLD


def test_hubspots_older_signature_does_not_save_a_wrong_newer_one() -> None:
    headers = {
        "x-hubspot-signature": hashlib.sha256(SECRET.encode() + BODY).hexdigest(),
        "x-hubspot-signature-v3": based(b"\x00" * 32),
        "x-hubspot-request-timestamp": seconds(NOW) + "000",
    }
    assert cause_of("hubspot", call(headers), SECRET) == Cause.SIGNATURE_MISMATCH
