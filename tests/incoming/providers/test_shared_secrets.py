"""The quirks of third parties that share a secret with us, one test for each trap."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import replace

import pytest

from incoming.providers import PROVIDERS, Call, Cause, Refused, Secret, Verified
from incoming.providers.declaration import Declaration

from .cases import BODY, NOW, URL, based, call, hexed, mac, seconds
from .cases_of_keys import ED25519, base64_raw
from .cases_of_modules import (
    ADYEN_KEYS,
    FORM,
    FORM_TYPE,
    adyen_body,
    adyen_item,
    mailgun_body,
)
from .cases_of_recipes import WHSEC_SECRETS

SECRET = "the-secret"


def verdict_of(
    name: str, signed: Call, *values: str, tolerance: int | None = None
) -> Verified | Refused:
    secrets = [Secret(id=f"s{number}", value=value) for number, value in enumerate(values)]
    return PROVIDERS[name].verify(signed, secrets, tolerance_seconds=tolerance)


def cause_of(name: str, signed: Call, *values: str, tolerance: int | None = None) -> Cause | None:
    verdict = verdict_of(name, signed, *values, tolerance=tolerance)
    return verdict.cause if isinstance(verdict, Refused) else None


def digest(text: bytes, *, key: str = SECRET, hash_name: str = "sha256") -> str:
    return hexed(mac(key.encode(), text, hash_name))


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


# Standard Webhooks and those that follow it


def standard_headers(key: bytes, *, prefix: str = "webhook", name: str = "msg_1") -> dict[str, str]:
    text = f"{name}.{seconds(NOW)}.".encode() + BODY
    return {
        f"{prefix}-id": name,
        f"{prefix}-timestamp": seconds(NOW),
        f"{prefix}-signature": "v1," + based(mac(key, text)),
    }


KEY = bytes([1]) * 24


@pytest.mark.parametrize(
    "secret", [WHSEC_SECRETS[0], WHSEC_SECRETS[0].removeprefix("whsec_"), f" {WHSEC_SECRETS[0]}\n"]
)
def test_the_whsec_prefix_is_optional(secret: str) -> None:
    assert cause_of("standard-webhooks", call(standard_headers(KEY)), secret) is None


def test_any_of_several_v1_is_enough() -> None:
    headers = standard_headers(KEY)
    headers["webhook-signature"] = f"v2,AAAA v1,AAAA {headers['webhook-signature']} v1a,AAAA"
    assert cause_of("standard-webhooks", call(headers), WHSEC_SECRETS[0]) is None


def test_a_missing_message_id_is_malformed() -> None:
    headers = standard_headers(KEY)
    del headers["webhook-id"]
    assert cause_of("standard-webhooks", call(headers), WHSEC_SECRETS[0]) == (
        Cause.SIGNATURE_MALFORMED
    )


@pytest.mark.parametrize("prefix", ["webhook", "svix"])
def test_v1a_is_checked_with_the_senders_public_key(prefix: str) -> None:
    text = f"msg_1.{seconds(NOW)}.".encode() + BODY
    headers = {
        f"{prefix}-id": "msg_1",
        f"{prefix}-timestamp": seconds(NOW),
        f"{prefix}-signature": "v1a," + based(ED25519[0].sign(text)),
    }
    first, second, _ = base64_raw(ED25519)
    assert cause_of("svix", call(headers), f"whpk_{first}") is None
    assert cause_of("svix", call(headers), f"whpk_{second}") == Cause.SIGNATURE_MISMATCH
    assert verdict_of("svix", call(headers), WHSEC_SECRETS[0], f"whpk_{first}") == Verified(
        secret_id="s1", signed_at=NOW
    )


def test_a_public_key_does_not_verify_an_hmac() -> None:
    first = base64_raw(ED25519)[0]
    forged = standard_headers(base64.b64decode(first))
    assert cause_of("standard-webhooks", call(forged), f"whpk_{first}") == (
        Cause.SIGNATURE_MALFORMED
    )


def test_the_id_is_taken_from_the_headers_that_were_verified() -> None:
    """A replay with an added `webhook-id` must not look like a new message."""
    signed = call(standard_headers(KEY, prefix="svix"))
    replayed = replace(signed, headers={**signed.headers, "webhook-id": "another"})
    assert cause_of("svix", replayed, WHSEC_SECRETS[0]) is None
    assert PROVIDERS["svix"].identify(replayed).external_id == "msg_1"


def test_polars_secret_is_not_decoded() -> None:
    assert cause_of("polar", call(standard_headers(b"plain text")), "plain text") is None


# GitLab


def test_gitlab_takes_a_plain_token() -> None:
    assert cause_of("gitlab", call({"x-gitlab-token": SECRET}), SECRET) is None
    assert cause_of("gitlab", call({"x-gitlab-token": "other"}), SECRET) == (
        Cause.CREDENTIALS_MISMATCH
    )


def test_gitlab_with_a_signing_secret_takes_no_plain_token() -> None:
    signed = call({"x-gitlab-token": SECRET})
    assert cause_of("gitlab", signed, SECRET, WHSEC_SECRETS[0]) == Cause.SIGNATURE_MISSING
    clear = call({"x-gitlab-token": WHSEC_SECRETS[0]})
    assert cause_of("gitlab", clear, WHSEC_SECRETS[0]) == Cause.SIGNATURE_MISSING


def test_gitlabs_token_does_not_do_as_a_key() -> None:
    """It is sent in clear, so whoever saw it could sign with it."""
    token = WHSEC_SECRETS[0].removeprefix("whsec_")
    assert cause_of("gitlab", call(standard_headers(KEY)), token) == Cause.SECRET_MISSING


# Signed URLs: the source's own URL counts, never the Host header


@pytest.mark.parametrize(
    ("name", "headers", "body"),
    [
        (
            "square",
            {"x-square-hmacsha256-signature": based(mac(SECRET.encode(), URL.encode() + BODY))},
            BODY,
        ),
        (
            "trello",
            {"x-trello-webhook": based(mac(SECRET.encode(), BODY + URL.encode(), "sha1"))},
            BODY,
        ),
        (
            "favro",
            {"x-favro-webhook": based(mac(SECRET.encode(), b"p1" + URL.encode(), "sha1"))},
            b'{"payloadId":"p1"}',
        ),
    ],
)
def test_the_host_header_is_not_part_of_the_url(
    name: str, headers: dict[str, str], body: bytes
) -> None:
    told_otherwise = call({**headers, "host": "evil.example"}, body)
    elsewhere = call({**headers, "host": "hub.example.com"}, body, url="https://evil.example/in")
    assert cause_of(name, told_otherwise, SECRET) is None
    assert cause_of(name, elsewhere, SECRET) == Cause.SIGNATURE_MISMATCH


# Twilio


def twilio_signature(url: str, form: str = "") -> dict[str, str]:
    return {"x-twilio-signature": based(mac(SECRET.encode(), (url + form).encode(), "sha1"))}


@pytest.mark.parametrize(
    ("signed_url", "our_url"),
    [
        ("https://a.example/x?y=1", "https://a.example:8443/x?y=1"),
        ("https://a.example:443/x?y=1", "https://a.example/x?y=1"),
        ("http://a.example:80/x", "http://a.example/x"),
        ("http://a.example:1234/x", "http://a.example:1234/x"),
        ("https://a.example?y=1:2", "https://a.example?y=1:2"),
        ("https://[::1]:443/x", "https://[::1]/x"),
    ],
)
def test_twilios_url_is_tried_with_and_without_port(signed_url: str, our_url: str) -> None:
    signed = call(twilio_signature(signed_url), b"", url=our_url)
    assert cause_of("twilio", signed, SECRET) is None


def test_twilios_repeated_fields_count_once_and_mandrills_twice() -> None:
    once = "Digits1234Digits5678From+14158675309NameZoë"
    twice = "Digits1234" + once
    for form, twilio, mandrill in (
        (once, None, Cause.SIGNATURE_MISMATCH),
        (twice, Cause.SIGNATURE_MISMATCH, None),
    ):
        headers = twilio_signature(URL, form) | FORM_TYPE
        headers["x-mandrill-signature"] = headers["x-twilio-signature"]
        signed = call(headers, FORM)
        assert cause_of("twilio", signed, SECRET) == twilio
        assert cause_of("mandrill", signed, SECRET) == mandrill


@pytest.mark.parametrize("changed", [False, True])
def test_twilios_json_is_covered_by_the_hash_in_the_url(changed: bool) -> None:
    url = f"{URL}?bodySHA256={hashlib.sha256(BODY).hexdigest()}"
    headers = twilio_signature(url) | {"content-type": "application/json"}
    signed = call(headers, BODY + b" " if changed else BODY, url=url)
    assert cause_of("twilio", signed, SECRET) == (Cause.SIGNATURE_MISMATCH if changed else None)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (BODY, "application/json"),
        (b"\xff\xfe", "application/x-www-form-urlencoded"),
        (b"&&&", "application/x-www-form-urlencoded"),
        (b"a=1&" * 2000, "application/x-www-form-urlencoded"),
    ],
)
def test_a_body_that_twilio_did_not_sign_is_refused(body: bytes, content_type: str) -> None:
    """The signature of a call without a body must not carry one."""
    signed = call(twilio_signature(URL) | {"content-type": content_type}, body)
    assert cause_of("twilio", signed, SECRET) == Cause.SIGNATURE_MISMATCH


# Mailgun


def test_mailguns_token_is_the_id() -> None:
    identity = PROVIDERS["mailgun"].identify(call({}, mailgun_body(SECRET, NOW)))
    assert (identity.external_id, identity.type) == ("token-1", "opened")


def test_mailguns_digits_cannot_be_moved_between_time_and_token() -> None:
    """Else one signature would do for several tokens."""
    body = mailgun_body(SECRET, NOW, token="77abc")
    stamp = seconds(NOW).encode()
    longer = body.replace(stamp, stamp + b"7").replace(b'"77abc"', b'"7abc"')
    shorter = body.replace(stamp, stamp[:-1]).replace(b'"77abc"', b'"077abc"')
    assert cause_of("mailgun", call({}, body), SECRET) is None
    assert cause_of("mailgun", call({}, longer), SECRET) == Cause.TIMESTAMP_IN_FUTURE
    assert cause_of("mailgun", call({}, shorter), SECRET) == Cause.TIMESTAMP_TOO_OLD


def test_mailgun_signs_forwarded_mail_in_form_fields() -> None:
    signature = digest(seconds(NOW).encode() + b"t1")
    fields = {
        "timestamp": seconds(NOW),
        "token": "t1",
        "signature": signature,
        "from": "a@b.example",
    }
    form = "&".join(f"{name}={value}" for name, value in fields.items()).encode()
    parts = "".join(
        f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    )
    upload = '--b\r\nContent-Disposition: form-data; name="token"; filename="x"\r\n\r\nno\r\n--b--'
    multipart = call(
        {"content-type": 'multipart/form-data; boundary="b"'}, (parts + upload).encode()
    )
    assert cause_of("mailgun", call(FORM_TYPE, form), SECRET) is None
    assert cause_of("mailgun", multipart, SECRET) is None


# HubSpot


def test_hubspots_older_versions_are_told_by_a_header() -> None:
    v1 = hashlib.sha256(SECRET.encode() + BODY).hexdigest()
    v2 = hashlib.sha256(f"{SECRET}POST{URL}".encode() + BODY).hexdigest()
    for version, signature in (("v1", v1), ("v2", v2)):
        headers = {"x-hubspot-signature": signature, "x-hubspot-signature-version": version}
        assert cause_of("hubspot", call(headers), SECRET) is None
    crossed = {"x-hubspot-signature": v1, "x-hubspot-signature-version": "v2"}
    assert cause_of("hubspot", call(crossed), SECRET) == Cause.SIGNATURE_MISMATCH
    unknown = {"x-hubspot-signature": v1, "x-hubspot-signature-version": "v9"}
    assert cause_of("hubspot", call(unknown), SECRET) == Cause.SIGNATURE_MALFORMED


def test_hubspots_older_signature_does_not_save_a_wrong_newer_one() -> None:
    headers = {
        "x-hubspot-signature": hashlib.sha256(SECRET.encode() + BODY).hexdigest(),
        "x-hubspot-signature-v3": based(b"\x00" * 32),
        "x-hubspot-request-timestamp": seconds(NOW) + "000",
    }
    assert cause_of("hubspot", call(headers), SECRET) == Cause.SIGNATURE_MISMATCH


# Adyen


def test_adyens_items_all_have_to_fit() -> None:
    right, wrong = adyen_item(ADYEN_KEYS[0]), adyen_item(ADYEN_KEYS[2])
    assert cause_of("adyen", call({}, adyen_body(right, right)), ADYEN_KEYS[0]) is None
    assert cause_of("adyen", call({}, adyen_body(right, wrong)), ADYEN_KEYS[0]) == (
        Cause.SIGNATURE_MISMATCH
    )
    assert cause_of("adyen", call({}, adyen_body()), ADYEN_KEYS[0]) == Cause.SIGNATURE_MISSING


def test_adyens_success_may_be_a_json_boolean() -> None:
    body = adyen_body(adyen_item(ADYEN_KEYS[0], success=True))
    assert cause_of("adyen", call({}, body), ADYEN_KEYS[0]) is None


def test_adyens_platform_webhooks_are_signed_in_a_header() -> None:
    signature = based(mac(bytes.fromhex(ADYEN_KEYS[0]), BODY))
    assert cause_of("adyen", call({"hmacsignature": signature}), ADYEN_KEYS[0]) is None


# Linear, Box, Contentful, Hook0, and what else signs more than the body


def test_linear_does_not_look_at_its_unsigned_header() -> None:
    body = b'{"webhookTimestamp":%d}' % (NOW * 1000)
    headers = {"linear-signature": digest(body), "linear-timestamp": "0"}
    assert cause_of("linear", call(headers, body), SECRET) is None
    fresh = {"linear-signature": digest(body), "linear-timestamp": seconds(NOW + 61) + "000"}
    assert cause_of("linear", call(fresh, body, at=NOW + 61), SECRET) == Cause.TIMESTAMP_TOO_OLD


BOX = {
    "box-signature-version": "1",
    "box-signature-algorithm": "HmacSHA256",
    "box-delivery-timestamp": "2025-06-15T08:06:40-07:00",
}


@pytest.mark.parametrize(
    ("body", "signed"),
    [
        ('{"n":"😀"}', rb'{"n":"\ud83d\ude00"}'),
        ('{"n":"a\\/b"}', rb'{"n":"a\/b"}'),
        ('{"n":"\\"}', rb'{"n":"\\"}'),
        ('{"n":"\r\n\t\x00"}', rb'{"n":"\r\n\t\u0000"}'),
    ],
)
def test_box_may_sign_the_escaped_body(body: str, signed: bytes) -> None:
    signature = based(mac(SECRET.encode(), signed + BOX["box-delivery-timestamp"].encode()))
    headers = BOX | {"box-signature-primary": signature}
    assert cause_of("box", call(headers, body.encode()), SECRET) is None


@pytest.mark.parametrize(
    "change", [{"box-signature-version": "2"}, {"box-signature-algorithm": "HmacSHA1"}]
)
def test_box_refuses_another_scheme(change: dict[str, str]) -> None:
    signature = based(mac(SECRET.encode(), BODY + BOX["box-delivery-timestamp"].encode()))
    headers = BOX | {"box-signature-primary": signature} | change
    assert cause_of("box", call(headers), SECRET) == Cause.SIGNATURE_MALFORMED


def contentful_call() -> Call:
    from .cases_of_modules import CASES

    return CASES["contentful"].sign(SECRET, BODY, NOW)


def test_contentfuls_signed_headers_cannot_be_changed_or_dropped() -> None:
    signed = contentful_call()
    changed = replace(signed, headers=signed.headers | {"x-contentful-topic": "Entry.delete"})
    names = "x-contentful-signed-headers,x-contentful-timestamp"
    fewer = replace(signed, headers=signed.headers | {"x-contentful-signed-headers": names})
    added = replace(signed, headers=signed.headers | {"x-unsigned": "1"})
    assert cause_of("contentful", changed, SECRET) == Cause.SIGNATURE_MISMATCH
    assert cause_of("contentful", fewer, SECRET) == Cause.SIGNATURE_MISMATCH
    assert cause_of("contentful", added, SECRET) is None


def test_hook0_counts_v0_only_where_there_is_no_v1() -> None:
    v0 = digest(f"{seconds(NOW)}.".encode() + BODY)
    alone = call({"x-hook0-signature": f"t={seconds(NOW)},v0={v0}"})
    with_v1 = call({"x-hook0-signature": f"t={seconds(NOW)},v0={v0},v1={'0' * 64}"})
    assert cause_of("hook0", alone, SECRET) is None
    assert cause_of("hook0", with_v1, SECRET) == Cause.SIGNATURE_MISMATCH


def test_twitchs_id_and_time_cannot_be_cut_elsewhere() -> None:
    from .cases_of_recipes import CASES

    signed = CASES["twitch"].sign(SECRET, BODY, NOW)
    stamp = signed.headers["twitch-eventsub-message-timestamp"]
    moved = {
        "twitch-eventsub-message-id": "msg_1" + stamp[0],
        "twitch-eventsub-message-timestamp": stamp[1:],
    }
    forged = replace(signed, headers=signed.headers | moved)
    assert cause_of("twitch", forged, SECRET) == Cause.TIMESTAMP_MALFORMED


def test_metas_escapes_are_signed_as_they_came() -> None:
    body = rb'{"object":"page","entry":[{"changes":[{"field":"feed","value":"Zo\u00eb"}]}]}'
    signed = call({"x-hub-signature-256": "sha256=" + digest(body)}, body)
    assert cause_of("meta", signed, SECRET) is None
    assert PROVIDERS["meta"].identify(signed).type == "page.feed"


def test_each_of_graphs_notifications_has_to_hold_the_client_state() -> None:
    good, bad, none = (b'{"clientState":"the-secret"}', b'{"clientState":"x"}', b"{}")
    for second, expected in (
        (good, None),
        (bad, Cause.CREDENTIALS_MISMATCH),
        (none, Cause.CREDENTIALS_MISMATCH),
    ):
        body = b'{"value":[%s,%s]}' % (good, second)
        assert cause_of("microsoft-graph", call({}, body), SECRET) == expected
    assert cause_of("microsoft-graph", call({}, b'{"value":[]}'), SECRET) == (
        Cause.SIGNATURE_MISSING
    )


def test_oktas_header_can_be_another() -> None:
    okta, options = PROVIDERS["okta"], {"header": "X-Okta-Key"}
    secrets = [Secret(id="s0", value=SECRET)]
    assert okta.verify(call({"x-okta-key": SECRET}), secrets, options=options) == Verified("s0")
    verdict = okta.verify(call({"authorization": SECRET}), secrets, options=options)
    assert verdict == Refused(Cause.SIGNATURE_MISSING)


def test_the_secret_may_hold_the_bearer_or_not() -> None:
    for value in ("Bearer the-secret", "the-secret"):
        assert cause_of("auth0", call({"authorization": "Bearer the-secret"}), value) is None


def test_a_batch_is_named_by_all_its_events() -> None:
    """By the first alone, a batch that was cut anew would pass for a duplicate."""
    sendgrid = PROVIDERS["sendgrid"]
    two = b'[{"sg_event_id":"a","event":"open"},{"sg_event_id":"b","event":"open"}]'
    identity = sendgrid.identify(call({}, two))
    assert (identity.external_id, identity.type) == ("a,b", "open")
    long = b"[" + b",".join(b'{"sg_event_id":"%030d"}' % n for n in range(20)) + b"]"
    longer = long.replace(b"%030d" % 19, b"%030d" % 99)
    first, second = (sendgrid.identify(call({}, body)).external_id for body in (long, longer))
    assert first.startswith("sha256:")
    assert first != second


def test_every_declared_option_has_a_meaning() -> None:
    for provider in PROVIDERS.values():
        assert isinstance(provider, Declaration)
        assert all(text for text in provider.options.values())


def test_unknown_and_missing_options_are_named() -> None:
    with pytest.raises(ValueError, match="unknown option 'x'"):
        PROVIDERS["stripe"].check_options({"x": "1"})
    with pytest.raises(ValueError, match="option 'topic_arn' must be set"):
        PROVIDERS["aws-sns"].check_options({})
    with pytest.raises(ValueError, match="option 'environment'"):
        PROVIDERS["plaid"].check_options({"environment": "evil.example/"})
    with pytest.raises(ValueError, match="option 'hash'"):
        PROVIDERS["convoy"].check_options({"hash": "md5"})
    PROVIDERS["okta"].check_options({"header": "x-key"})
