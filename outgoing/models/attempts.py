"""What was tried, and the bodies that were sent."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from outgoing.models.deliveries import Delivery
from outgoing.querysets import AttemptQuerySet, SentBodyQuerySet
from webhooks_project.accounts.models import Account
from webhooks_project.lib.ids import new_id


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
    # Whether the delivery was given up after it.
    gave_up = models.BooleanField(default=False, db_default=False)
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
