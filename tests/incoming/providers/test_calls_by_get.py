"""Third parties that deliver by GET, or by whatever method the user chooses."""

from __future__ import annotations

import hashlib
import json
import time
from typing import Any
from urllib.parse import urlencode

import pytest

from incoming.models import Receipt
from incoming.providers import PROVIDERS, Call, Cause
from tests.factories import SOURCE_SECRET, make_source
from tests.incoming.calls import answer_of, base64_hmac, post

from .cases import NOW, URL, based, call, hexed, iso, mac, milliseconds
from .cases_of_modules import CASES as MODULES
from .cases_of_modules import PAYMOB_BODY, hs_token
from .verdicts import cause_of

SECRET = "the-secret"


def digest(text: bytes, hash_name: str = "sha256") -> str:
    return hexed(mac(SECRET.encode(), text, hash_name))


def get(query: str, headers: dict[str, str] | None = None) -> Call:
    return call(headers, b"", url=f"{URL}?{query}", method="GET")


def test_twilio_may_deliver_by_get_and_signs_the_query_with_the_url() -> None:
    query = "MessageSid=SM1&MessageStatus=delivered&Body=Zo%C3%AB"
    signature = based(mac(SECRET.encode(), f"{URL}?{query}".encode(), "sha1"))
    signed = get(query, {"x-twilio-signature": signature})
    assert "GET" in PROVIDERS["twilio"].methods
    assert cause_of("twilio", signed, SECRET) is None
    assert PROVIDERS["twilio"].identify(signed).type == "delivered"
    changed = get(query.replace("delivered", "failed"), {"x-twilio-signature": signature})
    assert cause_of("twilio", changed, SECRET) == Cause.SIGNATURE_MISMATCH


@pytest.mark.django_db
def test_the_door_takes_twilios_get_and_answers_in_twiml(settings: Any) -> None:
    source, query = make_source(provider="twilio"), "MessageSid=SM1&MessageStatus=delivered"
    url = f"{settings.PUBLIC_URL}{source.path}?{query}"
    headers = {"x-twilio-signature": based(mac(SOURCE_SECRET.encode(), url.encode(), "sha1"))}
    response = post(source, b"", method="GET", query=query, headers=headers)
    assert (response.status_code, response.content) == (200, b"<Response/>")
    receipt = Receipt.objects.get()
    assert (receipt.status, receipt.type, receipt.query) == ("accepted", "delivered", query)
    refused = post(source, b"", method="GET", query=f"{query}&a=1", headers=headers)
    assert (refused.status_code, answer_of(refused)) == (401, {"cause": "signature_mismatch"})


def test_messagebird_may_deliver_by_get_and_signs_the_query_with_the_url() -> None:
    def signed(query: str) -> Call:
        claims = {
            "iss": "MessageBird",
            "nbf": int(NOW),
            "exp": int(NOW) + 60,
            "jti": "token-1",
            "url_hash": hashlib.sha256(f"{URL}?id=1&status=delivered".encode()).hexdigest(),
        }
        return get(query, {"messagebird-signature-jwt": hs_token(SECRET, claims)})

    right = signed("id=1&status=delivered")
    assert "GET" in PROVIDERS["messagebird"].methods
    assert cause_of("messagebird", right, SECRET) is None
    assert PROVIDERS["messagebird"].identify(right).type == "delivered"
    assert cause_of("messagebird", signed("id=1&status=failed"), SECRET) == (
        Cause.SIGNATURE_MISMATCH
    )


def paymob_query(**changes: str) -> str:
    transaction = json.loads(PAYMOB_BODY)["obj"]
    flat: dict[str, Any] = {}
    for name, value in transaction.items():
        if name == "order":
            flat["order"] = value["id"]
        elif isinstance(value, dict):
            flat |= {f"{name}.{inner}": text for inner, text in value.items()}
        else:
            flat[name] = str(value).lower() if isinstance(value, bool) else value
    return urlencode(flat | changes)


@pytest.mark.parametrize("underscored", [False, True])
def test_paymobs_browser_comes_back_by_get_with_flat_names(underscored: bool) -> None:
    query = paymob_query()
    if underscored:
        query = query.replace("source_data.", "source_data_").replace("order=", "order_id=")
    signature = MODULES["paymob"].sign(SECRET, PAYMOB_BODY, NOW).query["hmac"]
    signed = get(f"{query}&hmac={signature}")
    assert "GET" in PROVIDERS["paymob"].methods
    assert cause_of("paymob", signed, SECRET) is None
    assert PROVIDERS["paymob"].identify(signed).external_id.startswith("7:false:true:")
    assert cause_of("paymob", get(f"{paymob_query(id='8')}&hmac={signature}"), SECRET) == (
        Cause.SIGNATURE_MISMATCH
    )


@pytest.mark.django_db
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_zendesks_method_is_the_users_choice(method: str) -> None:
    stamp = iso(time.time())
    headers = {
        "x-zendesk-webhook-signature-timestamp": stamp,
        "x-zendesk-webhook-signature": base64_hmac(stamp.encode()),
    }
    source = make_source(provider="zendesk")
    response = post(source, b"", headers=headers, method=method, CONTENT_TYPE="application/json")
    assert (response.status_code, Receipt.objects.get().status) == (200, "accepted")


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_contentfuls_method_is_signed_and_the_users_choice(method: str) -> None:
    stamp = milliseconds(NOW)
    names = "x-contentful-signed-headers,x-contentful-timestamp"
    head = f"x-contentful-signed-headers:{names};x-contentful-timestamp:{stamp}"
    headers = {
        "x-contentful-signed-headers": names,
        "x-contentful-timestamp": stamp,
        "x-contentful-signature": digest(f"{method}\n/in/src_1\n{head}\n".encode()),
    }
    assert method in PROVIDERS["contentful"].methods
    assert cause_of("contentful", call(headers, b"", method=method), SECRET) is None
    assert cause_of("contentful", call(headers, b""), SECRET) == Cause.SIGNATURE_MISMATCH
