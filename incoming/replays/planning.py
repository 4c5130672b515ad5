"""What a replay would come to, and writing that down."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Case, Count, Min, Value, When

from incoming.models import ReceiptReplay
from incoming.replays.candidates import LEFT_OUT, Selection, judged
from monitoring import journal
from webhooks_project.lib import clock
from webhooks_project.lib.actor import current_actor


def plan_of(selection: Selection) -> dict[str, Any]:
    """What replaying the selection would come to; reads only.

    `count`, `oldest` (ISO 8601, or None), `receipts`: a list of {source, source_name, type, status,
    count}, and `left_out`: counts by reason.
    """
    rows = (
        judged(selection)
        .annotate(
            reason=Case(
                *(When(condition, then=Value(reason)) for reason, condition in LEFT_OUT),
                default=Value(""),
            )
        )
        .order_by()
        .values_list("reason", "source", "source__name", "type", "status")
        .annotate(count=Count("pk"), oldest=Min("received_at"))
        .order_by("source__name", "source", "type", "status")
    )
    left_out: Counter[str] = Counter()
    receipts = []
    oldest: list[datetime] = []
    for reason, source, name, type_, status, count, first in rows:
        if reason:
            left_out[reason] += count
            continue
        receipts.append({"source": str(source), "source_name": name, "type": type_,
                         "status": status, "count": count})  # fmt: skip
        oldest.append(first)
    return {
        "count": sum(row["count"] for row in receipts),
        "oldest": min(oldest).isoformat().replace("+00:00", "Z") if oldest else None,
        "receipts": receipts,
        "left_out": dict(sorted(left_out.items())),
    }


@transaction.atomic
def plan_replay(selection: Selection) -> ReceiptReplay:
    """Write down what is to be replayed and how much that is; nothing is processed yet.

    Raises ReplayNotAcceptable.
    """
    selection = selection.checked()
    plan = plan_of(selection)
    asked = {item.name: getattr(selection, item.name) for item in fields(Selection)}
    replay = ReceiptReplay.objects.create(
        **asked,
        planned_count=plan["count"],
        plan=plan,
        requested_by=current_actor.get().label[:200],
        created_at=clock.now(),
    )
    shown = {name: getattr(value, "pk", value) for name, value in asked.items()}
    record_change(replay, "receipt_replay.planned", {**shown, "count": plan["count"]})
    return replay


def record_change(replay: ReceiptReplay, action: str, after: dict[str, Any] | None = None) -> None:
    """Put what a person did with the job in the audit log of its account, where it has one."""
    if replay.account_id is not None:
        journal.record_change(
            account_id=replay.account_id, action=action, subject=replay, after=after
        )
