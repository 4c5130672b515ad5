"""Other conventions of signing, and that our own verifiers take what a preset signs."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any

import pytest

from incoming.providers import PROVIDERS
from incoming.providers.call import Call, Cause, Refused, Secret, Verified
from webhooks_project.lib.faults import Fault
from webhooks_project.lib.signature_templates import PRESETS, parse_template

NEW, OLD = b"whsec_bmV3", b"whsec_b2xk"
BODY = '{"type":"a","name":"Zoë"}'.encode()
ID, TIMESTAMP = "evt_1", 1_700_000_000


def lines(document: Any, *keys: bytes) -> list[str]:
    template = parse_template(document)
    return template.lines(keys or (NEW,), message_id=ID, timestamp=TIMESTAMP, body=BODY)


def hexed(key: bytes, content: bytes, algorithm: str = "sha256") -> str:
    return hmac.new(key, content, algorithm).hexdigest()


def test_the_least_template_signs_the_body_in_hex() -> None:
    assert lines({"header": "X-Signature"}) == [f"X-Signature: {hexed(NEW, BODY)}"]


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "sha512"])
def test_signs_by_each_algorithm_and_in_each_encoding(algorithm: str) -> None:
    raw = hmac.new(NEW, BODY, getattr(hashlib, algorithm)).digest()
    for encoding, text in (("hex", raw.hex()), ("base64", base64.b64encode(raw).decode())):
        document = {"header": "X-S", "algorithm": algorithm, "encoding": encoding}
        assert lines(document) == [f"X-S: {text}"]


def test_signs_the_content_that_it_names() -> None:
    document = {"header": "X-S", "content": "{id}\n{timestamp}:{body}."}
    content = b"evt_1\n1700000000:" + BODY + b"."
    assert lines(document) == [f"X-S: {hexed(NEW, content)}"]


def test_a_body_that_looks_like_a_placeholder_stays_as_it_is() -> None:
    template = parse_template({"header": "X-S", "content": "{timestamp}.{body}"})
    body = b'{"a":"{id}{timestamp}{body}"}'
    made = template.lines([NEW], message_id=ID, timestamp=TIMESTAMP, body=body)
    assert made == [f"X-S: {hexed(NEW, b'1700000000.' + body)}"]


def test_with_a_separator_every_secret_signs() -> None:
    document = {"preset": "stripe"}
    content = b"1700000000." + BODY
    assert lines(document, NEW, OLD) == [
        f"Stripe-Signature: t=1700000000,v1={hexed(NEW, content)},v1={hexed(OLD, content)}"
    ]
    bare = {"header": "X-S", "separator": " ", "value": "v1,{signature}"}
    assert lines(bare, NEW, OLD) == [f"X-S: v1,{hexed(NEW, BODY)} v1,{hexed(OLD, BODY)}"]


def test_without_one_the_newest_secret_signs() -> None:
    assert lines({"preset": "github"}, NEW, OLD) == [
        f"X-Hub-Signature-256: sha256={hexed(NEW, BODY)}"
    ]


def test_adds_the_headers_of_the_time_and_the_id() -> None:
    document = {"header": "X-S", "timestamp_header": "X-Time", "id_header": "X-Id"}
    assert lines(document)[1:] == ["X-Time: 1700000000", "X-Id: evt_1"]
    assert parse_template(document).names == ["X-S", "X-Time", "X-Id"]


def test_a_preset_may_be_changed() -> None:
    assert lines({"preset": "github", "header": "X-Mine-Signature"}) == [
        f"X-Mine-Signature: sha256={hexed(NEW, BODY)}"
    ]


# --- our own verifiers ----------------------------------------------------------------------------

PROVIDER_OF = {name: name for name in PRESETS if name != "websub"}


def call(document: Any, *keys: bytes, body: bytes = BODY) -> Call:
    pairs = [line.split(": ", 1) for line in lines(document, *keys)]
    return Call(
        method="POST",
        url="https://x.test/",
        headers={name.lower(): value for name, value in pairs},
        body=body,
        received_at=TIMESTAMP + 2,
    )


def verdict(provider: str, received: Call, *keys: bytes, **options: str) -> Any:
    secrets = [Secret(str(number), key.decode()) for number, key in enumerate(keys)]
    return PROVIDERS[provider].verify(received, secrets, options=options)


@pytest.mark.parametrize(("preset", "provider"), PROVIDER_OF.items())
def test_our_verifier_takes_what_the_preset_signs(preset: str, provider: str) -> None:
    document = {"preset": preset}
    assert isinstance(verdict(provider, call(document), NEW), Verified)
    assert isinstance(verdict(provider, call(document), OLD, NEW), Verified)
    for refused in (
        verdict(provider, call(document), OLD),
        verdict(provider, call(document, body=BODY + b" "), NEW),
    ):
        assert isinstance(refused, Refused)
        assert refused.cause == Cause.SIGNATURE_MISMATCH


@pytest.mark.parametrize("preset", ["stripe", "paddle", "calendly"])
def test_our_verifier_takes_either_secret_while_they_are_rotated(preset: str) -> None:
    received = call({"preset": preset}, NEW, OLD)
    assert isinstance(verdict(PROVIDER_OF[preset], received, NEW), Verified)
    assert isinstance(verdict(PROVIDER_OF[preset], received, OLD), Verified)


def test_our_generic_verifier_takes_the_hub_s_first_form() -> None:
    options = {"header": "X-Hub-Signature", "hash": "sha1", "prefix": "sha1="}
    assert isinstance(verdict("generic-hmac", call({"preset": "websub"}), NEW, **options), Verified)


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "code", "path"),
    [
        ("github", "not_an_object", ""),
        (["github"], "not_an_object", ""),
        ({}, "header_missing", "/header"),
        ({"header": ""}, "header_missing", "/header"),
        ({"header": 5}, "not_a_text", "/header"),
        ({"header": "X S"}, "invalid_header_name", "/header"),
        ({"header": "X-S\r\nA"}, "invalid_header_name", "/header"),
        ({"header": "X-É"}, "invalid_header_name", "/header"),
        ({"header": "Content-Length"}, "reserved_header", "/header"),
        ({"header": "Webhook-Signature"}, "reserved_header", "/header"),
        ({"header": "X-S", "timestamp_header": "host"}, "reserved_header", "/timestamp_header"),
        ({"header": "X-S", "timestamp_header": "x-s"}, "repeated", "/timestamp_header"),
        ({"header": "X-S", "id_header": "X-s"}, "repeated", "/id_header"),
        ({"header": "X-S", "algorithm": "md5"}, "unknown_algorithm", "/algorithm"),
        ({"header": "X-S", "encoding": "base32"}, "unknown_encoding", "/encoding"),
        ({"header": "X-S", "content": "{timestamp}"}, "body_missing", "/content"),
        ({"header": "X-S", "content": "{body}{body}"}, "body_missing", "/content"),
        ({"header": "X-S", "content": "{body}{url}"}, "unknown_placeholder", "/content"),
        ({"header": "X-S", "content": "{body}}"}, "unknown_placeholder", "/content"),
        ({"header": "X-S", "content": "{body}" + "x" * 256}, "too_long", "/content"),
        ({"header": "X-S", "content": "{body}\x00"}, "not_visible", "/content"),
        ({"header": "X-S", "value": "sha256="}, "signature_missing", "/value"),
        ({"header": "X-S", "value": "{signature}{body}"}, "unknown_placeholder", "/value"),
        ({"header": "X-S", "value": "a\r\nb{signature}"}, "not_visible", "/value"),
        ({"header": "X-S", "value": " {signature}"}, "not_visible", "/value"),
        ({"header": "X-S", "separator": "\n"}, "separator_malformed", "/separator"),
        ({"header": "X-S", "separator": "{id}"}, "separator_malformed", "/separator"),
        ({"header": "X-S", "prefix": "x"}, "unknown_field", "/prefix"),
        ({"preset": "nobody"}, "unknown_preset", "/preset"),
        ({"preset": ["github"]}, "unknown_preset", "/preset"),
    ],
)
def test_says_what_is_wrong_and_where(document: Any, code: str, path: str) -> None:
    with pytest.raises(Fault) as caught:
        parse_template(document)
    assert (caught.value.code, caught.value.path) == (code, path)
