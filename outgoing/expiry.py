"""Subscriptions that come to their end: notices before it, and the end itself."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from django.db import transaction

from monitoring import journal
from outgoing.operational import announce
from subscriptions.lifecycle import EXPIRING, EXPIRY_NOTICE_DAYS, expiry_notice
from subscriptions.models import Subscription
from subscriptions.operational import OperationalType
from subscriptions.services import set_status
from webhooks_project.accounts.models import Role
from webhooks_project.lib import clock


def watch_expiry() -> int:
    """End what is due to end, and announce what ends soon. Returns how many of both."""
    soon = clock.now() + timedelta(days=max(EXPIRY_NOTICE_DAYS))
    ending = Subscription.objects.filter(expires_at__lte=soon, status__in=EXPIRING)
    due = [row.pk for row in ending.order_by("expires_at") if _is_over(row) or _notice(row)]
    return sum(_watch(key) for key in due)


def _is_over(subscription: Subscription) -> bool:
    end = subscription.expires_at
    return end is not None and end <= clock.now() and subscription.status in EXPIRING


def _notice(subscription: Subscription) -> int | None:
    end = subscription.expires_at
    if end is None or subscription.status not in EXPIRING:
        return None
    return expiry_notice(
        expires_at=end, now=clock.now(), noticed_days=subscription.expiry_noticed_days
    )


@transaction.atomic
def _watch(key: UUID) -> bool:
    subscription = Subscription.objects.select_for_update().get(pk=key)
    if _is_over(subscription):
        _expire(subscription)
        return True
    days = _notice(subscription)
    if days is None or subscription.expires_at is None:  # renewed meanwhile
        return False
    subscription.expiry_noticed_days = days
    subscription.save(update_fields=["expiry_noticed_days"])
    announce(
        subscription,
        OperationalType.EXPIRING,
        title=f"{subscription.name} ends in {days} {'day' if days == 1 else 'days'}",
        text=f"{subscription.name} ends on {subscription.expires_at:%Y-%m-%d %H:%M} UTC and hears "
        "nothing more from then on. Renew it if it shall go on.",
        data={"expires_at": subscription.expires_at.isoformat(), "days": days},
    )
    return True


def _expire(subscription: Subscription) -> None:
    subscription = set_status(
        subscription=subscription,
        status=Subscription.Status.EXPIRED,
        reason=f"it ended on {subscription.expires_at:%Y-%m-%d %H:%M} UTC",
    )
    journal.record_notification(
        account_id=subscription.account_id,
        kind="subscription.expired",
        recipients=[Role.OPERATOR.value],
        title=f"{subscription.name} has ended",
        text=f"{subscription.name} hears nothing more. What was held for it is kept, and goes out "
        "when it is renewed.",
        subject=subscription,
    )
