from subscriptions.admin.event_types import EventTypeAdmin
from subscriptions.admin.subscriptions import SubscriptionAdmin

__all__ = ["EventTypeAdmin", "SubscriptionAdmin"]
