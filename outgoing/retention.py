"""Retention: events lose their data, and then go, when their account keeps them no longer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final

import structlog
from django.db.models import Exists, OuterRef, Q, QuerySet

from outgoing.models import Attempt, Delivery, Event, Retry, SentBody
from outgoing.policies import policy_of
from outgoing.selecting import wanted_by_replays
from subscriptions.models import Subscription
from webhooks_project.accounts.models import Account
from webhooks_project.batches import TURN_SECONDS, Batches, delete_rows, in_turn
from webhooks_project.lib import clock
from webhooks_project.lib.backoff import JITTER
from webhooks_project.uncounted import Kind, counted_before

log = structlog.get_logger(__name__)

NO_DATA: Final = b"null"  # what stands where data is not kept any more: still JSON
KEY_KEPT: Final = timedelta(hours=24)  # an idempotency key, at least
NOT_ENDED: Final = (
    Delivery.Status.PENDING,
    Delivery.Status.DELIVERING,
    Delivery.Status.HELD,
)


@dataclass(frozen=True, slots=True)
class PrunedEvents:
    """How many events were emptied, and how many deleted."""

    bodies: int = 0
    events: int = 0

    @property
    def total(self) -> int:
        return self.bodies + self.events

    def __add__(self, other: PrunedEvents) -> PrunedEvents:
        return PrunedEvents(self.bodies + other.bodies, self.events + other.events)


def prune_events(
    *,
    account: Account | None = None,
    seconds: float | None = TURN_SECONDS,
    progress: Callable[[int], None] = lambda count: None,
) -> PrunedEvents:
    """Empty and delete what is older than its account keeps it, the oldest first.

    Never an event whose deliveries are not all ended, that waits in quarantine, whose idempotency
    key is still needed, or that a running replay may take; nor is one deleted of which an attempt
    may not be counted yet. In short transactions, for `seconds`
    (None for as long as it takes), which the accounts share. `progress` is called with each
    transaction's count.
    """
    batches = Batches(seconds, progress)
    now = clock.now()
    counted = counted_before(Kind.ATTEMPT, now)
    done = PrunedEvents()
    for row in batches.turns(in_turn(list(_accounts(account)), now)):
        deleted = bodies = 0
        if row.event_days is not None:
            find = partial(_to_delete, row, now, counted)
            deleted = batches.each(find, "created_at", _delete_events)
        if row.event_body_days is not None:
            bodies = batches.each(partial(_to_empty, row, now), "created_at", _empty_events)
        done += PrunedEvents(bodies, deleted)
    if done.total:
        log.info("events pruned", bodies=done.bodies, events=done.events)
    return done


def count_prunable_events(*, account: Account | None = None) -> PrunedEvents:
    """What `prune_events` would do now; reads only."""
    now = clock.now()
    attempts_counted = counted_before(Kind.ATTEMPT, now)
    counted = PrunedEvents()
    for row in _accounts(account):
        deleted = bodies = 0
        if row.event_days is not None:
            to_delete = _to_delete(row, now, attempts_counted)
            deleted = to_delete.count()
        if row.event_body_days is not None:
            emptied = _to_empty(row, now)
            if row.event_days is not None:  # what is deleted is not emptied first
                emptied = emptied.exclude(pk__in=to_delete.order_by().values("pk"))
            bodies = emptied.count()
        counted += PrunedEvents(bodies, deleted)
    return counted


def _accounts(account: Account | None) -> QuerySet[Account]:
    """Those that do not keep everything for ever."""
    found = Account.objects.exclude(event_body_days=None, event_days=None).order_by("pk")
    return found if account is None else found.filter(pk=account.pk)


def _to_delete(account: Account, now: datetime, counted: datetime) -> QuerySet[Event]:
    """Those of which all attempts were made before the moment up to which they are counted."""
    uncounted = Attempt.objects.filter(delivery__event=OuterRef("pk"), started_at__gte=counted)
    found = _ended(account, now, account.event_days or 0)
    return found.exclude(Exists(uncounted.order_by()))


def _to_empty(account: Account, now: datetime) -> QuerySet[Event]:
    found = _ended(account, now, account.event_body_days or 0)
    return found.filter(body_pruned_at=None, expunged_at=None)


def _ended(account: Account, now: datetime, days: int) -> QuerySet[Event]:
    """Events older than that many days which nobody is still to look at."""
    before = now - timedelta(days=days)
    waiting = Delivery.objects.filter(event=OuterRef("pk"), status__in=NOT_ENDED).order_by()
    needed_key = Q(idempotency_key__isnull=False, created_at__gte=now - key_kept(account=account))
    found = (
        Event.objects.filter(account=account, created_at__lt=before, quarantined_at=None)
        .exclude(needed_key)
        .exclude(Exists(waiting))
    )
    for selection in wanted_by_replays(before, [account.pk]):
        found = found.exclude(selection.of_events)
    return found


def key_kept(*, account: Account) -> timedelta:
    """How long an idempotency key is needed: a day, or as long as retries may last."""
    policies = Subscription.objects.filter(account=account).only(
        "retry_policy", "retry_schedule", "retry_statuses", "retry_max_age_seconds"
    )
    longest = max((sum(policy_of(row).schedule) for row in policies.iterator()), default=0)
    return max(KEY_KEPT, timedelta(seconds=longest * (1 + JITTER)))


def _empty_events(rows: QuerySet[Event]) -> int:
    """What was sent and answered goes with the data; that it was stays to be seen."""
    ids = list(rows.select_for_update().values_list("pk", flat=True))
    SentBody.objects.of_events(ids).delete()
    empty_attempts(Attempt.objects.filter(delivery__event__in=ids))
    return Event.objects.filter(pk__in=ids).update(data=NO_DATA, body_pruned_at=clock.now())


def empty_attempts(rows: QuerySet[Attempt]) -> int:
    """Take out what was answered, and the headers that went with it. Returns of how many."""
    return rows.update(response_body=b"", response_headers={}, request_headers={})


def _delete_events(rows: QuerySet[Event]) -> int:
    # Locked, so that nobody asks for one again between its deliveries' end and its own. Ids alone:
    # the data would be read for nothing.
    ids = list(rows.select_for_update().values_list("pk", flat=True))
    deliveries = Delivery.objects.filter(event__in=ids)
    SentBody.objects.of_events(ids).delete()
    Attempt.objects.filter(delivery__event__in=ids).delete()
    Retry.objects.filter(delivery__event__in=ids).delete()
    deliveries.only("pk").delete()
    return delete_rows(Event.objects.filter(pk__in=ids).only("pk"))
