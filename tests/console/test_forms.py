"""Rows are made and changed by the services, whose refusals stand at the fields."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from monitoring.models import AuditEntry
from subscriptions.models import EventType, Subscription
from tests.console.conftest import errors_of
from tests.factories import (
    make_account,
    make_api_key,
    make_subscription,
    make_user,
)
from webhooks_project.accounts.models import Account, ApiKey, Membership, User
from webhooks_project.accounts.services import authenticate_api_key
from webhooks_project.admin.values import list_of, page_of


def subscription_fields(account: Account, **changes: Any) -> dict[str, Any]:
    return {
        "account": str(account.pk),
        "name": "Billing",
        "url": "http://127.0.0.1:8999/hook",
        "event_types": "invoice.*\ngithub.push",
        "timeout_seconds": "20",
        "max_in_flight": "4",
        "payload_form": "standard",
        "rate_period": "second",
        "ordering": "none",
        "batch_size": "1",
        "batch_seconds": "0",
        "retry_policy": "standard",
        "checks_health": "on",
        "health_check_kind": "head",
        "health_check_minutes": 15,
    } | changes


ADD_SUBSCRIPTION = "/admin/subscriptions/subscription/add/"


def test_subscription_is_made_and_its_secret_shown_once(console: Client, operator: User) -> None:
    account = make_account()

    response = console.post(ADD_SUBSCRIPTION, subscription_fields(account))

    subscription = Subscription.objects.get()
    secret = subscription.secrets.get().secret
    assert response.status_code == 200
    assert response.content.decode().count(secret) == 1
    assert secret not in str(response.cookies)
    assert subscription.event_types == ["github.push", "invoice.*"]
    assert (subscription.timeout_seconds, subscription.max_in_flight) == (20, 4)
    page = console.get(page_of("subscriptions.subscription", subscription.pk))
    assert secret not in page.content.decode()
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.actor_id) == ("subscription.created", str(operator.pk))


@pytest.mark.parametrize(
    ("changes", "field", "message"),
    [
        ({"url": "http://169.254.169.254/"}, "url", "the URL is refused: forbidden_address"),
        ({"url": "ftp://127.0.0.1/"}, "url", "the URL is refused: scheme_not_allowed"),
        (
            {"event_types": "not a type"},
            "event_types",
            "'not a type' is no event type; such are invoice.paid, invoice.* and *",
        ),
        ({"event_types": " \n "}, "event_types", "This field is required."),
        (
            {"timeout_seconds": "61"},
            "timeout_seconds",
            "Ensure this value is less than or equal to 60.",
        ),
    ],
)
def test_subscription_that_is_not_acceptable(
    console: Client, changes: dict[str, str], field: str, message: str
) -> None:
    response = console.post(ADD_SUBSCRIPTION, subscription_fields(make_account(), **changes))

    assert response.status_code == 200
    assert errors_of(response) == {field: [message]}
    assert not Subscription.objects.exists()
    assert not AuditEntry.objects.exists()


def test_subscription_is_changed_and_the_change_audited(console: Client) -> None:
    subscription = make_subscription(event_types=("*",))
    fields = subscription_fields(subscription.account, name="Renamed", event_types="invoice.paid")

    response = console.post(page_of("subscriptions.subscription", subscription.pk), fields)

    assert response["Location"] == list_of("subscriptions.subscription")
    subscription = Subscription.objects.get()
    assert (subscription.name, subscription.event_types) == ("Renamed", ["invoice.paid"])
    entry = AuditEntry.objects.get()
    assert entry.action == "subscription.changed"
    assert '"name":"Receiver"' in entry.before
    assert '"name":"Renamed"' in entry.after


def test_subscription_saved_unchanged_is_no_change(console: Client) -> None:
    subscription = make_subscription(event_types=("b.c", "a.b"))
    fields = subscription_fields(
        subscription.account, name=subscription.name, url=subscription.url,
        event_types="a.b\nb.c", timeout_seconds="15", max_in_flight="",
    )  # fmt: skip

    response = console.post(page_of("subscriptions.subscription", subscription.pk), fields)

    assert response.status_code == 302
    assert not AuditEntry.objects.exists()


def test_subscription_keeps_its_url_when_the_new_one_is_refused(console: Client) -> None:
    subscription = make_subscription()
    fields = subscription_fields(subscription.account, url="http://10.0.0.1/")

    response = console.post(page_of("subscriptions.subscription", subscription.pk), fields)

    assert errors_of(response) == {"url": ["the URL is refused: forbidden_address"]}
    assert Subscription.objects.get().url == "http://127.0.0.1:9/hook"


def test_event_type_is_made_changed_and_deleted(console: Client) -> None:
    account = make_account()
    fields = {"account": str(account.pk), "name": "invoice.paid", "schema_mode": "reject"}

    console.post("/admin/subscriptions/eventtype/add/", fields)
    event_type = EventType.objects.get()
    path = page_of("subscriptions.eventtype", event_type.pk)
    console.post(path, {"description": "Paid.", "schema_mode": "off", "name": "other"})
    event_type.refresh_from_db()

    assert (event_type.name, event_type.schema_mode) == ("invoice.paid", "off")
    console.post(path.replace("/change/", "/delete/"), {"post": "yes"})
    assert not EventType.objects.exists()
    assert [entry.action for entry in AuditEntry.objects.order_by("sequence")] == [
        "event_type.created", "event_type.changed", "event_type.deleted",
    ]  # fmt: skip


def test_event_type_that_is_no_dotted_name(console: Client) -> None:
    fields = {"account": str(make_account().pk), "name": "a b", "schema_mode": "off"}

    response = console.post("/admin/subscriptions/eventtype/add/", fields)

    assert errors_of(response) == {"name": ["'a b' is no event type; such are dotted names"]}
    assert not EventType.objects.exists()


def test_api_key_is_made_and_shown_once(console: Client) -> None:
    fields = {"account": str(make_account().pk), "name": "ci", "scopes": ["viewer", "operator"]}

    response = console.post("/admin/accounts/apikey/add/", fields)

    api_key = ApiKey.objects.get()
    text = response.context["shown"].secret
    assert authenticate_api_key(text) == api_key
    assert response.content.decode().count(text) == 1
    assert api_key.scopes == ["viewer", "operator"]
    assert text not in console.get(page_of("accounts.apikey", api_key.pk)).content.decode()


def test_api_key_is_not_changed(console: Client) -> None:
    api_key = make_api_key(None, "viewer").api_key

    response = console.post(
        page_of("accounts.apikey", api_key.pk), {"name": "x", "scopes": ["admin"]}
    )

    api_key.refresh_from_db()
    assert response.status_code == 403
    assert (api_key.name, api_key.scopes) == ("test", ["viewer"])


def membership_fields(*members: dict[str, str], initial: int = 0) -> dict[str, str]:
    fields = {
        "memberships-TOTAL_FORMS": str(len(members)),
        "memberships-INITIAL_FORMS": str(initial),
    }
    for number, member in enumerate(members):
        fields |= {f"memberships-{number}-{name}": value for name, value in member.items()}
    return fields


def test_account_and_its_members_are_changed_and_audited(console: Client) -> None:
    user, other = make_user(), make_user()
    fields = {"name": "Acme", "slug": "acme", "unknown_event_types": "allow"}
    member = {"user": str(user.pk), "role": "viewer"}

    console.post("/admin/accounts/account/add/", fields | membership_fields(member))
    account = Account.objects.get()
    row = Membership.objects.get()
    assert (row.account, row.user, row.role) == (account, user, "viewer")

    path = page_of("accounts.account", account.pk)
    member |= {"id": str(row.pk), "account": str(account.pk), "user": str(other.pk)}
    console.post(path, fields | {"name": "Acme 2"} | membership_fields(member, initial=1))
    row = Membership.objects.get()
    assert (row.user, row.role, Account.objects.get().name) == (other, "viewer", "Acme 2")

    member |= {"id": str(row.pk), "DELETE": "on"}
    console.post(path, fields | {"name": "Acme 2"} | membership_fields(member, initial=1))
    assert not Membership.objects.exists()
    assert [entry.action for entry in AuditEntry.objects.order_by("sequence")] == [
        "account.created", "membership.set", "account.changed", "membership.set",
        "membership.ended", "membership.ended",
    ]  # fmt: skip


def test_only_a_superuser_makes_superusers(db: None) -> None:
    from django.contrib.auth.models import Permission

    chief = make_user(username="chief", is_staff=True, is_superuser=True)
    clerk = make_user(username="clerk", is_staff=True)
    clerk.user_permissions.add(*Permission.objects.filter(content_type__model="user"))
    client = Client()
    client.force_login(clerk)

    page = client.get(page_of("accounts.user", clerk.pk)).content.decode()

    assert 'name="is_superuser"' not in page
    assert 'name="user_permissions"' not in page
    password = page_of("accounts.user", chief.pk).replace("/change/", "/password/")
    assert (
        client.post(password, {"password1": "Xy12345678z", "password2": "Xy12345678z"}).status_code
        == 403
    )
    assert client.post(page_of("accounts.user", chief.pk), {"username": "x"}).status_code == 403
    delete = page_of("accounts.user", chief.pk).replace("/change/", "/delete/")
    assert client.post(delete, {"post": "yes"}).status_code == 403
