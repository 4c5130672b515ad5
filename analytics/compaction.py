"""Letting go of fine rollups: what they say is in the coarser ones already."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Final

import structlog

from analytics.conf import kept
from analytics.models import Horizon
from analytics.periods import Grain, start_of
from analytics.rows import WIDE, counting, delete_ids
from analytics.tallies import ATTEMPTS, RECEIPTS, Series
from webhooks_project.lib import clock

log = structlog.get_logger(__name__)

DELETED_TOGETHER: Final = 2_000


def compact_rollups(goes_on: Callable[[], bool] = lambda: True) -> int:
    """Delete the minutes and hours that are kept no longer. Returns how many rows went.

    In short transactions; what is left when it is not to go on is left for the next call.
    """
    deleted = 0
    for grain in (Grain.MINUTE, Grain.HOUR):
        for is_wide in (False, True):
            until = _move_horizon(grain, is_wide=is_wide)
            if until is not None:
                for series in (ATTEMPTS, RECEIPTS):
                    deleted += _delete(series, grain, is_wide, until, goes_on)
    if deleted:
        log.info("rollups compacted", rows=deleted)
    return deleted


def _move_horizon(grain: Grain, *, is_wide: bool) -> datetime | None:
    """From when on the grain is whole from now on."""
    keeps = kept(grain, is_wide=is_wide)
    if keeps is None:
        return None
    # At the edge of a coarser period: a period is to be had in one grain or the other.
    until = start_of(clock.now() - keeps, Grain(grain + 1))
    known = Horizon.objects.filter(grain=grain, is_wide=is_wide).first()
    if known is not None and known.since >= until:
        return known.since
    with counting():
        Horizon.objects.update_or_create(grain=grain, is_wide=is_wide, defaults={"since": until})
    return until


def _delete(
    series: Series, grain: Grain, is_wide: bool, until: datetime, goes_on: Callable[[], bool]
) -> int:
    deleted = 0
    for scope in series.scopes_of(grain):
        if (scope in WIDE) is not is_wide:
            continue
        rows = series.model._default_manager.filter(scope=scope, grain=grain, at__lt=until)
        while goes_on():
            ids = list(rows.order_by("at").values_list("pk", flat=True)[:DELETED_TOGETHER])
            with counting():
                delete_ids(series, ids)
            deleted += len(ids)
            if len(ids) < DELETED_TOGETHER:
                break
    return deleted
