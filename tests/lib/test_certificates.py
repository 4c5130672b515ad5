from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from tests.lib.certificates import Authority, pem_of_key
from webhooks_project.lib.certificates import check_authorities, check_identity, ends_at
from webhooks_project.lib.faults import Fault

AUTHORITY = Authority()
GOOD = AUTHORITY.issue()
OTHER = AUTHORITY.issue()
DAY = timedelta(days=1)


def now() -> datetime:
    return datetime.now(UTC)


def locked(pem: str) -> str:
    key = load_pem_private_key(pem.encode(), None)
    return key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"pw")
    ).decode()


@pytest.mark.parametrize(
    "key", [rsa.generate_private_key(65537, 2048), ed25519.Ed25519PrivateKey.generate(), None]
)
def test_a_certificate_and_its_key_are_taken(key: Any) -> None:
    pair = AUTHORITY.issue(key=key)
    end = check_identity(pair.certificate, pair.key, now=now())
    assert timedelta(hours=23) < end - now() <= DAY
    assert ends_at(pair.certificate) == end


def test_a_chain_may_follow() -> None:
    check_identity(GOOD.certificate + AUTHORITY.certificate, GOOD.key, now=now())


@pytest.mark.parametrize(
    ("certificate", "key", "code", "path"),
    [
        ("", GOOD.key, "not_a_certificate", "/certificate"),
        ("nonsense", GOOD.key, "not_a_certificate", "/certificate"),
        (GOOD.key, GOOD.key, "not_a_certificate", "/certificate"),
        (GOOD.certificate + "\x00", GOOD.key, "not_a_certificate", "/certificate"),
        (GOOD.certificate + "é", GOOD.key, "not_a_certificate", "/certificate"),
        (GOOD.certificate + " " * 65_536, GOOD.key, "too_large", "/certificate"),
        (GOOD.certificate * 51, GOOD.key, "too_many_certificates", "/certificate"),
        (GOOD.certificate, "nonsense", "not_a_key", "/key"),
        (GOOD.certificate, GOOD.certificate, "not_a_key", "/key"),
        (GOOD.certificate, OTHER.key, "key_mismatch", "/key"),
        (AUTHORITY.certificate + GOOD.certificate, GOOD.key, "key_mismatch", "/key"),
        (GOOD.certificate, locked(GOOD.key), "key_encrypted", "/key"),
        (GOOD.certificate, "x" * 65_537, "too_large", "/key"),
        (
            GOOD.certificate,
            pem_of_key(rsa.generate_private_key(65537, 1024)),
            "key_too_short",
            "/key",
        ),
        (
            GOOD.certificate,
            pem_of_key(dsa.generate_private_key(2048)),
            "key_kind_not_supported",
            "/key",
        ),
    ],
    ids=lambda text: text if len(text) < 30 else "long",  # keys differ from process to process
)
def test_says_what_is_wrong(certificate: str, key: str, code: str, path: str) -> None:
    with pytest.raises(Fault) as caught:
        check_identity(certificate, key, now=now())
    assert (caught.value.code, caught.value.path) == (code, path)


def test_refuses_what_is_not_valid_now() -> None:
    later = AUTHORITY.issue(begins=DAY, ends=2 * DAY)
    for moment, pair, code in (
        (now() + 2 * DAY, GOOD, "certificate_expired"),
        (now(), later, "certificate_not_yet_valid"),
    ):
        with pytest.raises(Fault) as caught:
            check_identity(pair.certificate, pair.key, now=moment)
        assert (caught.value.code, caught.value.path) == (code, "/certificate")
        with pytest.raises(Fault) as caught:
            check_authorities(AUTHORITY.certificate + pair.certificate, now=moment)
        assert caught.value.code == code


def test_a_bundle_of_authorities_is_taken() -> None:
    check_authorities(AUTHORITY.certificate + Authority("Other").certificate, now=now())


def test_what_is_no_certificate_never_ends() -> None:
    assert ends_at("nonsense") is None
