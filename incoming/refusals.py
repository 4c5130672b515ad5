"""Keeping refused calls: each is counted, and enough of them kept to see what is wrong."""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID

from django.db import transaction
from django.db.models import F

from incoming.models import Receipt, RefusalCount, RefusalMinute, Source
from incoming.providers import Refused
from webhooks_project.lib.sql import insert_instance, update_returning
from webhooks_project.uncounted import Kind, mark_uncounted

KEPT_PER_HOUR: Final = 100  # of a source and a cause; an attack fills the counter, not the disk
KEPT_BODY_BYTES: Final = 64 * 1024


@transaction.atomic
def record_refusal(
    *,
    source_id: UUID,
    account_id: UUID,
    refused: Refused,
    receipt: Receipt | None,
    now: datetime,
) -> int:
    """Count a refusal, and keep its receipt while the hour has room. Returns the hour's count.

    `receipt` is None where the call was not read. The source's row tells the last one.
    """
    key = {
        "source_id": source_id,
        "hour": now.replace(minute=0, second=0, microsecond=0),
        "cause": refused.cause,
    }
    RefusalCount.objects.bulk_create(
        [RefusalCount(account_id=account_id, **key)], ignore_conflicts=True
    )
    rows = update_returning(
        RefusalCount.objects.filter(**key), {"count": F("count") + 1}, ("count",)
    )
    count = int(rows[0][0])
    Source.objects.filter(pk=source_id).update(
        refused_count=F("refused_count") + 1,
        last_received_at=now,
        last_error_at=now,
        last_error=refused.cause.value,
    )
    if receipt is not None and count <= KEPT_PER_HOUR:
        receipt.is_counted = True
        receipt.cause = receipt.refusal = refused.cause.value
        receipt.detail = refused.detail[:500]
        receipt.body = bytes(receipt.body)[:KEPT_BODY_BYTES]
        insert_instance(receipt)
        mark_uncounted(Kind.RECEIPT, [receipt.received_at])
    else:
        _count_unkept(source_id, account_id, refused, now)
        mark_uncounted(Kind.RECEIPT, [now])
    return count


def _count_unkept(source_id: UUID, account_id: UUID, refused: Refused, now: datetime) -> None:
    key = {
        "source_id": source_id,
        "minute": now.replace(second=0, microsecond=0),
        "cause": refused.cause,
    }
    if RefusalMinute.objects.filter(**key).update(count=F("count") + 1):
        return
    # Nobody else makes it meanwhile: the row of the hour is ours until the commit.
    RefusalMinute.objects.create(account_id=account_id, count=1, **key)
