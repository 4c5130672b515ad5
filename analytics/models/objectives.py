"""What share of deliveries shall succeed."""

from __future__ import annotations

from decimal import Decimal
from typing import ClassVar, Final

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q

from webhooks_project.lib import clock
from webhooks_project.lib.ids import new_id

MIN_TARGET: Final = Decimal(50)
MAX_TARGET: Final = Decimal("99.999")  # an objective of all would have no budget to burn
MAX_WINDOW_DAYS: Final = 366


class Objective(models.Model):
    """The share of attempts, or of deliveries, that shall succeed within so many days, of one
    subscription or of all of the account."""

    class Counts(models.TextChoices):
        ATTEMPTS = "attempts"  # also those of the retry schedule
        FIRST_ATTEMPTS = "first_attempts"
        DELIVERIES = "deliveries"  # that ended: delivered, or given up

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    account = models.ForeignKey(
        "accounts.Account", models.CASCADE, related_name="+", db_index=False
    )
    subscription = models.ForeignKey(
        "subscriptions.Subscription",
        models.CASCADE,
        null=True,
        blank=True,
        related_name="+",
        db_index=False,
        help_text="Empty for all deliveries of the account.",
    )
    counts = models.CharField(
        max_length=16,
        choices=Counts.choices,
        default=Counts.ATTEMPTS,
        help_text=(
            "What is to succeed: each attempt, the first of each delivery, or each delivery in "
            "the end."
        ),
    )
    target_percent = models.DecimalField(
        max_digits=6,
        decimal_places=3,
        default=Decimal(99),
        validators=[MinValueValidator(MIN_TARGET), MaxValueValidator(MAX_TARGET)],
        help_text="The share that is to succeed, 50 to 99.999.",
    )
    window_days = models.PositiveSmallIntegerField(
        default=30,
        validators=[MinValueValidator(1), MaxValueValidator(MAX_WINDOW_DAYS)],
        help_text="Over how many days, up to now.",
    )
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        ordering: ClassVar = ["created_at"]
        constraints: ClassVar = [
            # Also the look for a subscription's.
            models.UniqueConstraint(
                fields=["subscription"],
                condition=Q(subscription__isnull=False),
                name="objective_unique_for_subscription",
            ),
            models.UniqueConstraint(
                fields=["account"],
                condition=Q(subscription__isnull=True),
                name="objective_unique_for_account",
            ),
        ]
        indexes: ClassVar = [
            # The account's list.
            models.Index(fields=["account", "created_at"], name="objective_by_account"),
        ]

    def __str__(self) -> str:
        return f"{self.target_percent.normalize():f} % in {self.window_days} days"

    @property
    def target(self) -> float:
        """As rates are given: 0 to 1."""
        return float(Decimal(self.target_percent) / 100)

    @property
    def budget_share(self) -> Decimal:
        """The share that may fail."""
        return 1 - Decimal(self.target_percent) / 100
