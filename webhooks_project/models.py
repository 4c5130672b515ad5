"""What the clusters say of themselves."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class Heartbeat(models.Model):
    """One place for one pump on one cluster; the pump that holds it renews `beat_at`.

    The supervisor restarts a cluster whose places have gone silent; `/readyz` reads them too.
    """

    host = models.CharField(max_length=255)
    cluster = models.CharField(max_length=64)
    family = models.CharField(max_length=32)
    slot = models.PositiveSmallIntegerField(default=0)
    token = models.UUIDField(null=True)
    pid = models.PositiveIntegerField(default=0)
    started_at = models.DateTimeField(null=True)
    beat_at = models.DateTimeField(null=True)
    # Set by the supervisor when the node stops: the pump leaves its place and finishes.
    stop_requested_at = models.DateTimeField(null=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["host", "cluster", "family", "slot"], name="heartbeat_unique_place"
            )
        ]
        ordering: ClassVar = ["host", "cluster", "family", "slot"]

    def __str__(self) -> str:
        return f"{self.family}/{self.slot} of {self.cluster} on {self.host}"


class Uncounted(models.Model):
    """A minute in which attempts or receipts were stored that no rollup has yet.

    One stands for each commit that stored some, in the same transaction; many stand for the same
    minute. Whoever counts reads them first, then the rows, and deletes those that it read: what
    commits meanwhile left one of its own. No index but the key: every delivery writes here.
    """

    class Kind(models.IntegerChoices):
        ATTEMPT = 1
        RECEIPT = 2

    kind = models.PositiveSmallIntegerField(choices=Kind.choices)
    minute = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.minute:%Y-%m-%d %H:%M}"
