"""Which subscriptions hear an event type. A type is looked up, never scanned for."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from subscriptions.models import SubscribedType, Subscription
from subscriptions.operational import is_operational

MAX_TYPE_LENGTH: Final = 128

_SEGMENT = r"[A-Za-z0-9_-]+"
_TYPE = re.compile(rf"{_SEGMENT}(\.{_SEGMENT})*", re.ASCII)
_PATTERN = re.compile(rf"\*|{_SEGMENT}(\.{_SEGMENT})*(\.\*)?", re.ASCII)


def is_event_type(text: str) -> bool:
    """Whether the text is a dotted name such as `invoice.paid`: letters, digits, `_` and `-`."""
    return len(text) <= MAX_TYPE_LENGTH and _TYPE.fullmatch(text) is not None


def is_pattern(text: str) -> bool:
    """Whether the text is an event type, `*`, or a name that ends in `.*`."""
    return len(text) <= MAX_TYPE_LENGTH and _PATTERN.fullmatch(text) is not None


def patterns_for(event_type: str) -> list[str]:
    """Every pattern that hears the type: itself, and each wildcard above it.

    `invoice.payment.failed` is heard by itself, `invoice.payment.*`, `invoice.*` and `*`; the hub's
    own events not by `*`, so that who hears all that the account publishes does not get them too.
    """
    steps = event_type.split(".")
    above = [".".join(steps[:end]) + ".*" for end in range(len(steps) - 1, 0, -1)]
    everything = [] if is_operational(event_type) else ["*"]
    return [event_type, *above, *everything]


@dataclass(frozen=True, slots=True)
class Match:
    """What one subscription that hears a type gets: a delivery, at once or held, or none and why.

    `reason` is empty where there is a delivery.
    """

    subscription_id: UUID
    held: bool = False
    reason: str = ""


def match_types(types: Mapping[UUID, Collection[str]]) -> dict[tuple[UUID, str], list[Match]]:
    """For each (account, event type) the subscriptions that hear it, in one query.

    `types` are the event types of each account.
    """
    wanted = {
        (account_id, event_type): patterns_for(event_type)
        for account_id, names in types.items()
        for event_type in names
    }
    if not wanted:
        return {}
    rows = SubscribedType.objects.filter(
        account_id__in=list(types),
        pattern__in={p for patterns in wanted.values() for p in patterns},
    ).values_list("account_id", "pattern", "subscription_id", "subscription__status")
    heard: dict[tuple[UUID, str], dict[UUID, str]] = {}
    for account_id, pattern, subscription_id, status in rows:
        heard.setdefault((account_id, pattern), {})[subscription_id] = status
    return {
        (account_id, event_type): [
            _match(subscription_id, status)
            for subscription_id, status in {
                found: status
                for pattern in patterns
                for found, status in heard.get((account_id, pattern), {}).items()
            }.items()
        ]
        for (account_id, event_type), patterns in wanted.items()
    }


def _match(subscription_id: UUID, status: str) -> Match:
    if status == Subscription.Status.ACTIVE:
        return Match(subscription_id)
    if status in Subscription.HOLDING:
        return Match(subscription_id, held=True)
    return Match(subscription_id, reason=f"subscription_{status}")
