"""What happened, and carrying it there."""

from outgoing.admin.attempts import AttemptAdmin
from outgoing.admin.deliveries import DeliveryAdmin
from outgoing.admin.event_types import usage_of_event_type
from outgoing.admin.events import EventAdmin
from outgoing.admin.replays import ReplayAdmin
from outgoing.admin.retries import RetryAdmin
from outgoing.admin.subscriptions import (
    attempts_of_subscription,
    deliveries_of_subscription,
    examine,
    resume,
    retry_times_of_subscription,
)
from subscriptions.admin import EventTypeAdmin, SubscriptionAdmin

__all__ = ["AttemptAdmin", "DeliveryAdmin", "EventAdmin", "ReplayAdmin", "RetryAdmin"]

SubscriptionAdmin.panels[:0] = [deliveries_of_subscription, attempts_of_subscription]
SubscriptionAdmin.panels.append(retry_times_of_subscription)
EventTypeAdmin.panels[:0] = [usage_of_event_type]
SubscriptionAdmin.add_button(examine)
SubscriptionAdmin.add_button(resume)
