"""The accounts of the caller, and how long they keep receipts."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from monitoring.models import AuditEntry
from tests.api.calls import Api
from tests.factories import make_account, make_api_key
from webhooks_project.accounts.models import Account, Role

pytestmark = pytest.mark.django_db


@pytest.fixture
def account() -> Account:
    return make_account(name="Acme", slug="acme", receipt_days=365)


@pytest.fixture
def api(account: Account) -> Api:
    return Api(make_api_key(account, Role.ADMIN).text)


def test_shows_the_caller_s_own_account_alone(api: Api, account: Account) -> None:
    make_account()
    answer = api.get("accounts")
    assert [{**row, "created_at": ""} for row in answer.rows] == [
        {"id": str(account.pk), "name": "Acme", "slug": "acme", "receipt_body_days": None,
         "receipt_days": 365, "event_body_days": None, "event_days": None,
         "dead_letter_days": None, "unknown_event_types": "allow", "has_public_catalogue": False,
         "asks_for_ownership": False, "time_zone": "", "created_at": ""}
    ]  # fmt: skip
    assert answer.rows[0] == api.get(f"accounts/{account.pk}").json


def test_an_administrator_says_how_long_receipts_are_kept(api: Api, account: Account) -> None:
    changes = {"receipt_body_days": 30, "receipt_days": None}
    answer = api.patch(f"accounts/{account.pk}", changes)
    assert (answer.status, answer.json | changes) == (200, answer.json)
    account.refresh_from_db()
    assert (account.receipt_body_days, account.receipt_days) == (30, None)
    entry = AuditEntry.objects.get(action="account.changed")
    assert orjson.loads(entry.before) == {"receipt_body_days": None, "receipt_days": 365}
    assert orjson.loads(entry.after) == changes
    assert entry.actor_kind == "key"


@pytest.mark.parametrize(
    ("changes", "errors"),
    [
        ({"receipt_days": 0}, {"/receipt_days": "min_value"}),
        ({"dead_letter_days": 0}, {"/dead_letter_days": "min_value"}),
        ({"dead_letter_days": 40_000}, {"/dead_letter_days": "max_value"}),
        ({"receipt_body_days": -1}, {"/receipt_body_days": "min_value"}),
        ({"receipt_days": 40_000}, {"/receipt_days": "max_value"}),
        ({"receipt_days": "ever"}, {"/receipt_days": "invalid"}),
    ],
)
def test_says_what_is_no_number_of_days(
    api: Api, account: Account, changes: dict[str, Any], errors: dict[str, str]
) -> None:
    answer = api.patch(f"accounts/{account.pk}", changes)
    assert (answer.status, answer.errors) == (400, errors)
    account.refresh_from_db()
    assert account.receipt_days == 365


def test_the_slug_stays(api: Api, account: Account) -> None:
    api.patch(f"accounts/{account.pk}", {"slug": "other"})
    account.refresh_from_db()
    assert account.slug == "acme"
