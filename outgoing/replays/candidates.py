"""What a job may carry: deliveries that have ended, and what a subscription never got."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Final
from uuid import UUID

from django.db.models import Q, QuerySet

from outgoing import services
from outgoing.models import Delivery, Event, Replay
from outgoing.selecting import CHUNK_ROWS, Selection
from subscriptions.matching import Match, hearers_of
from subscriptions.models import Subscription
from webhooks_project.lib import clock

Kind = Replay.Kind

ENDED: Final = (Delivery.Status.DELIVERED, Delivery.Status.EXHAUSTED, Delivery.Status.CANCELLED)
# What each kind takes where no statuses are named.
_STATUSES: Final[dict[str, Sequence[str]]] = {
    Kind.RECOVER: (Delivery.Status.EXHAUSTED,),
    Kind.REPLAY: (),
}
# Why a delivery of the selection is not replayed; the first that is true of it.
LEFT_OUT: Final[tuple[tuple[str, Q], ...]] = (
    ("waiting", ~Q(status__in=ENDED)),
    ("archived", Q(subscription__status=Subscription.Status.ARCHIVED)),
    ("body_pruned", ~services.HAS_BODY),
)


def deliveries_to_replay(kind: str, selection: Selection) -> QuerySet[Delivery]:
    """Those that can be replayed, as far as the database can tell, in no order.

    What waits or is under way is not among them, nor what is held: it is carried anyway. Nor what
    is of archived subscriptions, or of events whose data is not kept any more.
    """
    left_out = Q()
    for _, condition in LEFT_OUT:
        left_out |= condition
    return asked(kind, selection).exclude(left_out)


def asked(kind: str, selection: Selection) -> QuerySet[Delivery]:
    """Those that the job was asked for, also such as cannot be replayed."""
    found = Delivery.objects.filter(selection.of_deliveries)
    return found.filter(status__in=_STATUSES[kind]) if _STATUSES[kind] else found


def events_to_match() -> QuerySet[Event]:
    return Event.objects.not_scheduled(clock.now()).filter(
        quarantined_at=None,
        dropped_at=None,
        cancelled_at=None,
        body_pruned_at=None,
        expunged_at=None,
    )


def missing_of(
    keys: Sequence[UUID], selection: Selection, *, without: Collection[UUID] = ()
) -> Iterator[tuple[Event, Sequence[Match]]]:
    """The events, the oldest first, with who matches them now and has no delivery of them.

    The subscriptions of `without` are not asked.
    """
    types: dict[UUID, set[str]] = {}
    for account, event_type in Event.objects.filter(pk__in=keys).values_list("account", "type"):
        types.setdefault(account, set()).add(event_type)
    hearers = hearers_of(types)
    only = selection.subscription.pk if selection.subscription else None
    got: dict[UUID, set[UUID]] = {}
    for event, subscription in Delivery.objects.filter(event__in=keys).values_list(
        "event", "subscription"
    ):
        got.setdefault(event, set()).add(subscription)
    events = Event.objects.filter(pk__in=keys).order_by("created_at", "pk")
    for row in events.iterator(chunk_size=CHUNK_ROWS):
        facts = services.facts_of(row)
        # Of the hub's own events: the subscription that one is about never gets it.
        has_it = got.get(row.pk, set()) | services.about_itself(row) | set(without)
        matches = [
            hearer.match(facts)
            for hearer in hearers[row.account_id, row.type]
            if hearer.subscription_id not in has_it and only in (None, hearer.subscription_id)
        ]
        yield row, [match for match in matches if not match.reason]
