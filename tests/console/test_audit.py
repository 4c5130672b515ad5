"""The journal in the console: activity, audit and its export, anchors, findings."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import Group
from django.test import Client

from monitoring.audit_files import check_file
from monitoring.journal import record_activity, record_change
from monitoring.models import AuditEntry, Finding
from tests.factories import make_account, make_source, make_subscription, make_user
from webhooks_project.accounts.models import Account, Membership, Role, User
from webhooks_project.admin.values import list_of, page_of

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 14, 15, 9, 26, tzinfo=UTC)
EXPORT = "/admin/monitoring/auditentry/export/"


@pytest.fixture
def account() -> Account:
    return make_account()


@pytest.fixture
def superuser() -> User:
    return User.objects.create_superuser("root", "root@example.com", "pw")


@pytest.fixture
def client(superuser: User) -> Client:
    client = Client()
    client.force_login(superuser)
    return client


def member(role: Role, *accounts: Account) -> Client:
    user = make_user(is_staff=True)
    for account in accounts:
        Membership.objects.create(account=account, user=user, role=role)
    client = Client()
    client.force_login(user)
    return client


def html(client: Client, url: str) -> str:
    response = client.get(url)
    assert response.status_code == 200
    return response.content.decode()


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("kind=breaker.opened", {0}), ("kind=receipt.", {1}), ("q=receipt.dead", {1}),
        ("q=let+alone", {0}), ("q=nothing+of+it", set()),
    ],
)  # fmt: skip
def test_activity_is_found(client: Client, account: Account, query: str, found: set[int]) -> None:
    texts = ("It was let alone.", "A receipt was given up.")
    for kind, text in zip(("breaker.opened", "receipt.dead"), texts, strict=True):
        record_activity(account_id=account.pk, kind=kind, text=text)
    page = html(client, f"{list_of('monitoring.activity')}?{query}")
    assert {number for number, text in enumerate(texts) if text in page} == found


def test_an_export_is_asked_for_and_given(client: Client, account: Account) -> None:
    for day in range(3):
        with time_machine.travel(NOW + timedelta(days=day), tick=False):
            record_change(account_id=account.pk, action=f"day.{day}", subject=account)
    page = html(client, list_of("monitoring.auditentry"))
    assert EXPORT in page
    assert "verify_audit_log" in html(client, EXPORT)
    fields = {"account": str(account.pk), "since": "2026-03-15", "until": "", "file_format": "csv"}
    response = client.post(EXPORT, fields)
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    text = b"".join(response).decode()  # type: ignore[arg-type]
    checked = check_file(io.StringIO(text, newline=""), "csv", {})
    assert (checked.first, checked.last, checked.breaches) == (2, 4, [])
    entry = AuditEntry.objects.filter(account=account).latest("sequence")
    assert (entry.action, entry.actor_kind, entry.actor_label) == (
        "audit_log.exported", "user", "root",
    )  # fmt: skip
    assert len(entry.actor_session) == 16


def test_an_export_is_for_administrators_of_the_account(account: Account) -> None:
    other = make_account()
    fields = {"account": str(account.pk), "file_format": "jsonl"}
    for role in (Role.VIEWER, Role.OPERATOR):
        assert member(role, account).get(EXPORT).status_code == 403
        assert member(role, account).post(EXPORT, fields).status_code == 403
    response = member(Role.ADMIN, other).post(EXPORT, fields)
    assert "Select a valid choice" in response.content.decode()
    assert not AuditEntry.objects.exists()
    assert member(Role.ADMIN, account).post(EXPORT, fields)["Content-Type"] == "application/jsonl"


def test_what_is_wrong_stands_on_the_page(client: Client, account: Account) -> None:
    subscription, source = make_subscription(account), make_source(account)
    moments = {"first_seen_at": NOW, "last_seen_at": NOW}
    for about, text in (
        ({"subscription": subscription}, "Of the subscription."),
        ({"source": source}, "Of the source."),
        ({}, "Of the account."),
    ):
        Finding.objects.create(account=account, kind="no_route", text=text, **about, **moments)
    pages = {
        "subscription": html(client, page_of("subscriptions.subscription", subscription.pk)),
        "source": html(client, page_of("incoming.source", source.pk)),
    }
    for name, page in pages.items():
        assert f"Of the {name}." in page
        assert "Of the account." in page
    assert "Of the source." not in pages["subscription"]
    listed = html(client, list_of("monitoring.finding"))
    assert all(f"Of the {name}." in listed for name in ("subscription", "source", "account"))
    Finding.objects.update(resolved_at=NOW)
    page = html(client, page_of("subscriptions.subscription", subscription.pk))
    assert "What is wrong with it" not in page
    assert "Of the source." not in html(client, f"{list_of('monitoring.finding')}?state=open")


# --- users ----------------------------------------------------------------------------------------


def entries(account: Account) -> list[tuple[Any, ...]]:
    return list(
        AuditEntry.objects.filter(account=account)
        .order_by("sequence")
        .values_list("action", "actor_label", "before", "after")
    )


def test_what_is_changed_of_a_user_is_in_each_of_their_accounts(
    client: Client, account: Account
) -> None:
    other, stranger = make_account(), make_account()
    ann = make_user(account, username="ann", email="ann@example.com")
    Membership.objects.create(account=other, user=ann, role=Role.VIEWER)
    Group.objects.create(name="staff")
    fields = {
        "username": "ann", "email": "eve@example.com", "is_active": "on", "is_superuser": "on",
        "groups": [Group.objects.get().pk],
        "date_joined_0": "2026-01-01", "date_joined_1": "00:00:00",
    }  # fmt: skip
    response = client.post(page_of("accounts.user", ann.pk), fields)
    assert response.status_code == 302, response.content.decode()
    url = page_of("accounts.user", ann.pk).replace("/change/", "/password/")
    given = {"password1": "s3cret-of-ann", "password2": "s3cret-of-ann", "usable_password": "true"}
    assert client.post(url, given).status_code == 302
    expected = [
        ("user.changed", "root",
         '{"email":"ann@example.com","groups":[],"is_superuser":false}',
         '{"email":"eve@example.com","groups":["staff"],"is_superuser":true}'),
        ("user.password_changed", "root", "{}", '{"username":"ann"}'),
    ]  # fmt: skip
    assert entries(account) == entries(other) == expected
    delete = page_of("accounts.user", ann.pk).replace("/change/", "/delete/")
    assert client.post(delete, {"post": "yes"}).status_code == 302
    assert [row[0] for row in entries(other)][2:] == ["user.deleted"]
    assert entries(stranger) == []


def test_administrators_may_follow_one_another_in_one_form(
    client: Client, account: Account
) -> None:
    old, new = make_user(account, Role.ADMIN), make_user(account, Role.VIEWER)
    rows = list(account.memberships.order_by("pk"))
    fields: dict[str, Any] = {
        "name": account.name, "slug": account.slug, "unknown_event_types": "allow",
        "memberships-TOTAL_FORMS": "2", "memberships-INITIAL_FORMS": "2",
    }  # fmt: skip
    for number, row in enumerate(rows):
        fields |= {
            f"memberships-{number}-id": str(row.pk),
            f"memberships-{number}-account": str(account.pk),
            f"memberships-{number}-user": str(row.user_id),
            f"memberships-{number}-role": "admin" if row.user_id == new.pk else row.role,
        }
        if row.user_id == old.pk:
            fields[f"memberships-{number}-DELETE"] = "on"
    response = client.post(page_of("accounts.account", account.pk), fields)
    assert response.status_code == 302, response.content.decode()
    assert list(account.memberships.values_list("user", "role")) == [(new.pk, "admin")]
    fields |= {
        "memberships-TOTAL_FORMS": "1", "memberships-INITIAL_FORMS": "1",
        "memberships-0-id": str(account.memberships.get().pk),
        "memberships-0-user": str(new.pk), "memberships-0-role": "admin",
        "memberships-0-DELETE": "on",
    }  # fmt: skip
    response = client.post(page_of("accounts.account", account.pk), fields)
    assert "last administrator" in response.content.decode()
    assert account.memberships.count() == 1
