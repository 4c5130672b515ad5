from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest
import standardwebhooks
import time_machine

from webhooks_project.lib.signing import key_of, new_secret, signature_header

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
