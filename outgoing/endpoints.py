"""What the delivery engine needs to know of a subscription, kept in memory for a moment."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

import structlog

from outgoing.payload import Shape
from outgoing.policies import RetryPolicy, policy_of
from outgoing.security import ORDINARY, Security, security_of
from subscriptions.models import SigningSecret, Subscription
from webhooks_project.lib import clock
from webhooks_project.lib.keyring import CannotDecrypt
from webhooks_project.lib.signing import Key
from webhooks_project.lib.windows import Window, parse_window

log = structlog.get_logger(__name__)

FRESH_SECONDS: Final = 1.0  # how late the engine may notice that a subscription was changed
PERIODS: Final = {"second": 1.0, "minute": 60.0, "hour": 3600.0}
FAIR_SHARE: Final = (
    16  # attempts under way at once in one worker, of a subscription without a limit
)


@dataclass(slots=True, eq=False)
class Endpoint:
    """Where and how to deliver. `keys` is empty where no secret could be opened.

    One object for each subscription: reading it anew changes the fields of the one there is.
    """

    subscription_id: UUID
    account_id: UUID
    url: str
    status: str
    timeout_seconds: int
    max_in_flight: int
    is_limited: bool
    breaker: str
    breaker_changed_at: datetime | None
    rate: tuple[int, float] | None
    in_order: bool
    batch_size: int
    batch_seconds: int
    window: Window | None
    policy: RetryPolicy
    shape: Shape
    schema_versions: Mapping[str, int]
    keys: tuple[Key, ...]
    loaded_at: float
    security: Security = ORDINARY


@lru_cache(maxsize=4096)
def _shape_of(form: str, transformation: str, variables: tuple[tuple[str, str], ...]) -> Shape:
    """One object for all that want the same: messages keep bodies by it."""
    return Shape(form=form, transformation=transformation, variables=variables)


def _window_of(subscription: Subscription) -> Window | None:
    if subscription.delivery_window is None:
        return None
    return parse_window(subscription.delivery_window)


class Endpoints:
    """The endpoints by subscription, loaded together and again when they are a second old."""

    def __init__(self) -> None:
        self._known: dict[UUID, Endpoint] = {}

    def load(self, subscription_ids: Iterable[UUID]) -> None:
        """Make sure of fresh facts for these, in two queries at most."""
        now = time.monotonic()
        stale = {
            key
            for key in subscription_ids
            if key not in self._known or now - self._known[key].loaded_at > FRESH_SECONDS
        }
        if stale:
            self.reload(stale)

    def reload(self, stale: Collection[UUID]) -> None:
        """Read the facts for these anew, in two queries."""
        now = time.monotonic()
        secrets: dict[UUID, list[SigningSecret]] = {}
        for row in SigningSecret.objects.filter(subscription__in=stale).valid(clock.now()):
            secrets.setdefault(row.subscription_id, []).append(row)
        for subscription in Subscription.objects.filter(pk__in=stale):
            known = self._known.get(subscription.pk)
            security = security_of(subscription, known.security if known else ORDINARY)
            facts: dict[str, Any] = {
                "url": subscription.url,
                "status": subscription.status,
                "timeout_seconds": subscription.timeout_seconds,
                "max_in_flight": subscription.max_in_flight or FAIR_SHARE,
                "is_limited": subscription.is_limited,
                "breaker": subscription.breaker,
                "breaker_changed_at": subscription.breaker_changed_at,
                "rate": (subscription.rate_limit, PERIODS[subscription.rate_period])
                if subscription.rate_limit
                else None,
                "in_order": subscription.ordering == Subscription.Ordering.STRICT,
                "batch_size": subscription.batch_size,
                "batch_seconds": subscription.batch_seconds,
                "window": _window_of(subscription),
                "policy": policy_of(subscription),
                "shape": _shape_of(
                    subscription.payload_form,
                    subscription.transformation,
                    # Only a transformation sees them.
                    tuple(sorted(subscription.variables.items()))
                    if subscription.transformation
                    else (),
                ),
                "schema_versions": subscription.schema_versions,
                "keys": _keys(secrets.get(subscription.pk, ()), security),
                "loaded_at": now,
                "security": security,
            }
            if known is None:
                self._known[subscription.pk] = Endpoint(
                    subscription_id=subscription.pk, account_id=subscription.account_id, **facts
                )
            else:
                for name, value in facts.items():
                    setattr(known, name, value)

    def find(self, subscription_id: UUID) -> Endpoint | None:
        """The endpoint, or None where there is no such subscription as far as was loaded."""
        return self._known.get(subscription_id)

    def get(self, subscription_id: UUID) -> Endpoint:
        """The facts loaded last."""
        return self._known[subscription_id]


def _keys(secrets: Iterable[SigningSecret], security: Security) -> tuple[Key, ...]:
    keys: list[Key] = []
    for row in secrets:
        try:
            keys.extend(security.keys(row.secret))
        except (CannotDecrypt, ValueError) as error:
            log.error("signing secret unreadable", secret=str(row.pk), error=str(error))
    return tuple(keys)
