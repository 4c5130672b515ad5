"""What third parties ask to see whether we are there, and what they get."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

import pytest

from incoming.providers import PROVIDERS, Answer, Call, Cause, Refused, Secret, Verified, pinned
from incoming.providers.handshake import NOSNIFF

from .cases import NOW, URL, based, call, hexed, mac, seconds
from .cases_of_keys import RSA, TOPIC, sns_body
from .cases_of_modules import BRAINTREE_KEYS

SECRET = [Secret(id="s0", value="tok")]


def ask(
    name: str,
    asked: Call,
    secrets: list[Secret] | None = None,
    options: dict[str, str] | None = None,
) -> Answer | Refused | None:
    return PROVIDERS[name].handshake(asked, SECRET if secrets is None else secrets, options)


def get(query: str = "", headers: dict[str, str] | None = None) -> Call:
    return call(headers, b"", url=f"{URL}?{query}" if query else URL, method="GET")


def text(value: str) -> Answer:
    return Answer(body=value.encode(), headers=NOSNIFF)


def in_json(value: Any) -> Answer:
    body = json.dumps(value, separators=(",", ":")).encode()
    return Answer(body=body, content_type="application/json", headers=NOSNIFF)


# HEAD and GET that only look


@pytest.mark.parametrize("name", ["trello", "mandrill", "circle", "intercom", "mailchimp"])
def test_head_is_answered_200(name: str) -> None:
    assert "HEAD" in PROVIDERS[name].methods
    assert ask(name, call({}, b"", method="HEAD")) == Answer()


def test_a_post_is_no_handshake_where_only_head_is() -> None:
    assert ask("trello", call()) is None


@pytest.mark.parametrize("name", sorted(PROVIDERS))
def test_an_ordinary_call_is_no_handshake(name: str) -> None:
    assert ask(name, call()) is None


# Echoes


@pytest.mark.parametrize("name", ["dropbox", "nylas"])
def test_the_challenge_of_a_get_is_echoed_as_text_that_is_not_sniffed(name: str) -> None:
    assert ask(name, get("challenge=abc%20%3Cb%3E")) == text("abc <b>")


def test_an_absurdly_long_challenge_is_not_echoed() -> None:
    assert ask("dropbox", get("challenge=" + "a" * 5000)) is None


@pytest.mark.parametrize("name", ["microsoft-graph", "microsoft-sharepoint"])
@pytest.mark.parametrize("parameter", ["validationToken", "validationtoken"])
def test_graphs_token_is_echoed_decoded_before_anything_is_verified(
    name: str, parameter: str
) -> None:
    asked = call({}, b"", url=f"{URL}?{parameter}=Validation%3A+Testing")
    assert PROVIDERS[name].unsigned_handshake
    assert ask(name, asked) == text("Validation: Testing")


def test_oktas_challenge_comes_in_a_header() -> None:
    asked = get(headers={"x-okta-verification-challenge": "abc"})
    assert ask("okta", asked) == in_json({"verification": "abc"})


def test_slacks_challenge_is_answered_after_the_signature() -> None:
    asked = call({}, b'{"type":"url_verification","challenge":"abc"}')
    assert not PROVIDERS["slack"].unsigned_handshake
    assert ask("slack", asked) == text("abc")


def test_twitchs_challenge_is_raw_text() -> None:
    headers = {"twitch-eventsub-message-type": "webhook_callback_verification"}
    body = b'{"challenge":"pogchamp","subscription":{}}'
    assert ask("twitch", call(headers, body)) == text("pogchamp")
    assert ask("twitch", call({"twitch-eventsub-message-type": "notification"}, body)) is None


def test_mondays_challenge_is_echoed_but_not_in_an_event() -> None:
    assert ask("monday", call({}, b'{"challenge":"abc"}')) == in_json({"challenge": "abc"})
    assert ask("monday", call({}, b'{"challenge":"abc","event":{}}')) is None


def test_fronts_challenge_comes_in_a_header() -> None:
    assert ask("frontapp", call({"x-front-challenge": "abc"})) == text("abc")


def test_ringcentrals_token_goes_back_as_a_header() -> None:
    asked = call({"validation-token": "abc"}, b"")
    assert ask("ringcentral", asked) == Answer(headers={"Validation-Token": "abc"})


@pytest.mark.parametrize("value", ["a\r\nSet-Cookie: x", "é", "\ud800", "a" * 1000, ""])
def test_a_header_that_is_no_header_is_not_echoed(value: str) -> None:
    for name, header in (("ringcentral", "validation-token"), ("asana", "x-hook-secret")):
        refused = ask(name, call({header: value}, b""), [])
        assert isinstance(refused, Refused)
        assert refused.cause == Cause.HANDSHAKE_REFUSED


def test_tebexs_validation_is_answered_with_its_id() -> None:
    asked = call({}, b'{"type":"validation.webhook","id":"v1"}')
    assert ask("tebex", asked) == in_json({"id": "v1"})


def test_woocommerces_ping_is_an_unsigned_form() -> None:
    assert ask("woocommerce", call({}, b"webhook_id=12")) == Answer()
    signed = call({"x-wc-webhook-signature": "x"}, b"webhook_id=12")
    assert ask("woocommerce", signed) is None
    assert ask("woocommerce", call({}, b"webhook_id=12&x=1")) is None


def test_exact_online_sends_an_empty_post() -> None:
    assert PROVIDERS["exact-online"].unsigned_handshake
    assert ask("exact-online", call({}, b"")) == Answer()


# Discord


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        (b'{"version":1,"application_id":"1","type":0}', Answer(status=204)),
        (b'{"id":"1","type":1}', in_json({"type": 1})),
        (b'{"version":1,"type":1,"event":{"type":"ENTITLEMENT_CREATE"}}', None),
        (b'{"id":"1","type":2,"data":{}}', None),
        (b'{"type":true}', None),
        (b'{"type":false}', None),
    ],
)
def test_discords_two_pings_are_told_from_events(body: bytes, answer: Answer | None) -> None:
    assert ask("discord", call({}, body)) == answer


# Tokens that we chose


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("meta", text("123")),
        ("whatsapp", text("123")),
        ("strava", in_json({"hub.challenge": "123"})),
    ],
)
def test_the_verify_token_has_to_fit(name: str, answer: Answer) -> None:
    query = "hub.mode=subscribe&hub.challenge=123&hub.verify_token="
    assert ask(name, get(query + "tok")) == answer
    assert ask(name, get(query + "other"), options={"verify_token": "other"}) == answer
    for wrong in (
        ask(name, get(query + "other")),
        ask(name, get(query), []),
        ask(name, get(query + "tok"), options={"verify_token": "other"}),
        ask(name, get("hub.mode=other&hub.challenge=123&hub.verify_token=tok")),
        ask(name, get("hub.mode=subscribe&hub.verify_token=tok")),
    ):
        assert isinstance(wrong, Refused)
        assert wrong.cause == Cause.HANDSHAKE_REFUSED


def test_ouras_challenge_is_echoed_in_json() -> None:
    asked = get("verification_token=tok&challenge=abc")
    assert ask("oura", asked) == in_json({"challenge": "abc"})


# Secrets that the third party tells us


@pytest.mark.parametrize("name", ["asana", "clio"])
def test_the_hook_secret_is_learned_once(name: str) -> None:
    asked = call({"x-hook-secret": "s3cret"}, b"")
    headers = {"X-Hook-Secret": "s3cret"}
    assert PROVIDERS[name].unsigned_handshake
    assert ask(name, asked, []) == Answer(headers=headers, learned_secret="s3cret")
    known = [Secret(id="s0", value="s3cret")]
    assert ask(name, asked, known) == Answer(headers=headers)
    other = ask(name, asked, [Secret(id="s0", value="another")])
    assert isinstance(other, Refused)
    assert other.cause == Cause.HANDSHAKE_REFUSED


def test_notions_token_is_learned_once() -> None:
    asked = call({}, b'{"verification_token":"secret_x"}')
    assert ask("notion", asked, []) == Answer(learned_secret="secret_x")
    other = ask("notion", asked, [Secret(id="s0", value="another")])
    assert isinstance(other, Refused)
    assert other.cause == Cause.HANDSHAKE_REFUSED
    signed = call({"x-notion-signature": "sha256=00"}, asked.body)
    assert ask("notion", signed, []) is None


def test_a_learned_secret_is_not_shown() -> None:
    answer = ask("notion", call({}, b'{"verification_token":"secret_x"}'), [])
    assert "secret_x" not in repr(answer)


# Answers made with our secret: never an oracle for signatures


def zoom_call(secret: str) -> Call:
    body = b'{"event":"endpoint.url_validation","payload":{"plainToken":"abc"}}'
    signature = hexed(mac(secret.encode(), f"v0:{seconds(NOW)}:".encode() + body))
    return call({"x-zm-request-timestamp": seconds(NOW), "x-zm-signature": f"v0={signature}"}, body)


def test_zoom_gets_the_hmac_of_its_token_with_the_secret_that_it_has() -> None:
    both = [Secret(id="new", value="new"), Secret(id="old", value="old")]
    for secret in ("new", "old"):
        expected = hmac.new(secret.encode(), b"abc", hashlib.sha256).hexdigest()
        answer = in_json({"plainToken": "abc", "encryptedToken": expected})
        assert ask("zoom", zoom_call(secret), both) == answer


def test_x_gets_the_hmac_of_its_token() -> None:
    expected = "sha256=" + based(mac(b"tok", b"abc"))
    assert ask("twitter", get("crc_token=abc")) == in_json({"response_token": expected})


@pytest.mark.parametrize(
    ("name", "parameter", "body"),
    [
        ("twitter", "crc_token", '{"forged":1}'),
        ("linkedin", "challengeCode", 'hmacsha256={"forged":1}'),
        ("linkedin", "challengeCode", "hmacsha256=1"),
    ],
)
def test_nobody_gets_the_hmac_of_what_could_be_a_body(name: str, parameter: str, body: str) -> None:
    from urllib.parse import quote

    refused = ask(name, get(f"{parameter}={quote(body)}"))
    assert isinstance(refused, Refused)
    assert refused.cause == Cause.HANDSHAKE_REFUSED


def test_smartcar_gets_an_answer_only_after_its_signature() -> None:
    asked = call({}, b'{"eventType":"VERIFY","data":{"challenge":"abc"}}')
    assert not PROVIDERS["smartcar"].unsigned_handshake
    assert ask("smartcar", asked) == in_json({"challenge": hexed(mac(b"tok", b"abc"))})


def test_linkedin_gets_code_and_hmac() -> None:
    code = "890e4665-4dfe-4ab1-b689-ed553bceeed0"
    expected = {"challengeCode": code, "challengeResponse": hexed(mac(b"tok", code.encode()))}
    assert ask("linkedin", get(f"challengeCode={code}")) == in_json(expected)


def test_ebay_gets_the_hash_of_code_token_and_our_own_url() -> None:
    expected = hashlib.sha256(f"codetok{URL}".encode()).hexdigest()
    assert ask("ebay", get("challenge_code=code")) == in_json({"challengeResponse": expected})
    assert ask("ebay", get("challenge_code=code"), [], {"verification_token": "tok"}) == in_json(
        {"challengeResponse": expected}
    )


def test_braintree_gets_public_key_and_hmac() -> None:
    secrets = [Secret(id="s0", value="integration_public_key|integration_private_key")]
    asked = get("bt_challenge=20f9f8ed05f77439fe955c977e4c8a53")
    # Published with Braintree's own library.
    expected = "integration_public_key|d9b899556c966b3f06945ec21311865d35df3ce4"
    assert ask("braintree", asked, secrets) == text(expected)


@pytest.mark.parametrize("challenge", ["bad+challenge", "ABCDEF" * 4, "a" * 33, ""])
def test_braintree_gets_no_hmac_of_what_is_no_challenge(challenge: str) -> None:
    secrets = [Secret(id="s0", value=BRAINTREE_KEYS[0])]
    refused = ask("braintree", get(f"bt_challenge={challenge}"), secrets)
    assert isinstance(refused, Refused)
    assert refused.cause == Cause.HANDSHAKE_REFUSED


@pytest.mark.parametrize(
    ("name", "query"),
    [
        ("twitter", "crc_token=abc"),
        ("linkedin", "challengeCode=abc"),
        ("ebay", "challenge_code=abc"),
        ("braintree", "bt_challenge=20f9f8ed05f77439fe955c977e4c8a53"),
    ],
)
def test_a_source_without_a_secret_answers_no_challenge(name: str, query: str) -> None:
    refused = ask(name, get(query), [])
    assert isinstance(refused, Refused)
    assert refused.cause == Cause.HANDSHAKE_REFUSED


# Amazon SNS


def confirmation(topic: str = TOPIC) -> Call:
    fields = {
        "Type": "SubscriptionConfirmation",
        "TopicArn": topic,
        "Token": "t1",
        "SubscribeURL": "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription",
    }
    return call({}, sns_body(RSA[0], NOW, **fields))


def test_a_subscription_of_the_pinned_topic_is_confirmed(monkeypatch: pytest.MonkeyPatch) -> None:
    visited: list[tuple[str, str]] = []

    def fetch(url: str, *, host: str) -> bytes:
        visited.append((url, host))
        return b"<ConfirmSubscriptionResponse/>"

    monkeypatch.setattr(pinned, "fetch", fetch)
    assert ask("aws-sns", confirmation(), [], {"topic_arn": TOPIC}) == Answer()
    assert [url for url, _ in visited] == [
        "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription"
    ]


@pytest.mark.parametrize("options", [{}, {"topic_arn": "arn:aws:sns:eu-west-1:1:other"}])
def test_a_subscription_of_another_topic_is_never_confirmed(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, str]
) -> None:
    visited: list[str] = []
    monkeypatch.setattr(pinned, "fetch", lambda url, *, host: visited.append(url))
    refused = ask("aws-sns", confirmation(), [], options)
    assert isinstance(refused, Refused)
    assert refused.cause == Cause.HANDSHAKE_REFUSED
    assert visited == []


def test_a_subscription_that_cannot_be_confirmed_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pinned, "fetch", lambda url, *, host: None)
    refused = ask("aws-sns", confirmation(), [], {"topic_arn": TOPIC})
    assert isinstance(refused, Refused)
    assert refused.cause == Cause.HANDSHAKE_REFUSED


# Acknowledgements


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("adyen", b"[accepted]"),
        ("twilio", b"<Response/>"),
        ("airtable", b""),
        ("wechat-pay", b'{"code":"SUCCESS","message":"OK"}'),
        ("shiphero", b'{"code":"200","Status":"Success"}'),
    ],
)
def test_the_acknowledgement_that_is_asked_for(name: str, body: bytes) -> None:
    answer = PROVIDERS[name].acknowledge(call(), SECRET)
    assert answer is not None
    assert (answer.status, answer.body) == (200, body)


def test_salesforce_is_acknowledged_in_soap() -> None:
    answer = PROVIDERS["salesforce"].acknowledge(call(), SECRET)
    assert answer is not None
    assert answer.content_type.startswith("text/xml")
    assert b"<Ack>true</Ack>" in answer.body


def test_any_2xx_will_do_for_the_others() -> None:
    assert PROVIDERS["github"].acknowledge(call(), SECRET) is None


def test_a_zoom_validation_is_verified_like_any_call() -> None:
    assert isinstance(PROVIDERS["zoom"].verify(zoom_call("tok"), SECRET), Verified)
    assert isinstance(PROVIDERS["zoom"].verify(zoom_call("other"), SECRET), Refused)
