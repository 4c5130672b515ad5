"""Dead letters: deliveries that were given up. Found, grouped, redelivered, discarded, pruned."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import structlog
from django.db import models, transaction
from django.db.models import Count, Max, Min, QuerySet

from monitoring import journal
from outgoing.errors import StateNotAllowed
from outgoing.models import Attempt, Delivery
from outgoing.services import redeliver
from subscriptions.models import Subscription
from webhooks_project.accounts.models import Account
from webhooks_project.lib import clock
from webhooks_project.lib.fingerprints import fingerprint_of, normalised

log = structlog.get_logger(__name__)

BATCH_ROWS: Final = 200  # in one transaction
MAX_AT_ONCE: Final = 10_000  # in one request; a command goes on for as long as it takes
SHOWN_BYTES: Final = 8_000  # of an answer: what a fingerprint looks at has no more

Progress = Callable[[int], None]


def _no_progress(count: int) -> None:
    pass


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
        marks = {
            "account": self.account,
            "subscription": self.subscription,
            "fingerprint": self.fingerprint,
            "last_cause": self.cause,
            "last_status_code": self.status_code,
            "exhausted_at__gte": self.since,
            "exhausted_at__lt": self.until,
        }
        if self.event_type.endswith("*"):
            marks["event__type__startswith"] = self.event_type[:-1]
        else:
            marks["event__type"] = self.event_type
        given = {name: value for name, value in marks.items() if value not in (None, "")}
        return Delivery.objects.filter(status=Delivery.Status.EXHAUSTED, **given).order_by()

    def as_json(self) -> dict[str, Any]:
        """The marks that are given, as the audit tells them."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            name: str(value.pk) if isinstance(value, models.Model) else value
            for name, value in given.items()
            if value not in (None, "")
        }


@dataclass(frozen=True, slots=True)
class Group:
    """Dead letters that failed alike. `sample` is the last one, `text` its answer, normalised."""

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
    """What dead letters that failed alike share. `text` is the answer's body, else the detail."""
    return fingerprint_of(subscription_id, cause, status_code, text=text)


def text_of_failure(body: bytes, detail: str) -> str:
    """What tells one failure from another: the answer's body, or where there is none the detail."""
    return body[:SHOWN_BYTES].decode("utf-8", "replace") or detail


def group_dead_letters(rows: QuerySet[Delivery], *, limit: int, offset: int = 0) -> list[Group]:
    """The groups among these, the largest first."""
    counted = list(
        rows.order_by()
        .values("account", "fingerprint")
        .annotate(
            count=Count("pk"),
            first_at=Min("exhausted_at"),
            last_at=Max("exhausted_at"),
        )
        .order_by("-count", "-last_at", "fingerprint")[offset : offset + limit]
    )
    return [_group(rows, item) for item in counted]


def count_groups(rows: QuerySet[Delivery]) -> int:
    """How many groups there are among these."""
    return rows.order_by().values("account", "fingerprint").distinct().count()


def _group(rows: QuerySet[Delivery], counted: dict[str, Any]) -> Group:
    sample = (
        rows.filter(account=counted["account"], fingerprint=counted["fingerprint"])
        .select_related("subscription")
        .order_by("-exhausted_at", "-pk")[0]
    )
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
    letters: DeadLetters, *, limit: int | None = None, progress: Progress = _no_progress
) -> int:
    """Carry them again from the start of the retry schedule, the longest dead first.

    Each batch is a transaction; `progress` is called with its count. At most `limit` are taken.
    Those of archived subscriptions are left alone. Returns how many were taken.
    """

    def act(ids: Sequence[UUID]) -> int:
        return len(redeliver(deliveries=ids))

    archived = {"subscription__status": Subscription.Status.ARCHIVED}
    rows = letters.rows().exclude(**archived)
    return _work_off(letters, rows, "dead_letters.redelivered", act, limit, progress)


def discard_dead_letters(
    letters: DeadLetters,
    *,
    reason: str,
    limit: int | None = None,
    progress: Progress = _no_progress,
) -> int:
    """Cancel them for good, with the reason; in the same way as `redeliver_dead_letters`."""

    def act(ids: Sequence[UUID]) -> int:
        return _discard(ids, reason)

    return _work_off(
        letters, letters.rows(), "dead_letters.discarded", act, limit, progress, reason=reason
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
    taken = list(
        rows.select_for_update().order_by("pk").values_list("pk", "subscription", "order_key")
    )
    Delivery.objects.filter(pk__in=[pk for pk, _, _ in taken]).update(
        status=Delivery.Status.CANCELLED, lane=None, discard_reason=reason
    )
    keys: dict[UUID, set[str]] = {}
    for _, subscription_id, key in taken:
        if key is not None:
            keys.setdefault(subscription_id, set()).add(key)
    for subscription_id, done in keys.items():  # what waited behind them in their order
        Delivery.objects.unpark(subscription_id, done)
    return len(taken)


def _work_off(
    letters: DeadLetters,
    rows: QuerySet[Delivery],
    action: str,
    act: Callable[[Sequence[UUID]], int],
    limit: int | None,
    progress: Progress,
    **told: Any,
) -> int:
    """Let `act` have the rows, a batch at a time, and tell the audit of each account."""
    done = 0
    for account_id, ids in _batches(rows, limit):
        with transaction.atomic():
            count = act(ids)
            if count:
                journal.record_change(
                    account_id=account_id,
                    action=action,
                    subject=Account(pk=account_id),
                    after={**letters.as_json(), **told, "count": count},
                )
        done += count
        progress(count)
    return done


def _batches(rows: QuerySet[Delivery], limit: int | None) -> Iterator[tuple[UUID, list[UUID]]]:
    """The ids by account, the longest dead first: as they are now, and not what dies meanwhile."""
    left = limit
    for account_id in list(rows.order_by("account").values_list("account", flat=True).distinct()):
        ids = list(
            rows.filter(account=account_id)
            .order_by("exhausted_at", "pk")
            .values_list("pk", flat=True)[:left]
        )
        for start in range(0, len(ids), BATCH_ROWS):
            yield account_id, ids[start : start + BATCH_ROWS]
        if left is not None:
            left -= len(ids)
            if left <= 0:
                return


def prune_dead_letters(*, account: Account | None = None) -> int:
    """End the wait of dead letters that nobody took up within their account's days.

    They are cancelled, with that as the reason, and lose their attempts; that there was a delivery
    stays to be seen. Returns how many there were.
    """
    accounts = Account.objects.exclude(dead_letter_days=None).order_by("pk")
    if account is not None:
        accounts = accounts.filter(pk=account.pk)
    done = 0
    for row in accounts:
        days = row.dead_letter_days or 0
        reason = f"nobody took it up within {days} {'day' if days == 1 else 'days'}"
        letters = DeadLetters(account=row, until=clock.now() - timedelta(days=days))
        for _, ids in _batches(letters.rows(), None):
            with transaction.atomic():
                done += _discard(ids, reason)
                pruned = Delivery.objects.filter(pk__in=ids, discard_reason=reason)
                Attempt.objects.filter(delivery__in=pruned.values("pk")).delete()
    if done:
        log.info("dead letters pruned", count=done)
    return done
