from __future__ import annotations

import pytest

from monitoring.models import AuditEntry
from tests.factories import make_account, make_user
from webhooks_project.accounts.models import Account, Membership, Role
from webhooks_project.accounts.services import (
    change_account,
    create_account,
    end_membership,
    set_membership,
)

pytestmark = pytest.mark.django_db


def entries() -> list[tuple[str, str, str]]:
    return list(AuditEntry.objects.order_by("sequence").values_list("action", "before", "after"))


def test_an_account_has_its_first_administrator() -> None:
    user = make_user()
    account = create_account(name="Shop", slug="shop", admin=user)
    assert Membership.objects.get().role == Role.ADMIN
    assert Membership.objects.get().account == account
    assert entries() == [("account.created", "{}", '{"name":"Shop"}')]


def test_a_role_takes_the_place_of_the_one_before() -> None:
    account, user = make_account(), make_user(username="ann")
    set_membership(account=account, user=user, role=Role.VIEWER)
    set_membership(account=account, user=user, role=Role.OPERATOR)
    assert Membership.objects.get().role == Role.OPERATOR
    assert entries() == [
        ("membership.set", "{}", '{"role":"viewer","user":"ann"}'),
        ("membership.set", '{"role":"viewer","user":"ann"}', '{"role":"operator","user":"ann"}'),
    ]


def test_ending_a_membership_is_audited() -> None:
    account = make_account()
    make_user(account, Role.ADMIN, username="ann")
    end_membership(membership=Membership.objects.get())
    assert Membership.objects.count() == 0
    assert entries() == [("membership.ended", '{"role":"admin","user":"ann"}', "{}")]


def test_changing_an_account_is_audited() -> None:
    account = make_account(name="Old", slug="old")
    change_account(account=account, name="New")
    assert Account.objects.values_list("name", "slug").get() == ("New", "old")
    assert entries() == [("account.changed", '{"name":"Old"}', '{"name":"New"}')]
