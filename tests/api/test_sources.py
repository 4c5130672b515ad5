"""Sources and receipts, by way of the API."""

from __future__ import annotations

from typing import Any

import pytest

from incoming.models import Receipt, Source, SourceSecret
from monitoring.models import AuditEntry
from tests.api.calls import Api
from tests.factories import make_account, make_api_key, make_receipt, make_source
from webhooks_project.accounts.models import Account

pytestmark = pytest.mark.django_db


@pytest.fixture
def account() -> Account:
    return make_account()


@pytest.fixture
def api(account: Account) -> Api:
    return Api(make_api_key(account, "operator").text)


def test_creates_one_and_shows_it(api: Api, account: Account) -> None:
    answer = api.post("incoming/sources", {"name": "Shop", "provider": "github"})
    assert answer.status == 201
    row = Source.objects.get()
    shown = {key: value for key, value in answer.json.items() if key != "secret"}
    assert shown == api.get(f"incoming/sources/{row.pk}").json
    assert (row.account, row.name, row.provider) == (account, "Shop", "github")
    assert shown["url"] == f"http://127.0.0.1:8000/in/{row.token}"
    assert [route["type_pattern"] for route in shown["routes"]] == ["*"]
    assert SourceSecret.objects.get().secret == answer.json["secret"]


@pytest.mark.parametrize(
    "change",
    [
        {"provider": "nobody"},
        {"max_body_bytes": 0},
        {"max_body_bytes": 26 * 1024 * 1024},
        {"rate_per_minute": 0},
        {"allowed_networks": ["nonsense"]},
        {"allowed_networks": "10.0.0.0/8"},
        {"options": {"unknown": "option"}},
        {"options": []},
        {"tolerance_seconds": -1},
    ],
)
def test_refuses_what_no_source_can_be(api: Api, change: Any) -> None:
    answer = api.post("incoming/sources", {"name": "x", "provider": "github", **change})
    assert answer.status == 400
    assert answer.code in ("invalid", "source_not_acceptable")
    assert not Source.objects.exists()
    assert not SourceSecret.objects.exists()


def test_changes_what_is_named_and_keeps_provider_and_account(api: Api, account: Account) -> None:
    row = make_source(account)
    path = f"incoming/sources/{row.pk}"
    answer = api.patch(path, {"name": "New", "allowed_networks": ["192.0.2.0/24"]})
    assert (answer.json["name"], answer.json["allowed_networks"]) == ("New", ["192.0.2.0/24"])
    assert set(api.patch(path, {"provider": "stripe"}).errors) == {"/provider"}
    row.refresh_from_db()
    assert (row.name, row.provider) == ("New", "github")


def test_is_switched_off_and_on(api: Api, account: Account) -> None:
    row = make_source(account)
    assert api.post(f"incoming/sources/{row.pk}/disable").json["disabled_at"] is not None
    assert api.post(f"incoming/sources/{row.pk}/enable").json["disabled_at"] is None
    actions = AuditEntry.objects.order_by("sequence").values_list("action", flat=True)
    assert list(actions)[1:] == ["source.disabled", "source.enabled"]


def test_gets_another_address(api: Api, account: Account) -> None:
    row = make_source(account)
    answer = api.post(f"incoming/sources/{row.pk}/rotate-token")
    assert answer.json["url"].rpartition("/")[2] != row.token
    assert Source.objects.get().token == answer.json["url"].rpartition("/")[2]


@pytest.mark.parametrize("given", [None, "the-provider-s-own"])
def test_rotates_its_secret(api: Api, account: Account, given: str | None) -> None:
    row = make_source(account)
    answer = api.post(
        f"incoming/sources/{row.pk}/rotate-secret", {"secret": given} if given else None
    )
    assert answer.status == 200
    assert given in (None, answer.json["secret"])
    rows = SourceSecret.objects.order_by("-created_at")
    assert rows[0].secret == answer.json["secret"]
    assert [secret.expires_at is None for secret in rows] == [True, False]


def test_a_receipt_is_shown_with_its_body(api: Api, account: Account) -> None:
    row = make_receipt(make_source(account), body=b'{"a":1}\xff')
    answer = api.get(f"incoming/receipts/{row.pk}")
    assert answer.json["body"] == '{"a":1}\ufffd'
    assert answer.json["headers"] == {"content-type": "application/json"}
    (listed,) = api.get("incoming/receipts").rows
    assert {"body", "headers", "query"} & listed.keys() == set()


@pytest.mark.parametrize("status", ["failed", "dead"])
def test_a_failed_receipt_is_processed_again(api: Api, account: Account, status: str) -> None:
    row = make_receipt(make_source(account), status=status, attempt_count=6, next_attempt_at=None)
    answer = api.post(f"incoming/receipts/{row.pk}/reprocess")
    assert (answer.status, answer.json["status"], answer.json["attempt_count"]) == (
        200,
        "accepted",
        0,
    )
    assert Receipt.objects.get().next_attempt_at is not None


@pytest.mark.parametrize("status", ["accepted", "processed", "processing", "refused", "duplicate"])
def test_another_receipt_is_not(api: Api, account: Account, status: str) -> None:
    row = make_receipt(make_source(account), status=status)
    answer = api.post(f"incoming/receipts/{row.pk}/reprocess")
    assert (answer.status, answer.code) == (409, "state_not_allowed")
    assert Receipt.objects.get().status == status
