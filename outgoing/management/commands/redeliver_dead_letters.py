from __future__ import annotations

from django.db.models import Q

from outgoing import services
from outgoing.arguments import BulkCommand
from outgoing.models import Delivery
from subscriptions.models import Subscription


class Command(BulkCommand):
    help = "Carry deliveries that were given up again, with the whole retry schedule before them."
    condition = (
        Q(status=Delivery.Status.EXHAUSTED)
        & services.HAS_BODY
        & ~Q(subscription__status=Subscription.Status.ARCHIVED)
    )
    done = "redelivered"

    def act(self, delivery: Delivery) -> None:
        services.redeliver_one(delivery=delivery)
