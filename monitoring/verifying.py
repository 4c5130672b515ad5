"""Whether the audit chains in the database are what was written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from monitoring.anchors import Known, anchors_of, broken_anchors
from monitoring.chain import Breach, Kind, breaches_of
from monitoring.models import AuditEntry
from monitoring.protection import missing_triggers
from webhooks_project.accounts.models import Account

CHUNK_ROWS: Final = 2_000


@dataclass(frozen=True, slots=True)
class Verified:
    """One account's chain: how long it is, its head, and what is wrong with it."""

    account: Account
    count: int
    sequence: int
    head: str
    breaches: list[Breach]


def verify_account(account: Account, known: Iterable[Known] = ()) -> Verified:
    """Walk an account's chain from its first entry to its last, by every anchor there is.

    An anchor that was kept outside counts more than one of the database: where they differ, both
    are said.
    """
    kept = {item.number: item.hash for item in known if item.account_id == account.pk}
    own = anchors_of(account.pk)
    contradicted = [
        Breach(Kind.REWRITTEN, number, "the anchor in the database is another than the one kept")
        for number, text in kept.items()
        if own.get(number, text) != text
    ]
    entries = AuditEntry.objects.filter(account=account).order_by("sequence")
    breaches = breaches_of(entries.iterator(chunk_size=CHUNK_ROWS), anchors=own | kept)
    last = entries.last()
    return Verified(
        account=account,
        count=entries.count(),
        sequence=last.sequence if last else 0,
        head=last.hash if last else "",
        breaches=[*breaches, *contradicted],
    )


def verify_all(known: Iterable[Known] = ()) -> Iterator[Verified]:
    """Every account's chain, in the order of the accounts."""
    known = list(known)
    for account in Account.objects.order_by("pk").iterator():
        yield verify_account(account, known)


def verify_hub(known: Iterable[Known] = ()) -> list[str]:
    """What is wrong beside the entries: with the anchors, and with the triggers that protect
    both."""
    kept = {item.number: item.hash for item in known if item.account_id is None}
    found = [f"anchor {number}: {text}" for number, text in broken_anchors(kept)]
    return found + [f"the trigger {name} is not there" for name in missing_triggers()]


def strangers(known: Iterable[Known]) -> list[UUID]:
    """Accounts that anchors name and that are not there: with their chains they are gone."""
    named = {item.account_id for item in known if item.account_id is not None}
    there = set(Account.objects.filter(pk__in=named).values_list("pk", flat=True))
    return sorted(named - there)
