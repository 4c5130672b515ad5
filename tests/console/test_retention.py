"""How long an account keeps its receipts, set in the console."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from django.test import Client

from monitoring.models import AuditEntry
from tests.console.conftest import errors_of
from tests.factories import make_account
from webhooks_project.accounts.models import Account
from webhooks_project.admin.values import list_of, page_of

NO_MEMBERS = {
    "memberships-TOTAL_FORMS": 0, "memberships-INITIAL_FORMS": 0,
}  # fmt: skip


def fields(**changes: Any) -> dict[str, Any]:
    return {
        "name": "Acme", "slug": "acme", "receipt_body_days": "", "receipt_days": "",
        "event_body_days": "", "event_days": "", "dead_letter_days": "",
        "unknown_event_types": "allow", **NO_MEMBERS,
    } | changes  # fmt: skip


def test_changed_and_audited(console: Client) -> None:
    account = make_account(name="Acme", slug="acme", receipt_days=365)
    url = page_of("accounts.account", account.pk)
    assert 'value="365"' in console.get(url).content.decode()

    assert console.post(url, fields(receipt_body_days=30)).status_code == 302

    account.refresh_from_db()
    assert (account.receipt_body_days, account.receipt_days) == (30, None)
    entry = AuditEntry.objects.get(action="account.changed")
    assert orjson.loads(entry.before) == {"receipt_body_days": None, "receipt_days": 365}
    assert orjson.loads(entry.after) == {"receipt_body_days": 30, "receipt_days": None}
    assert entry.actor_label == "operator"


def test_set_with_a_new_account(console: Client) -> None:
    url = list_of("accounts.account") + "add/"
    assert console.post(url, fields(receipt_days=90, dead_letter_days=7)).status_code == 302
    account = Account.objects.get(slug="acme")
    assert (account.receipt_body_days, account.receipt_days) == (None, 90)
    assert account.dead_letter_days == 7


@pytest.mark.parametrize("days", [0, -1, 32_768, 10**30, "ever"])
def test_refuses_what_is_no_number_of_days(console: Client, days: Any) -> None:
    account = make_account(name="Acme", slug="acme")
    wrong = fields(receipt_days=days, dead_letter_days=days)
    answer = console.post(page_of("accounts.account", account.pk), wrong)
    assert set(errors_of(answer)) == {"receipt_days", "dead_letter_days"}
    account.refresh_from_db()
    assert (account.receipt_days, account.dead_letter_days) == (None, None)
