"""The long task of the processing queue. It holds a place; a second one leaves."""

from __future__ import annotations

from incoming.process import run_processing_pump
from webhooks_project.pumps import take_place


def process_receipts() -> int:
    """Process receipts for one turn. Returns how many."""
    with take_place("processing") as place:
        return run_processing_pump(place) if place else 0
