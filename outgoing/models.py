"""What happened, and carrying it to those who subscribed."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

import orjson
from django.db import models
from django.db.models import Q

from outgoing.querysets import (
    AttemptQuerySet,
    DeliveryQuerySet,
    EventQuerySet,
    FlowQuerySet,
    RetryQuerySet,
    SentBodyQuerySet,
)
from subscriptions.models import Subscription
from webhooks_project.accounts.models import Account
from webhooks_project.lib import clock
from webhooks_project.lib.ids import new_id


class Event(models.Model):
    """One immutable fact.

    `data` is JSON text as bytes, kept exactly: a database's own JSON type refuses some of what
    JSON allows. `correlation_id` is the request id it came with; `causation_id` names what caused
    it, such as `receipt:<id>`; `traceparent` and `tracestate` are those of the request that
    published it (W3C Trace Context).
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    account = models.ForeignKey(Account, models.CASCADE, related_name="events", db_index=False)
    type = models.CharField(max_length=128)
    data = models.BinaryField()
    occurred_at = models.DateTimeField()
    created_at = models.DateTimeField()
    idempotency_key = models.CharField(max_length=255, null=True, blank=True)  # noqa: DJ001 - unique where present
    correlation_id = models.CharField(max_length=64, blank=True)
    causation_id = models.CharField(max_length=128, blank=True)
    traceparent = models.CharField(max_length=55, blank=True)
    tracestate = models.CharField(max_length=512, blank=True)
    # Nothing is delivered before it; null for at once. Until then the event can be cancelled.
    deliver_at = models.DateTimeField(null=True, blank=True)
    cancelled_at = models.DateTimeField(null=True, blank=True, editable=False)
    # What subscriptions may also go by: channels, and text by name; the headers are sent along.
    channels = models.JSONField(default=list, blank=True)
    metadata = models.JSONField(default=dict, blank=True)
    headers = models.JSONField(default=dict, blank=True)
    # The schema it was checked against, `major.minor`; empty where there was none.
    schema_version = models.CharField(max_length=16, blank=True)
    # The one that was asked for, and what the catalogue said then: a repeat gets the same answer.
    asked_version = models.CharField(max_length=16, blank=True, editable=False)
    warnings = models.JSONField(default=list, blank=True)
    # Where it does not fit: [{"path", "message"}]; delivered all the same, or in quarantine.
    schema_errors = models.JSONField(default=list, blank=True)
    quarantined_at = models.DateTimeField(null=True, blank=True, editable=False)
    dropped_at = models.DateTimeField(null=True, blank=True, editable=False)
    # Since when the data is not kept any more: too old, or a person's and taken out.
    body_pruned_at = models.DateTimeField(null=True, blank=True, editable=False)
    expunged_at = models.DateTimeField(null=True, blank=True, editable=False)
    # [{"subscription": id, "reason": …}] for those that hear the type and yet got no delivery.
    not_matched = models.JSONField(default=list)

    objects = EventQuerySet.as_manager()

    class Meta:
        db_table = "events.log"
        ordering: ClassVar = ["-created_at"]
        constraints: ClassVar = [
            # The same call again finds the first answer.
            models.UniqueConstraint(
                fields=["account", "idempotency_key"],
                condition=Q(idempotency_key__isnull=False),
                name="event_unique_idempotency_key",
            )
        ]
        indexes: ClassVar = [
            # The account's list, newest first, and replays by time.
            models.Index(fields=["account", "-created_at"], name="event_by_account"),
            # The console's list over all accounts.
            models.Index(fields=["-created_at"], name="event_by_time"),
            # Replays by type.
            models.Index(fields=["account", "type", "-created_at"], name="event_by_type"),
            # What became of a receipt.
            models.Index(
                fields=["causation_id"], condition=~Q(causation_id=""), name="event_by_causation"
            ),
            # What waits for an operator's word.
            models.Index(
                fields=["account", "-quarantined_at"],
                condition=Q(quarantined_at__isnull=False),
                name="event_quarantined",
            ),
            # What waits for its time.
            models.Index(
                fields=["account", "deliver_at"],
                condition=Q(deliver_at__isnull=False),
                name="event_scheduled",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.webhook_id}"

    @property
    def webhook_id(self) -> str:
        """The `webhook-id` of every attempt of every delivery of this event."""
        return f"evt_{self.id.hex}"

    @property
    def payload(self) -> Any:
        """`data`, parsed; None where it is not kept any more."""
        return orjson.loads(bytes(self.data))

    @property
    def has_body(self) -> bool:
        """Whether its data is still there, so that it can be carried again."""
        return self.body_pruned_at is None and self.expunged_at is None

    def is_scheduled(self, now: datetime) -> bool:
        """Whether it waits for its time."""
        return self.deliver_at is not None and self.deliver_at > now and not self.cancelled_at


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
        "Replay", models.SET_NULL, null=True, blank=True, related_name="deliveries"
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


class Attempt(models.Model):
    """One HTTP try of a delivery; append-only. Durations are milliseconds since the start."""

    class Outcome(models.TextChoices):
        SUCCEEDED = "succeeded"
        FAILED = "failed"

    class Cause(models.TextChoices):
        """Why it failed; empty where it succeeded."""

        DNS = "dns"
        REFUSED = "refused"
        RESET = "reset"
        TLS = "tls"
        TIMEOUT_DNS = "timeout_dns"
        TIMEOUT_CONNECT = "timeout_connect"
        TIMEOUT_TLS = "timeout_tls"
        TIMEOUT_RESPONSE = "timeout_response"
        FORBIDDEN_ADDRESS = "forbidden_address"
        TOO_LARGE = "too_large"
        BAD_RESPONSE = "bad_response"
        INVALID_URL = "invalid_url"
        CANCELLED = "cancelled"
        UNSIGNABLE = "unsignable"
        TRANSFORMATION = "transformation"
        CREDENTIALS_UNREADABLE = "credentials_unreadable"
        TOKEN_UNAVAILABLE = "token_unavailable"  # noqa: S105 - a cause, not a secret
        STATUS_1XX = "status_1xx"
        STATUS_3XX = "status_3xx"
        STATUS_4XX = "status_4xx"
        STATUS_5XX = "status_5xx"
        STATUS_OTHER = "status_other"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    delivery = models.ForeignKey(Delivery, models.CASCADE, related_name="attempts", db_index=False)
    number = models.PositiveIntegerField()
    trigger = models.CharField(max_length=16, choices=Delivery.Trigger.choices)
    outcome = models.CharField(max_length=16, choices=Outcome.choices)
    cause = models.CharField(max_length=32, choices=Cause.choices, blank=True)
    detail = models.CharField(max_length=300, blank=True)
    status_code = models.PositiveSmallIntegerField(null=True)
    started_at = models.DateTimeField()
    queue_wait_ms = models.FloatField()
    dns_ms = models.FloatField(null=True)
    connect_ms = models.FloatField(null=True)
    tls_ms = models.FloatField(null=True)
    first_byte_ms = models.FloatField(null=True)
    duration_ms = models.FloatField()
    request_headers = models.JSONField(default=dict)
    request_bytes = models.PositiveIntegerField()
    # Of the body as it was signed and sent; empty where nothing was sent. outgoing/bodies.py.
    request_sha256 = models.BinaryField(max_length=32, default=b"")
    response_headers = models.JSONField(default=dict)
    response_body = models.BinaryField(default=b"")
    response_bytes = models.PositiveBigIntegerField()
    address = models.CharField(max_length=45, blank=True)
    protocol = models.CharField(max_length=16, blank=True)
    worker = models.CharField(max_length=64, blank=True)

    objects = AttemptQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["-started_at"]
        constraints: ClassVar = [
            # A delivery's attempts in order; two workers cannot both record the same one.
            models.UniqueConstraint(fields=["delivery", "number"], name="attempt_unique_number"),
        ]
        indexes: ClassVar = [
            # The console's list, newest first.
            models.Index(fields=["-started_at"], name="attempt_by_time"),
        ]

    def __str__(self) -> str:
        return f"attempt {self.number} of {self.delivery_id}"


class SentBody(models.Model):
    """A request's body that the event alone does not give again: computed, batched or sealed.

    Kept once for a delivery, whatever number of its attempts had it; that of a batch with one of
    its deliveries.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    account = models.ForeignKey(Account, models.CASCADE, related_name="+", db_index=False)
    delivery = models.ForeignKey(Delivery, models.CASCADE, related_name="+", db_index=False)
    sha256 = models.BinaryField(max_length=32)
    body = models.BinaryField()
    created_at = models.DateTimeField()

    objects = SentBodyQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "sent bodies"
        constraints: ClassVar = [
            # Also a delivery's, when it is deleted.
            models.UniqueConstraint(fields=["delivery", "sha256"], name="sent_body_unique"),
        ]
        indexes: ClassVar = [
            # What an attempt sent, also as one of a batch.
            models.Index(fields=["account", "sha256"], name="sent_body_by_hash"),
        ]

    def __str__(self) -> str:
        return f"body of {self.delivery_id}"


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


class Flow(models.Model):
    """How a subscription with limits is let through, and which pump does it at present.

    One pump at a time owns it, under a lease, and claims the subscription's deliveries: so its
    limits hold over all workers. `starts` are the starts that still count for its rate
    (`RateLimit.state`).
    """

    subscription = models.OneToOneField(
        Subscription, models.CASCADE, primary_key=True, related_name="flow"
    )
    owner = models.UUIDField(null=True, editable=False)
    leased_until = models.DateTimeField(null=True, editable=False)
    starts = models.JSONField(default=list, editable=False)

    objects = FlowQuerySet.as_manager()

    def __str__(self) -> str:
        return f"flow of {self.subscription_id}"


class Breaker(models.Model):
    """What was seen lately of an endpoint that failed; the state stands with the subscription.

    `figures` are attempts that succeeded and that failed, by time (outgoing/breakers.py), since
    the breaker moved at `counted_since`; null where it never did.
    """

    subscription = models.OneToOneField(
        Subscription, models.CASCADE, primary_key=True, related_name="+"
    )
    figures = models.JSONField(default=dict, editable=False)
    counted_since = models.DateTimeField(null=True, editable=False)
    last_failed_at = models.DateTimeField(editable=False)

    class Meta:
        indexes: ClassVar = [
            # Those whose successes count now.
            models.Index(fields=["last_failed_at"], name="breaker_failed"),
        ]

    def __str__(self) -> str:
        return f"breaker of {self.subscription_id}"


class Replay(models.Model):
    """A job that carries past events again: planned, run, its progress, its end."""

    class Kind(models.TextChoices):
        RECOVER = "recover"  # what was given up
        MISSING = "missing"  # what a subscription never got, and matches now
        REPLAY = "replay"  # whatever ended, delivered or not

    class Status(models.TextChoices):
        PLANNED = "planned"
        RUNNING = "running"
        FINISHED = "finished"
        CANCELLED = "cancelled"
        FAILED = "failed"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    account = models.ForeignKey(
        Account, models.CASCADE, null=True, blank=True, related_name="replays"
    )
    kind = models.CharField(max_length=16, choices=Kind.choices, default=Kind.REPLAY)
    # Events created in [since, until) with these marks; empty for any.
    since = models.DateTimeField()
    until = models.DateTimeField()
    event_type = models.CharField(max_length=128, blank=True)
    subscription = models.ForeignKey(
        Subscription, models.CASCADE, null=True, blank=True, related_name="replays"
    )
    statuses = models.JSONField(default=list, blank=True)
    channel = models.CharField(max_length=128, blank=True)
    filter = models.JSONField(null=True, blank=True)
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.PLANNED)
    # Of one that is running: nothing more is put in line until it is resumed.
    paused_at = models.DateTimeField(null=True, blank=True)
    planned_count = models.PositiveIntegerField(default=0)
    redelivered_count = models.PositiveIntegerField(default=0)
    # Counts of the plan by type and subscription, the oldest event, how long it may take.
    plan = models.JSONField(default=dict, blank=True)
    # How far it has come; a run that was cut off goes on from here.
    cursor_at = models.DateTimeField(null=True, blank=True, editable=False)
    cursor_id = models.UUIDField(null=True, blank=True, editable=False)
    error = models.TextField(blank=True)
    requested_by = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["-created_at"]
        indexes: ClassVar = [
            # The jobs to be moved on; holds only those.
            models.Index(
                fields=["created_at"],
                condition=Q(status="running"),
                name="replay_running",
            ),
        ]

    def __str__(self) -> str:
        return f"replay {self.id}"
