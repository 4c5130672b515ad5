"""What is wrong with accounts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from uuid import UUID

from django.db.models import Exists, OuterRef, Q

from incoming.models import Source
from monitoring.validation.problems import Kind, Problem
from subscriptions.models import Subscription
from webhooks_project.accounts.models import Account, ApiKey, Membership, Role


def problems_of_accounts(rows: Sequence[Account], now: datetime) -> Iterator[Problem]:
    """Those that have subscriptions or sources, and nobody who could look after them."""
    own = {"account": OuterRef("pk")}
    admins = Membership.objects.filter(**own, role=Role.ADMIN, user__is_active=True)
    subscriptions = Subscription.objects.filter(**own).exclude(status=Subscription.Status.ARCHIVED)
    left_alone = Account.objects.filter(
        Exists(subscriptions.order_by()) | Exists(Source.objects.filter(**own).order_by()),
        ~Exists(admins.order_by()),
        pk__in=[row.pk for row in rows],
    ).order_by("pk")
    keyed = {
        key.account_id
        for key in ApiKey.objects.filter(
            Q(expires_at=None) | Q(expires_at__gt=now), account__in=left_alone, revoked_at=None
        )
        if key.role == Role.ADMIN
    }
    for row in left_alone:
        if row.pk not in keyed:
            yield Problem(
                row.pk, Kind.NO_ADMIN,
                "Nobody looks after it: no active member and no key has the role admin.",
            )  # fmt: skip


def accounts_after(after: UUID | None, size: int) -> list[Account]:
    """The next of all accounts by their ids."""
    rows = Account.objects.only("pk").order_by("pk")
    return list((rows if after is None else rows.filter(pk__gt=after))[:size])
