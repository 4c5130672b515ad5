"""Counts per period, rebuildable from attempts and receipts while those are kept."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from analytics.periods import Grain

SUCCEEDED = "succeeded"  # what stands for an empty cause where people read it


class Scope(models.IntegerChoices):
    """What a row is counted by, beside cause and status class: a question reads the coarsest that
    answers it."""

    HUB = 0
    ACCOUNT = 1
    EVENT_TYPE = 2
    SUBSCRIPTION = 3
    FULL = 4  # all of it
    SOURCE = 5


class Rollup(models.Model):
    """The attempts of one period that have one key, by their start.

    The id is a digest of scope, grain, period and key, so that nothing is counted in two rows:
    analytics/tallies.py. Sums are whole numbers, the same in whatever order they were added.
    """

    id = models.UUIDField(primary_key=True, editable=False)
    scope = models.PositiveSmallIntegerField(choices=Scope.choices)
    grain = models.PositiveSmallIntegerField(choices=Grain.choices)
    at = models.DateTimeField()
    # Null and empty where the scope does not tell them apart.
    account = models.ForeignKey(
        "accounts.Account", models.CASCADE, null=True, related_name="+", db_index=False
    )
    subscription = models.ForeignKey(
        "subscriptions.Subscription", models.CASCADE, null=True, related_name="+", db_index=False
    )
    event_type = models.CharField(max_length=128, blank=True)
    # That the event came in through; no constraint, since what was counted outlives it. Null where
    # it was published, or counted before sources were (Detail).
    source = models.ForeignKey(
        "incoming.Source", models.DO_NOTHING, null=True, related_name="+", db_index=False,
        db_constraint=False,
    )  # fmt: skip
    cause = models.CharField(max_length=32, blank=True)  # empty: succeeded
    status_class = models.CharField(max_length=5, blank=True)  # 2xx; empty where none came
    attempts = models.PositiveBigIntegerField(default=0)
    first_attempts = models.PositiveBigIntegerField(default=0)  # the first of their delivery
    retries = models.PositiveBigIntegerField(default=0)  # asked for by the schedule
    # After which the delivery was given up.
    exhausted = models.PositiveBigIntegerField(default=0, db_default=0)
    request_bytes = models.PositiveBigIntegerField(default=0)
    response_bytes = models.PositiveBigIntegerField(default=0)
    # Microseconds from start to end.
    total_us_sum = models.PositiveBigIntegerField(default=0)
    total_us_max = models.PositiveBigIntegerField(default=0)
    # Sketches: from due to start, from start to the first byte, from start to end.
    queue_wait = models.BinaryField(default=b"")
    response = models.BinaryField(default=b"")
    total = models.BinaryField(default=b"")

    class Meta:
        db_table = "webhooks.analytics"
        ordering: ClassVar = ["-at"]
        indexes: ClassVar = [
            # The whole hub's series; the periods that are counted again, or compacted.
            models.Index(fields=["scope", "grain", "at"], name="rollup_by_time"),
            # An account's series, and those of its subscriptions or types.
            models.Index(fields=["account", "scope", "grain", "at"], name="rollup_by_account"),
            # A subscription's series.
            models.Index(
                fields=["subscription", "scope", "grain", "at"],
                condition=models.Q(subscription__isnull=False),
                name="rollup_by_subscription",
            ),
            # A source's series.
            models.Index(
                fields=["source", "scope", "grain", "at"],
                condition=models.Q(source__isnull=False),
                name="rollup_by_source",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M} {self.cause or SUCCEEDED}"

    @property
    def mean_ms(self) -> float | None:
        return self.total_us_sum / self.attempts / 1000 if self.attempts else None

    @property
    def max_ms(self) -> float:
        return self.total_us_max / 1000


class ReceiptRollup(models.Model):
    """The calls of one period that came in through one source, of one type and with one verdict, by
    their arrival.

    All scopes but SUBSCRIPTION. The id is a digest as that of a Rollup.
    """

    class Verdict(models.TextChoices):
        """What was decided on arrival; what processing made of it later does not count here."""

        ACCEPTED = "accepted"
        REFUSED = "refused"
        DUPLICATE = "duplicate"
        HANDSHAKE = "handshake"

    id = models.UUIDField(primary_key=True, editable=False)
    scope = models.PositiveSmallIntegerField(choices=Scope.choices)
    grain = models.PositiveSmallIntegerField(choices=Grain.choices)
    at = models.DateTimeField()
    account = models.ForeignKey(
        "accounts.Account", models.CASCADE, null=True, related_name="+", db_index=False
    )
    source = models.ForeignKey(
        "incoming.Source", models.CASCADE, null=True, related_name="+", db_index=False
    )
    # As its sender names it; empty where it is not counted by its type (analytics/types.py).
    event_type = models.CharField(max_length=255, blank=True, default="", db_default="")
    verdict = models.CharField(max_length=16, choices=Verdict.choices)
    cause = models.CharField(max_length=64, blank=True)  # why it was refused
    receipts = models.PositiveBigIntegerField(default=0)
    receipt_bytes = models.PositiveBigIntegerField(default=0)  # as kept

    class Meta:
        ordering: ClassVar = ["-at"]
        indexes: ClassVar = [
            # The whole hub's series; the periods that are counted again, or compacted.
            models.Index(fields=["scope", "grain", "at"], name="receipt_rollup_by_time"),
            # An account's series, and those of its sources.
            models.Index(
                fields=["account", "scope", "grain", "at"], name="receipt_rollup_by_account"
            ),
            # A source's series.
            models.Index(
                fields=["source", "scope", "grain", "at"],
                condition=models.Q(source__isnull=False),
                name="receipt_rollup_by_source",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M} {self.verdict}"


class Horizon(models.Model):
    """From when on rollups of a grain are whole; those before were compacted into coarser ones.

    Only ever moved forward, and in the transaction that deletes: what is set to be kept longer
    later does not bring back what went.
    """

    grain = models.PositiveSmallIntegerField(choices=Grain.choices)
    is_wide = models.BooleanField()  # for the scopes of the hub and of accounts; else for the rest
    since = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["grain", "is_wide"], name="horizon_unique_grain")
        ]

    def __str__(self) -> str:
        return f"{self.get_grain_display()} since {self.since:%Y-%m-%d %H:%M}"


class ReceiptType(models.Model):
    """A type that receipts of a source are counted by; each source has at most so many
    (analytics/types.py)."""

    source = models.ForeignKey("incoming.Source", models.CASCADE, related_name="+", db_index=False)
    type = models.CharField(max_length=255)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["source", "type"], name="receipt_type_unique")
        ]

    def __str__(self) -> str:
        return self.type


class Detail(models.Model):
    """From when on attempts are told apart by source, and receipts by type.

    One row, made where the hub had counted without them before: what happened until then stays as
    it was counted, whoever counts it again. None where it always did.
    """

    since = models.DateTimeField()

    def __str__(self) -> str:
        return f"since {self.since:%Y-%m-%d}"
