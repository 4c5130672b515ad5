"""Certificates that a call names: PayPal and Amazon SNS."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from incoming.providers import Call, Cause, Verified, pinned

from .cases import BODY, NOW, call
from .cases_of_keys import (
    _PEM,
    CASES,
    CERT_URL,
    RSA,
    TOPIC,
    public,
    sns_body,
)
from .verdicts import cause_of, verdict_of


def certificate(name: str, *, starts: float = NOW - 1000, ends: float = NOW + 1000) -> bytes:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(RSA[0].public_key())
        .serial_number(1)
        .not_valid_before(datetime.fromtimestamp(starts, UTC))
        .not_valid_after(datetime.fromtimestamp(ends, UTC))
        .sign(RSA[0], hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM)


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes | None]:
    """What the pinned hosts answer, by URL; nothing else can be fetched."""
    known: dict[str, bytes | None] = {}

    def fetch(url: str, *, host: str, **rest: Any) -> bytes | None:
        assert pinned.is_pinned(url, host)
        return known[url]

    monkeypatch.setattr(pinned, "fetch", fetch)
    return known


# PayPal

WEBHOOK_ID = CASES["paypal"].secrets[0]


def paypal_call(**changes: str) -> Call:
    signed = CASES["paypal"].sign(WEBHOOK_ID, BODY, NOW)
    changed = {name.replace("_", "-"): value for name, value in changes.items()}
    return replace(signed, headers={**signed.headers, **changed})


def test_paypals_certificate_is_fetched_and_must_name_paypal(
    answers: dict[str, bytes | None],
) -> None:
    for name, cause in (
        ("messageverificationcerts.paypal.com", None),
        ("paypal.com.evil.example", Cause.KEY_UNAVAILABLE),
        ("evilpaypal.com", Cause.KEY_UNAVAILABLE),
    ):
        answers[CERT_URL] = certificate(name)
        assert cause_of("paypal", paypal_call(), WEBHOOK_ID) == cause


@pytest.mark.parametrize(("starts", "ends"), [(-2000, -1), (1, 2000)])
def test_paypals_certificate_must_be_valid_on_arrival(
    answers: dict[str, bytes | None], starts: int, ends: int
) -> None:
    answers[CERT_URL] = certificate("x.paypal.com", starts=NOW + starts, ends=NOW + ends)
    assert cause_of("paypal", paypal_call(), WEBHOOK_ID) == Cause.KEY_UNAVAILABLE


@pytest.mark.parametrize("answer", [None, b"", b"not a certificate"])
def test_paypal_without_a_certificate_is_refused(
    answers: dict[str, bytes | None], answer: bytes | None
) -> None:
    answers[CERT_URL] = answer
    assert cause_of("paypal", paypal_call(), WEBHOOK_ID) == Cause.KEY_UNAVAILABLE


@pytest.mark.parametrize(
    "url",
    [
        "http://api.paypal.com/cert",
        "https://api.paypal.com.evil.example/cert",
        "https://evilpaypal.com/cert",
        "https://evil.example/api.paypal.com/cert",
        "https://api.paypal.com@evil.example/cert",
        "https://evil.example\\@api.paypal.com/cert",
        "https://evil.example#api.paypal.com/cert",
        "https://api.paypal.com:8443/cert",
        "https://api.paypal.com",
        "",
    ],
)
def test_paypals_certificate_comes_from_paypal_only_even_when_it_is_pinned(url: str) -> None:
    pinned_key = public(RSA, _PEM)[0]
    signed = paypal_call(paypal_cert_url=url)
    assert cause_of("paypal", signed, WEBHOOK_ID, pinned_key) == Cause.SIGNATURE_MALFORMED


def test_paypals_algorithm_is_fixed() -> None:
    signed = paypal_call(paypal_auth_algo="SHA1withRSA")
    assert cause_of("paypal", signed, WEBHOOK_ID, public(RSA, _PEM)[0]) == (
        Cause.SIGNATURE_MALFORMED
    )


# Amazon SNS

PINNED = public(RSA, _PEM)[0]


def sns(body: bytes, *secrets: str, topic: str = TOPIC) -> Cause | None:
    return cause_of(
        "aws-sns", call({}, body), *(secrets or (PINNED,)), options={"topic_arn": topic}
    )


def changed(body: bytes, **fields: Any) -> bytes:
    return json.dumps(json.loads(body) | fields).encode()


@pytest.mark.parametrize("version", ["1", "2"])
def test_sns_signs_with_sha1_or_sha256(version: str) -> None:
    assert sns(sns_body(RSA[0], NOW, version=version, Subject="about")) is None


def test_snss_version_is_not_for_the_caller_to_choose() -> None:
    body = sns_body(RSA[0], NOW, version="1")
    assert sns(changed(body, SignatureVersion="2")) == Cause.SIGNATURE_MISMATCH
    assert sns(changed(body, SignatureVersion="3")) == Cause.SIGNATURE_MALFORMED


@pytest.mark.parametrize(
    "url",
    [
        "http://sns.us-east-1.amazonaws.com/x.pem",
        "https://internetbadguys.com/cert.pem",
        "https://sns.us-east-1.amazonaws.com.evil.example/x.pem",
        "https://sns.evil.example/sns.us-east-1.amazonaws.com/x.pem",
        "https://evilsns.us-east-1.amazonaws.com/x.pem",
        "https://s3.us-east-1.amazonaws.com/x.pem",
        "https://sns.us-east-1.amazonaws.com/x.txt",
        "https://sns.us-east-1.amazonaws.com@evil.example/x.pem",
        "",
        None,
        7,
    ],
)
def test_snss_certificate_comes_from_amazon_only_even_when_it_is_pinned(url: Any) -> None:
    assert sns(changed(sns_body(RSA[0], NOW), SigningCertURL=url)) == Cause.SIGNATURE_MALFORMED


def test_lambdas_spelling_of_the_url_is_known() -> None:
    message = json.loads(sns_body(RSA[0], NOW))
    message["SigningCertUrl"] = message.pop("SigningCertURL")
    assert sns(json.dumps(message).encode()) is None


def test_snss_certificate_is_fetched_where_none_is_pinned(
    answers: dict[str, bytes | None],
) -> None:
    body = sns_body(RSA[0], NOW)
    answers[json.loads(body)["SigningCertURL"]] = certificate("sns.amazonaws.com")
    verdict = verdict_of("aws-sns", call({}, body), options={"topic_arn": TOPIC})
    assert verdict == Verified(secret_id="", signed_at=NOW)


def test_a_right_signature_of_another_topic_is_refused_before_anything_is_fetched() -> None:
    body = sns_body(RSA[0], NOW, TopicArn="arn:aws:sns:eu-west-1:666666666666:evil")
    assert sns(body) == Cause.CREDENTIALS_MISMATCH
    assert cause_of("aws-sns", call({}, body)) == Cause.SOURCE_MISCONFIGURED
    assert sns(sns_body(RSA[0], NOW), topic=f"arn:other, {TOPIC}") is None


@pytest.mark.parametrize("field", ["Subject", "Token", "SubscribeURL"])
def test_nothing_can_be_added_to_a_signed_message(field: str) -> None:
    assert sns(changed(sns_body(RSA[0], NOW), **{field: "x"})) == Cause.SIGNATURE_MISMATCH


@pytest.mark.parametrize("fields", [{"Message": 7}, {"Type": "Other"}, {"Timestamp": None}])
def test_a_message_that_is_none_is_malformed(fields: dict[str, Any]) -> None:
    assert sns(changed(sns_body(RSA[0], NOW), **fields)) == Cause.SIGNATURE_MALFORMED


def test_raw_delivery_carries_no_signature() -> None:
    assert sns(b"thing made") == Cause.SIGNATURE_MISSING
