"""Retention: receipts lose their bodies, and then go, when their account keeps them no longer.

Dead ones that nobody took up are discarded when their account's days for that are over.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import structlog
from django.db.models import Exists, OuterRef, Q, QuerySet, Value
from django.db.models.functions import Coalesce

from incoming.models import HandlerRun, Receipt, ReceiptReplay, RefusalCount, RefusalMinute
from incoming.querysets import BODY_BYTES
from incoming.replays import NOT_ENDED, Selection
from webhooks_project.accounts.models import Account
from webhooks_project.batches import TURN_SECONDS, Batches, delete_rows, in_turn
from webhooks_project.dead_letters import kept_too_long
from webhooks_project.lib import clock
from webhooks_project.uncounted import Kind, counted_before

log = structlog.get_logger(__name__)

Status = Receipt.Status


@dataclass(frozen=True, slots=True)
class Pruned:
    """How many receipts were emptied, how many deleted, how many counts of refusals, and how many
    dead receipts discarded."""

    bodies: int = 0
    receipts: int = 0
    refusal_counts: int = 0
    dead_letters: int = 0

    @property
    def total(self) -> int:
        return self.bodies + self.receipts + self.refusal_counts + self.dead_letters

    def __add__(self, other: Pruned) -> Pruned:
        return Pruned(
            self.bodies + other.bodies,
            self.receipts + other.receipts,
            self.refusal_counts + other.refusal_counts,
            self.dead_letters + other.dead_letters,
        )


def prune_receipts(
    *,
    account: Account | None = None,
    seconds: float | None = TURN_SECONDS,
    progress: Callable[[int], None] = lambda count: None,
) -> Pruned:
    """Empty and delete what is older than its account keeps it, the oldest first.

    None is deleted that may not be counted yet. In transactions of at most BATCH_ROWS, for
    `seconds` (None for as long as it takes), which the accounts share; what is left is left for the
    next call. `progress` is called with each transaction's count.
    """
    batches = Batches(seconds, progress)
    now = clock.now()
    counted = counted_before(Kind.RECEIPT, now)
    accounts = in_turn(list(_accounts(account)), now)
    done = sum((_prune(item, now, counted, batches) for item in batches.turns(accounts)), Pruned())
    if done.total:
        log.info("receipts pruned", bodies=done.bodies, receipts=done.receipts,
                 refusal_counts=done.refusal_counts, dead_letters=done.dead_letters)  # fmt: skip
    return done


def count_prunable(*, account: Account | None = None) -> Pruned:
    """What `prune_receipts` would do now; reads only."""
    now = clock.now()
    counted = counted_before(Kind.RECEIPT, now)
    return sum((_count(item, now, counted) for item in _accounts(account)), Pruned())


def _accounts(account: Account | None) -> QuerySet[Account]:
    """Those that do not keep everything for ever."""
    found = Account.objects.exclude(
        receipt_body_days=None, receipt_days=None, dead_letter_days=None
    ).order_by("pk")
    return found if account is None else found.filter(pk=account.pk)


def _prune(account: Account, now: datetime, counted: datetime, batches: Batches) -> Pruned:
    deleted = counts = bodies = dead = 0
    if account.receipt_days is not None:
        to_delete = partial(_to_delete, account, now, counted)
        deleted = batches.each(to_delete, "received_at", _delete_receipts)
        counts = batches.each(partial(_old_counts, account, now), "hour", delete_rows)
        batches.each(partial(_old_minutes, account, now, counted), "minute", delete_rows)
    if account.receipt_body_days is not None:
        bodies = batches.each(partial(_to_empty, account, now), "received_at", _empty_receipts)
    if account.dead_letter_days is not None:
        discard = partial(_discard_dead, account.dead_letter_days)
        dead = batches.each(partial(_to_discard, account, now), "dead_at", discard)
    return Pruned(bodies, deleted, counts, dead)


def _count(account: Account, now: datetime, counted: datetime) -> Pruned:
    deleted = counts = bodies = dead = 0
    if account.receipt_days is not None:
        deleted = _to_delete(account, now, counted).count()
        counts = _old_counts(account, now).count()
    if account.receipt_body_days is not None:
        emptied = _to_empty(account, now)
        if account.receipt_days is not None:  # what is deleted is not emptied first
            emptied = emptied.filter(received_at__gte=_kept_since(account, now, counted))
        bodies = emptied.count()
    if account.dead_letter_days is not None:
        discarded = _to_discard(account, now)
        if account.receipt_days is not None:
            discarded = discarded.filter(received_at__gte=_kept_since(account, now, counted))
        dead = discarded.count()
    return Pruned(bodies, deleted, counts, dead)


# --- what is old ----------------------------------------------------------------------------------


def _to_delete(account: Account, now: datetime, counted: datetime) -> QuerySet[Receipt]:
    return _ended(account, _kept_since(account, now, counted))


def _kept_since(account: Account, now: datetime, counted: datetime) -> datetime:
    return min(now - timedelta(days=account.receipt_days or 0), counted)


def _to_empty(account: Account, now: datetime) -> QuerySet[Receipt]:
    before = now - timedelta(days=account.receipt_body_days or 0)
    return _ended(account, before).filter(body_pruned_at=None)


def _to_discard(account: Account, now: datetime) -> QuerySet[Receipt]:
    before = now - timedelta(days=account.dead_letter_days or 0)
    return _ended(account, before).filter(status=Status.DEAD, discard_reason="", dead_at__lt=before)


def _ended(account: Account, before: datetime) -> QuerySet[Receipt]:
    """Receipts received before that moment which nobody is still to look at."""
    # A dead receipt may have handlers that are still tried.
    runs = HandlerRun.objects.filter(receipt=OuterRef("pk"), status__in=NOT_ENDED).order_by()
    waits = (
        Q(status__in=(Status.ACCEPTED, Status.PROCESSING, Status.FAILED))
        | Q(quarantined_at__isnull=False)
        | (Q(status=Status.DEAD) & Q(Exists(runs)))
    )
    found = Receipt.objects.filter(account=account, received_at__lt=before).exclude(waits)
    jobs = ReceiptReplay.objects.filter(
        Q(account=account) | Q(account=None),
        status=ReceiptReplay.Status.RUNNING,
        since__lt=before,
    ).select_related("account", "source")
    for replay in jobs:
        found = found.exclude(Selection.of(replay).condition).exclude(replay=replay)
    return found


def _old_counts(account: Account, now: datetime) -> QuerySet[RefusalCount]:
    before = now - timedelta(days=account.receipt_days or 0)
    return RefusalCount.objects.filter(account=account, hour__lt=before)


def _old_minutes(account: Account, now: datetime, counted: datetime) -> QuerySet[RefusalMinute]:
    before = _kept_since(account, now, counted)
    return RefusalMinute.objects.filter(account=account, minute__lt=before)


def _empty_receipts(rows: QuerySet[Receipt]) -> int:
    """The hash stays: what was received can still be proved."""
    return rows.update(
        body=b"", headers=b"{}", query="", body_pruned_at=clock.now(), pruned_bytes=BODY_BYTES
    )


def _discard_dead(days: int, rows: QuerySet[Receipt]) -> int:
    return rows.update(
        discard_reason=kept_too_long(days),
        body=b"",
        headers=b"{}",
        query="",
        body_pruned_at=Coalesce("body_pruned_at", Value(clock.now())),
        pruned_bytes=BODY_BYTES,
    )


def _delete_receipts(rows: QuerySet[Receipt]) -> int:
    # Locked, so that nobody takes one up between its runs' end and its own. Ids alone: the bodies
    # would be read for nothing.
    ids = list(rows.select_for_update().values_list("pk", flat=True))
    delete_rows(HandlerRun.objects.filter(receipt__in=ids))
    return delete_rows(Receipt.objects.filter(pk__in=ids).only("pk"))
