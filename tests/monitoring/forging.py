"""Changing what the database would not let anybody change, as its owner can."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from monitoring.journal import record_change
from monitoring.protection import protect, unprotect
from tests.factories import make_account
from webhooks_project.accounts.models import Account


@contextmanager
def without_triggers() -> Iterator[None]:
    unprotect()
    try:
        yield
    finally:
        protect()


def make_chain(account: Account | None = None, length: int = 4) -> Account:
    """An account with so many entries more."""
    account = account or make_account()
    for number in range(1, length + 1):
        record_change(
            account_id=account.pk,
            action=f"thing.changed{number}",
            subject=account,
            before={"number": number - 1},
            after={"number": number},
        )
    return account
