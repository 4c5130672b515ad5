"""The duty to bring an event to a subscription."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from django.db import models
from django.db.models import Q

from outgoing.models.events import Event
from outgoing.querysets import DeliveryQuerySet
from subscriptions.models import Subscription
from webhooks_project.accounts.models import Account
from webhooks_project.lib import clock
from webhooks_project.lib.ids import new_id


class Delivery(models.Model):
    """The duty to bring one event to one subscription; the row with the mutable state."""

    class Status(models.TextChoices):
        PENDING = "pending"
        DELIVERING = "delivering"
        DELIVERED = "delivered"
        EXHAUSTED = "exhausted"
        HELD = "held"
        CANCELLED = "cancelled"

    class Lane(models.IntegerChoices):
        """First attempts have their own, so that no backlog of retries stands before them."""

        FIRST = 0
        AGAIN = 1
        # Those of subscriptions with limits, which one pump at a time lets through.
        LIMITED = 2

    class Trigger(models.TextChoices):
        FIRST = "first"
        RETRY = "retry"
        REDELIVER = "redeliver"
        REPLAY = "replay"
        RESUME = "resume"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    account = models.ForeignKey(Account, models.CASCADE, related_name="+", db_index=False)
    event = models.ForeignKey(Event, models.CASCADE, related_name="deliveries", db_index=False)
    subscription = models.ForeignKey(
        Subscription, models.CASCADE, related_name="deliveries", db_index=False
    )
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.PENDING)
    # The line it stands in until it is claimed; null while it stands in none: claimed, held, ended,
    # or waiting for its Retry.
    lane = models.PositiveSmallIntegerField(choices=Lane.choices, null=True, default=Lane.FIRST)
    trigger = models.CharField(max_length=16, choices=Trigger.choices, default=Trigger.FIRST)
    attempt_count = models.PositiveIntegerField(default=0)
    # Attempts before this one was last asked for again; the retry schedule counts from here.
    attempts_before = models.PositiveIntegerField(default=0)
    # When that was; null where it never was, and its age counts from `created_at`.
    asked_at = models.DateTimeField(null=True, blank=True, editable=False)
    # Deliveries of one subscription with the same key go one after the other; null for no order.
    order_key = models.CharField(max_length=128, null=True, editable=False)  # noqa: DJ001
    # When the next attempt is, or the last one was, due.
    next_attempt_at = models.DateTimeField()
    lease_token = models.UUIDField(null=True, blank=True, editable=False)
    leased_until = models.DateTimeField(null=True, blank=True, editable=False)
    last_cause = models.CharField(max_length=32, blank=True)
    last_status_code = models.PositiveSmallIntegerField(null=True, blank=True)
    replay = models.ForeignKey(
        "Replay",
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="deliveries",
        db_index=False,
    )
    created_at = models.DateTimeField()
    delivered_at = models.DateTimeField(null=True, blank=True)
    # When it was last given up, and what dead letters that failed alike share.
    exhausted_at = models.DateTimeField(null=True, blank=True)
    fingerprint = models.CharField(max_length=32, blank=True)
    # Why a dead letter was cancelled.
    discard_reason = models.CharField(max_length=200, blank=True)

    objects = DeliveryQuerySet.as_manager()

    class Meta:
        db_table = "webhooks.outgoing"
        verbose_name_plural = "deliveries"
        ordering: ClassVar = ["-created_at"]
        constraints: ClassVar = [
            # Exactly one delivery for an event and a subscription; also an event's deliveries.
            models.UniqueConstraint(
                fields=["event", "subscription"], name="delivery_unique_per_subscription"
            ),
        ]
        indexes: ClassVar = [
            # The claim of due deliveries; holds only what waits, whatever the history's size.
            models.Index(
                fields=["lane", "next_attempt_at"],
                condition=Q(lane__isnull=False),
                name="delivery_due",
            ),
            # The claim of one subscription's that has limits.
            models.Index(
                fields=["subscription", "next_attempt_at"],
                condition=Q(lane__gt=1),
                name="delivery_limited",
            ),
            # Whether something stands before a delivery in its order.
            models.Index(
                fields=["subscription", "order_key", "id"],
                condition=Q(order_key__isnull=False)
                & ~Q(status="delivered")
                & ~Q(status="cancelled"),
                name="delivery_in_order",
            ),
            # What is parked behind others in its order.
            models.Index(
                fields=["subscription", "order_key"],
                condition=Q(order_key__isnull=False, status="pending", lane__isnull=True),
                name="delivery_parked",
            ),
            # The sweep of leases that ran out.
            models.Index(
                fields=["leased_until"],
                condition=Q(leased_until__isnull=False),
                name="delivery_leased",
            ),
            # What a replay sent again. Of those only: each delivery is written three times, and
            # every index that holds it with it.
            models.Index(
                fields=["replay"], condition=Q(replay__isnull=False), name="delivery_of_replay"
            ),
            # How much of a replay waits in line.
            models.Index(
                fields=["replay"],
                condition=Q(lane__isnull=False) & Q(replay__isnull=False),
                name="delivery_replay_waiting",
            ),
            # The sweep of what is held for subscriptions that are active again.
            models.Index(fields=["subscription"], condition=Q(status="held"), name="delivery_held"),
            # A subscription's deliveries and an account's, newest first. The status stands in
            # neither: it changes twice for each delivery, and every index that holds it with it.
            models.Index(fields=["subscription", "-created_at"], name="delivery_by_subscription"),
            models.Index(fields=["account", "-created_at"], name="delivery_by_account"),
            # Dead letters.
            models.Index(
                fields=["account", "-created_at"],
                condition=Q(status="exhausted"),
                name="delivery_exhausted",
            ),
            # Dead letters as they died, and those to prune.
            models.Index(
                fields=["account", "-exhausted_at"],
                condition=Q(status="exhausted"),
                name="delivery_dead",
            ),
            # Dead letters that failed alike: their count, the first and the last.
            models.Index(
                fields=["account", "fingerprint", "exhausted_at"],
                condition=Q(status="exhausted"),
                name="delivery_dead_alike",
            ),
            # The console's list over all accounts.
            models.Index(fields=["-created_at"], name="delivery_by_time"),
        ]

    def __str__(self) -> str:
        return f"delivery {self.id}"

    def is_scheduled(self, now: datetime) -> bool:
        """Whether it waits for the time that its event is to be delivered at."""
        waiting = self.status in (self.Status.PENDING, self.Status.HELD)
        return waiting and not self.attempt_count and self.next_attempt_at > now

    @property
    def scheduled_for(self) -> datetime | None:
        """The time of its event that it waits for, if it waits for one now."""
        return self.next_attempt_at if self.is_scheduled(clock.now()) else None
