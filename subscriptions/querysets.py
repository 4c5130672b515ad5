"""Questions asked of subscriptions, by their domain names."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from django.db import models
from django.db.models import Q

if TYPE_CHECKING:
    from subscriptions.models import SigningSecret, Subscription
else:
    SigningSecret = Subscription = models.Model


class SubscriptionQuerySet(models.QuerySet["Subscription"]):
    def hearing(self, account_ids: Iterable[UUID], patterns: Iterable[str]) -> SubscriptionQuerySet:
        """The subscriptions of these accounts with any of these patterns, with their patterns."""
        return self.filter(
            patterns__account_id__in=account_ids, patterns__pattern__in=patterns
        ).distinct()


class SigningSecretQuerySet(models.QuerySet["SigningSecret"]):
    def valid(self, now: datetime) -> SigningSecretQuerySet:
        """Those that still sign, the newest first."""
        return self.filter(Q(expires_at=None) | Q(expires_at__gt=now)).order_by(
            "-created_at", "-id"
        )
