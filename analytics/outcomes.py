"""What became of attempts and receipts lately, minute by minute, for those who judge health."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from analytics.models import SUCCEEDED, ReceiptRollup, Rollup, Scope
from analytics.periods import Grain
from analytics.sketches import Bins, add_stored, percentile
from webhooks_project.models import Uncounted

# An attempt may take a minute, and is stored with a mark of the minute it began in; marks are
# counted once a minute. A mark of an older minute than these make up waits for longer than it has
# to.
MARKS_WAIT: Final = timedelta(minutes=4)
# What just happened is counted first (analytics/counting.py): where a mark of so long ago waits,
# nothing newer is counted either.
COUNTED_FIRST: Final = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Attempts to one subscription. `by_cause` are the failed ones."""

    attempts: int = 0
    succeeded: int = 0
    by_cause: dict[str, int] = field(default_factory=dict)
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Receipts:
    """Calls of one source. Duplicates and handshakes were received, and neither of the others."""

    received: int = 0
    accepted: int = 0
    refused_by_cause: dict[str, int] = field(default_factory=dict)


def are_counted(kind: Uncounted.Kind, *, since: datetime, now: datetime) -> bool:
    """Whether all that happened from `since` on is in the rollups, but for the last few minutes,
    which never all are. To be asked before they are read."""
    late = Uncounted.objects.filter(
        kind=kind, minute__gte=min(since, now - COUNTED_FIRST), minute__lt=now - MARKS_WAIT
    )
    return not late.exists()


def recent_outcomes(
    *, since: datetime, until: datetime, account_id: UUID | None = None
) -> dict[UUID, Outcomes]:
    """By subscription, those that started in the minutes that begin in `[since, until)`.

    For as long as minutes are kept; subscriptions without attempts are absent.
    """
    counts: dict[UUID, dict[str, int]] = {}
    sketches: dict[UUID, Bins] = {}
    rows = _in_minutes(Rollup, since, until, account_id)
    for subscription_id, cause, attempts, total in rows.values_list(
        "subscription_id", "cause", "attempts", "total"
    ).iterator(chunk_size=2_000):
        by_cause = counts.setdefault(subscription_id, {})
        by_cause[cause] = by_cause.get(cause, 0) + attempts
        add_stored(sketches.setdefault(subscription_id, {}), total)
    return {
        subscription_id: Outcomes(
            attempts=sum(by_cause.values()),
            succeeded=by_cause.get("", 0),
            by_cause={cause: count for cause, count in sorted(by_cause.items()) if cause},
            p50_ms=percentile(sketches[subscription_id], 50),
            p95_ms=percentile(sketches[subscription_id], 95),
            p99_ms=percentile(sketches[subscription_id], 99),
        )
        for subscription_id, by_cause in counts.items()
    }


def recent_receipts(
    *, since: datetime, until: datetime, account_id: UUID | None = None
) -> dict[UUID, Receipts]:
    """By source, those that arrived in the minutes that begin in `[since, until)`."""
    counts: dict[UUID, dict[tuple[str, str], int]] = {}
    rows = _in_minutes(ReceiptRollup, since, until, account_id)
    for source_id, verdict, cause, receipts in rows.values_list(
        "source_id", "verdict", "cause", "receipts"
    ).iterator(chunk_size=2_000):
        by_verdict = counts.setdefault(source_id, {})
        by_verdict[verdict, cause] = by_verdict.get((verdict, cause), 0) + receipts
    Verdict = ReceiptRollup.Verdict
    return {
        source_id: Receipts(
            received=sum(by_verdict.values()),
            accepted=sum(count for (verdict, _), count in by_verdict.items()
                         if verdict == Verdict.ACCEPTED),
            refused_by_cause={cause: count for (verdict, cause), count in sorted(by_verdict.items())
                              if verdict == Verdict.REFUSED},
        )
        for source_id, by_verdict in counts.items()
    }  # fmt: skip


def _in_minutes(model: type[Any], since: datetime, until: datetime, account_id: UUID | None) -> Any:
    rows = model._default_manager.filter(
        scope=Scope.FULL, grain=Grain.MINUTE, at__gte=since, at__lt=until
    ).order_by()
    return rows if account_id is None else rows.filter(account=account_id)


__all__ = [
    "SUCCEEDED", "Outcomes", "Receipts", "are_counted", "recent_outcomes", "recent_receipts",
]  # fmt: skip
