from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhooks_project.lib.keyring import CannotDecrypt, Keyring, KeyringError, new_key

# Made up and always the same: they stand in the names of tests.
K1, K2 = (f"{name}:{base64.b64encode(name.encode() * 16).decode()}" for name in ("k1", "k2"))
PLACE = "integrations:0190:secret"


@given(st.text())
def test_opens_what_it_sealed(plaintext: str) -> None:
    ring = Keyring.parse(K1)
    assert ring.decrypt(ring.encrypt(plaintext, place=PLACE), place=PLACE) == plaintext


def test_shows_nothing_of_the_text_and_never_the_same_twice() -> None:
    ring = Keyring.parse(K1)
    first, second = (ring.encrypt("plain-secret", place=PLACE) for _ in range(2))
    assert first != second
    assert first.startswith("v1.k1.")
    assert "plain-secret" not in first
    assert base64.b64encode(b"plain-secret").decode()[:8] not in first


@pytest.mark.parametrize(
    "place",
    [
        "integrations:0191:secret",  # another row
        "subscriptions:0190:secret",  # another table
        "integrations:0190:other",  # another field
        "",
    ],
)
def test_does_not_open_a_value_copied_to_another_place(place: str) -> None:
    ring = Keyring.parse(K1)
    stored = ring.encrypt("plain", place=PLACE)
    with pytest.raises(CannotDecrypt):
        ring.decrypt(stored, place=place)


def test_does_not_open_a_value_that_names_another_key() -> None:
    """The key's id is sealed with the value: two ids of the same key are not the same."""
    key = K1.partition(":")[2]
    ring = Keyring.parse(f"k1:{key} k2:{key}")
    stored = ring.encrypt("plain", place=PLACE)
    with pytest.raises(CannotDecrypt):
        ring.decrypt(stored.replace("v1.k1.", "v1.k2."), place=PLACE)


def test_seals_with_the_first_key_and_opens_with_all() -> None:
    old = Keyring.parse(K1).encrypt("plain", place=PLACE)
    both = Keyring.parse(f"{K2} {K1}")
    assert both.current == "k2"
    assert both.decrypt(old, place=PLACE) == "plain"
    assert both.encrypt("plain", place=PLACE).startswith("v1.k2.")


def test_names_the_key_that_is_missing_and_no_secret() -> None:
    stored = Keyring.parse(K1).encrypt("plain", place=PLACE)
    with pytest.raises(CannotDecrypt, match=f"key k1 of {PLACE} is not in the ring"):
        Keyring.parse(K2).decrypt(stored, place=PLACE)


@pytest.mark.parametrize(
    "stored",
    [
        "",
        "plain",
        "v1.k1",
        "v1.k1..",
        "v1.k1.!.!",
        "v2.k1.AAAA.AAAA",
        "v1.k1.AAAA.AAAA",
        "v1.k1.é.é",
    ],
)
def test_does_not_open_what_it_did_not_store(stored: str) -> None:
    with pytest.raises(CannotDecrypt):
        Keyring.parse(K1).decrypt(stored, place=PLACE)


@given(st.text())
def test_raises_nothing_else_on_any_text(stored: str) -> None:
    with pytest.raises(CannotDecrypt):
        Keyring.parse(K1).decrypt(stored, place=PLACE)


@pytest.mark.parametrize("position", range(3))
def test_notices_a_changed_nonce_or_ciphertext(position: int) -> None:
    ring = Keyring.parse(K1)
    version, key_id, nonce, sealed = ring.encrypt("plain", place=PLACE).split(".")
    raw = bytearray(base64.urlsafe_b64decode(sealed))
    if position == 2:
        nonce = base64.urlsafe_b64encode(bytes(12)).decode()
    else:
        raw[-position] ^= 1  # the first byte, and the last: the tag
    changed = base64.urlsafe_b64encode(bytes(raw)).decode()
    with pytest.raises(CannotDecrypt):
        ring.decrypt(".".join((version, key_id, nonce, changed)), place=PLACE)


@pytest.mark.parametrize("separator", [" ", ",", "\n", " ,\n "])
def test_reads_a_ring_however_it_is_separated(separator: str) -> None:
    assert list(Keyring.parse(f"\n{K1}{separator}{K2}\n").ciphers) == ["k1", "k2"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "k1",
        "k1:",
        ":" + base64.b64encode(bytes(32)).decode(),
        "k1:" + base64.b64encode(bytes(16)).decode(),
        "k1:" + base64.b64encode(bytes(33)).decode(),
        "k1:not-base64",
        "k.1:" + base64.b64encode(bytes(32)).decode(),
        "k" * 33 + ":" + base64.b64encode(bytes(32)).decode(),
        f"{K1} nonsense",
    ],
)
def test_refuses_a_malformed_ring_without_showing_it(text: str) -> None:
    with pytest.raises(KeyringError, match="an encryption key is written") as caught:
        Keyring.parse(text)
    encoded = text.partition(":")[2]
    assert len(encoded) < 8 or encoded[:8] not in str(caught.value)


def test_refuses_two_keys_of_one_id() -> None:
    with pytest.raises(KeyringError, match="two encryption keys have the id k1"):
        Keyring.parse(f"{K1} {new_key('k1')}")


def test_does_not_use_the_key_itself() -> None:
    """The field key is derived, so that another purpose may take its own from the same ring."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    _, _, nonce, sealed = Keyring.parse(K1).encrypt("plain", place=PLACE).split(".")
    with pytest.raises(InvalidTag):
        AESGCM(base64.b64decode(K1.partition(":")[2])).decrypt(
            base64.urlsafe_b64decode(nonce),
            base64.urlsafe_b64decode(sealed),
            f"{PLACE}:k1".encode(),
        )
