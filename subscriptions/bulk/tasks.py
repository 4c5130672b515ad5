"""The monitoring queue's short task for bulk jobs, when one starts and once a minute."""

from __future__ import annotations

from typing import Final

from subscriptions.bulk.carrying import forget_old, run_jobs
from subscriptions.bulk.jobs import TASK
from webhooks_project.lib import clock
from webhooks_project.queues import call_task

TURN_SECONDS: Final = 20.0  # then what else waits in the queue has its turn


def run_bulk_jobs() -> None:
    """Move the running jobs on for a turn, and call the next where some is left."""
    forget_old(clock.now())
    if run_jobs(TURN_SECONDS):
        call_task(TASK)
