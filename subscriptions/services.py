"""What is done with subscriptions. Each function is one transaction and is audited."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from django.db import transaction

from monitoring import journal
from subscriptions.acceptable import subscription_problems
from subscriptions.endpoints import endpoint_problem
from subscriptions.errors import (
    EndpointNotAcceptable,
    EventTypeMalformed,
    StateNotAllowed,
    SubscriptionNotAcceptable,
)
from subscriptions.matching import is_pattern
from subscriptions.models import SigningSecret, SubscribedType, Subscription
from webhooks_project.acceptable import refuse
from webhooks_project.accounts.models import Account
from webhooks_project.lib import clock, signing

ROTATION_GRACE: Final = timedelta(hours=24)  # how long the old secret signs beside the new one

CHANGEABLE: Final = (
    "name", "url", "description", "metadata", "labels", "channels", "filter", "payload_form",
    "transformation", "schema_versions", "timeout_seconds", "max_in_flight", "rate_limit",
    "rate_period", "ordering", "order_key", "batch_size", "batch_seconds", "retry_policy",
    "retry_schedule", "retry_statuses", "delivery_window", "expires_at", "checks_health",
)  # fmt: skip


@dataclass(frozen=True)
class NewSubscription:
    """A subscription just made. `secret` is shown once."""

    subscription: Subscription
    secret: str = field(repr=False)


def create_subscription(
    *,
    account: Account,
    name: str,
    url: str,
    event_types: Collection[str],
    secret: str | None = None,
    **fields: Any,
) -> NewSubscription:
    """Make an active subscription with a signing secret, its own or the one given.

    `fields` are others of CHANGEABLE. Raises EndpointNotAcceptable (looks the URL's name up),
    EventTypeMalformed and SubscriptionNotAcceptable.
    """
    _check_names(fields)
    _check(url=url, event_types=event_types)
    text = secret or signing.new_secret()
    signing.key_of(text)
    subscription = Subscription(account=account, name=name, url=url, **fields)
    refuse(subscription_problems(subscription), SubscriptionNotAcceptable)
    with transaction.atomic():
        subscription.save(force_insert=True)
        _set_event_types(subscription, event_types)
        SigningSecret.objects.create(subscription=subscription, secret=text)
        journal.record_change(
            account_id=account.pk,
            action="subscription.created",
            subject=subscription,
            after=_shown(subscription),
        )
    return NewSubscription(subscription, text)


def change_subscription(
    *, subscription: Subscription, event_types: Collection[str] | None = None, **changes: Any
) -> Subscription:
    """Change the named fields (those of CHANGEABLE) and, where given, what it hears.

    Raises EndpointNotAcceptable, EventTypeMalformed and SubscriptionNotAcceptable.
    """
    _check_names(changes)
    _check(url=changes.get("url"), event_types=event_types)
    with transaction.atomic():
        subscription.refresh_from_db(from_queryset=Subscription.objects.select_for_update())
        before = _shown(subscription)
        for name, value in changes.items():
            setattr(subscription, name, value)
        refuse(subscription_problems(subscription), SubscriptionNotAcceptable)
        subscription.save(update_fields=list(changes))
        if event_types is not None:
            _set_event_types(subscription, event_types)
        after = _shown(subscription)
        journal.record_change(
            account_id=subscription.account_id,
            action="subscription.changed",
            subject=subscription,
            before={name: value for name, value in before.items() if value != after[name]},
            after={name: value for name, value in after.items() if value != before[name]},
        )
    return subscription


@transaction.atomic
def rotate_secret(
    *, subscription: Subscription, grace: timedelta = ROTATION_GRACE
) -> NewSubscription:
    """Sign with a new secret from now on, and with the old ones too for the grace."""
    now = clock.now()
    SigningSecret.objects.filter(subscription=subscription).valid(now).filter(
        expires_at=None
    ).update(expires_at=now + grace)
    text = signing.new_secret()
    SigningSecret.objects.create(subscription=subscription, secret=text)
    journal.record_change(
        account_id=subscription.account_id,
        action="subscription.secret_rotated",
        subject=subscription,
        after={"grace_seconds": grace.total_seconds()},
    )
    return NewSubscription(subscription, text)


@transaction.atomic
def set_status(
    *, subscription: Subscription, status: Subscription.Status, reason: str = ""
) -> Subscription:
    """Change the status and note when and why.

    Deliveries follow it by themselves: while it is paused or disabled they are held, when it is
    active again they go out, when it is archived they are cancelled. Raises StateNotAllowed for
    an archived subscription.
    """
    subscription = Subscription.objects.select_for_update().get(pk=subscription.pk)
    if subscription.status == Subscription.Status.ARCHIVED != status:
        raise StateNotAllowed("an archived subscription stays archived")
    before = _shown(subscription)
    now = clock.now()
    subscription.status = status
    subscription.status_reason = reason[:200]
    subscription.paused_at = now if status == Subscription.Status.PAUSED else None
    subscription.disabled_at = now if status == Subscription.Status.DISABLED else None
    subscription.save(update_fields=["status", "status_reason", "paused_at", "disabled_at"])
    journal.record_change(
        account_id=subscription.account_id,
        action=f"subscription.{status}",
        subject=subscription,
        before=before,
        after=_shown(subscription),
    )
    return subscription


def _check_names(fields: Iterable[str]) -> None:
    if unknown := set(fields) - set(CHANGEABLE):
        raise TypeError(f"not changeable: {', '.join(sorted(unknown))}")


def _check(*, url: str | None, event_types: Iterable[str] | None) -> None:
    # Before the transaction: a name server that hangs must not hold a lock of the database.
    for pattern in event_types or ():
        if not is_pattern(pattern):
            raise EventTypeMalformed(
                f"{pattern!r} is no event type; such are invoice.paid, invoice.* and *"
            )
    if url is not None:
        problem = endpoint_problem(url)
        if problem is not None:
            raise EndpointNotAcceptable(f"the URL is refused: {problem}", problem=str(problem))


def _set_event_types(subscription: Subscription, event_types: Iterable[str]) -> None:
    wanted = set(event_types)
    present = set(subscription.patterns.values_list("pattern", flat=True))
    subscription.patterns.filter(pattern__in=present - wanted).delete()
    SubscribedType.objects.bulk_create(
        SubscribedType(subscription=subscription, account_id=subscription.account_id, pattern=name)
        for name in sorted(wanted - present)
    )


def _shown(subscription: Subscription) -> dict[str, Any]:
    return {
        **{name: getattr(subscription, name) for name in CHANGEABLE},
        "status": subscription.status,
        "status_reason": subscription.status_reason,
        "event_types": subscription.event_types,
    }
