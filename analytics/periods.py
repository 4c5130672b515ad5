"""The grains that counts are kept in, and the limits of their periods. All in UTC. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from django.db import models


class Grain(models.IntegerChoices):
    MINUTE = 1
    HOUR = 2
    DAY = 3
    MONTH = 4


def start_of(moment: datetime, grain: Grain) -> datetime:
    """The start of the period that the moment lies in."""
    moment = moment.astimezone(UTC)
    match grain:
        case Grain.MINUTE:
            return moment.replace(second=0, microsecond=0)
        case Grain.HOUR:
            return moment.replace(minute=0, second=0, microsecond=0)
        case Grain.DAY:
            return moment.replace(hour=0, minute=0, second=0, microsecond=0)
    return moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def end_of(start: datetime, grain: Grain) -> datetime:
    """The end of the period that starts then; the next one's start."""
    match grain:
        case Grain.MINUTE:
            return start + timedelta(minutes=1)
        case Grain.HOUR:
            return start + timedelta(hours=1)
        case Grain.DAY:
            return start + timedelta(days=1)
    return start_of(start + timedelta(days=32), grain)


def first_whole(moment: datetime, grain: Grain) -> datetime:
    """The start of the first period that does not begin before the moment."""
    start = start_of(moment, grain)
    return start if start == moment else end_of(start, grain)
