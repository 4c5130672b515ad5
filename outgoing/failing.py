"""Since when an endpoint fails, and what follows from that: warnings, then the end, or recovery."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.db import transaction

from outgoing.operational import announce
from subscriptions.lifecycle import FAILING_LIMIT, LAST_WARNING, GiveUpOn, Warn, failing_step
from subscriptions.models import Subscription
from subscriptions.operational import OperationalType
from subscriptions.services import set_status
from webhooks_project.lib import clock
from webhooks_project.lib.sql import select_by_key

LAST_FAILED_STEP: Final = timedelta(hours=1)  # how exact `last_failed_at` is: a write for each step
FACTS: Final = ("id", "failing_since", "last_failed_at", "failing_noticed_percent")
ENDED: Final[dict[str, Any]] = {
    "failing_since": None,
    "last_failed_at": None,
    "failing_noticed_percent": None,
    "failing_noticed_at": None,
}


@dataclass(slots=True)
class Seen:
    """What a batch of attempts says of one subscription: whether any succeeded, and when the first
    and the last of them that failed were."""

    succeeded: bool = False
    first_failed_at: datetime | None = None
    last_failed_at: datetime | None = None

    def add(self, *, succeeded: bool, at: datetime) -> None:
        if succeeded:
            self.succeeded = True
            return
        self.first_failed_at = min(at, self.first_failed_at or at)
        self.last_failed_at = max(at, self.last_failed_at or at)


def note_attempts(seen: Mapping[UUID, Seen]) -> None:
    """Keep `failing_since`: one read for a batch, and a write only where something changes.

    Of a batch with both, the success counts: the endpoint is there.
    """
    for key, since, last, noticed in sorted(select_by_key(Subscription, list(seen), FACTS)):
        facts = seen[key]
        if facts.succeeded:
            if since is not None or noticed is not None:
                _note_success(key)
        elif facts.last_failed_at is not None:
            _note_failure(key, facts, since, last)


def _note_failure(key: UUID, facts: Seen, since: datetime | None, last: datetime | None) -> None:
    row = Subscription.objects.filter(pk=key)
    last_failed_at = facts.last_failed_at
    if since is None:  # still, or another worker was first
        row.filter(failing_since=None).update(
            failing_since=facts.first_failed_at, last_failed_at=last_failed_at
        )
    elif last is None or (last_failed_at and last_failed_at - last >= LAST_FAILED_STEP):
        row.filter(failing_since=since).update(last_failed_at=last_failed_at)


@transaction.atomic
def _note_success(key: UUID) -> None:
    subscription = Subscription.objects.select_for_update().get(pk=key)
    warned = subscription.failing_noticed_percent is not None
    since = subscription.failing_since
    _set(subscription, **ENDED)
    if warned:  # who was not told that it fails need not be told that it works
        announce(
            subscription,
            OperationalType.RECOVERED,
            title=f"{subscription.name} works again",
            text=f"A delivery to {subscription.name} has succeeded again.",
            data={"failing_since": _iso(since)},
        )


def watch_failing() -> int:
    """Warn of endpoints that have failed for long, and disable those that did for all of the time.

    Returns how many were warned of or disabled.
    """
    failing = Subscription.objects.filter(
        failing_since__isnull=False, status=Subscription.Status.ACTIVE
    )
    due = [row.pk for row in failing.order_by("pk") if _step(row) is not None]
    return sum(_watch(key) for key in due)


def _step(subscription: Subscription) -> Warn | GiveUpOn | None:
    since, last = subscription.failing_since, subscription.last_failed_at
    if subscription.status != Subscription.Status.ACTIVE or since is None or last is None:
        return None
    return failing_step(
        failing_since=since,
        last_failed_at=last,
        noticed_percent=subscription.failing_noticed_percent,
        noticed_at=subscription.failing_noticed_at,
    )


@transaction.atomic
def _watch(key: UUID) -> bool:
    subscription = Subscription.objects.select_for_update().get(pk=key)
    since = subscription.failing_since
    step = _step(subscription)
    if step is None or since is None:  # another node was here, or a success
        return False
    if isinstance(step, Warn):
        _set(
            subscription,
            failing_noticed_percent=step.percent,
            failing_noticed_at=subscription.last_failed_at,
        )
        _warn(subscription, since, step.percent)
        return True
    set_status(
        subscription=subscription,
        status=Subscription.Status.DISABLED,
        reason=f"every attempt has failed since {since:%Y-%m-%d %H:%M} UTC",
    )
    return True


def _warn(subscription: Subscription, since: datetime, percent: int) -> None:
    ends_at = max(since + FAILING_LIMIT, clock.now() + LAST_WARNING)
    announce(
        subscription,
        OperationalType.FAILING,
        title=f"{subscription.name} is failing",
        text=f"Every attempt to deliver to {subscription.name} has failed since "
        f"{since:%Y-%m-%d %H:%M} UTC. If that goes on it will be disabled about "
        f"{ends_at:%Y-%m-%d %H:%M} UTC; {percent} % of the time until then is over.",
        data={
            "failing_since": _iso(since),
            "percent": percent,
            "will_be_disabled_at": _iso(ends_at),
        },
    )


def _set(subscription: Subscription, **values: Any) -> None:
    for name, value in values.items():
        setattr(subscription, name, value)
    subscription.save(update_fields=list(values))


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
