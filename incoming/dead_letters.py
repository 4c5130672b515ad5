"""Dead receipts: found, grouped, processed again, discarded.

A receipt is dead when it could not be processed, or one of its handlers could not do its work; its
detail names the handler. One that is discarded stays dead, with the reason, and is not listed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet

from incoming.errors import StateNotAllowed
from incoming.models import Receipt, Source
from incoming.services.receipts import put_back
from monitoring import journal
from webhooks_project.accounts.models import Account
from webhooks_project.dead_letters import (
    Progress,
    counted_groups,
    marks_of,
    no_progress,
    work_off,
)
from webhooks_project.jobs import type_condition
from webhooks_project.lib.fingerprints import normalised


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadReceipts:
    """Which dead receipts: those with all of these marks; what is left out is any.

    `handler` is the one that could not do its work. They died in `[since, until)`.
    """

    account: Account | None = None
    source: Source | None = None
    fingerprint: str = ""
    cause: str = ""
    handler: str = ""
    type: str = ""
    since: datetime | None = None
    until: datetime | None = None

    def rows(self) -> QuerySet[Receipt]:
        """The receipts, in no order."""
        marks = {
            "account": self.account,
            "source": self.source,
            "fingerprint": self.fingerprint,
            "cause": self.cause,
            "type": self.type,
            "dead_at__gte": self.since,
            "dead_at__lt": self.until,
        }
        given = {name: value for name, value in marks.items() if value not in (None, "")}
        by_handler = died_in(self.handler) if self.handler else Q()
        return dead_receipts().filter(by_handler, **given).order_by()


@dataclass(frozen=True, slots=True)
class Group:
    """Dead receipts that failed alike. `sample_id` is the last one, `text` its detail, normalised:
    the handler, where one could not do its work, and the error."""

    fingerprint: str
    account_id: UUID
    source_id: UUID
    source_name: str
    cause: str
    text: str
    count: int
    first_at: datetime | None
    last_at: datetime | None
    sample_id: UUID


def dead_receipts() -> QuerySet[Receipt]:
    """Those that wait for a person."""
    return Receipt.objects.filter(status=Receipt.Status.DEAD, discard_reason="")


def died_in(handler: str) -> Q:
    """Receipts that died because that handler could not do its work."""
    return type_condition("detail", f"{handler}: *")


def group_dead_receipts(rows: QuerySet[Receipt], *, limit: int, offset: int = 0) -> list[Group]:
    """The groups among these, the largest first."""
    found = rows.select_related("source").defer("body", "headers", "query")
    return [_group(**item) for item in counted_groups(found, "dead_at", limit=limit, offset=offset)]


def _group(sample: Receipt, **counted: Any) -> Group:
    return Group(
        fingerprint=sample.fingerprint,
        account_id=sample.account_id,
        source_id=sample.source_id,
        source_name=sample.source.name,
        cause=sample.cause,
        text=normalised(sample.detail),
        count=counted["count"],
        first_at=counted["first_at"],
        last_at=counted["last_at"],
        sample_id=sample.pk,
    )


def reprocess_dead_receipts(
    letters: DeadReceipts, *, limit: int | None = None, progress: Progress = no_progress
) -> int:
    """Process them again, by the verdict they got on arrival, the longest dead first.

    Each batch is a transaction; `progress` is called with its count. At most `limit` are taken.
    Those whose body was pruned are left alone. Returns how many were taken.
    """
    return work_off(
        letters.rows().filter(body_pruned_at=None),
        _reprocess,
        dead_at="dead_at",
        action="dead_receipts.reprocessed",
        told=marks_of(letters),
        limit=limit,
        progress=progress,
    )


def _reprocess(ids: Sequence[UUID]) -> int:
    done = 0
    for key in sorted(ids):  # locked in one order by all
        try:
            put_back(key)
        except (StateNotAllowed, Receipt.DoesNotExist):  # taken up, or pruned, meanwhile
            continue
        done += 1
    return done


def discard_dead_receipts(
    letters: DeadReceipts,
    *,
    reason: str,
    limit: int | None = None,
    progress: Progress = no_progress,
) -> int:
    """Take them off the list for good, with the reason; else as `reprocess_dead_receipts`."""

    def act(ids: Sequence[UUID]) -> int:
        return dead_receipts().filter(pk__in=ids).update(discard_reason=reason)

    return work_off(
        letters.rows(),
        act,
        dead_at="dead_at",
        action="dead_receipts.discarded",
        told={**marks_of(letters), "reason": reason},
        limit=limit,
        progress=progress,
    )


@transaction.atomic
def discard_dead_receipt(*, receipt: Receipt, reason: str) -> Receipt:
    """Take a dead receipt off the list for good. Raises StateNotAllowed for any other."""
    if not dead_receipts().filter(pk=receipt.pk).update(discard_reason=reason):
        raise StateNotAllowed("only a dead receipt that is not discarded yet can be")
    journal.record_change(
        account_id=receipt.account_id,
        action="receipt.discarded",
        subject=receipt,
        after={"reason": reason},
    )
    receipt.refresh_from_db()
    return receipt
