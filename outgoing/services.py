"""What people do with events and deliveries after they were published."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final
from uuid import UUID

from django.db import transaction
from django.db.models import F, Q

from monitoring import journal
from outgoing.cancelled import note_all_cancelled
from outgoing.drafting import ABOUT_ITSELF, NewEvent, facts_of, match_event
from outgoing.errors import StateNotAllowed
from outgoing.models import Delivery, Event, Retry
from outgoing.publishing import (
    Published,
    deliver_to,
    new_delivery,
    publish,
    publish_each,
    publish_many,
)
from subscriptions.matching import Match
from subscriptions.models import Subscription
from webhooks_project.lib import clock
from webhooks_project.queues import wake

# Deliveries that can be carried again: their event's data is still kept.
HAS_BODY: Final = Q(event__body_pruned_at=None, event__expunged_at=None)

__all__ = [
    "NewEvent",
    "Published",
    "cancel_delivery",
    "cancel_event",
    "drop_event",
    "facts_of",
    "publish",
    "publish_each",
    "publish_many",
    "redeliver",
    "redeliver_one",
    "release_event",
]


@transaction.atomic
def release_event(*, event: Event) -> Event:
    """Deliver an event in quarantine as it is, to those that match it now.

    Raises StateNotAllowed where it is in none, or its data is not kept any more.
    """
    event = _in_quarantine(event)
    if not event.has_body:
        raise StateNotAllowed("the event's data is not kept any more: drop it")
    event.quarantined_at = None
    matches = match_event(event)
    event.save(update_fields=["quarantined_at", "not_matched"])
    deliver_to(event, matches)
    journal.record_change(account_id=event.account_id, action="event.released", subject=event)
    return event


@transaction.atomic
def drop_event(*, event: Event) -> Event:
    """End an event's quarantine for good: it stays visible and goes to nobody.

    Raises StateNotAllowed where it is in none.
    """
    event = _in_quarantine(event)
    event.quarantined_at, event.dropped_at = None, clock.now()
    event.save(update_fields=["quarantined_at", "dropped_at"])
    journal.record_change(account_id=event.account_id, action="event.dropped", subject=event)
    return event


def _in_quarantine(event: Event) -> Event:
    found = Event.objects.select_for_update().get(pk=event.pk)
    if found.quarantined_at is None:
        raise StateNotAllowed("only an event in quarantine can be released or dropped")
    return found


@transaction.atomic
def cancel_event(*, event: Event) -> Event:
    """Take an event back before the time that it is to be delivered at: it goes to nobody.

    What was redelivered sooner on a person's word is not taken back. Raises StateNotAllowed once
    the time has come, for an event without one, and for one in quarantine.
    """
    now = clock.now()
    found = Event.objects.select_for_update().get(pk=event.pk)
    if found.cancelled_at is not None:
        raise StateNotAllowed("the event is cancelled")
    if not found.is_scheduled(now):
        raise StateNotAllowed("only an event that waits for its time can be cancelled")
    if found.quarantined_at is not None:
        raise StateNotAllowed("the event is in quarantine: drop it")
    found.cancelled_at = now
    found.save(update_fields=["cancelled_at"])
    waiting = [Delivery.Status.PENDING, Delivery.Status.HELD]
    rows = Delivery.objects.filter(event=found, status__in=waiting, attempt_count=0)
    ids = list(rows.select_for_update(no_key=True).order_by("pk").values_list("pk", flat=True))
    Delivery.objects.filter(pk__in=ids).update(status=Delivery.Status.CANCELLED, lane=None)
    note_all_cancelled(ids)
    journal.record_change(account_id=found.account_id, action="event.cancelled", subject=found)
    return found


@transaction.atomic
def redeliver(
    *,
    deliveries: Iterable[UUID],
    trigger: Delivery.Trigger = Delivery.Trigger.REDELIVER,
    replay_id: UUID | None = None,
    statuses: Sequence[str] = (),
) -> list[UUID]:
    """Carry deliveries again from the start of the retry schedule, with the same `webhook-id`.

    Delivered, exhausted, cancelled and waiting ones are taken, or only those of `statuses`; those
    being delivered at this moment and those whose event's data is gone are left alone, and those
    of a subscription that is paused or disabled become held. A replay also leaves alone what waits
    for its time and what was cancelled with its event. Returns the ids of those taken.
    """
    now = clock.now()
    wanted = Q(status__in=list(statuses)) if statuses else Q()
    found = (
        Delivery.objects.select_for_update(of=("self",))
        .filter(wanted, HAS_BODY, pk__in=list(deliveries))
        .exclude(status=Delivery.Status.DELIVERING)
        .exclude(subscription__status=Subscription.Status.ARCHIVED)
        .select_related("subscription")
        .only(
            "status", "attempt_count", "next_attempt_at",
            "subscription__status", "subscription__is_limited",
        )
        .order_by("pk")  # or two that take the same would wait for each other
    )  # fmt: skip
    if trigger == Delivery.Trigger.REPLAY:
        found = found.filter(event__cancelled_at=None)
    rows = [row for row in found if trigger != Delivery.Trigger.REPLAY or not row.is_scheduled(now)]
    Retry.objects.filter(delivery__in=[row.pk for row in rows]).delete()
    changes: dict[str, Any] = {
        "trigger": trigger,
        "attempts_before": F("attempt_count"),
        "next_attempt_at": now,
        "asked_at": now,
        "discard_reason": "",
        # What a person redelivers is not a job's any more, and does not say that it is.
        "replay": replay_id,
    }
    lanes: dict[Delivery.Lane | None, list[UUID]] = {}
    for row in rows:
        held = row.subscription.status in Subscription.HOLDING
        lanes.setdefault(None if held else _again_lane(row.subscription), []).append(row.pk)
    for lane, keys in lanes.items():
        status = Delivery.Status.HELD if lane is None else Delivery.Status.PENDING
        Delivery.objects.filter(pk__in=keys).update(status=status, lane=lane, **changes)
    if any(lane is not None for lane in lanes):
        transaction.on_commit(_wake_delivery)
    return [row.pk for row in rows]


def _again_lane(subscription: Subscription) -> Delivery.Lane:
    return Delivery.Lane.LIMITED if subscription.is_limited else Delivery.Lane.AGAIN


@transaction.atomic
def deliver_later(*, event: Event, matches: Sequence[Match], replay_id: UUID) -> int:
    """Make the deliveries that an old event lacks, behind first attempts. Returns how many.

    One that has come about meanwhile is passed over.
    """
    now = clock.now()
    rows = [new_delivery(event, match, now) for match in matches]
    for row in rows:
        row.lane = Delivery.Lane.AGAIN if row.lane == Delivery.Lane.FIRST else row.lane
        row.trigger, row.replay_id = Delivery.Trigger.REPLAY, replay_id
        row.next_attempt_at = row.created_at = now
    Delivery.objects.bulk_create(rows, batch_size=400, ignore_conflicts=True)
    if any(row.lane is not None for row in rows):
        transaction.on_commit(_wake_delivery)
    return Delivery.objects.filter(pk__in=[row.pk for row in rows]).count()


def about_itself(event: Event) -> set[UUID]:
    """The subscriptions that one of the hub's own events is about, which do not get it."""
    return {
        UUID(item["subscription"])
        for item in event.not_matched
        if item.get("reason") == ABOUT_ITSELF
    }


@transaction.atomic
def redeliver_one(*, delivery: Delivery) -> Delivery:
    """Redeliver one, on a person's word. Raises StateNotAllowed where that cannot be."""
    if not redeliver(deliveries=[delivery.pk]):
        raise StateNotAllowed(
            "it is being delivered at this moment, its subscription is archived, or its event's "
            "data is not kept any more"
        )
    journal.record_change(
        account_id=delivery.account_id, action="delivery.redelivered", subject=delivery
    )
    delivery.refresh_from_db()
    return delivery


@transaction.atomic
def cancel_delivery(*, delivery: Delivery) -> Delivery:
    """Give a waiting, held or exhausted delivery up. Raises StateNotAllowed for any other.

    What waited behind it in its order is put in line.
    """
    waiting = [Delivery.Status.PENDING, Delivery.Status.HELD, Delivery.Status.EXHAUSTED]
    if not Delivery.objects.filter(pk=delivery.pk, status__in=waiting).update(
        status=Delivery.Status.CANCELLED, lane=None
    ):
        raise StateNotAllowed("only a pending, held or exhausted delivery can be cancelled")
    note_all_cancelled([delivery.pk])
    Retry.objects.filter(delivery=delivery.pk).delete()
    if delivery.order_key is not None:
        Delivery.objects.unpark_after([delivery.pk])
    journal.record_change(
        account_id=delivery.account_id, action="delivery.cancelled", subject=delivery
    )
    delivery.refresh_from_db()
    return delivery


def _wake_delivery() -> None:
    wake("delivery")
