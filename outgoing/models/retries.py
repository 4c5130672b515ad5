"""What waits for its next attempt."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from outgoing.models.attempts import Attempt
from outgoing.models.deliveries import Delivery
from outgoing.querysets import RetryQuerySet


class Retry(models.Model):
    """A delivery's place in the retry queue: when, which number, why."""

    delivery = models.OneToOneField(
        Delivery, models.CASCADE, primary_key=True, related_name="retry"
    )
    due_at = models.DateTimeField()
    number = models.PositiveIntegerField()
    cause = models.CharField(max_length=32, choices=Attempt.Cause.choices)
    created_at = models.DateTimeField()

    objects = RetryQuerySet.as_manager()

    class Meta:
        db_table = "webhooks.retry"
        verbose_name_plural = "retries"
        ordering: ClassVar = ["due_at"]
        indexes: ClassVar = [
            # The release of due retries, and when the next one is.
            models.Index(fields=["due_at"], name="retry_due"),
        ]

    def __str__(self) -> str:
        return f"retry {self.number} of {self.delivery_id}"
