"""What a process keeps in memory, and how it is forgotten."""

from __future__ import annotations

from django.conf import settings
from django.core.cache import cache

from incoming.sources import forget_sources
from monitoring import turns
from subscriptions import lookup
from webhooks_project import queues
from webhooks_project.accounts import known_keys
from webhooks_project.lib.actor import SYSTEM, current_actor


def forget_process_state() -> None:
    """As a process that has just begun."""
    current_actor.set(SYSTEM)
    forget_sources()
    turns.forget()
    lookup.forget()
    known_keys.forget()
    queues._woken_at.clear()
    if settings.REDIS_URL:
        _forget_in_redis()
    else:
        cache.clear()


def _forget_in_redis() -> None:
    # The cache and the queues of this process alone: others may use the same server.
    from django_redis import get_redis_connection

    connection = get_redis_connection("default")
    keys = list(connection.scan_iter(f"{settings.REDIS_PREFIX}:*", count=1000))
    if keys:
        connection.delete(*keys)
