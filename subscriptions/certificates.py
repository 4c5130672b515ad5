"""When an endpoint's certificate was seen last: by its set-up, or by a health check."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from subscriptions.models import Subscription
from subscriptions.setup import Name, Outcome

# A certificate that nobody looks at may have been renewed since.
STALE_DAYS: Final = 7


def seen_at(subscription: Subscription) -> datetime | None:
    """When it was seen last; None where that is not known."""
    moments = [
        datetime.fromisoformat(step["at"])
        for step in subscription.setup
        if (step["step"], step["outcome"]) == (Name.CERTIFICATE, Outcome.OK)
    ]
    checked_at = subscription.health_checked_at
    if checked_at and subscription.health_check_result.get("certificate_expires_at"):
        moments.append(checked_at)
    return max(moments, default=None)


def is_stale(subscription: Subscription, now: datetime) -> bool:
    """Whether nobody looks at it, and it was not seen for so long that its end says nothing.

    Where it is looked at the end holds: an endpoint that is down shows no other.
    """
    if subscription.checks_health or subscription.certificate_expires_at is None:
        return False
    seen = seen_at(subscription)
    return seen is None or now - seen >= timedelta(days=STALE_DAYS)
