"""The analytics queue's short task, once a minute."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from django.db.models import Max

from analytics.models import Rollup
from analytics.services import rebuild_rollups
from webhooks_project.lib import clock

# An attempt is written at its end: the longest takes a minute, and its writing may wait a little.
LATE: Final = timedelta(minutes=5)
FIRST_LOOK_BACK: Final = timedelta(hours=1)


def roll_up() -> int:
    """Count the last minutes; those that late attempts may still have changed, again.

    Returns the rows written.
    """
    until = clock.now().replace(second=0, microsecond=0)
    last = Rollup.objects.aggregate(last=Max("minute"))["last"]
    since = min(last, until) - LATE if last else until - FIRST_LOOK_BACK
    return rebuild_rollups(since=since, until=until)
