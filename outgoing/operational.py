"""Events about the hub's own work, and telling the account's operators of the same.

An event is published in the caller's transaction, and only where a subscription of the account
hears it; never to the subscription that it is about.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from operator import attrgetter
from typing import Any, Final
from uuid import UUID

import structlog
from django.db import transaction

from monitoring import journal
from outgoing.models import Event
from outgoing.payload import webhook_id_of
from outgoing.services import NewEvent, publish_many
from subscriptions.matching import patterns_for
from subscriptions.models import SubscribedType, Subscription
from subscriptions.operational import OperationalType, is_operational
from subscriptions.signals import status_changed
from webhooks_project.accounts.models import Role
from webhooks_project.lib.actor import current_actor
from webhooks_project.lib.errors import DomainError

log = structlog.get_logger(__name__)

# What the incident of an alert rule of that kind tells people: by the rule's own threshold, its
# channels and its hours. Where such a rule is on, nobody is told the same from here.
TOLD_BY_RULE: Final = {
    OperationalType.RECOVERED: "endpoint_failing",
    OperationalType.EXPIRING: "expiring",
    OperationalType.EXHAUSTED: "dead_letters_rising",
}
TELL_EVERY: Final = timedelta(hours=1)  # people hear of the same thing about one at most so often


@dataclass(frozen=True, slots=True)
class Exhausted:
    """A delivery that was given up."""

    delivery_id: UUID
    event_id: UUID
    subscription_id: UUID
    cause: str
    status_code: int | None
    attempt_count: int


def announce(
    subscription: Subscription,
    type_: OperationalType,
    *,
    title: str,
    text: str,
    data: Mapping[str, Any] | None = None,
    tells_people: bool = True,
) -> None:
    """Publish the event about a subscription and tell the account's operators."""
    _publish(
        type_,
        [(subscription, {**facts_of(subscription), **(data or {})})],
    )
    if tells_people:
        _tell(subscription, type_, title=title, text=text)


def facts_of(subscription: Subscription) -> dict[str, Any]:
    """What every event about a subscription says of it."""
    return {
        "subscription": str(subscription.pk),
        "name": subscription.name,
        "status": subscription.status,
        "status_reason": subscription.status_reason,
    }


def note_exhausted(found: Sequence[Exhausted]) -> None:
    """Publish `delivery.exhausted` for each, but for deliveries of such events themselves."""
    types = dict(
        Event.objects.filter(pk__in={item.event_id for item in found}).values_list("pk", "type")
    )
    items = [item for item in found if not is_operational(types.get(item.event_id, ""))]
    subscriptions = Subscription.objects.in_bulk({item.subscription_id for item in items})
    _publish(
        OperationalType.EXHAUSTED,
        [
            (
                subscriptions[item.subscription_id],
                {
                    "delivery": str(item.delivery_id),
                    "event": webhook_id_of(item.event_id),
                    "event_type": types[item.event_id],
                    "subscription": str(item.subscription_id),
                    "cause": item.cause,
                    "status_code": item.status_code,
                    "attempt_count": item.attempt_count,
                },
            )
            for item in items
            if item.subscription_id in subscriptions
        ],
    )
    for subscription in sorted(subscriptions.values(), key=attrgetter("pk")):
        _tell(
            subscription,
            OperationalType.EXHAUSTED,
            title=f"Deliveries to {subscription.name} are given up",
            text=f"All attempts of a delivery to {subscription.name} have failed. It is among the "
            "subscription's exhausted deliveries, and can be redelivered from there.",
        )


def publish_incident(
    *,
    account_id: UUID,
    type_: OperationalType,
    data: Mapping[str, Any],
    incident_id: UUID | None,
    about_subscription: UUID | None,
) -> bool:
    """Publish what became of an incident. Returns whether a subscription of the account hears such.

    Raises DomainError where the account's own schema for that type does not take it.
    """
    if account_id not in _accounts_that_hear(type_, [account_id]):
        return False
    event = NewEvent(
        account_id=account_id,
        type=type_.value,
        data=dict(data),
        causation_id=f"incident:{incident_id}" if incident_id else "",
        about_subscription=about_subscription,
        is_of_hub=True,
    )
    publish_many([event])
    return True


def announce_disabled(sender: object, *, subscription: Subscription, **_: Any) -> None:
    """Receiver of `status_changed`: whoever disables it, the account can hear of it."""
    if subscription.status != Subscription.Status.DISABLED:
        return
    by_the_hub = current_actor.get().kind == "system"
    announce(
        subscription,
        OperationalType.DISABLED,
        title=f"{subscription.name} is disabled",
        text=f"The hub has disabled {subscription.name}: {subscription.status_reason}. Its "
        "deliveries are held until somebody resumes it.",
        data={"trigger": "automatic" if by_the_hub else "manual"},
        tells_people=by_the_hub,  # who pressed the button knows
    )


def connect() -> None:
    status_changed.connect(announce_disabled, dispatch_uid="outgoing.announce_disabled")


def _publish(type_: OperationalType, about: Sequence[tuple[Subscription, dict[str, Any]]]) -> None:
    heard_in = _accounts_that_hear(type_, {row.account_id for row, _ in about})
    events = [
        NewEvent(
            account_id=subscription.account_id,
            type=type_.value,
            data=data,
            causation_id=f"subscription:{subscription.pk}",
            about_subscription=subscription.pk,
        )
        for subscription, data in about
        if subscription.account_id in heard_in
    ]
    if not events:
        return
    try:
        publish_many(events)
    except DomainError as error:  # such as the account's own schema for that type
        log.warning("operational events not published", type=type_.value, error=str(error)[:200])


def _accounts_that_hear(type_: OperationalType, account_ids: Collection[UUID]) -> set[UUID]:
    return set(
        SubscribedType.objects.filter(
            account_id__in=account_ids, pattern__in=patterns_for(type_.value)
        )
        .values_list("account_id", flat=True)
        .distinct()
    )


def _tell(subscription: Subscription, type_: OperationalType, *, title: str, text: str) -> None:
    rule = TOLD_BY_RULE.get(type_)
    if rule is not None and journal.has_rule(
        account_id=subscription.account_id, kind=rule, subscription_id=subscription.pk
    ):
        return
    with transaction.atomic():
        journal.record_notification(
            account_id=subscription.account_id,
            kind=type_.value,
            recipients=[Role.OPERATOR.value],
            title=title,
            text=text,
            subject=subscription,
            at_most_every=TELL_EVERY if type_ == OperationalType.EXHAUSTED else None,
        )
