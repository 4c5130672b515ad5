"""Encryption at rest: AES-256-GCM under a ring of keys, bound to the place of the value.

A stored value reads `v1.<key id>.<nonce>.<ciphertext>`, the last two in base64url. The associated
data is `table:pk:field:key id`, so a value copied to another row, table or field does not open.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import secrets
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

VERSION: Final = "v1"
NONCE_BYTES: Final = 12
KEY_BYTES: Final = 32


class KeyringError(Exception):
    """The key ring is not usable."""


class CannotDecrypt(KeyringError):
    """The value cannot be opened: its key is not in the ring, or it is not what was stored."""


@dataclass(frozen=True)
class Keyring:
    """Keys by id; the first one encrypts, all of them decrypt."""

    ciphers: dict[str, AESGCM]

    @property
    def current(self) -> str:
        """The id of the key that encrypts."""
        return next(iter(self.ciphers))

    @classmethod
    def parse(cls, text: str) -> Keyring:
        """From `id:base64 id:base64 …` (spaces, commas or line ends), the current key first.

        Each key is 32 random bytes. Raises KeyringError with what is wrong, never with a key.
        """
        ciphers: dict[str, AESGCM] = {}
        for item in re.split(r"[\s,]+", text.strip()):
            key_id, _, encoded = item.partition(":")
            try:
                key = base64.b64decode(encoded, validate=True)
            except (ValueError, binascii.Error):
                key = b""
            if not re.fullmatch(r"[A-Za-z0-9_-]{1,32}", key_id) or len(key) != KEY_BYTES:
                raise KeyringError(
                    "an encryption key is written <id>:<base64 of 32 bytes>; one is not"
                )
            if key_id in ciphers:
                raise KeyringError(f"two encryption keys have the id {key_id}")
            ciphers[key_id] = AESGCM(_derive(key))
        return cls(ciphers)

    def encrypt(self, plaintext: str, *, place: str) -> str:
        """Seal the text for `place` (`table:pk:field`) under the current key."""
        nonce = os.urandom(NONCE_BYTES)
        sealed = self.ciphers[self.current].encrypt(
            nonce, plaintext.encode(), f"{place}:{self.current}".encode()
        )
        return ".".join((VERSION, self.current, _encode(nonce), _encode(sealed)))

    def decrypt(self, stored: str, *, place: str) -> str:
        """Open a stored value. Raises CannotDecrypt."""
        try:
            version, key_id, nonce, sealed = stored.split(".")
            if version != VERSION:
                raise CannotDecrypt(f"unknown version {version!r} at {place}")
            opened = self.ciphers[key_id].decrypt(
                _decode(nonce), _decode(sealed), f"{place}:{key_id}".encode()
            )
        except KeyError as error:
            raise CannotDecrypt(f"key {key_id} of {place} is not in the ring") from error
        except (InvalidTag, ValueError, binascii.Error) as error:
            raise CannotDecrypt(f"the value at {place} is not what was stored there") from error
        return opened.decode()


def new_key(key_id: str) -> str:
    """A fresh key in the form that `Keyring.parse` reads."""
    return f"{key_id}:{base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()}"


def _derive(key: bytes) -> bytes:
    # One ring may serve more purposes later; each takes its own key from it.
    return HKDF(SHA256(), KEY_BYTES, salt=None, info=b"webhooks hub: field encryption").derive(key)


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text)
