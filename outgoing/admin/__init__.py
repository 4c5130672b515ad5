"""What happened, and carrying it there."""

from outgoing.admin.attempts import AttemptAdmin
from outgoing.admin.deliveries import DeliveryAdmin
from outgoing.admin.events import EventAdmin
from outgoing.admin.replays import ReplayAdmin
from outgoing.admin.retries import RetryAdmin
from outgoing.admin.subscriptions import (
    attempts_of_subscription,
    deliveries_of_subscription,
    examine,
    resume,
)
from subscriptions.admin import SubscriptionAdmin

__all__ = ["AttemptAdmin", "DeliveryAdmin", "EventAdmin", "ReplayAdmin", "RetryAdmin"]

SubscriptionAdmin.panels[:0] = [deliveries_of_subscription, attempts_of_subscription]
SubscriptionAdmin.add_button(examine)
SubscriptionAdmin.add_button(resume)
