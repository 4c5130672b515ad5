"""The settings that this app reads."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings

from analytics.periods import Grain


def kept(grain: Grain, *, is_wide: bool) -> timedelta | None:
    """How long rollups of a grain are kept; None for ever.

    `is_wide` are those of the whole hub and of accounts: few, and the days of other time zones
    than UTC are made of their hours.
    """
    match grain:
        case Grain.MINUTE:
            return timedelta(days=settings.WEBHOOKS_ROLLUP_MINUTES_DAYS)
        case Grain.HOUR if is_wide:
            return timedelta(days=settings.WEBHOOKS_ROLLUP_ACCOUNT_HOURS_DAYS)
        case Grain.HOUR:
            return timedelta(days=settings.WEBHOOKS_ROLLUP_HOURS_DAYS)
    return None
