"""The checker of test vectors, and its command."""

from __future__ import annotations

import hashlib
import json
import zlib
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management.base import CommandError

from incoming.management.commands.check_vectors import Command
from incoming.providers import PROVIDERS
from incoming.vectors import ALIASES, Outcome, check_vectors

from .cases import NOW, based, hexed, mac
from .cases_of_keys import _PEM, CASES, RSA, public, sns_body


def github(*, valid: bool = True, signature: str = "") -> dict[str, Any]:
    good = "sha256=" + hexed(mac(b"secret", b"body"))
    return {
        "provider": "github",
        "scheme": "hub-sha256",
        "valid": valid,
        "secret": "secret",
        "headers": {"X-Hub-Signature-256": signature or good},
        "body": "body",
    }


def outcome(vector: dict[str, Any]) -> tuple[Outcome, str]:
    (result,) = check_vectors([vector])
    return result.outcome, result.detail


def test_a_verdict_is_compared_with_the_vectors() -> None:
    assert outcome(github()) == (Outcome.PASSED, "")
    assert outcome(github(valid=False)) == (Outcome.FAILED, "accepted, should be refused")
    assert outcome(github(signature="sha256=00", valid=False)) == (Outcome.PASSED, "")
    refused, detail = outcome(github(signature="sha256=00"))
    assert refused is Outcome.FAILED
    assert "signature_mismatch" in detail


def test_an_unknown_provider_is_counted_apart() -> None:
    assert outcome({**github(), "provider": "nobody"}) == (Outcome.UNSUPPORTED, "")


@pytest.mark.parametrize("name", sorted(ALIASES))
def test_a_provider_is_known_by_what_others_call_it(name: str) -> None:
    assert ALIASES[name] in PROVIDERS
    assert name not in PROVIDERS


def test_a_providers_name_is_taken_as_we_spell_it() -> None:
    for name in ("GitHub", "Facebook"):
        assert outcome(github() | {"provider": name}) == (Outcome.PASSED, "")
    assert outcome(github() | {"provider": "git_hub"}) == (Outcome.UNSUPPORTED, "")


@pytest.mark.parametrize(
    ("provider", "headers", "more"),
    [
        (
            "cloudinary",
            {
                "X-Cld-Timestamp": "1700000000",
                "X-Cld-Signature": hashlib.sha256(b"{}1700000000k").hexdigest(),
            },
            {"hash": "SHA256"},
        ),
        (
            "tiktok_shop",
            {"Authorization": hexed(mac(b"k", b"app{}"))},
            {"app_key": "app"},
        ),
    ],
)
def test_a_vectors_own_fields_become_options(
    provider: str, headers: dict[str, str], more: dict[str, str]
) -> None:
    vector = {"provider": provider, "valid": True, "secret": "k", "body": "{}", "headers": headers}
    assert outcome(vector | {"timestamp": 1_700_000_000} | more) == (Outcome.PASSED, "")
    if provider == "cloudinary":
        assert outcome(vector | {"timestamp": 1_700_000_000, "hash": "sha1"})[0] == Outcome.FAILED


def test_a_provider_that_raises_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def verify(self, *_: object, **__: object) -> None:
            raise RuntimeError("boom")

    monkeypatch.setitem(PROVIDERS, "github", Broken())  # type: ignore[arg-type]
    assert outcome(github()) == (Outcome.FAILED, "raised RuntimeError('boom')")


def test_a_vector_that_is_none_has_failed() -> None:
    failed, detail = outcome({"provider": "github"})
    assert failed is Outcome.FAILED
    assert detail.startswith("raised KeyError")


def test_the_vectors_clock_counts() -> None:
    body = "{}"
    signature = hexed(mac(b"secret", f"v0:{int(NOW)}:{body}".encode()))
    vector = {
        "provider": "slack",
        "scheme": "slack-v0",
        "valid": True,
        "secret": "secret",
        "headers": {
            "X-Slack-Signature": f"v0={signature}",
            "X-Slack-Request-Timestamp": str(int(NOW)),
        },
        "body": body,
        "timestamp": NOW,
    }
    assert outcome(vector)[0] is Outcome.PASSED
    assert outcome({**vector, "timestamp": NOW + 301, "valid": False})[0] is Outcome.PASSED
    now = {name: value for name, value in vector.items() if name != "timestamp"}
    assert outcome({**now, "valid": False})[0] is Outcome.PASSED


@pytest.mark.parametrize(
    ("scheme", "signature", "more"),
    [
        ("hub-sha256", "sha256=" + hexed(mac(b"s", b"b")), {}),
        ("hub-sha1", "sha1=xx,sha1=" + hexed(mac(b"s", b"b", "sha1")), {}),
        ("hmac-sha512-base64", based(mac(b"s", b"b", "sha512")), {}),
        ("other", based(mac(b"s", b"b", "sha512")), {"hash": "SHA512", "encoding": "base64"}),
    ],
)
def test_the_generic_hmac_is_configured_by_the_vector(
    scheme: str, signature: str, more: dict[str, str]
) -> None:
    vector = {
        "provider": "generic-hmac",
        "scheme": scheme,
        "valid": True,
        "secret": "s",
        "headers": {"X-Any-Signature": signature, "X-Other": "1"},
        "body": "b",
        **more,
    }
    assert outcome(vector) == (Outcome.PASSED, "")
    assert outcome({**vector, "secret": "x", "valid": False}) == (Outcome.PASSED, "")


def test_convoys_hash_and_encoding_are_the_vectors() -> None:
    vector = {
        "provider": "convoy",
        "scheme": "convoy-simple",
        "valid": True,
        "secret": "s",
        "hash": "SHA512",
        "encoding": "base64",
        "headers": {"X-Convoy-Signature": based(mac(b"s", b"b", "sha512"))},
        "body": "b",
    }
    assert outcome(vector) == (Outcome.PASSED, "")


def handshake(expected: dict[str, Any], **more: Any) -> tuple[Outcome, str]:
    vector = {
        "provider": "meta",
        "scheme": "handshake",
        "valid": True,
        "secret": "tok",
        "method": "GET",
        "url": "https://a.example/x?hub.mode=subscribe&hub.verify_token=tok&hub.challenge=1",
        "headers": {},
        "body": "",
        "expected_response": expected,
    }
    return outcome({**vector, **more})


@pytest.mark.parametrize(
    ("expected", "complaint"),
    [
        ({"status": 200, "text": "1"}, ""),
        ({"status": 200, "body": "1", "content_type": "text/plain"}, ""),
        ({"status": 200, "headers": {"x-content-type-options": "nosniff"}}, ""),
        ({"status": 204}, "status 200, should be 204"),
        ({"status": 200, "text": "2"}, "body b'1', should be '2'"),
        ({"status": 200, "json": {"a": 1}}, "body b'1', should be {'a': 1} in JSON"),
        (
            {"status": 200, "content_type": "application/json"},
            "content type 'text/plain; charset=utf-8', should be 'application/json'",
        ),
        ({"status": 200, "headers": {"X-A": "1"}}, "header X-A is None, should be '1'"),
        ({"status": 403}, "answered, should be refused"),
    ],
)
def test_a_handshakes_answer_is_compared(expected: dict[str, Any], complaint: str) -> None:
    assert handshake(expected) == (
        Outcome.FAILED if complaint else Outcome.PASSED,
        complaint,
    )


def test_a_handshake_that_is_refused_is_compared_too() -> None:
    assert handshake({"status": 403}, secret="other") == (Outcome.PASSED, "")
    assert handshake({"status": 200}, secret="other", valid=False) == (Outcome.PASSED, "")
    assert handshake({"status": 200}, secret="other")[1] == "handshake_refused, should be answered"


def test_an_answer_after_verification_is_compared() -> None:
    body = '{"type":"validation.webhook","id":"v1"}'
    digest = hashlib.sha256(body.encode()).hexdigest().encode()
    vector = {
        "provider": "tebex",
        "scheme": "tebex",
        "valid": True,
        "secret": "s",
        "headers": {"X-Signature": hexed(mac(b"s", digest))},
        "body": body,
        "expected_response": {"status": 200, "json": {"id": "v1"}},
    }
    assert outcome(vector) == (Outcome.PASSED, "")
    assert (
        outcome({**vector, "headers": {"X-Signature": "00"}, "valid": False})[0] is Outcome.PASSED
    )


def test_a_key_is_given_as_public_key_and_nothing_is_fetched() -> None:
    vector = {
        "provider": "aws-sns",
        "scheme": "aws-sns",
        "valid": True,
        "public_key": public(RSA, _PEM)[0],
        "headers": {},
        "body": sns_body(RSA[0], NOW).decode(),
        "timestamp": NOW,
    }
    assert outcome(vector) == (Outcome.PASSED, "")
    without = {name: value for name, value in vector.items() if name != "public_key"}
    assert "key_unavailable" in outcome(without)[1]


def test_paypals_signed_text_is_compared_where_there_is_no_certificate() -> None:
    signed = CASES["paypal"].sign("WEBHOOK", b"body", NOW)
    headers = dict(signed.headers)
    sent_at = headers["paypal-transmission-time"]
    vector = {
        "provider": "paypal",
        "scheme": "paypal-rsa",
        "valid": True,
        "secret": "WEBHOOK",
        "headers": headers,
        "body": "body",
        "timestamp": NOW,
        "signed_string": f"transmission-1|{sent_at}|WEBHOOK|{zlib.crc32(b'body')}",
    }
    assert outcome(vector) == (Outcome.PASSED, "")
    failed, detail = outcome({**vector, "signed_string": "other"})
    assert failed is Outcome.FAILED
    assert detail.startswith("signed text is 'transmission-1|")


def run(path: Path) -> tuple[str, int]:
    output = StringIO()
    command = Command(stdout=output, no_color=True)
    try:
        command.handle(file=path)
    except SystemExit as end:
        return output.getvalue(), int(end.code or 0)
    return output.getvalue(), 0


def test_the_command_ends_with_the_counts(tmp_path: Path) -> None:
    file = tmp_path / "vectors.json"
    file.write_text(json.dumps([github(), {**github(), "provider": "nobody"}]))
    output, code = run(file)
    assert output.splitlines()[-1] == "1 passed, 0 failed"
    assert "nobody" in output
    assert code == 0


def test_the_command_lists_what_failed_and_exits_1(tmp_path: Path) -> None:
    file = tmp_path / "vectors.json"
    file.write_text(json.dumps([github(), {**github(valid=False), "note": "[a] note"}]))
    output, code = run(file)
    assert output.splitlines()[-1] == "1 passed, 1 failed"
    assert "#1 github hub-sha256 ([a] note): accepted, should be refused" in output
    assert code == 1


@pytest.mark.parametrize("content", ["{}", "[1]", "nonsense"])
def test_the_command_refuses_what_is_no_list_of_vectors(tmp_path: Path, content: str) -> None:
    file = tmp_path / "vectors.json"
    file.write_text(content)
    with pytest.raises(CommandError):
        run(file)


def test_the_command_refuses_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="cannot read"):
        run(tmp_path / "none.json")
