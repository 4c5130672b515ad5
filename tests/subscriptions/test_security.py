"""What may be set of an endpoint's security, how it is kept, shown and audited."""

from __future__ import annotations

import hashlib
import json
from functools import partial
from typing import Any

import orjson
import pytest
from django.db import connection
from joserfc.jwk import ECKey

from monitoring.models import AuditEntry
from subscriptions.errors import SubscriptionNotAcceptable
from subscriptions.models import Subscription
from subscriptions.security import (
    FIELDS,
    check_security,
    moving_credentials,
    opened_security,
    shown_security,
)
from subscriptions.services import change_subscription, create_subscription
from tests.factories import make_account, make_subscription
from tests.lib.certificates import Authority
from webhooks_project.lib.keyring import Keyring, new_key
from webhooks_project.lib.redaction import MASK

pytestmark = pytest.mark.django_db

AUTHORITY = Authority()
PAIR = AUTHORITY.issue("the-hub")
OTHER = AUTHORITY.issue("other")
KEY = ECKey.generate_key("P-256")
PUBLIC = KEY.as_dict(private=False)
BASIC = {"kind": "basic", "username": "me", "password": "s3cr3t-password"}
OAUTH2 = {
    "kind": "oauth2",
    "token_url": "http://127.0.0.1:8009/token",
    "client_id": "me",
    "client_secret": "s3cr3t-client",
}
ALL: dict[str, Any] = {
    "signature_template": {"preset": "github"},
    "custom_headers": {"X-Key": "s3cr3t-header"},
    "authentication": BASIC,
    "client_certificate": PAIR.certificate,
    "client_key": PAIR.key,
    "ca_certificates": AUTHORITY.certificate,
    "encryption_key": PUBLIC,
}
SECRETS = ("s3cr3t", PAIR.key.splitlines()[1])


def stored() -> str:
    with connection.cursor() as cursor:
        cursor.execute('SELECT * FROM "webhooks.subscriptions"')
        return str(cursor.fetchall())


def create(**security: Any) -> Subscription:
    return create_subscription(
        account=make_account(),
        name="Shop",
        url="http://127.0.0.1:8009/hook",
        event_types=["*"],
        **security,
    ).subscription


def refusal(settings: dict[str, Any], subscription: Subscription | None = None) -> list[Any]:
    set_them = partial(change_subscription, subscription=subscription) if subscription else create
    with pytest.raises(SubscriptionNotAcceptable) as caught:
        set_them(**settings)
    errors: Any = caught.value.extra["errors"]
    return [(error["path"], error["code"]) for error in errors]


@pytest.mark.parametrize("how", ["created", "changed"])
def test_everything_at_once(how: str) -> None:
    if how == "created":
        create(**ALL)
    else:
        change_subscription(subscription=make_subscription(), **ALL)
    row = Subscription.objects.get()
    assert shown_security(row) == {
        "signature_template": {"preset": "github"},
        "custom_headers": {"X-Key": MASK},
        "authentication": {"kind": "basic", "username": "me", "password": MASK},
        "client_certificate": PAIR.certificate.strip(),
        "client_key": MASK,
        "ca_certificates": AUTHORITY.certificate.strip(),
        "encryption_key": orjson.dumps(PUBLIC).decode(),
    }
    assert json.loads(row.authentication) == BASIC
    assert json.loads(row.custom_headers) == {"X-Key": "s3cr3t-header"}
    assert row.client_key == PAIR.key.strip()
    assert not [secret for secret in SECRETS if secret in stored()]


def test_nothing_is_set_at_first_and_everything_can_be_taken_away() -> None:
    nothing = {
        "signature_template": None,
        "custom_headers": {},
        "authentication": None,
        "client_certificate": "",
        "client_key": "",
        "ca_certificates": "",
        "encryption_key": "",
    }
    subscription = create()
    assert shown_security(subscription) == nothing
    change_subscription(subscription=subscription, **ALL)
    change_subscription(subscription=subscription, **nothing)
    row = Subscription.objects.get()
    assert shown_security(row) == nothing
    assert (row.__dict__["custom_headers"], row.__dict__["authentication"]) == ("", "")


def test_what_is_not_named_stays() -> None:
    subscription = create(**ALL)
    change_subscription(subscription=subscription, authentication=None)
    row = Subscription.objects.get()
    assert row.authentication == ""
    assert json.loads(row.custom_headers) == {"X-Key": "s3cr3t-header"}
    assert row.client_key == PAIR.key.strip()


def test_a_change_is_audited_without_secrets() -> None:
    subscription = create(**ALL)
    change_subscription(
        subscription=subscription, authentication={**BASIC, "password": "s3cr3t-other"}
    )
    change_subscription(subscription=subscription, ca_certificates="")
    entries = list(AuditEntry.objects.order_by("sequence"))
    created = orjson.loads(entries[0].after)
    assert created["authentication"] == {**BASIC, "password": MASK}
    digest = hashlib.sha256(PAIR.certificate.strip().encode()).hexdigest()
    assert created["client_certificate"] == f"sha256:{digest}"
    # The mask hides that the password is another: that it was set is what is said.
    assert orjson.loads(entries[1].after) == {"security_set": ["authentication"]}
    assert orjson.loads(entries[2].after) == {
        "ca_certificates": "",
        "security_set": ["ca_certificates"],
    }
    journal = str(list(AuditEntry.objects.values_list()))
    assert not [secret for secret in SECRETS if secret in journal]


# --- masks ----------------------------------------------------------------------------------------


def test_what_was_read_can_be_written_back() -> None:
    subscription = create(**ALL)
    change_subscription(subscription=subscription, **shown_security(subscription))
    row = Subscription.objects.get()
    assert json.loads(row.authentication) == BASIC
    assert json.loads(row.custom_headers) == {"X-Key": "s3cr3t-header"}
    assert row.client_key == PAIR.key.strip()


def test_a_mask_stands_for_what_is_there_and_for_nothing_else() -> None:
    assert refusal({"custom_headers": {"X-Key": MASK}}) == [
        ("/custom_headers/X-Key", "secret_missing")
    ]
    assert refusal({"authentication": {**BASIC, "password": MASK}}) == [
        ("/authentication/password", "secret_missing")
    ]
    assert refusal({"client_certificate": PAIR.certificate, "client_key": MASK}) == [
        ("/client_key", "not_a_key")
    ]
    assert not Subscription.objects.exists()


@pytest.mark.parametrize("change", [{"client_id": "you"}, {"token_url": "http://127.0.0.1:8010/"}])
def test_a_secret_is_not_taken_along_to_another_address_or_name(change: dict[str, str]) -> None:
    subscription = create(authentication=OAUTH2)
    masked = {**OAUTH2, "client_secret": MASK}
    change_subscription(subscription=subscription, authentication={**masked, "scopes": ["a"]})
    assert json.loads(Subscription.objects.get().authentication) == {**OAUTH2, "scopes": ["a"]}
    assert refusal({"authentication": {**masked, **change}}, subscription) == [
        ("/authentication/client_secret", "secret_missing")
    ]


def test_headers_are_kept_one_by_one() -> None:
    subscription = create(custom_headers={"X-A": "one", "X-B": "two"})
    change_subscription(subscription=subscription, custom_headers={"X-B": MASK, "X-C": "three"})
    kept = json.loads(Subscription.objects.get().custom_headers)
    assert kept == {"X-B": "two", "X-C": "three"}


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "errors"),
    [
        ({"signature_template": "github"}, [("/signature_template", "not_an_object")]),
        (
            {"signature_template": {"preset": "nobody"}},
            [("/signature_template/preset", "unknown_preset")],
        ),
        ({"custom_headers": ["X-A"]}, [("/custom_headers", "not_a_mapping")]),
        ({"custom_headers": {"X A": "1"}}, [("/custom_headers/X A", "invalid_header_name")]),
        ({"custom_headers": {"X/A~": ""}}, [("/custom_headers/X~1A~0", "invalid_header_name")]),
        ({"custom_headers": {"X-A": ""}}, [("/custom_headers/X-A", "invalid_header_value")]),
        ({"custom_headers": {"X-A": " a"}}, [("/custom_headers/X-A", "invalid_header_value")]),
        ({"custom_headers": {"X-A": "a\r\nb"}}, [("/custom_headers/X-A", "invalid_header_value")]),
        ({"custom_headers": {"X-A": "a\x00"}}, [("/custom_headers/X-A", "invalid_header_value")]),
        ({"custom_headers": {"X-A": "é"}}, [("/custom_headers/X-A", "invalid_header_value")]),
        ({"custom_headers": {"X-A": 5}}, [("/custom_headers/X-A", "invalid_header_value")]),
        (
            {"custom_headers": {"X-A": "a" * 4097}},
            [("/custom_headers/X-A", "invalid_header_value")],
        ),
        ({"custom_headers": {"X-A": "1", "x-a": "2"}}, [("/custom_headers", "repeated")]),
        (
            {"custom_headers": {f"X-{number}": "1" for number in range(21)}},
            [("/custom_headers", "too_many")],
        ),
        (
            {"custom_headers": {f"X-{number}": "a" * 4000 for number in range(3)}},
            [("/custom_headers", "too_large")],
        ),
        ({"authentication": {"kind": "digest"}}, [("/authentication/kind", "unknown_kind")]),
        (
            {"authentication": {**OAUTH2, "token_url": "http://169.254.169.254/"}},
            [("/authentication/token_url", "forbidden_address")],
        ),
        (
            {"authentication": {**OAUTH2, "token_url": "ftp://127.0.0.1/"}},
            [("/authentication/token_url", "scheme_not_allowed")],
        ),
        ({"client_certificate": PAIR.certificate}, [("/client_key", "required")]),
        ({"client_key": PAIR.key}, [("/client_certificate", "required")]),
        (
            {"client_certificate": PAIR.certificate, "client_key": OTHER.key},
            [("/client_key", "key_mismatch")],
        ),
        (
            {"client_certificate": ["x"], "client_key": OTHER.key},
            [("/client_certificate", "not_a_text")],
        ),
        ({"ca_certificates": "nonsense"}, [("/ca_certificates", "not_a_certificate")]),
        ({"ca_certificates": ["x"]}, [("/ca_certificates", "not_a_text")]),
        ({"encryption_key": "nonsense"}, [("/encryption_key", "not_a_key")]),
        ({"encryption_key": [PUBLIC]}, [("/encryption_key", "not_a_key")]),
        (
            {"encryption_key": KEY.as_dict(private=True)},
            [("/encryption_key", "private_key_given")],
        ),
        (
            {"authentication": BASIC, "custom_headers": {"authorization": "x"}},
            [("/custom_headers/authorization", "repeated")],
        ),
        (
            {
                "signature_template": {"preset": "slack"},
                "custom_headers": {"X-Slack-Request-Timestamp": "1"},
            },
            [("/custom_headers/X-Slack-Request-Timestamp", "repeated")],
        ),
        (
            {"signature_template": [1], "ca_certificates": "x"},
            [("/signature_template", "not_an_object"), ("/ca_certificates", "not_a_certificate")],
        ),
    ],
)
def test_says_everything_that_is_wrong(settings: dict[str, Any], errors: list[Any]) -> None:
    assert refusal(settings) == errors
    assert not Subscription.objects.exists()
    subscription = make_subscription()
    assert refusal(settings, subscription) == errors
    assert not any(shown_security(Subscription.objects.get()).values())
    assert not AuditEntry.objects.exists()


@pytest.mark.parametrize(
    "name",
    [
        "Host", "content-length", "Transfer-Encoding", "Connection", "Content-Type", "Expect",
        "webhook-id", "Webhook-Anything", "ce-id", "Cookie", "TE", "Upgrade",
    ],
)  # fmt: skip
def test_our_own_headers_cannot_be_set(name: str) -> None:
    assert refusal({"custom_headers": {name: "1"}}) == [
        (f"/custom_headers/{name}", "reserved_header")
    ]


def test_a_new_header_is_judged_beside_what_is_there() -> None:
    subscription = create(authentication=BASIC)
    assert refusal({"custom_headers": {"Authorization": "x"}}, subscription) == [
        ("/custom_headers/Authorization", "repeated")
    ]
    other = create(custom_headers={"Authorization": "x"})
    assert refusal({"authentication": BASIC}, other) == [
        ("/custom_headers/Authorization", "repeated")
    ]


def test_a_key_alone_is_judged_against_the_certificate_there_is() -> None:
    subscription = create(client_certificate=PAIR.certificate, client_key=PAIR.key)
    assert refusal({"client_key": OTHER.key}, subscription) == [("/client_key", "key_mismatch")]
    assert refusal({"client_certificate": ""}, subscription) == [
        ("/client_certificate", "required")
    ]


def test_no_message_repeats_a_secret() -> None:
    problems = check_security(
        {
            "custom_headers": {"X-A": "s3cr3t\n"},
            "authentication": {"kind": "bearer", "token": "s3cr3t s3cr3t"},
            "client_certificate": PAIR.certificate,
            "client_key": "s3cr3t",
        }
    )
    assert len(problems) == 3
    assert "s3cr3t" not in str(problems)


def test_what_cannot_be_opened_is_said_and_can_be_set_anew(settings: Any) -> None:
    subscription = create(**ALL)
    settings.ENCRYPTION_KEYRING = Keyring.parse(new_key("other"))
    row = Subscription.objects.get()
    shown = shown_security(row)
    assert shown["custom_headers"] == {"[unreadable]": MASK}
    assert shown["authentication"] == {"kind": "[unreadable]"}
    assert shown["client_key"] == MASK
    change_subscription(subscription=subscription, name="Renamed")
    change_subscription(subscription=subscription, authentication=BASIC)
    assert json.loads(Subscription.objects.get().authentication) == BASIC


def test_every_setting_is_a_column() -> None:
    assert {field.name for field in Subscription._meta.concrete_fields} > set(FIELDS)


# --- another host -----------------------------------------------------------------------------

HERE, THERE = "http://127.0.0.1:8009/hook", "http://127.0.0.2:8009/hook"


def refused(subscription: Subscription, **changes: Any) -> dict[str, str]:
    """The codes of the refusal by their paths; empty where it was changed."""
    try:
        change_subscription(subscription=subscription, **changes)
    except SubscriptionNotAcceptable as error:
        subscription.refresh_from_db()
        assert subscription.url == HERE
        return {item["path"]: item["code"] for item in error.extra["errors"]}
    return {}


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({}, {"custom_headers", "authentication"}),
        ({"custom_headers": {"X-Key": "new"}}, {"authentication"}),
        ({"custom_headers": {"X-Key": MASK}}, {"custom_headers", "authentication"}),
        ({"custom_headers": {"X-Key": "new", "X-Other": "o"}, "authentication": None}, set()),
        ({"custom_headers": {}, "authentication": {**BASIC, "password": "new"}}, set()),
        (
            {"custom_headers": {}, "authentication": {**BASIC, "password": MASK}},
            {"authentication"},
        ),
        ({"keep_credentials": True}, set()),
    ],
)
def test_another_host_is_not_sent_what_was_meant_for_this_one(changes: Any, names: Any) -> None:
    subscription = create(custom_headers={"X-Key": "s3cr3t"}, authentication=BASIC)
    audited = AuditEntry.objects.count()
    found = refused(subscription, url=THERE, **changes)
    assert found == {f"/{name}": "credentials_not_confirmed" for name in names}
    assert AuditEntry.objects.count() == audited + (not names)
    if not names:
        assert Subscription.objects.get().url == THERE
    kept = changes.get("keep_credentials", False)
    assert (opened_security(subscription)["authentication"] == BASIC) == (kept or bool(names))


@pytest.mark.parametrize(
    ("before", "after", "is_same"),
    [
        ("https://a.example/x", "https://a.example/y?z", True),
        ("https://a.example/x", "https://A.EXAMPLE:443/x", True),
        ("http://a.example/x", "https://a.example/x", True),
        ("https://a.example/x", "http://a.example/x", False),
        ("https://a.example/x", "https://a.example:8443/x", False),
        ("https://a.example/x", "https://a.example.net/x", False),
        ("https://a.example/x", "https://b.a.example/x", False),
    ],
)
def test_who_would_be_sent_them(before: str, after: str, is_same: bool) -> None:
    subscription = make_subscription(url=before, custom_headers='{"X-Key": "s3cr3t"}')
    assert (moving_credentials(subscription, after, {}) == []) == is_same


def test_what_nobody_is_sent_goes_along() -> None:
    subscription = create(
        signature_template={"preset": "github"},
        client_certificate=PAIR.certificate,
        client_key=PAIR.key,
        encryption_key=PUBLIC,
    )
    assert refused(subscription, url=THERE) == {}
