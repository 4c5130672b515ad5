"""What happened, and carrying it to those who subscribed."""

from outgoing.models.attempts import Attempt, SentBody
from outgoing.models.deliveries import Delivery
from outgoing.models.events import Event
from outgoing.models.flows import Breaker, Flow
from outgoing.models.replays import Replay
from outgoing.models.retries import Retry

__all__ = [
    "Attempt",
    "Breaker",
    "Delivery",
    "Event",
    "Flow",
    "Replay",
    "Retry",
    "SentBody",
]
