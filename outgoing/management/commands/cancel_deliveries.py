from __future__ import annotations

from django.db.models import Q

from outgoing import services
from outgoing.arguments import BulkCommand
from outgoing.models import Delivery


class Command(BulkCommand):
    help = "Give up deliveries that wait or are held."
    condition = Q(status__in=(Delivery.Status.PENDING, Delivery.Status.HELD))
    done = "cancelled"

    def act(self, delivery: Delivery) -> None:
        services.cancel_delivery(delivery=delivery)
