"""How a subscription's limits are kept, and what its breaker has seen."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from outgoing.querysets import FlowQuerySet
from subscriptions.models import Subscription


class Flow(models.Model):
    """How a subscription with limits is let through, and which pump does it at present.

    One pump at a time owns it, under a lease, and claims the subscription's deliveries: so its
    limits hold over all workers. `starts` are the starts that still count for its rate
    (`RateLimit.state`).
    """

    subscription = models.OneToOneField(
        Subscription, models.CASCADE, primary_key=True, related_name="flow"
    )
    owner = models.UUIDField(null=True, editable=False)
    leased_until = models.DateTimeField(null=True, editable=False)
    starts = models.JSONField(default=list, editable=False)

    objects = FlowQuerySet.as_manager()

    def __str__(self) -> str:
        return f"flow of {self.subscription_id}"


class Breaker(models.Model):
    """What was seen lately of an endpoint that failed; the state stands with the subscription.

    `figures` are attempts that succeeded and that failed, by time (outgoing/breakers.py), since
    the breaker moved at `counted_since`; null where it never did.
    """

    subscription = models.OneToOneField(
        Subscription, models.CASCADE, primary_key=True, related_name="+"
    )
    figures = models.JSONField(default=dict, editable=False)
    counted_since = models.DateTimeField(null=True, editable=False)
    last_failed_at = models.DateTimeField(editable=False)

    class Meta:
        indexes: ClassVar = [
            # Those whose successes count now.
            models.Index(fields=["last_failed_at"], name="breaker_failed"),
        ]

    def __str__(self) -> str:
        return f"breaker of {self.subscription_id}"
