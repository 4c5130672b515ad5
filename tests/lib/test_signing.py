from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest
import standardwebhooks
import time_machine
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from webhooks_project.lib.signing import (
    key_of,
    new_private_key,
    new_secret,
    public_key_of,
    signature_header,
)

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
BODY = '{"type":"thing.made","data":{"name":"Zoë"}}'.encode()


def headers(signature: str, *, timestamp: int) -> dict[str, str]:
    return {
        "webhook-id": "evt_1",
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature,
    }


@time_machine.travel(NOW, tick=False)
@pytest.mark.parametrize("body", [BODY, b"{}", b"[1, 2]", b'"text"'])
def test_is_accepted_by_the_official_verifier(body: bytes) -> None:
    secret, timestamp = new_secret(), int(NOW.timestamp())
    signature = signature_header(
        [key_of(secret)], message_id="evt_1", timestamp=timestamp, body=body
    )
    standardwebhooks.Webhook(secret).verify(body, headers(signature, timestamp=timestamp))


@time_machine.travel(NOW, tick=False)
def test_signs_with_each_key_in_order() -> None:
    old, new = new_secret(), new_secret()
    timestamp = int(NOW.timestamp())
    signature = signature_header(
        [key_of(new), key_of(old)], message_id="evt_1", timestamp=timestamp, body=BODY
    )
    first, second = signature.split(" ")
    assert first == standardwebhooks.Webhook(new).sign("evt_1", NOW, BODY.decode())
    assert second == standardwebhooks.Webhook(old).sign("evt_1", NOW, BODY.decode())
    for secret in (old, new):
        standardwebhooks.Webhook(secret).verify(BODY, headers(signature, timestamp=timestamp))


@time_machine.travel(NOW, tick=False)
@pytest.mark.parametrize(
    ("message_id", "timestamp", "body"),
    [
        ("evt_2", int(NOW.timestamp()), BODY),
        ("evt_1", int(NOW.timestamp()) + 1, BODY),
        ("evt_1", int(NOW.timestamp()), BODY + b" "),
    ],
)
def test_covers_the_id_the_timestamp_and_the_body(
    message_id: str, timestamp: int, body: bytes
) -> None:
    secret = new_secret()
    signature = signature_header(
        [key_of(secret)], message_id=message_id, timestamp=timestamp, body=body
    )
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(secret).verify(
            BODY, headers(signature, timestamp=int(NOW.timestamp()))
        )


def test_signs_nothing_without_a_key() -> None:
    assert signature_header([], message_id="evt_1", timestamp=1, body=BODY) == ""


def test_makes_secrets_of_32_random_bytes() -> None:
    secrets = {new_secret() for _ in range(50)}
    assert len(secrets) == 50
    for secret in secrets:
        assert secret.startswith("whsec_")
        assert len(base64.b64decode(secret.removeprefix("whsec_"), validate=True)) == 32


@pytest.mark.parametrize("size", [24, 32, 64])
def test_takes_a_secret_of_24_to_64_bytes_with_or_without_its_prefix(size: int) -> None:
    key = bytes(range(size))
    text = base64.b64encode(key).decode()
    assert key_of(text) == key_of(f"whsec_{text}") == key


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "whsec_",
        "whsec_" + base64.b64encode(b"x" * 23).decode(),
        "whsec_" + base64.b64encode(b"x" * 65).decode(),
        "whsec_not base64!",
        "whsec_" + "é" * 40,
    ],
)
def test_refuses_what_is_no_secret(secret: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the message differs with the fault
        key_of(secret)


# --- Ed25519 --------------------------------------------------------------------------------------

# Published: a key of Svix, from whose tests the Standard Webhooks specification took its scheme.
PUBLISHED_PUBLIC = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="
PUBLISHED_SIGNATURE = (
    "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="
)
PUBLISHED_SECRET = (
    "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
)
PUBLISHED_ID, PUBLISHED_TIMESTAMP = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330
PUBLISHED_BODY = b'{"test": 2432232314}'


def verify(public_key: str, signature: str, content: bytes) -> None:
    raw = base64.b64decode(public_key.removeprefix("whpk_"))
    key = Ed25519PublicKey.from_public_bytes(raw)
    key.verify(base64.b64decode(signature.removeprefix("v1a,")), content)


def test_the_published_signature_fits_the_published_key_and_no_other_body() -> None:
    start = f"{PUBLISHED_ID}.{PUBLISHED_TIMESTAMP}.".encode()
    verify(PUBLISHED_PUBLIC, PUBLISHED_SIGNATURE, start + PUBLISHED_BODY)
    with pytest.raises(InvalidSignature):
        verify(PUBLISHED_PUBLIC, PUBLISHED_SIGNATURE, start + b'{"test": 2432232315}')


@pytest.mark.parametrize("form", ["with its public half", "alone"])
def test_signs_as_published(form: str) -> None:
    secret = PUBLISHED_SECRET
    if form == "alone":
        raw = base64.b64decode(secret.removeprefix("whsk_"))
        secret = "whsk_" + base64.b64encode(raw[:32]).decode()
    signature = signature_header(
        [key_of(secret)],
        message_id=PUBLISHED_ID,
        timestamp=PUBLISHED_TIMESTAMP,
        body=PUBLISHED_BODY,
    )
    assert signature == PUBLISHED_SIGNATURE
    assert public_key_of(secret) == PUBLISHED_PUBLIC


def test_makes_keys_of_a_seed_and_its_public_half() -> None:
    secrets = {new_private_key() for _ in range(20)}
    assert len(secrets) == 20
    for secret in secrets:
        raw = base64.b64decode(secret.removeprefix("whsk_"), validate=True)
        assert (len(raw), secret[:5]) == (64, "whsk_")
        public = base64.b64decode(public_key_of(secret).removeprefix("whpk_"))
        assert raw[32:] == public
        content = b"evt_1.1." + BODY
        verify(
            public_key_of(secret),
            signature_header([key_of(secret)], message_id="evt_1", timestamp=1, body=BODY),
            content,
        )


@time_machine.travel(NOW, tick=False)
def test_one_header_holds_signatures_of_both_kinds() -> None:
    shared, private, other = new_secret(), new_private_key(), new_secret()
    timestamp = int(NOW.timestamp())
    signature = signature_header(
        [key_of(text) for text in (shared, private, other)],
        message_id="evt_1",
        timestamp=timestamp,
        body=BODY,
    )
    assert [part.partition(",")[0] for part in signature.split(" ")] == ["v1", "v1a", "v1"]
    for secret in (shared, other):
        standardwebhooks.Webhook(secret).verify(BODY, headers(signature, timestamp=timestamp))
    content = f"evt_1.{timestamp}.".encode() + BODY
    verify(public_key_of(private), signature.split(" ")[1], content)


def test_a_shared_secret_has_no_public_half() -> None:
    assert public_key_of(new_secret()) == ""


def _private(raw: bytes) -> str:
    return "whsk_" + base64.b64encode(raw).decode()


@pytest.mark.parametrize(
    "secret",
    [
        "whsk_",
        "whsk_not base64!",
        _private(bytes(31)),
        _private(bytes(33)),
        _private(bytes(63)),
        _private(bytes(65)),
        _private(bytes(64)),  # the public half is another seed's
    ],
)
def test_refuses_what_is_no_ed25519_key(secret: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the message differs with the fault
        key_of(secret)
