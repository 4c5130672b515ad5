"""What the hub did, and who changed what."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from webhooks_project.lib.ids import new_id


class Activity(models.Model):
    """What the hub did, for people to read."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    account = models.ForeignKey("accounts.Account", models.CASCADE, related_name="+")
    kind = models.CharField(max_length=64)
    text = models.CharField(max_length=500)
    object_type = models.CharField(max_length=64, blank=True)
    object_id = models.CharField(max_length=64, blank=True)
    created_at = models.DateTimeField()
    # Of a kind that is written once an hour: how often it happened in that hour, and last when.
    count = models.PositiveIntegerField(default=1)
    last_at = models.DateTimeField(null=True)
    # Kind, object and hour of such a line; also the lookup of the line that counts on.
    hour_key = models.CharField(  # noqa: DJ001 - many have none
        max_length=160, null=True, unique=True, editable=False
    )

    class Meta:
        db_table = "activities"
        verbose_name_plural = "activity"
        ordering: ClassVar = ["-created_at"]
        indexes: ClassVar = [
            # The account's list, newest first.
            models.Index(fields=["account", "-created_at"], name="activity_by_account"),
            # The console's list over all accounts; what is old enough to be pruned.
            models.Index(fields=["-created_at"], name="activity_by_time"),
            # What was done with one row.
            models.Index(fields=["object_id", "-created_at"], name="activity_by_object"),
            # One kind, over all accounts.
            models.Index(fields=["kind", "-created_at"], name="activity_by_kind"),
        ]

    def __str__(self) -> str:
        return self.text


class AuditEntry(models.Model):
    """Who changed what. Each entry's hash covers the one before it in its account."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    account = models.ForeignKey("accounts.Account", models.PROTECT, related_name="+")
    sequence = models.PositiveBigIntegerField()
    created_at = models.DateTimeField()
    actor_kind = models.CharField(max_length=16)
    actor_id = models.CharField(max_length=64, blank=True)
    actor_label = models.CharField(max_length=200, blank=True)
    actor_address = models.CharField(max_length=45, blank=True)
    # Which of a person's sessions: a part of the SHA-256 of its key, which opens nothing.
    actor_session = models.CharField(max_length=16, blank=True)
    actor_agent = models.CharField(max_length=200, blank=True)
    action = models.CharField(max_length=64)
    object_type = models.CharField(max_length=64)
    object_id = models.CharField(max_length=64)
    # JSON text exactly as it was hashed, secrets masked.
    before = models.TextField(default="{}")
    after = models.TextField(default="{}")
    previous_hash = models.CharField(max_length=64)
    hash = models.CharField(max_length=64)
    # Which fields the hash is over, and in what order: monitoring/chain.py.
    format = models.PositiveSmallIntegerField(default=1)

    class Meta:
        verbose_name_plural = "audit entries"
        ordering: ClassVar = ["-created_at", "-sequence"]
        constraints: ClassVar = [
            # Two writers cannot both follow the same entry; also the walk along the chain.
            models.UniqueConstraint(fields=["account", "sequence"], name="audit_one_chain"),
        ]
        indexes: ClassVar = [
            # The console's list over all accounts.
            models.Index(fields=["-created_at"], name="audit_by_time"),
            # What was done to one row.
            models.Index(fields=["object_id"], name="audit_by_object"),
            # The account's list, newest first, and where a period of an export begins and ends.
            models.Index(fields=["account", "-created_at"], name="audit_by_account"),
        ]

    def __str__(self) -> str:
        return f"{self.sequence} {self.action}"


class AuditAnchor(models.Model):
    """The head of an account's chain on a day, as it was given out.

    The anchors of all accounts are one chain: `number` counts them and `hash` covers the anchor
    before, so that whoever keeps one hash outside can tell whether any older anchor was altered.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    # The walk along the chain; and of two nodes one goes on with it.
    number = models.PositiveBigIntegerField(unique=True)
    account = models.ForeignKey("accounts.Account", models.PROTECT, related_name="+")
    sequence = models.PositiveBigIntegerField()
    head_hash = models.CharField(max_length=64)
    created_at = models.DateTimeField()
    previous_hash = models.CharField(max_length=64)
    hash = models.CharField(max_length=64)

    class Meta:
        ordering: ClassVar = ["-number"]
        constraints: ClassVar = [
            # Also the lookup of an account's last anchor.
            models.UniqueConstraint(fields=["account", "sequence"], name="anchor_once"),
        ]

    def __str__(self) -> str:
        return f"{self.account_id}:{self.sequence}:{self.head_hash}"
