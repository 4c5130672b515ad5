"""What dead letters have in common, whether they are deliveries or receipts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from django.db import models, transaction
from django.db.models import Count, Max, Min, QuerySet

from monitoring import journal
from webhooks_project.accounts.models import Account

if TYPE_CHECKING:
    from _typeshed import DataclassInstance
else:
    DataclassInstance = object

BATCH_ROWS: Final = 200  # in one transaction
MAX_LETTERS_AT_ONCE: Final = 10_000  # in one request; a command goes on for as long as it takes
MAX_REASON_LENGTH: Final = 200

Progress = Callable[[int], None]


def no_progress(count: int) -> None:
    """Tell nobody."""


def marks_of(letters: DataclassInstance) -> dict[str, Any]:
    """The marks of a selection that are given, as the audit tells them."""
    given = {field.name: getattr(letters, field.name) for field in fields(letters)}
    return {
        name: str(value.pk) if isinstance(value, models.Model) else value
        for name, value in given.items()
        if value not in (None, "")
    }


def kept_too_long(days: int) -> str:
    """Why a dead letter was discarded that nobody took up."""
    return f"nobody took it up within {days} {'day' if days == 1 else 'days'}"


def counted_groups(
    rows: QuerySet[Any], dead_at: str, *, limit: int, offset: int = 0
) -> list[dict[str, Any]]:
    """The groups of one account and fingerprint among the rows, the largest first.

    Each has `account`, `fingerprint`, `count`, `first_at`, `last_at`, and `sample`, the last row.
    """
    groups = (
        rows.order_by()
        .values("account", "fingerprint")
        .annotate(count=Count("pk"), first_at=Min(dead_at), last_at=Max(dead_at))
        .order_by("-count", "-last_at", "fingerprint")[offset : offset + limit]
    )
    return [
        group
        | {
            "sample": rows.filter(account=group["account"], fingerprint=group["fingerprint"])
            .order_by(f"-{dead_at}", "-pk")
            .first()
        }
        for group in groups
    ]


def count_groups(rows: QuerySet[Any]) -> int:
    """How many groups there are among the rows."""
    return rows.order_by().values("account", "fingerprint").distinct().count()


def work_off(
    rows: QuerySet[Any],
    act: Callable[[Sequence[UUID]], int],
    *,
    dead_at: str,
    action: str,
    told: Mapping[str, Any],
    limit: int | None,
    progress: Progress,
) -> int:
    """Let `act` have the rows by their ids, the longest dead first, each batch in a transaction.

    The audit of each account is told of each batch, with `told` and the count. Returns how many
    there were, at most `limit`.
    """
    done = 0
    for account_id, ids in batches(rows, dead_at, limit):
        with transaction.atomic():
            count = act(ids)
            if count:
                journal.record_change(
                    account_id=account_id,
                    action=action,
                    subject=Account(pk=account_id),
                    after={**told, "count": count},
                )
        done += count
        progress(count)
    return done


def batches(
    rows: QuerySet[Any], dead_at: str, limit: int | None = None
) -> Iterator[tuple[UUID, list[UUID]]]:
    """The ids by account, the longest dead first: as they are now, and not what dies meanwhile."""
    left = limit
    for account_id in list(rows.order_by("account").values_list("account", flat=True).distinct()):
        found = rows.filter(account=account_id).order_by(dead_at, "pk")
        ids = list(found.values_list("pk", flat=True)[:left])
        for start in range(0, len(ids), BATCH_ROWS):
            yield account_id, ids[start : start + BATCH_ROWS]
        if left is not None:
            left -= len(ids)
            if left <= 0:
                return
