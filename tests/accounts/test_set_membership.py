from __future__ import annotations

import pytest

from monitoring.models import AuditEntry
from tests.factories import make_account, make_user
from webhooks_project.accounts.errors import LastAdmin
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
    make_user(account, Role.ADMIN)
    ann = make_user(account, Role.ADMIN, username="ann")
    end_membership(membership=Membership.objects.get(user=ann))
    assert Membership.objects.count() == 1
    assert entries() == [("membership.ended", '{"role":"admin","user":"ann"}', "{}")]


def test_changing_an_account_is_audited() -> None:
    account = make_account(name="Old", slug="old")
    change_account(account=account, name="New")
    assert Account.objects.values_list("name", "slug").get() == ("New", "old")
    assert entries() == [("account.changed", '{"name":"Old"}', '{"name":"New"}')]


@pytest.mark.parametrize("others", [(), (Role.OPERATOR,)])
def test_the_last_administrator_stays(others: tuple[Role, ...]) -> None:
    account = make_account()
    ann = make_user(account, Role.ADMIN)
    make_user(account, Role.ADMIN, is_active=False)  # who cannot come in counts for nobody
    for role in others:
        make_user(account, role)
    before = list(Membership.objects.order_by("pk").values())
    with pytest.raises(LastAdmin):
        end_membership(membership=Membership.objects.get(user=ann))
    with pytest.raises(LastAdmin):
        set_membership(account=account, user=ann, role=Role.OPERATOR)
    assert list(Membership.objects.order_by("pk").values()) == before
    assert entries() == []


def test_an_administrator_may_go_where_another_stays() -> None:
    account = make_account()
    ann, bob = make_user(account, Role.ADMIN), make_user(account, Role.ADMIN)
    set_membership(account=account, user=ann, role=Role.ADMIN)
    end_membership(membership=Membership.objects.get(user=ann))
    assert list(Membership.objects.values_list("user", "role")) == [(bob.pk, "admin")]


def test_who_cannot_come_in_may_always_be_taken_out() -> None:
    account = make_account()
    gone = make_user(account, Role.ADMIN, is_active=False)
    end_membership(membership=Membership.objects.get(user=gone))
    assert not Membership.objects.exists()
