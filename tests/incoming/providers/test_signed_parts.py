"""Third parties that sign less than the body, more than it, or it in another form."""

from __future__ import annotations

from dataclasses import replace

import pytest

from incoming.providers import PROVIDERS, Call, Cause, Refused, Secret, Verified

from .cases import BODY, NOW, based, call, hexed, mac, seconds
from .cases_of_modules import ADYEN_KEYS, FORM_TYPE, adyen_body, adyen_item, mailgun_body
from .cases_of_modules import CASES as MODULE_CASES
from .cases_of_recipes import CASES as RECIPE_CASES
from .verdicts import cause_of

SECRET = "the-secret"


def digest(text: bytes, *, hash_name: str = "sha256") -> str:
    return hexed(mac(SECRET.encode(), text, hash_name))


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
    return MODULE_CASES["contentful"].sign(SECRET, BODY, NOW)


def test_contentfuls_signed_headers_cannot_be_changed_or_dropped() -> None:
    signed = contentful_call()
    changed = replace(signed, headers=signed.headers | {"x-contentful-topic": "Entry.delete"})
    names = "x-contentful-signed-headers,x-contentful-timestamp"
    fewer = replace(signed, headers=signed.headers | {"x-contentful-signed-headers": names})
    listed = signed.headers["x-contentful-signed-headers"]
    backwards = ", ".join(reversed(listed.upper().split(",")))
    unsorted = replace(signed, headers=signed.headers | {"x-contentful-signed-headers": backwards})
    assert cause_of("contentful", unsorted, SECRET) is None
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
    signed = RECIPE_CASES["twitch"].sign(SECRET, BODY, NOW)
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
