"""Answers that third parties insist on, some of them signed."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from urllib.parse import unquote

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from incoming.models import Receipt
from incoming.providers import PROVIDERS, Secret
from tests.factories import SOURCE_SECRET, make_source
from tests.incoming.calls import answer_of, post

from .cases import NOW, call
from .cases_of_keys import RSA, private_pem
from .cases_of_modules import praxis_body, praxis_call

SECRETS = [Secret(id="s0", value="the-secret")]


@pytest.mark.parametrize("bare", [False, True])
def test_alipay_plus_gets_a_signed_acknowledgement(bare: bool) -> None:
    key = private_pem(RSA[1])
    if bare:
        key = "".join(key.splitlines()[1:-1])
    PROVIDERS["alipay"].check_options({"private_key": key})
    answer = PROVIDERS["alipay"].acknowledge(call({"client-id": "C1"}), [], {"private_key": key})
    assert answer is not None
    assert json.loads(answer.body)["result"]["resultStatus"] == "S"
    assert answer.headers["Client-Id"] == "C1"
    head = f"POST /in/src_1\nC1.{answer.headers['Response-Time']}."
    signature = base64.b64decode(unquote(answer.headers["Signature"].partition("signature=")[2]))
    RSA[1].public_key().verify(
        signature, head.encode() + answer.body, padding.PKCS1v15(), hashes.SHA256()
    )
    with pytest.raises(InvalidSignature):
        RSA[1].public_key().verify(signature, answer.body, padding.PKCS1v15(), hashes.SHA256())


def test_antom_gets_an_acknowledgement_that_is_not_signed() -> None:
    answer = PROVIDERS["alipay"].acknowledge(call({"client-id": "C1"}), [], {})
    assert answer is not None
    assert "Signature" not in answer.headers
    with pytest.raises(ValueError, match="private_key"):
        PROVIDERS["alipay"].check_options({"private_key": "nonsense"})


@pytest.mark.django_db
def test_praxis_gets_an_acknowledgement_signed_with_the_secret_that_fitted() -> None:
    now = time.time()
    text = f"API-Testerapp-1{int(now)}abcorder-17USD100.001.2EUR120.00"
    body = praxis_body(now)
    headers = dict(praxis_call(SOURCE_SECRET, body, text, now).headers)
    response = post(make_source(provider="praxis"), body, headers=headers)
    answer = answer_of(response)
    assert answer["status"] == 0
    signed = f"0{answer['timestamp']}{SOURCE_SECRET}"
    assert response["external-request-signature"] == hashlib.sha384(signed.encode()).hexdigest()


def test_praxis_gets_no_signature_for_what_is_not_proved() -> None:
    unproved = call({"gt-authentication": "00" * 48}, praxis_body(NOW))
    assert PROVIDERS["praxis"].acknowledge(unproved, SECRETS, {}) is None


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        (b'{"notificationId":272638}', b'{"notificationId":272638}'),
        (b'{"notificationId":"272638"}', b'{"notificationId":"272638"}'),
        (b'{"notificationId":true}', None),
        (b"{}", None),
    ],
)
def test_zift_gets_its_id_back_as_it_came(body: bytes, answer: bytes | None) -> None:
    given = PROVIDERS["zift"].acknowledge(call({}, body), [], {})
    assert (given and given.body) == answer


@pytest.mark.django_db
def test_zifts_url_holds_the_secret() -> None:
    source = make_source(provider="zift")
    body = b'{"notificationId":7,"eventCode":"billing.subscription-created"}'
    assert post(source, body, headers={}).status_code == 401
    response = post(source, body, headers={}, query=f"token={SOURCE_SECRET}")
    assert response.content == b'{"notificationId":7}'
    assert SOURCE_SECRET not in Receipt.objects.get(status="accepted").query


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("provider", "headers", "body", "content_type"),
    [
        ("airtable", {}, b"", "text/plain"),
        ("tiktok-shop", {"authorization": "?"}, b"", "text/plain"),
        ("twilio", {}, b"<Response/>", "text/xml"),
        ("adyen", {}, b"[accepted]", "text/plain"),
        ("salesforce", {}, b"<Ack>true</Ack>", "text/xml"),
    ],
)
def test_the_door_gives_the_answer_that_the_sender_insists_on(
    provider: str, headers: dict[str, str], body: bytes, content_type: str
) -> None:
    answer = PROVIDERS[provider].acknowledge(call(headers), SECRETS, {})
    assert answer is not None
    assert body in answer.body
    assert bool(answer.body) is bool(body)
    assert answer.content_type.startswith(content_type)
