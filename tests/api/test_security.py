"""An endpoint's security by way of the API: written, and read back masked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from joserfc.jwk import ECKey

from monitoring.models import AuditEntry
from subscriptions.models import SigningSecret, Subscription
from tests.api.calls import Api
from tests.factories import make_account, make_api_key, make_subscription
from tests.lib.certificates import Authority
from webhooks_project.accounts.models import Account

pytestmark = pytest.mark.django_db

URL = "http://127.0.0.1:8009/hook"
NEW = {"name": "Shop", "url": URL, "event_types": ["*"]}
AUTHORITY = Authority()
PAIR = AUTHORITY.issue("the-hub")
KEY = ECKey.generate_key("P-256").as_dict(private=False)
SECURITY: dict[str, Any] = {
    "signature_template": {"preset": "slack"},
    "custom_headers": {"X-Key": "s3cr3t-header"},
    "authentication": {
        "kind": "oauth2",
        "token_url": "http://127.0.0.1:8009/token",
        "client_id": "me",
        "client_secret": "s3cr3t-client",
        "scopes": ["a"],
    },
    "client_certificate": PAIR.certificate,
    "client_key": PAIR.key,
    "ca_certificates": AUTHORITY.certificate,
    "encryption_key": KEY,
}
SHOWN = {
    "signature_template": {"preset": "slack"},
    "custom_headers": {"X-Key": "[redacted]"},
    "authentication": {
        "kind": "oauth2",
        "token_url": "http://127.0.0.1:8009/token",
        "client_id": "me",
        "client_secret": "[redacted]",
        "scopes": ["a"],
    },
    "client_certificate": PAIR.certificate.strip(),
    "client_key": "[redacted]",
    "ca_certificates": AUTHORITY.certificate.strip(),
}
SECRETS = ("s3cr3t", PAIR.key.splitlines()[1])


@pytest.fixture
def account() -> Account:
    return make_account()


@pytest.fixture
def api(account: Account) -> Api:
    return Api(make_api_key(account).text)


def test_is_set_with_a_new_subscription_and_read_back_masked(api: Api) -> None:
    made = api.post("subscriptions", {**NEW, **SECURITY})
    assert made.status == 201
    path = f"subscriptions/{made.json['id']}"
    read = api.get(path)
    listed = api.get("subscriptions")
    for answer in (made.json, read.json, listed.rows[0]):
        assert {name: answer[name] for name in SHOWN} == SHOWN
    for answer in (made, read, listed):
        assert not [secret for secret in SECRETS if secret in answer.text]
    ends = datetime.fromisoformat(read.json["client_certificate_expires_at"])
    assert timedelta() < ends - datetime.now(UTC) <= timedelta(days=1)
    assert read.json["jwks_url"].endswith(f"/keys/{made.json['id']}/jwks.json")


def test_what_was_read_can_be_written_back(api: Api) -> None:
    made = api.post("subscriptions", {**NEW, **SECURITY})
    path = f"subscriptions/{made.json['id']}"
    before = Subscription.objects.values().get()
    answer = api.patch(path, {name: api.get(path).json[name] for name in SECURITY})
    assert answer.status == 200
    row = Subscription.objects.get()
    assert "s3cr3t-client" in row.authentication
    assert "s3cr3t-header" in row.custom_headers
    assert row.client_key == PAIR.key.strip()
    assert row.signature_template == before["signature_template"]


@pytest.mark.parametrize(
    ("name", "nothing"),
    [
        ("signature_template", None),
        ("custom_headers", {}),
        ("authentication", None),
        ("ca_certificates", ""),
        ("encryption_key", ""),
    ],
)
def test_is_taken_away(api: Api, name: str, nothing: Any) -> None:
    made = api.post("subscriptions", {**NEW, name: SECURITY[name]})
    answer = api.patch(f"subscriptions/{made.json['id']}", {name: nothing})
    assert (answer.status, answer.json[name]) == (200, nothing)


def test_a_certificate_goes_with_its_key(api: Api) -> None:
    made = api.post("subscriptions", {**NEW, **SECURITY})
    path = f"subscriptions/{made.json['id']}"
    assert api.patch(path, {"client_certificate": ""}).code == "subscription_not_acceptable"
    answer = api.patch(path, {"client_certificate": "", "client_key": ""})
    assert (answer.json["client_certificate"], answer.json["client_key"]) == ("", "")
    assert answer.json["client_certificate_expires_at"] is None


def test_refuses_with_every_cause(api: Api, account: Account) -> None:
    wrong = {
        "signature_template": {"preset": "nobody"},
        "custom_headers": {"Host": "s3cr3t"},
        "authentication": {"kind": "bearer", "token": "s3cr3t s3cr3t"},
        "client_key": "s3cr3t",
    }
    row = make_subscription(account)
    for answer in (
        api.post("subscriptions", {**NEW, **wrong}),
        api.patch(f"subscriptions/{row.pk}", wrong),
    ):
        assert (answer.status, answer.code) == (400, "subscription_not_acceptable")
        assert {(error["path"], error["code"]) for error in answer.json["errors"]} == {
            ("/signature_template/preset", "unknown_preset"),
            ("/custom_headers/Host", "reserved_header"),
            ("/authentication/token", "token_malformed"),
            ("/client_certificate", "required"),
        }
        assert "s3cr3t" not in answer.text
    assert Subscription.objects.get() == row
    assert not AuditEntry.objects.filter(action__startswith="subscription.").exists()


@pytest.mark.parametrize(
    "body",
    [
        {"custom_headers": "X-Key: a"},
        {"custom_headers": {"X-Key": {}}},
        {"client_key": {}},
        {"client_certificate": "x" * 65_537},
        {"signature_template": 5},
        {"authentication": "Basic"},
        {"encryption_key": 5},
    ],
)
def test_refuses_what_has_another_form(api: Api, account: Account, body: Any) -> None:
    row = make_subscription(account)
    assert api.patch(f"subscriptions/{row.pk}", body).status == 400


def test_no_other_answer_shows_a_secret(api: Api) -> None:
    made = api.post("subscriptions", {**NEW, **SECURITY})
    Subscription.objects.update(status="active")
    path = f"subscriptions/{made.json['id']}"
    answers = [
        api.patch(path, {"name": "Renamed"}),
        Api(make_api_key(Account.objects.get(), "operator").text).post(f"{path}/pause"),
        api.get("monitoring/audit"),
        api.get("monitoring/activities"),
    ]
    for answer in answers:
        assert answer.status == 200
        assert not [secret for secret in SECRETS if secret in answer.text]


# --- rotation -------------------------------------------------------------------------------------

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


@time_machine.travel(NOW, tick=False)
def test_rotates_by_kind_and_grace(account: Account) -> None:
    api = Api(make_api_key(account).text)
    row = make_subscription(account)
    path = f"subscriptions/{row.pk}"
    first = api.post(f"{path}/rotate-secret", {"kind": "ed25519"})
    assert first.json["secret"].startswith("whsk_")
    assert first.json["public_key"].startswith("whpk_")
    second = api.post(f"{path}/rotate-secret", {"kind": "ed25519", "grace_seconds": 60})
    shown = {item["public_key"]: item for item in api.get(path).json["secrets"]}
    assert shown[first.json["public_key"]]["expires_at"] == "2026-03-04T05:07:07Z"
    assert shown[second.json["public_key"]]["expires_at"] is None
    assert (shown[""]["kind"], shown[""]["expires_at"]) == ("hmac", None)
    third = api.post(
        f"{path}/rotate-secret", {"kind": "hmac", "grace_seconds": 0, "replaces_all": True}
    )
    valid = SigningSecret.objects.valid(NOW)
    assert [secret.secret for secret in valid] == [third.json["secret"]]
    assert first.json["secret"] not in api.get(path).text


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"grace_seconds": -1}, "/grace_seconds"),
        ({"grace_seconds": 604_801}, "/grace_seconds"),
        ({"grace_seconds": "a week"}, "/grace_seconds"),
        ({"kind": "rsa"}, "/kind"),
        ({"replaces_all": "perhaps"}, "/replaces_all"),
    ],
)
def test_refuses_a_rotation_out_of_bounds(api: Api, account: Account, body: Any, path: str) -> None:
    row = make_subscription(account)
    assert set(api.post(f"subscriptions/{row.pk}/rotate-secret", body).errors) == {path}
    assert SigningSecret.objects.get().expires_at is None


def test_another_host_is_sent_the_credentials_only_where_that_is_said(api: Api) -> None:
    path = f"subscriptions/{api.post('subscriptions', {**NEW, **SECURITY}).json['id']}"
    there = {"url": "http://127.0.0.1:8010/hook"}
    answer = api.patch(path, there)
    assert (answer.status, answer.code) == (400, "subscription_not_acceptable")
    assert {item["path"]: item["code"] for item in answer.json["errors"]} == {
        "/custom_headers": "credentials_not_confirmed",
        "/authentication": "credentials_not_confirmed",
    }
    assert api.get(path).json["url"] == URL
    assert not [secret for secret in SECRETS if secret in answer.text]
    answer = api.patch(path, {**there, "keep_credentials": True})
    assert (answer.status, answer.json["url"]) == (200, there["url"])
    assert "keep_credentials" not in answer.json
    assert answer.json["custom_headers"] == SHOWN["custom_headers"]
