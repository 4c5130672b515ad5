"""The long tasks of the delivery and retry queues, which hold a place each, and what is done every
hour."""

from __future__ import annotations

from outgoing.dead_letters import prune_dead_letters
from outgoing.deliver import DeliveryPump
from outgoing.retention import prune_events
from outgoing.retries import run_retry_pump
from webhooks_project.pumps import take_place


def deliver() -> int:
    """Drain the deliveries for one turn. Returns how many attempts were recorded."""
    with take_place("delivery") as place:
        return DeliveryPump(place).run() if place else 0


def release_retries() -> int:
    """Release retries for one turn. Returns how many."""
    with take_place("retry") as place:
        return run_retry_pump(place) if place else 0


def prune() -> int:
    """End the wait of dead letters that nobody took up in time; empty and delete events that are
    older than their accounts keep them, for a minute at most.

    Returns how many; the next hour's goes on with the rest.
    """
    return prune_dead_letters() + prune_events().total
