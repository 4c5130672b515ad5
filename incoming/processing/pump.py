"""The long task of the processing queue: receipts, and the replays under way."""

from __future__ import annotations

import time
from typing import Final

import structlog
from django import db

from incoming.models import Receipt
from incoming.processing.batches import process_due_receipts
from incoming.replays import advance_replays
from webhooks_project.lib import clock
from webhooks_project.pumps import POLL_SECONDS, Place

log = structlog.get_logger(__name__)
SWEEP_SECONDS: Final = 5.0
REPLAY_SECONDS: Final = 0.5  # how often the replays under way are moved on
DATABASE_PAUSE_SECONDS: Final = 0.5


def run_processing_pump(place: Place) -> int:
    """Process receipts until the place's turn is over. Returns how many."""
    processed = 0
    sweep_after = replays_after = 0.0
    while True:
        try:
            if not place.goes_on():
                return processed
            if time.monotonic() >= sweep_after:
                sweep_after = time.monotonic() + SWEEP_SECONDS
                Receipt.objects.all().release_expired(clock.now())
            if time.monotonic() >= replays_after:
                replays_after = time.monotonic() + REPLAY_SECONDS
                _advance_replays()
            count = process_due_receipts()
            processed += count
            if not count:
                time.sleep(POLL_SECONDS)
        except (db.OperationalError, db.InterfaceError) as error:
            log.warning("the database is away", error=str(error)[:200])
            db.close_old_connections()
            time.sleep(DATABASE_PAUSE_SECONDS)


def _advance_replays() -> None:
    try:
        advance_replays(clock.now())
    except (db.OperationalError, db.InterfaceError):
        raise
    except Exception:
        # What is new must not wait for what is old to be mended.
        log.exception("the replays were not moved on")
