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

    class Meta:
        db_table = "activities"
        verbose_name_plural = "activity"
        ordering: ClassVar = ["-created_at"]
        indexes: ClassVar = [
            # The account's list, newest first.
            models.Index(fields=["account", "-created_at"], name="activity_by_account"),
            # The console's list over all accounts.
            models.Index(fields=["-created_at"], name="activity_by_time"),
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
    action = models.CharField(max_length=64)
    object_type = models.CharField(max_length=64)
    object_id = models.CharField(max_length=64)
    # JSON text exactly as it was hashed, secrets masked.
    before = models.TextField(default="{}")
    after = models.TextField(default="{}")
    previous_hash = models.CharField(max_length=64)
    hash = models.CharField(max_length=64)

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
        ]

    def __str__(self) -> str:
        return f"{self.sequence} {self.action}"
