"""Who may hear what."""

from subscriptions.bulk.models import BulkJob, BulkLine
from subscriptions.models.event_types import EventSchema, EventType
from subscriptions.models.signing_secrets import SigningSecret
from subscriptions.models.subscriptions import SubscribedType, Subscription

__all__ = [
    "BulkJob",
    "BulkLine",
    "EventSchema",
    "EventType",
    "SigningSecret",
    "SubscribedType",
    "Subscription",
]
