"""What became of an event at every subscription."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from outgoing.models import Delivery, Event
from outgoing.services import facts_of
from subscriptions.matching import Match, who_would_get
from subscriptions.models import Subscription
from webhooks_project.lib import clock

OTHERS_AT_ONCE: Final = 1_000  # of the subscriptions that do not hear the type


@dataclass(frozen=True, slots=True)
class Considered:
    """What became of an event at one subscription.

    `outcome`: delivery, not_matched (it heard the type when the event was published, and `reason`
    says what was in the way), quarantined, created_later, or not_heard. `matches_now` tells whether
    a replay of what is missing would make a delivery; `reason_now` why not.
    """

    subscription: Subscription
    outcome: str
    reason: str = ""
    clauses: Sequence[Mapping[str, Any]] = ()
    delivery: Delivery | None = None
    matches_now: bool = False
    reason_now: str = ""


@dataclass(frozen=True, slots=True)
class Explanation:
    """A page of the subscriptions, how many there are in all, and whether another page is."""

    rows: Sequence[Considered]
    count: int
    has_more: bool


def explain_event(event: Event, *, page: int = 1) -> Explanation:
    """Every subscription of the account, those that got a delivery first, and why others did not.

    The first page tells of all that have to do with the type; each has OTHERS_AT_ONCE of the rest,
    by name.
    """
    deliveries = {
        row.subscription_id: row
        for row in event.deliveries.select_related("subscription").order_by("created_at", "pk")
    }
    not_matched = {
        str(item["subscription"]): item
        for item in event.not_matched
        if isinstance(item, dict) and "subscription" in item
    }
    now = _matches_now(event)
    told = {*deliveries, *ids_of(not_matched), *now}
    subscriptions = Subscription.objects.in_bulk(told)
    others = Subscription.objects.filter(account=event.account_id).exclude(pk__in=told)
    other_count = others.count()
    start = (page - 1) * OTHERS_AT_ONCE
    found = [*others.order_by("name", "pk")[start : start + OTHERS_AT_ONCE]]
    if page == 1:
        found.extend(subscriptions.values())
    rows = [
        _considered(event, row, deliveries.get(row.pk), not_matched.get(str(row.pk)),
                    now.get(row.pk))
        for row in found
    ]  # fmt: skip
    rows.sort(
        key=lambda row: (
            _OUTCOMES.index(row.outcome), row.subscription.name, row.subscription.pk,
        )
    )  # fmt: skip
    count = len(subscriptions) + other_count
    return Explanation(rows, count, other_count > start + OTHERS_AT_ONCE)


_OUTCOMES: Final = ("delivery", "not_matched", "quarantined", "created_later", "not_heard")


def _matches_now(event: Event) -> dict[UUID, Match]:
    if not event.has_body:
        return {}
    found = who_would_get(account_id=event.account_id, facts=facts_of(event))
    return {match.subscription_id: match for match in found}


def ids_of(texts: Iterable[str]) -> Iterator[UUID]:
    """Those of the texts that are ids."""
    for text in texts:
        try:
            yield UUID(text)
        except ValueError:
            continue


def _not_now(event: Event) -> str:
    """Why nobody is to get the event now who has not got it."""
    if event.cancelled_at is not None:
        return "cancelled"
    return "scheduled" if event.is_scheduled(clock.now()) else ""


def _considered(
    event: Event,
    subscription: Subscription,
    delivery: Delivery | None,
    noted: Mapping[str, Any] | None,
    match: Match | None,
) -> Considered:
    reason = str(noted.get("reason", "")) if noted else ""
    clauses = noted.get("clauses", ()) if noted else ()
    if delivery is not None:
        return Considered(subscription, "delivery", reason, clauses, delivery)
    state = "quarantined" if event.quarantined_at else "dropped" if event.dropped_at else ""
    reason_now = (match.reason or state or _not_now(event)) if match else "event_type"
    if not event.has_body:
        reason_now = "body_pruned"
    if noted:
        outcome = "not_matched"
    elif match is not None and state:
        outcome, reason = "quarantined", state
    elif subscription.created_at > event.created_at:
        outcome, reason = "created_later", "created_later"
    else:
        outcome, reason = "not_heard", "event_type"
    return Considered(
        subscription, outcome, reason, clauses,
        matches_now=not reason_now, reason_now=reason_now,
    )  # fmt: skip
