"""django-q2's brokers, able to serve several families' queues from one cluster."""

from __future__ import annotations

from time import sleep
from typing import Any

from django.conf import settings
from django.utils import timezone
from django_q.brokers.orm import ORM
from django_q.conf import Conf
from django_q.models import OrmQ

from webhooks_project.lib.sql import is_due
from webhooks_project.queues import SHARED_CLUSTER, enabled_families


def queues_served(list_key: str) -> list[str]:
    """The queues that a cluster of this name takes from."""
    return [SHARED_CLUSTER, *enabled_families()] if list_key == SHARED_CLUSTER else [list_key]


class OrmBroker(ORM):  # type: ignore[misc]  # it has no types
    """The queue in the database. Takes the oldest hint first, whichever family's it is."""

    def dequeue(self) -> list[tuple[Any, Any]] | None:
        if not is_due(OrmQ, "lock", timezone.now()):
            sleep(Conf.POLL)
            return None
        tasks = list(
            self.get_connection()
            .filter(key__in=queues_served(self.list_key), lock__lt=timezone.now())
            .order_by("pk")[: Conf.BULK]
        )
        taken = [
            (task.pk, task.payload)
            for task in tasks
            # Another cluster may have been faster: its lock differs then.
            if self.get_connection()
            .filter(pk=task.pk, lock=task.lock)
            .update(lock=self.timeout(task))
        ]
        if not tasks:
            sleep(Conf.POLL)
        return taken or None


def redis_broker(list_key: str | None = None) -> Any:
    """The queue in Redis; imported where it is used, since the redis package is an extra."""
    from django_q.brokers.redis_broker import Redis

    class RedisBroker(Redis):  # type: ignore[misc]
        def dequeue(self) -> list[tuple[None, Any]] | None:
            task = self.connection.blpop(keys, 1)
            return [(None, task[1])] if task else None

    name = list_key or Conf.CLUSTER_NAME
    keys = [f"{settings.REDIS_PREFIX}:{queue}:q" for queue in queues_served(name)]
    broker = RedisBroker(list_key=name)
    broker.list_key = f"{settings.REDIS_PREFIX}:{name}:q"
    return broker
