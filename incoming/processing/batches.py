"""Batches of due receipts: claimed, found out about together, written down together."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final
from uuid import UUID

import structlog
from django import db

from incoming.errors import ClaimLost
from incoming.models import Receipt, Route, Source
from incoming.processing.failures import fail
from incoming.processing.works import Work
from incoming.processing.writing import write
from incoming.routing import Following, failed_by, what_follows_each
from webhooks_project.lib import clock
from webhooks_project.lib.errors import DomainError

log = structlog.get_logger(__name__)


CLAIM_ROWS: Final = 200
# What of a receipt is needed to process it; reading a row costs as much as following it.
NEEDED: Final = (
    "account_id", "source_id", "external_id", "type", "method", "query", "headers", "body",
    "request_id", "received_at", "is_verified", "signed_at", "same_body_as", "round",
    "body_pruned_at", "is_counted",
)  # fmt: skip


def process_due_receipts(limit: int = CLAIM_ROWS) -> int:
    """Claim due receipts and process them. Returns how many were claimed.

    What follows them is found out first, their expressions evaluated together; then all of it is
    written in one transaction. Where that fails, each is written in its own, so that one failure
    is not the others'. Those that the time did not reach are given back.
    """
    now = clock.now()
    if not Receipt.objects.all().any_due(now):
        return 0
    token, ids = Receipt.objects.all().claim(now=now, limit=limit)
    if not ids:
        return 0
    works = _find_out(ids, token)
    if not works:
        return len(ids)
    try:
        write(works, token)
    except db.OperationalError:
        raise
    except Exception as error:
        if len(works) > 1:
            log.info("receipts are processed one by one", count=len(works), error=str(error)[:200])
        for work in works:
            _write_one(work, token)
    return len(ids)


def _find_out(ids: Collection[UUID], token: UUID) -> list[Work]:
    """What follows each claimed receipt; those of which it cannot be told fail here."""
    started_at = clock.now()
    # In the order of their arrival, so that their events are in it too.
    receipts = list(
        Receipt.objects.held_by(token, ids)
        .only(*NEEDED)
        .with_same_body()
        .order_by("received_at", "pk")
    )
    sources = Source.objects.in_bulk({receipt.source_id for receipt in receipts})
    routes = _routes(sources)
    answers = what_follows_each(
        [
            (sources[receipt.source_id], routes.get(receipt.source_id, ()), receipt)
            for receipt in receipts
        ]
    )
    works: list[Work] = []
    left: list[UUID] = []
    for receipt, answer in zip(receipts, answers, strict=True):
        if isinstance(answer, Following):
            works.append(Work(receipt, answer, started_at))
        elif answer is None:
            left.append(receipt.pk)
        else:
            fail(receipt.pk, token, answer)
    if left:
        Receipt.objects.held_by(token, left).give_back(clock.now())
    return works


def _routes(sources: dict[UUID, Source]) -> dict[UUID, list[Route]]:
    routes: dict[UUID, list[Route]] = {}
    for route in Route.objects.filter(source__in=list(sources), disabled_at=None):
        routes.setdefault(route.source_id, []).append(route)
    return routes


def _write_one(work: Work, token: UUID) -> None:
    receipt_id = work.receipt.pk
    try:
        write([work], token)
    except db.OperationalError:
        raise
    except ClaimLost:
        log.warning("a receipt's claim was lost", receipt_id=str(receipt_id))
    except Exception as error:
        if not isinstance(error, DomainError):
            log.exception("receipt failed", receipt_id=str(receipt_id))
        fail(receipt_id, token, failed_by(error))
