"""How a call is named, and which options a source may have."""

from __future__ import annotations

import pytest

from incoming.providers import PROVIDERS
from incoming.providers.declaration import Declaration

from .cases import call, hexed, mac

SECRET = "the-secret"


def digest(text: bytes, *, hash_name: str = "sha256") -> str:
    return hexed(mac(SECRET.encode(), text, hash_name))


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


def test_a_boolean_is_part_of_an_id() -> None:
    """Without it such a call has no id, and its repeats are taken for new ones."""
    item = b'{"pspReference":"p1","eventCode":"REFUND","success":true}'
    body = b'{"notificationItems":[{"NotificationRequestItem":' + item + b"}]}"
    assert PROVIDERS["adyen"].identify(call({}, body)).external_id == "p1:REFUND:true"


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
