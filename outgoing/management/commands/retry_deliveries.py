from __future__ import annotations

from django.db.models import Q

from outgoing.arguments import BulkCommand
from outgoing.models import Delivery, Retry
from outgoing.retries import bring_forward


class Command(BulkCommand):
    help = "Bring the next attempt of deliveries that wait for one forward to now."
    condition = Q(status=Delivery.Status.PENDING, retry__isnull=False)
    done = "brought forward"

    def act(self, delivery: Delivery) -> None:
        # A Retry has its delivery's key; one that was released meanwhile is refused.
        bring_forward(retry=Retry(delivery=delivery))
