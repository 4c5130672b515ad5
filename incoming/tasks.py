"""The processing queue's long tasks, which hold a place each, and what it does every hour."""

from __future__ import annotations

from incoming.processing import run_processing_pump
from incoming.retention import prune_receipts
from incoming.runs import run_handler_pump
from webhooks_project.pumps import take_place
from webhooks_project.uncounted import thin_out


def process_receipts() -> int:
    """Drain one of the family's tables for a turn. Returns how many rows were worked off.

    The first place is for receipts, the others are for the runs of handlers, so that no handler,
    however slow, holds receipts up.
    """
    with take_place("processing") as place:
        if place is None:
            return 0
        return run_processing_pump(place) if place.slot == 0 else run_handler_pump(place)


def prune() -> int:
    """Empty and delete what is older than its account keeps it, for a minute at most.

    Returns how many rows were emptied or deleted; the next hour's goes on with the rest.
    """
    thin_out()
    return prune_receipts().total
