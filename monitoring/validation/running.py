"""One look at everything, in batches, and what is kept of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import structlog
from django.core.cache import cache
from django.db import models, transaction

from incoming.models import Source
from monitoring import journal
from monitoring.models import Finding
from monitoring.validation.accounts import accounts_after, problems_of_accounts
from monitoring.validation.problems import Problem
from monitoring.validation.sources import problems_of_sources, sources_after
from monitoring.validation.subscriptions import problems_of_subscriptions, subscriptions_after
from subscriptions.models import Subscription
from webhooks_project.accounts.models import Account
from webhooks_project.lib import clock

log = structlog.get_logger(__name__)

BATCH_ROWS: Final = 500
PAUSE_SECONDS: Final = 0.01  # between two batches, for those who wait to write
TOLD_EACH: Final = 3  # of one kind in one account; of more, one line says how many
PLACE_KEPT_SECONDS: Final = 86_400

Rows = Sequence[Any]


@dataclass(frozen=True, slots=True)
class _Look:
    """One sort of rows, how the next are read, and what is wrong with them."""

    name: str
    column: str  # of a finding that is about such a row
    model: type[models.Model]
    after: Callable[[UUID | None, int], Rows]
    problems: Callable[[Rows, datetime], Iterable[Problem]]


LOOKS: Final = (
    _Look("accounts", "account", Account, accounts_after, problems_of_accounts),
    _Look("subscriptions", "subscription", Subscription, subscriptions_after,
          problems_of_subscriptions),
    _Look("sources", "source", Source, sources_after, problems_of_sources),
)  # fmt: skip


@dataclass(slots=True)
class Validated:
    """How much was looked at, and what came of it."""

    rows: int = 0
    open: int = 0
    opened: int = 0
    resolved: int = 0
    is_complete: bool = True
    _told: dict[tuple[UUID, str, str], list[Finding]] = field(default_factory=dict)
    _counts: dict[tuple[UUID, str, str], int] = field(default_factory=dict)

    def note(self, moment: str, finding: Finding) -> None:
        key = (finding.account_id, finding.kind, moment)
        self._counts[key] = self._counts.get(key, 0) + 1
        told = self._told.setdefault(key, [])
        if len(told) < TOLD_EACH:
            told.append(finding)

    def tell(self) -> None:
        """Write the lines: one for each, or where there are many of a kind one for all."""
        for (account_id, kind, moment), findings in self._told.items():
            count = self._counts[account_id, kind, moment]
            if count > TOLD_EACH:
                journal.record_activity(
                    account_id=account_id, kind=f"finding.{moment}", text=f"{kind}: {count} times."
                )
                continue
            for finding in findings:
                journal.record_activity(
                    account_id=account_id,
                    kind=f"finding.{moment}",
                    text=f"{kind}: {finding.text}",
                    subject=_subject(finding),
                )


def validate(
    *, seconds: float | None = None, progress: Callable[[int], None] = lambda count: None
) -> Validated:
    """Look at every account, subscription and source, and keep what is wrong with them.

    For `seconds` (None for as long as it takes); a look that was cut off goes on there with the
    next call. Each batch is one short transaction and as many queries whatever is in it. What came
    and went stands in the activity, many of a kind together; the account's rules tell people of it.
    """
    ends_at = None if seconds is None else time.monotonic() + seconds
    done = Validated()
    try:
        for look in LOOKS:
            _look_at_all(look, done, ends_at, progress)
    finally:
        done.tell()
    log.info("validated", rows=done.rows, open=done.open, opened=done.opened,
             resolved=done.resolved, is_complete=done.is_complete)  # fmt: skip
    return done


def _look_at_all(
    look: _Look, done: Validated, ends_at: float | None, progress: Callable[[int], None]
) -> None:
    place = f"validation:{look.name}"
    after: UUID | None = cache.get(place) if ends_at is not None else None
    while rows := look.after(after, BATCH_ROWS):
        if ends_at is not None and time.monotonic() >= ends_at:
            cache.set(place, after, PLACE_KEPT_SECONDS)
            done.is_complete = False
            return
        _look_at(look, rows, done)
        after = rows[-1].pk
        progress(len(rows))
        time.sleep(PAUSE_SECONDS)
    cache.delete(place)


@transaction.atomic
def _look_at(look: _Look, rows: Rows, done: Validated) -> None:
    now = clock.now()
    found = {problem.key: problem for problem in look.problems(rows, now)}
    of_rows = {f"{look.column}__in": [row.pk for row in rows], "resolved_at": None}
    if look.model is Account:
        of_rows |= {"subscription": None, "source": None}
    known = {_key(finding): finding for finding in Finding.objects.filter(**of_rows)}
    new = [_finding(problem, now) for key, problem in found.items() if key not in known]
    gone = [finding for key, finding in known.items() if key not in found]
    still = [finding for key, finding in known.items() if key in found]
    # Of two nodes that look at once, one opens it.
    Finding.objects.bulk_create(new, ignore_conflicts=True)
    Finding.objects.filter(pk__in=[item.pk for item in gone]).update(resolved_at=now)
    Finding.objects.filter(pk__in=[item.pk for item in still]).update(last_seen_at=now)
    changed = [item for item in still if item.text != found[_key(item)].text]
    for finding in changed:
        finding.text = found[_key(finding)].text
    if changed:
        Finding.objects.bulk_update(changed, ["text"])
    for finding in new:
        done.note("opened", finding)
    for finding in gone:
        done.note("resolved", finding)
    done.rows += len(rows)
    done.open += len(found)
    done.opened += len(new)
    done.resolved += len(gone)


def _finding(problem: Problem, now: datetime) -> Finding:
    return Finding(
        account_id=problem.account_id,
        subscription_id=problem.subscription_id,
        source_id=problem.source_id,
        kind=problem.kind,
        text=problem.text,
        first_seen_at=now,
        last_seen_at=now,
    )


def _key(finding: Finding) -> tuple[UUID | None, UUID | None, UUID, str]:
    return (finding.subscription_id, finding.source_id, finding.account_id, finding.kind)


def _subject(finding: Finding) -> models.Model:
    if finding.subscription_id is not None:
        return Subscription(pk=finding.subscription_id)
    if finding.source_id is not None:
        return Source(pk=finding.source_id)
    return Account(pk=finding.account_id)
