"""Questions asked of subscriptions, by their domain names."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from django.db import models
from django.db.models import Q

if TYPE_CHECKING:
    from subscriptions.models import SigningSecret
else:
    SigningSecret = models.Model


class SigningSecretQuerySet(models.QuerySet["SigningSecret"]):
    def valid(self, now: datetime) -> SigningSecretQuerySet:
        """Those that still sign, the newest first."""
        return self.filter(Q(expires_at=None) | Q(expires_at__gt=now)).order_by(
            "-created_at", "-id"
        )
