"""Anchors: the heads of the accounts' audit chains, given out once a day.

An anchor is worth what is kept of it where who owns the database cannot reach: the log's line, or
the mail. They are one chain over all accounts, so the newest of them vouches for every older one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import structlog
from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F, OuterRef, Q, Subquery

from monitoring import journal
from monitoring.chain import GENESIS, hash_of_fields
from monitoring.models import AuditAnchor, AuditEntry
from webhooks_project.accounts.models import Account
from webhooks_project.lib import clock

log = structlog.get_logger(__name__)

BATCH_ACCOUNTS: Final = 1_000
HUB: Final = "hub"  # in place of an account: the chain of the anchors themselves
_ANCHOR: Final = re.compile(rf"({HUB}|[0-9a-f-]{{36}}):([0-9]{{1,18}}):([0-9a-f]{{64}})")


class NotAnAnchor(ValueError):
    """It is not account:sequence:hash, nor hub:number:hash."""


@dataclass(frozen=True, slots=True)
class Known:
    """What somebody kept: `account_id` is None for the chain of the anchors."""

    account_id: UUID | None
    number: int
    hash: str


def give_out_anchors(now: datetime | None = None) -> int:
    """Anchor every chain that has grown since its last anchor, once a day (UTC).

    Each is a line of the log, the last of which has the head of the anchors' own chain; where the
    setting names recipients they get their account's by mail. Returns how many. Of two nodes one
    does it.
    """
    now = now or clock.now()
    newest = AuditAnchor.objects.order_by("-number").first()
    if newest is not None and newest.created_at.date() >= now.date():
        return 0
    made = 0
    for batch in _grown():
        try:
            anchors = _add(batch, now)
        except IntegrityError:
            return made  # another node is at it
        made += len(anchors)
        for anchor in anchors:
            log.info("audit anchor", anchor=str(anchor), number=anchor.number)
    if made:
        log.info("audit anchors given out", count=made, anchor=head_of_anchors())
    return made


def head_of_anchors() -> str:
    """`hub:number:hash` of the newest anchor; empty where there is none."""
    newest = AuditAnchor.objects.order_by("-number").first()
    return f"{HUB}:{newest.number}:{newest.hash}" if newest else ""


def hash_of_anchor(anchor: AuditAnchor) -> str:
    """SHA-256, in hex, over the anchor before and every field of this one."""
    return hash_of_fields(
        [
            anchor.previous_hash,
            anchor.number,
            anchor.created_at.isoformat(timespec="microseconds"),
            str(anchor.account_id),
            anchor.sequence,
            anchor.head_hash,
        ]
    )


def anchors_of(account_id: UUID) -> dict[int, str]:
    """The hashes by number that this hub gave out of an account."""
    rows = AuditAnchor.objects.filter(account_id=account_id).order_by("sequence")
    return dict(rows.values_list("sequence", "head_hash"))


def broken_anchors(known: Mapping[int, str] | None = None) -> list[tuple[int, str]]:
    """What is wrong with the chain of the anchors: at which number, and what.

    `known` are hashes by number that somebody kept.
    """
    wanted = dict(known or {})
    found: list[tuple[int, str]] = []
    expected, previous = 1, GENESIS
    for anchor in AuditAnchor.objects.order_by("number").iterator():
        if anchor.number != expected:
            found.append((expected, f"anchors {expected} to {anchor.number - 1} are not there"))
        elif anchor.previous_hash != previous:
            found.append((anchor.number, "it does not follow the anchor before it"))
        if anchor.hash != hash_of_anchor(anchor):
            found.append((anchor.number, "its fields do not give its hash"))
        if wanted.pop(anchor.number, anchor.hash) != anchor.hash:
            found.append((anchor.number, "it is another than the one that was kept"))
        expected, previous = anchor.number + 1, anchor.hash
    found += [(number, "it was kept and is not there") for number in sorted(wanted)]
    return found


def read_anchor(text: str) -> Known:
    """What an anchor's text says: `account:sequence:hash` or `hub:number:hash`.

    Raises NotAnAnchor.
    """
    match = _ANCHOR.fullmatch(text.strip().lower())
    if match is None:
        raise NotAnAnchor(f"{text[:120]!r} is no anchor: account:sequence:hash, or hub:number:hash")
    owner, number, text_of_hash = match.groups()
    try:
        account_id = None if owner == HUB else UUID(owner)
    except ValueError as error:
        raise NotAnAnchor(f"{owner} is no account's id") from error
    return Known(account_id, int(number), text_of_hash)


def find_anchors(lines: Iterable[str]) -> list[Known]:
    """Every anchor in a text, wherever in a line it stands: a log, or a mail."""
    return [
        read_anchor(match.group()) for line in lines for match in _ANCHOR.finditer(line.lower())
    ]


def _grown() -> Iterator[list[Any]]:
    """Accounts whose head is not anchored, with `head` and `head_hash`, a batch at a time."""
    heads = AuditEntry.objects.filter(account=OuterRef("pk")).order_by("-sequence")
    anchored = AuditAnchor.objects.filter(account=OuterRef("pk")).order_by("-sequence")
    grown = (
        Account.objects.annotate(
            head=Subquery(heads.values("sequence")[:1]),
            head_hash=Subquery(heads.values("hash")[:1]),
            anchored=Subquery(anchored.values("sequence")[:1]),
        )
        .filter(Q(anchored=None) | Q(head__gt=F("anchored")), head__isnull=False)
        .order_by("pk")
    )
    after = None
    while True:
        rows = grown if after is None else grown.filter(pk__gt=after)
        batch = list(rows[:BATCH_ACCOUNTS])
        if not batch:
            return
        yield batch
        after = batch[-1].pk


@transaction.atomic
def _add(accounts: list[Any], now: datetime) -> list[AuditAnchor]:
    last = AuditAnchor.objects.order_by("-number").first()
    number, previous = (last.number, last.hash) if last else (0, GENESIS)
    made = []
    for account in accounts:
        number += 1
        anchor = AuditAnchor(
            number=number,
            account_id=account.pk,
            sequence=account.head,
            head_hash=account.head_hash,
            created_at=now,
            previous_hash=previous,
        )
        anchor.hash = previous = hash_of_anchor(anchor)
        made.append(anchor)
    AuditAnchor.objects.bulk_create(made)
    if settings.WEBHOOKS_ANCHOR_RECIPIENTS:
        for account, anchor in zip(accounts, made, strict=True):
            _tell(account, anchor)
    return made


def _tell(account: Account, anchor: AuditAnchor) -> None:
    journal.record_notification(
        account_id=account.pk,
        kind="audit.anchor",
        recipients=settings.WEBHOOKS_ANCHOR_RECIPIENTS,
        title=f"Audit anchor of {account.name}, {anchor.created_at:%Y-%m-%d}",
        text="Keep this. With it, verify_audit_log can tell whether the audit log up to this "
        "entry is still what it was today.\n\n"
        f"{anchor}\n{HUB}:{anchor.number}:{anchor.hash}",
    )
