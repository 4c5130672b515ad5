"""What happened."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

import orjson
from django.db import models
from django.db.models import Q

from outgoing.querysets import EventQuerySet
from webhooks_project.accounts.models import Account
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
    # Of the source that it came in through; null where it was published. Its attempts are counted
    # by it, and the receipt that knows it is pruned before them.
    source_id = models.UUIDField(null=True, blank=True, editable=False)
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
