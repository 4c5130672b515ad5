"""Replay: past events carried again, as a job with a plan, a progress and an end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Final
from uuid import UUID

from django.db import transaction
from django.db.models import F, QuerySet

from monitoring import journal
from outgoing.errors import StateNotAllowed
from outgoing.models import Delivery, Replay
from outgoing.services import redeliver
from subscriptions.models import Subscription
from webhooks_project.accounts.models import Account
from webhooks_project.lib import clock

BATCH_ROWS: Final = 200  # redelivered in one transaction


def deliveries_to_replay(
    *,
    since: datetime,
    until: datetime,
    account: Account | None = None,
    event_type: str = "",
    subscription: Subscription | None = None,
) -> QuerySet[Delivery]:
    """The deliveries of events created in `[since, until)`, the oldest first.

    `event_type` is a name, or a name ending in `*`. Deliveries of archived subscriptions and those
    under way at this moment are not among them.
    """
    found = (
        Delivery.objects.filter(event__created_at__gte=since, event__created_at__lt=until)
        .exclude(subscription__status=Subscription.Status.ARCHIVED)
        .exclude(status=Delivery.Status.DELIVERING)
    )
    if account is not None:
        found = found.filter(account=account)
    if event_type.endswith("*"):
        found = found.filter(event__type__startswith=event_type[:-1])
    elif event_type:
        found = found.filter(event__type=event_type)
    if subscription is not None:
        found = found.filter(subscription=subscription)
    return found.order_by("event__created_at", "pk")


@transaction.atomic
def plan_replay(
    *,
    since: datetime,
    until: datetime,
    account: Account | None = None,
    event_type: str = "",
    subscription: Subscription | None = None,
) -> Replay:
    """Write down what is to be replayed and how many deliveries that is; nothing is sent yet."""
    count = deliveries_to_replay(
        since=since, until=until, account=account, event_type=event_type, subscription=subscription
    ).count()
    replay = Replay.objects.create(
        account=account,
        since=since,
        until=until,
        event_type=event_type,
        subscription=subscription,
        planned_count=count,
        created_at=clock.now(),
    )
    if account is not None:
        journal.record_change(
            account_id=account.pk,
            action="replay.planned",
            subject=replay,
            after={"since": since, "until": until, "event_type": event_type,
                   "subscription": subscription.pk if subscription else None, "count": count},
        )  # fmt: skip
    return replay


def start_replay(replay: Replay) -> Replay:
    """Run a planned replay, or one that was cut off, on a person's word.

    Raises StateNotAllowed for one that is finished or running.
    """
    startable = [Replay.Status.PLANNED, Replay.Status.FAILED]
    if not Replay.objects.filter(pk=replay.pk, status__in=startable).update(
        status=Replay.Status.RUNNING
    ):
        raise StateNotAllowed(f"the replay is {replay.status}")
    if replay.account_id is not None:
        journal.record_change(account_id=replay.account_id, action="replay.started", subject=replay)
    return run_replay(replay)


def run_replay(replay: Replay, progress: Callable[[int], None] = lambda count: None) -> Replay:
    """Put every delivery of the plan back in line, calling `progress` with each batch's count.

    A run that was cut off goes on where it stopped: deliveries that this replay has taken already
    are passed over. The attempts follow at the delivery cluster's pace, behind first attempts.
    """
    Replay.objects.filter(pk=replay.pk).update(
        status=Replay.Status.RUNNING, error="", finished_at=None
    )
    try:
        for ids in _batches(replay):
            with transaction.atomic():
                taken = redeliver(
                    deliveries=ids, trigger=Delivery.Trigger.REPLAY, replay_id=replay.pk
                )
                Replay.objects.filter(pk=replay.pk).update(
                    redelivered_count=F("redelivered_count") + len(taken)
                )
            progress(len(taken))
    except Exception as error:
        Replay.objects.filter(pk=replay.pk).update(
            status=Replay.Status.FAILED, error=str(error)[:1000], finished_at=clock.now()
        )
        raise
    Replay.objects.filter(pk=replay.pk).update(
        status=Replay.Status.FINISHED, finished_at=clock.now()
    )
    replay.refresh_from_db()
    return replay


def _batches(replay: Replay) -> Iterator[list[UUID]]:
    todo = deliveries_to_replay(
        since=replay.since,
        until=replay.until,
        account=replay.account,
        event_type=replay.event_type,
        subscription=replay.subscription,
    )
    done = set(Delivery.objects.filter(replay=replay).values_list("pk", flat=True))
    ids = [pk for pk in todo.values_list("pk", flat=True) if pk not in done]
    for start in range(0, len(ids), BATCH_ROWS):
        yield ids[start : start + BATCH_ROWS]
