"""Dead letters: deliveries that were given up. Found, grouped, redelivered, discarded, pruned."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import structlog
from django.db import transaction
from django.db.models import QuerySet

from monitoring import journal
from outgoing.cancelled import note_all_cancelled
from outgoing.errors import StateNotAllowed
from outgoing.models import Attempt, Delivery
from outgoing.services import redeliver
from subscriptions.models import Subscription
from webhooks_project.accounts.models import Account
from webhooks_project.dead_letters import (
    Progress,
    batches,
    counted_groups,
    kept_too_long,
    marks_of,
    no_progress,
    work_off,
)
from webhooks_project.jobs import type_condition
from webhooks_project.lib import clock
from webhooks_project.lib.fingerprints import READ_CHARACTERS, fingerprint_of, normalised
from webhooks_project.uncounted import Kind, counted_before

log = structlog.get_logger(__name__)

SHOWN_BYTES: Final = READ_CHARACTERS * 4  # of an answer; no character has more than four


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetters:
    """Which dead letters: those with all of these marks; what is left out is any.

    `event_type` is a name, or a beginning with `*` after it. They were given up in
    `[since, until)`.
    """

    account: Account | None = None
    subscription: Subscription | None = None
    fingerprint: str = ""
    cause: str = ""
    status_code: int | None = None
    event_type: str = ""
    since: datetime | None = None
    until: datetime | None = None

    def rows(self) -> QuerySet[Delivery]:
        """The deliveries, in no order."""
        marks: dict[str, Any] = {
            "account": self.account,
            "subscription": self.subscription,
            "fingerprint": self.fingerprint,
            "last_cause": self.cause,
            "last_status_code": self.status_code,
            "exhausted_at__gte": self.since,
            "exhausted_at__lt": self.until,
        }
        given = {name: value for name, value in marks.items() if value not in (None, "")}
        of_type = type_condition("event__type", self.event_type)
        return Delivery.objects.filter(
            of_type, status=Delivery.Status.EXHAUSTED, **given
        ).order_by()


@dataclass(frozen=True, slots=True)
class Group:
    """Dead letters that failed alike. `sample_id` is the last one, `text` its normalised answer."""

    fingerprint: str
    account_id: UUID
    subscription_id: UUID
    subscription_name: str
    cause: str
    status_code: int | None
    text: str
    count: int
    first_at: datetime | None
    last_at: datetime | None
    sample_id: UUID


def fingerprint_of_failure(
    *, subscription_id: UUID, cause: str, status_code: int | None, text: str
) -> str:
    """What dead letters that failed alike share. `text` is what `text_of_failure` gives."""
    return fingerprint_of(subscription_id, cause, status_code, text=text)


def text_of_failure(body: bytes, detail: str) -> str:
    """What tells one failure from another: the answer's body, or where there is none the detail."""
    return body[:SHOWN_BYTES].decode("utf-8", "replace") or detail


def group_dead_letters(rows: QuerySet[Delivery], *, limit: int, offset: int = 0) -> list[Group]:
    """The groups among these, the largest first."""
    found = rows.select_related("subscription")
    return [
        _group(**item) for item in counted_groups(found, "exhausted_at", limit=limit, offset=offset)
    ]


def _group(sample: Delivery, **counted: Any) -> Group:
    attempt = sample.attempts.order_by("-number").only("response_body", "detail").first()
    text = text_of_failure(bytes(attempt.response_body), attempt.detail) if attempt else ""
    return Group(
        fingerprint=sample.fingerprint,
        account_id=sample.account_id,
        subscription_id=sample.subscription_id,
        subscription_name=sample.subscription.name,
        cause=sample.last_cause,
        status_code=sample.last_status_code,
        text=normalised(text),
        count=counted["count"],
        first_at=counted["first_at"],
        last_at=counted["last_at"],
        sample_id=sample.pk,
    )


def redeliver_dead_letters(
    letters: DeadLetters, *, limit: int | None = None, progress: Progress = no_progress
) -> int:
    """Carry them again from the start of the retry schedule, the longest dead first.

    Each batch is a transaction; `progress` is called with its count. At most `limit` are taken.
    Those of archived subscriptions are left alone. Returns how many were taken.
    """

    def act(ids: Sequence[UUID]) -> int:
        dead = Delivery.objects.filter(pk__in=ids, status=Delivery.Status.EXHAUSTED)
        return len(redeliver(deliveries=dead.values_list("pk", flat=True)))

    return work_off(
        letters.rows().exclude(subscription__status=Subscription.Status.ARCHIVED),
        act,
        dead_at="exhausted_at",
        action="dead_letters.redelivered",
        told=marks_of(letters),
        limit=limit,
        progress=progress,
    )


def discard_dead_letters(
    letters: DeadLetters,
    *,
    reason: str,
    limit: int | None = None,
    progress: Progress = no_progress,
) -> int:
    """Cancel them for good, with the reason; in the same way as `redeliver_dead_letters`."""

    def act(ids: Sequence[UUID]) -> int:
        return _discard(ids, reason)

    return work_off(
        letters.rows(),
        act,
        dead_at="exhausted_at",
        action="dead_letters.discarded",
        told={**marks_of(letters), "reason": reason},
        limit=limit,
        progress=progress,
    )


@transaction.atomic
def discard_dead_letter(*, delivery: Delivery, reason: str) -> Delivery:
    """Cancel a dead letter for good, with the reason. Raises StateNotAllowed for any other."""
    if not _discard([delivery.pk], reason):
        raise StateNotAllowed("only an exhausted delivery can be discarded")
    journal.record_change(
        account_id=delivery.account_id,
        action="delivery.discarded",
        subject=delivery,
        after={"reason": reason},
    )
    delivery.refresh_from_db()
    return delivery


def _discard(ids: Sequence[UUID], reason: str) -> int:
    rows = Delivery.objects.filter(pk__in=ids, status=Delivery.Status.EXHAUSTED)
    taken = list(rows.select_for_update().order_by("pk").values_list("pk", flat=True))
    Delivery.objects.filter(pk__in=taken).update(
        status=Delivery.Status.CANCELLED, lane=None, discard_reason=reason
    )
    note_all_cancelled(taken)
    Delivery.objects.unpark_after(taken)  # what waited behind them in their order
    return len(taken)


def prune_dead_letters(*, account: Account | None = None, progress: Progress = no_progress) -> int:
    """End the wait of dead letters that nobody took up within their account's days.

    They are cancelled, with that as the reason, and lose their attempts; that there was a delivery
    stays to be seen. `progress` is called with each batch's count. Returns how many there were.
    """
    done = 0
    for days, letters in _kept_too_long(account):
        for _, ids in batches(letters.rows(), "exhausted_at"):
            with transaction.atomic():
                count = _discard(ids, kept_too_long(days))
                # Of those that were redelivered at this moment the history stays.
                ended = Delivery.objects.filter(pk__in=ids, status=Delivery.Status.CANCELLED)
                Attempt.objects.filter(delivery__in=ended.values("pk")).delete()
            done += count
            progress(count)
    if done:
        log.info("dead letters pruned", count=done)
    return done


def count_prunable_dead_letters(*, account: Account | None = None) -> int:
    """What `prune_dead_letters` would do now; reads only."""
    return sum(letters.rows().count() for _, letters in _kept_too_long(account))


def _kept_too_long(account: Account | None) -> Iterator[tuple[int, DeadLetters]]:
    """Each account's days, and its dead letters that wait for longer."""
    now = clock.now()
    counted = counted_before(Kind.ATTEMPT, now)  # their attempts end no later than they
    accounts = Account.objects.exclude(dead_letter_days=None).order_by("pk")
    if account is not None:
        accounts = accounts.filter(pk=account.pk)
    for row in accounts:
        days = row.dead_letter_days or 0
        yield days, DeadLetters(account=row, until=min(now - timedelta(days=days), counted))
