"""Standard Webhooks, those that follow it, and GitLab, which also does."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest

from incoming.providers import PROVIDERS, Cause, Verified

from .cases import BODY, NOW, based, call, hexed, mac, seconds
from .cases_of_keys import ED25519, base64_raw
from .cases_of_recipes import WHSEC_SECRETS
from .verdicts import cause_of, verdict_of

SECRET = "the-secret"


def digest(text: bytes, *, hash_name: str = "sha256") -> str:
    return hexed(mac(SECRET.encode(), text, hash_name))


# Standard Webhooks and those that follow it


def standard_headers(key: bytes, *, prefix: str = "webhook", name: str = "msg_1") -> dict[str, str]:
    text = f"{name}.{seconds(NOW)}.".encode() + BODY
    return {
        f"{prefix}-id": name,
        f"{prefix}-timestamp": seconds(NOW),
        f"{prefix}-signature": "v1," + based(mac(key, text)),
    }


KEY = bytes([1]) * 24


@pytest.mark.parametrize(
    "secret", [WHSEC_SECRETS[0], WHSEC_SECRETS[0].removeprefix("whsec_"), f" {WHSEC_SECRETS[0]}\n"]
)
def test_the_whsec_prefix_is_optional(secret: str) -> None:
    assert cause_of("standard-webhooks", call(standard_headers(KEY)), secret) is None


def test_any_of_several_v1_is_enough() -> None:
    headers = standard_headers(KEY)
    headers["webhook-signature"] = f"v2,AAAA v1,AAAA {headers['webhook-signature']} v1a,AAAA"
    assert cause_of("standard-webhooks", call(headers), WHSEC_SECRETS[0]) is None


def test_a_missing_message_id_is_malformed() -> None:
    headers = standard_headers(KEY)
    del headers["webhook-id"]
    assert cause_of("standard-webhooks", call(headers), WHSEC_SECRETS[0]) == (
        Cause.SIGNATURE_MALFORMED
    )


@pytest.mark.parametrize("prefix", ["webhook", "svix"])
def test_v1a_is_checked_with_the_senders_public_key(prefix: str) -> None:
    text = f"msg_1.{seconds(NOW)}.".encode() + BODY
    headers = {
        f"{prefix}-id": "msg_1",
        f"{prefix}-timestamp": seconds(NOW),
        f"{prefix}-signature": "v1a," + based(ED25519[0].sign(text)),
    }
    first, second, _ = base64_raw(ED25519)
    assert cause_of("svix", call(headers), f"whpk_{first}") is None
    assert cause_of("svix", call(headers), f"whpk_{second}") == Cause.SIGNATURE_MISMATCH
    assert verdict_of("svix", call(headers), WHSEC_SECRETS[0], f"whpk_{first}") == Verified(
        secret_id="s1", signed_at=NOW
    )


def test_a_public_key_does_not_verify_an_hmac() -> None:
    first = base64_raw(ED25519)[0]
    forged = standard_headers(base64.b64decode(first))
    assert cause_of("standard-webhooks", call(forged), f"whpk_{first}") == (
        Cause.SIGNATURE_MALFORMED
    )


def test_the_id_is_taken_from_the_headers_that_were_verified() -> None:
    """A replay with an added `webhook-id` must not look like a new message."""
    signed = call(standard_headers(KEY, prefix="svix"))
    replayed = replace(signed, headers={**signed.headers, "webhook-id": "another"})
    assert cause_of("svix", replayed, WHSEC_SECRETS[0]) is None
    assert PROVIDERS["svix"].identify(replayed).external_id == "msg_1"


def test_polars_secret_is_not_decoded() -> None:
    assert cause_of("polar", call(standard_headers(b"plain text")), "plain text") is None


# GitLab


def test_gitlab_takes_a_plain_token() -> None:
    assert cause_of("gitlab", call({"x-gitlab-token": SECRET}), SECRET) is None
    assert cause_of("gitlab", call({"x-gitlab-token": "other"}), SECRET) == (
        Cause.CREDENTIALS_MISMATCH
    )


def test_gitlab_with_a_signing_secret_takes_no_plain_token() -> None:
    signed = call({"x-gitlab-token": SECRET})
    assert cause_of("gitlab", signed, SECRET, WHSEC_SECRETS[0]) == Cause.SIGNATURE_MISSING
    clear = call({"x-gitlab-token": WHSEC_SECRETS[0]})
    assert cause_of("gitlab", clear, WHSEC_SECRETS[0]) == Cause.SIGNATURE_MISSING


def test_gitlabs_token_does_not_do_as_a_key() -> None:
    """It is sent in clear, so whoever saw it could sign with it."""
    token = WHSEC_SECRETS[0].removeprefix("whsec_")
    assert cause_of("gitlab", call(standard_headers(KEY)), token) == Cause.SECRET_MISSING
