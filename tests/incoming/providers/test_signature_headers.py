"""Several signatures in one header, their versions, and their encodings."""

from __future__ import annotations

import base64
import hashlib

import pytest

from incoming.providers import Cause, Refused, Verified

from .cases import BODY, NOW, URL, based, call, hexed, mac, seconds
from .cases_of_modules import ADYEN_KEYS
from .verdicts import cause_of, verdict_of

SECRET = "the-secret"


def digest(text: bytes, *, hash_name: str = "sha256") -> str:
    return hexed(mac(SECRET.encode(), text, hash_name))


# Stripe, Paddle, Persona, Revolut, CircleCI, Recharge: several signatures in one header


def test_stripe_takes_any_v1_and_never_v0() -> None:
    good = digest(f"{seconds(NOW)}.".encode() + BODY)
    several = call({"stripe-signature": f"t={seconds(NOW)},v1=00,v1={good},v0=11"})
    old_scheme = call({"stripe-signature": f"t={seconds(NOW)},v1=00,v0={good}"})
    assert cause_of("stripe", several, SECRET) is None
    assert cause_of("stripe", old_scheme, SECRET) == Cause.SIGNATURE_MISMATCH


def test_stripe_leaves_the_future_open_even_with_a_tolerance_of_the_source() -> None:
    good = digest(f"{seconds(NOW)}.".encode() + BODY)
    early = call({"stripe-signature": f"t={seconds(NOW)},v1={good}"}, at=NOW - 1000)
    assert cause_of("stripe", early, SECRET, tolerance=10) is None


def test_stripe_without_a_timestamp_is_malformed() -> None:
    assert cause_of("stripe", call({"stripe-signature": "v1=00"}), SECRET) == (
        Cause.SIGNATURE_MALFORMED
    )


@pytest.mark.parametrize("text", ["Infinity", "-1", "1e9", "", "１７５", "9" * 17, " 1750000000x"])
def test_a_timestamp_that_is_no_number_is_malformed(text: str) -> None:
    signed = call({"stripe-signature": f"t={text},v1=00"})
    assert cause_of("stripe", signed, SECRET) == Cause.TIMESTAMP_MALFORMED


def test_paddles_five_seconds_can_be_widened_by_the_source() -> None:
    good = digest(f"{seconds(NOW)}:".encode() + BODY)
    late = call({"paddle-signature": f"ts={seconds(NOW)};h1=dummy;h1={good}"}, at=NOW + 60)
    assert cause_of("paddle", late, SECRET) == Cause.TIMESTAMP_TOO_OLD
    assert cause_of("paddle", late, SECRET, tolerance=60) is None


def test_persona_takes_either_pair_but_does_not_mix_them() -> None:
    now, old = seconds(NOW), seconds(NOW - 5000)
    good = digest(f"{now}.".encode() + BODY)
    stale = digest(f"{old}.".encode() + BODY)
    rotated = call({"persona-signature": f"t={now},v1={'0' * 64} t={now},v1={good}"})
    mixed = call({"persona-signature": f"t={now},v1={stale} t={old},v1={good}"})
    assert cause_of("persona", rotated, SECRET) is None
    assert cause_of("persona", mixed, SECRET) == Cause.SIGNATURE_MISMATCH


def test_circleci_does_not_fall_back_to_another_version() -> None:
    good = digest(BODY)
    both = call({"circleci-signature": f"v1={good},v2=00"})
    only_v2 = call({"circleci-signature": f"v2={good}"})
    wrong_v1 = call({"circleci-signature": f"v1={'0' * 64},v2={good}"})
    assert cause_of("circleci", both, SECRET) is None
    assert cause_of("circleci", only_v2, SECRET) == Cause.SIGNATURE_MALFORMED
    assert cause_of("circleci", wrong_v1, SECRET) == Cause.SIGNATURE_MISMATCH


def test_any_of_docusigns_headers_may_fit() -> None:
    good = based(mac(SECRET.encode(), BODY))
    other = based(mac(b"another", BODY))
    for first, second in ((other, good), (good, other), ("!", good)):
        signed = call({"x-docusign-signature-1": first, "x-docusign-signature-37": second})
        assert cause_of("docusign", signed, SECRET) is None
    none = call({"x-docusign-signature-1": other, "x-docusign-signature-101": good})
    assert cause_of("docusign", none, SECRET) == Cause.SIGNATURE_MISMATCH


def test_recharges_older_signature_counts_only_alone() -> None:
    older = hashlib.sha256(SECRET.encode() + BODY).hexdigest()
    alone = call({"x-recharge-hmac-sha256": older})
    newer = f"t={seconds(NOW)},v1={'0' * 64}"
    both = call({"x-recharge-hmac-sha256": older, "x-recharge-webhook-signature": newer})
    assert cause_of("recharge", alone, SECRET) is None
    assert cause_of("recharge", both, SECRET) == Cause.SIGNATURE_MISMATCH


@pytest.mark.parametrize("name", ["recharge", "hubspot"])
def test_a_hash_of_secret_and_body_cannot_be_extended(name: str) -> None:
    """What SHA-256 pads with is never UTF-8, and the body of an extended hash holds it."""
    body = BODY + b"\x80" + b"\x00" * 20 + b'{"type":"forged"}'
    older = hashlib.sha256(SECRET.encode() + body).hexdigest()
    signed = call({"x-recharge-hmac-sha256": older, "x-hubspot-signature": older}, body)
    assert cause_of(name, signed, SECRET) == Cause.SIGNATURE_MISMATCH


# Encodings


def test_hex_is_taken_in_either_case() -> None:
    upper = call({"x-hub-signature-256": "sha256=" + digest(BODY).upper()})
    assert cause_of("github", upper, SECRET) is None


def test_only_the_canonical_base64_is_taken() -> None:
    good = based(mac(SECRET.encode(), BODY))
    assert good.endswith("=")
    last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".index(good[-2])
    same_bytes = (
        good[:-2]
        + "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"[last + 1]
        + "="
    )
    assert base64.b64decode(same_bytes) == base64.b64decode(good)
    for text in (same_bytes, good.rstrip("="), good + "=", f" {good[:20]} {good[20:]}"):
        signed = call({"x-shopify-hmac-sha256": text})
        assert cause_of("shopify", signed, SECRET) == Cause.SIGNATURE_MALFORMED


def test_typeforms_prefix_is_followed_by_base64_not_hex() -> None:
    signed = call({"typeform-signature": "sha256=" + digest(BODY)})
    assert isinstance(verdict_of("typeform", signed, SECRET), Refused)


def test_github_needs_its_prefix() -> None:
    signed = call({"x-hub-signature-256": digest(BODY)})
    assert cause_of("github", signed, SECRET) == Cause.SIGNATURE_MALFORMED


def test_mollie_may_leave_its_prefix_out() -> None:
    assert cause_of("mollie", call({"x-mollie-signature": digest(BODY)}), SECRET) is None


def test_a_classic_mollie_call_is_proved_by_the_token_in_its_url() -> None:
    form = b"id=tr_1"
    assert cause_of("mollie", call({}, form, url=f"{URL}?token={SECRET}"), SECRET) is None
    assert cause_of("mollie", call({}, form, url=f"{URL}?token=x"), SECRET) == (
        Cause.CREDENTIALS_MISMATCH
    )


def test_a_right_length_with_wrong_bytes_is_no_exception() -> None:
    signed = call({"hmacsignature": "A" * 44}, b"x")
    assert cause_of("adyen", signed, ADYEN_KEYS[0]) == Cause.SIGNATURE_MISMATCH


def test_zendesks_secret_is_text_though_it_looks_like_base64() -> None:
    secret = "dGhpc19pc19hX3NlY3JldA=="
    signed = call(
        {
            "x-zendesk-webhook-signature": based(mac(secret.encode(), b"1234" + BODY)),
            "x-zendesk-webhook-signature-timestamp": "1234",
        }
    )
    assert verdict_of("zendesk", signed, secret) == Verified(secret_id="s0", signed_at=1234.0)
