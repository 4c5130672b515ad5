"""What we were told."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from django.db import models
from django.db.models import Q

from incoming.models.replays import ReceiptReplay
from incoming.models.sources import Source
from incoming.querysets import ReceiptQuerySet
from webhooks_project.accounts.models import Account
from webhooks_project.lib.fingerprints import fingerprint_of
from webhooks_project.lib.ids import new_id
from webhooks_project.lib.visible import visible


class Receipt(models.Model):
    """One call we received, raw bytes and headers, with the verdict given when it arrived."""

    class Status(models.TextChoices):
        ACCEPTED = "accepted"
        PROCESSING = "processing"
        PROCESSED = "processed"
        FAILED = "failed"
        DEAD = "dead"
        REFUSED = "refused"
        DUPLICATE = "duplicate"
        HANDSHAKE = "handshake"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    account = models.ForeignKey(Account, models.CASCADE, related_name="+", db_index=False)
    source = models.ForeignKey(Source, models.CASCADE, related_name="receipts", db_index=False)
    status = models.CharField(max_length=16, choices=Status.choices)
    # Why it was refused (one of Cause), or the code of the error that it failed with.
    cause = models.CharField(max_length=64, blank=True)
    # The cause that it was refused for on arrival, whatever became of it: a replay empties `cause`,
    # and what is dropped from quarantine was accepted. Empty for all others.
    refusal = models.CharField(max_length=64, blank=True, default="", db_default="")
    detail = models.CharField(max_length=500, blank=True)
    # What a repeat has too: the provider's id, or a digest of the fields that its source chose.
    external_id = models.CharField(max_length=255, blank=True)
    # Null where a repeat of it is none. 0 for the provider's id, else the number of the window.
    dedup_slot = models.BigIntegerField(null=True)
    type = models.CharField(max_length=255, blank=True)
    method = models.CharField(max_length=16)
    query = models.TextField(blank=True)
    # Pairs as JSON text: what a stranger sends is not always fit for a database's JSON type.
    headers = models.BinaryField()
    body = models.BinaryField()
    body_sha256 = models.BinaryField(max_length=32)
    remote_address = models.CharField(max_length=45)
    request_id = models.CharField(max_length=64)
    received_at = models.DateTimeField()
    # The verdict on arrival: which secret fitted, and the signed time where the scheme has one.
    is_verified = models.BooleanField(default=False)
    secret_id = models.CharField(max_length=64, blank=True)
    signed_at = models.DateTimeField(null=True)
    # What does not fit its source's schema: at most ten of {path, message}.
    schema_errors = models.JSONField(default=list)
    # Set while it waits for a person, because of those.
    quarantined_at = models.DateTimeField(null=True)
    # An earlier receipt of the source with the same body and another id.
    same_body_as = models.UUIDField(null=True)
    # Processing. `lease_token` is null unless a pump has it.
    attempt_count = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True)
    lease_token = models.UUIDField(null=True)
    leased_until = models.DateTimeField(null=True)
    # When its routes were followed in this round; its handlers may still be at work.
    routed_at = models.DateTimeField(null=True)
    processed_at = models.DateTimeField(null=True)
    event_count = models.PositiveSmallIntegerField(default=0)
    # What followed in all: events, handler runs, updates, notifications. 0 where no route took it.
    action_count = models.PositiveSmallIntegerField(default=0)
    # Whether its source's counts have it.
    is_counted = models.BooleanField(default=False)
    # 0, and one more with each replay.
    round = models.PositiveSmallIntegerField(default=0)
    replay = models.ForeignKey(
        ReceiptReplay, models.SET_NULL, null=True, related_name="receipts", db_index=False
    )
    body_pruned_at = models.DateTimeField(null=True)
    # How long its body was before it was emptied; null while it is there.
    pruned_bytes = models.BigIntegerField(null=True)
    # When it last became dead, and what dead receipts that failed alike share.
    dead_at = models.DateTimeField(null=True)
    fingerprint = models.CharField(max_length=32, blank=True)
    # Why a dead one is no longer to be taken up; empty while it is.
    discard_reason = models.CharField(max_length=200, blank=True)

    objects = ReceiptQuerySet.as_manager()

    class Meta:
        db_table = "webhooks.incoming"
        ordering: ClassVar = ["-received_at"]
        constraints: ClassVar = [
            # An id is taken once; NULLs are no repeats. Also the search for the receipt that a
            # repeat repeats, and a person's for a provider's id.
            models.UniqueConstraint(
                fields=["external_id", "source", "dedup_slot"], name="receipt_unique_per_source"
            )
        ]
        indexes: ClassVar = [
            # The claim of receipts to process; holds only what waits.
            models.Index(
                fields=["next_attempt_at"],
                condition=Q(next_attempt_at__isnull=False),
                name="receipt_due",
            ),
            # The sweep of leases that ran out.
            models.Index(
                fields=["leased_until"],
                condition=Q(leased_until__isnull=False),
                name="receipt_leased",
            ),
            # Receipts with the same body.
            models.Index(fields=["body_sha256"], name="receipt_by_body"),
            # A source's list by state, newest first.
            models.Index(fields=["source", "status", "-received_at"], name="receipt_by_source"),
            # The account's list, newest first.
            models.Index(fields=["account", "-received_at"], name="receipt_by_account"),
            # The console's list over all accounts.
            models.Index(fields=["-received_at"], name="receipt_by_time"),
            # The lists of what no route took.
            models.Index(
                fields=["account", "-received_at"],
                condition=Q(status="processed", action_count=0),
                name="receipt_unmatched",
            ),
            # The lists of what waits for a person.
            models.Index(
                fields=["account", "-received_at"],
                condition=Q(quarantined_at__isnull=False),
                name="receipt_quarantined",
            ),
            # The lists of what has an earlier one's body.
            models.Index(
                fields=["account", "-received_at"],
                condition=Q(same_body_as__isnull=False),
                name="receipt_same_body",
            ),
            # The list of what a replay took.
            models.Index(
                fields=["replay", "-received_at"],
                condition=Q(replay__isnull=False),
                name="receipt_by_replay",
            ),
            # Dead receipts as they died, and those to prune.
            models.Index(
                fields=["account", "-dead_at"], condition=Q(status="dead"), name="receipt_dead"
            ),
            # Dead receipts that failed alike: their count, the first and the last.
            models.Index(
                fields=["account", "fingerprint", "dead_at"],
                condition=Q(status="dead", discard_reason=""),
                name="receipt_dead_alike",
            ),
        ]

    def __str__(self) -> str:
        return f"{visible(self.type or self.method)} {self.id}"

    @property
    def causation_id(self) -> str:
        """How events name this receipt as what caused them."""
        return f"receipt:{self.id}"

    def die(self, now: datetime) -> None:
        """Note that it is dead, by its present cause and detail, and awaits a person."""
        self.status = self.Status.DEAD
        self.dead_at = now
        self.fingerprint = fingerprint_of(self.source_id, self.cause, text=self.detail)
        self.discard_reason = ""
