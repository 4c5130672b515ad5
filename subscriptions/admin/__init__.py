from subscriptions.admin.bulk_jobs import BulkJobAdmin
from subscriptions.admin.event_types import EventTypeAdmin
from subscriptions.admin.subscriptions import SubscriptionAdmin

__all__ = ["BulkJobAdmin", "EventTypeAdmin", "SubscriptionAdmin"]
