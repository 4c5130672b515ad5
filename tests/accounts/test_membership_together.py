"""Administrators who give up their role at one moment."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection, connections

from tests.factories import make_account, make_user
from webhooks_project.accounts.errors import LastAdmin
from webhooks_project.accounts.models import Membership, Role, User
from webhooks_project.accounts.services import end_membership, set_membership

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer at a time"),
]

ADMINS = 4


def together(work: Any, users: list[User]) -> list[str]:
    """How it ended for each of the users, all of whom began at one moment."""
    start = threading.Barrier(len(users))

    def one(user: User) -> str:
        start.wait(10)
        try:
            work(user)
        except Exception as error:
            return type(error).__name__
        finally:
            connections.close_all()
        return "done"

    with ThreadPoolExecutor(len(users)) as pool:
        return sorted(pool.map(one, users))


@pytest.mark.parametrize("leaves", [False, True])
def test_the_last_one_stays_and_none_waits_for_ever(leaves: bool) -> None:
    account = make_account()
    users = [make_user(account, Role.ADMIN) for _ in range(ADMINS)]

    def give_up(user: User) -> None:
        if leaves and user in users[::2]:
            end_membership(membership=Membership.objects.get(account=account, user=user))
        else:
            set_membership(account=account, user=user, role=Role.VIEWER)

    assert together(give_up, users) == [LastAdmin.__name__, *["done"] * (ADMINS - 1)]
    assert Membership.objects.filter(account=account, role=Role.ADMIN).count() == 1
