"""What deliveries are signed with."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from django.db import models

from subscriptions.models.subscriptions import Subscription
from subscriptions.querysets import SigningSecretQuerySet
from webhooks_project.fields import EncryptedTextField
from webhooks_project.lib.ids import new_id


class SigningSecret(models.Model):
    """What deliveries are signed with; several while one is being rotated.

    A `whsec_` text is an HMAC key; a `whsk_` text is an Ed25519 key, whose public half is `whpk_`.
    """

    class Kind(models.TextChoices):
        HMAC = "hmac"
        ED25519 = "ed25519"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    subscription = models.ForeignKey(Subscription, models.CASCADE, related_name="secrets")
    kind = models.CharField(max_length=8, choices=Kind.choices, default=Kind.HMAC)
    secret = EncryptedTextField()
    public_key = models.CharField(max_length=64, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)

    objects = SigningSecretQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["-created_at"]

    def __str__(self) -> str:
        return f"secret of {self.subscription_id} from {self.created_at:%Y-%m-%d}"

    def is_valid(self, now: datetime) -> bool:
        return self.expires_at is None or self.expires_at > now
