"""When a subscription ends, and that it shall not."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction

from monitoring import journal
from subscriptions.errors import ExpiryNotAcceptable, StateNotAllowed
from subscriptions.lifecycle import passed_notice
from subscriptions.models import Subscription
from subscriptions.services import set_status
from subscriptions.setup import request_setup
from webhooks_project.lib import clock


@transaction.atomic
def renew_subscription(
    *, subscription: Subscription, expires_at: datetime | None = None, days: int | None = None
) -> Subscription:
    """Give it a new end: a moment, so many days after the present end (or now, where that is over),
    or none at all. An expired one is active again, or verifying where its URL was changed meanwhile
    and has to prove its owner.

    Raises ExpiryNotAcceptable for a moment that is over, and StateNotAllowed for what is archived.
    """
    subscription = Subscription.objects.select_for_update().get(pk=subscription.pk)
    if subscription.status == Subscription.Status.ARCHIVED:
        raise StateNotAllowed("it is archived", present_status=subscription.status)
    now = clock.now()
    before = subscription.expires_at
    end = max(before or now, now) + timedelta(days=days) if days is not None else expires_at
    if end is not None and end <= now:
        raise ExpiryNotAcceptable
    subscription.expires_at = end
    subscription.expiry_noticed_days = passed_notice(expires_at=end, now=now) if end else None
    subscription.save(update_fields=["expires_at", "expiry_noticed_days"])
    journal.record_change(
        account_id=subscription.account_id,
        action="subscription.renewed",
        subject=subscription,
        before={"expires_at": before},
        after={"expires_at": end},
    )
    if subscription.status != Subscription.Status.EXPIRED:
        return subscription
    if subscription.challenge:
        subscription = set_status(
            subscription=subscription, status=Subscription.Status.VERIFYING, reason="renewed"
        )
        return request_setup(subscription=subscription)
    return set_status(
        subscription=subscription, status=Subscription.Status.ACTIVE, reason="renewed"
    )
