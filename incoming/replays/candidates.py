"""Which receipts are asked for, and which of them can be replayed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Final
from uuid import UUID

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Length

from incoming.errors import ReplayNotAcceptable
from incoming.models import Receipt, ReceiptReplay, Source
from incoming.refusals import KEPT_BODY_BYTES
from webhooks_project.accounts.models import Account
from webhooks_project.jobs import type_condition
from webhooks_project.lib import clock

Status = Receipt.Status
REPLAYABLE: Final = (Status.PROCESSED, Status.FAILED, Status.DEAD, Status.REFUSED)

# Why a receipt of the selection is not replayed; the first that is true of it.
LEFT_OUT: Final[tuple[tuple[str, Q], ...]] = (
    ("duplicate", Q(status=Status.DUPLICATE)),
    ("handshake", Q(status=Status.HANDSHAKE)),
    ("not_verified", Q(is_verified=False)),
    ("quarantined", Q(quarantined_at__isnull=False)),
    ("waiting", ~Q(status__in=REPLAYABLE)),
    ("body_pruned", Q(body_pruned_at__isnull=False)),
    # A refused call's body is kept up to this length. One of exactly this length counts as cut.
    ("body_cut", Q(status=Status.REFUSED, kept_bytes=KEPT_BODY_BYTES)),
    # The third party sent it again, and that was accepted.
    ("repeated", Q(status=Status.REFUSED, is_repeated=True)),
)


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What is asked for: receipts received in `[since, until)` with these marks; empty for any.

    `type_pattern` is a type, or a beginning of one with `*` after it.
    """

    since: datetime
    until: datetime
    account: Account | None = None
    source: Source | None = None
    receipt_id: UUID | None = None
    type_pattern: str = ""
    statuses: Sequence[str] = ()
    cause: str = ""

    @classmethod
    def of(cls, replay: ReceiptReplay) -> Selection:
        """What this job was asked for."""
        return cls(**{item.name: getattr(replay, item.name) for item in fields(cls)})

    def checked(self) -> Selection:
        """The same with its source's account, and nothing of what is yet to come.

        Raises ReplayNotAcceptable, naming the `field`.
        """
        until = min(self.until, clock.now())
        if self.since >= until:
            raise ReplayNotAcceptable("since must be before until, and in the past", field="since")
        account = self.account or (self.source.account if self.source else None)
        if self.source is not None and self.source.account != account:
            raise ReplayNotAcceptable("the source is another account's", field="source")
        if "*" in self.type_pattern[:-1]:
            raise ReplayNotAcceptable("a * stands only at the end", field="type_pattern")
        for name in self.statuses:
            if name not in Status.values:
                raise ReplayNotAcceptable(f"{name!r} is no status", field="statuses")
        return replace(self, until=until, account=account, statuses=sorted(set(self.statuses)))

    @property
    def condition(self) -> Q:
        """Of the receipts that are asked for, whether or not they may be replayed."""
        wanted = Q(received_at__gte=self.since, received_at__lt=self.until)
        wanted &= type_condition("type", self.type_pattern)
        if self.account is not None:
            wanted &= Q(account=self.account)
        if self.source is not None:
            wanted &= Q(source=self.source)
        if self.receipt_id is not None:
            wanted &= Q(pk=self.receipt_id)
        if self.statuses:
            wanted &= Q(status__in=list(self.statuses))
        if self.cause:
            wanted &= Q(cause=self.cause)
        return wanted


def receipts_to_replay(selection: Selection) -> QuerySet[Receipt]:
    """Those of the selection that can be replayed, the oldest first.

    A positive verdict is stored with each, and its whole body: processed, failed, dead, or refused
    after it was verified. Not among them: duplicates, handshakes, what is quarantined, what waits
    or is under way, pruned and cut bodies, and what was refused and came again.
    """
    left_out = Q()
    for _, condition in LEFT_OUT:
        left_out |= condition
    return judged(selection).exclude(left_out).order_by("received_at", "pk")


def judged(selection: Selection) -> QuerySet[Receipt]:
    """The selection, with what `LEFT_OUT` asks of it."""
    accepted = Receipt.objects.filter(
        external_id=OuterRef("external_id"), source=OuterRef("source"), dedup_slot__isnull=False
    ).exclude(pk=OuterRef("pk"))
    return Receipt.objects.filter(selection.condition).alias(
        kept_bytes=Length("body"), is_repeated=~Q(external_id="") & Q(Exists(accepted.order_by()))
    )
