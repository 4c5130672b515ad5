"""What /metrics tells, as it was last read: one row for all who ask."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class MetricsReading(models.Model):
    """The last reading of the hub's figures, the same for every web process and host.

    `totals` only grow: what was pruned, or deleted with its account, stays counted. Of each table
    that is counted, `marks` say how far that has come, so that each row is counted once. `figures`
    are what was measured at `taken_at`. There is one row.
    """

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    totals = models.JSONField(default=dict)
    marks = models.JSONField(default=dict)
    figures = models.JSONField(default=dict)
    taken_at = models.DateTimeField(null=True)
    seconds = models.FloatField(default=0)  # how long it took
    # Until when somebody is at it; others are given the one before.
    claimed_until = models.DateTimeField(null=True)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=models.Q(id=1), name="metrics_reading_is_one"),
        ]

    def __str__(self) -> str:
        return f"reading of {self.taken_at:%Y-%m-%d %H:%M:%S}" if self.taken_at else "no reading"
