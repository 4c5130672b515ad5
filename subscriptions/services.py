"""What is done with subscriptions. Each function is one transaction and is audited."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import transaction
from django.db.models import Q

from monitoring import journal
from subscriptions.acceptable import subscription_problems
from subscriptions.endpoints import endpoint_problem
from subscriptions.errors import (
    EndpointNotAcceptable,
    EventTypeMalformed,
    GraceNotAcceptable,
    StateNotAllowed,
    SubscriptionNotAcceptable,
)
from subscriptions.lifecycle import allows, passed_notice
from subscriptions.matching import is_pattern
from subscriptions.models import SigningSecret, SubscribedType, Subscription
from subscriptions.security import FIELDS as SECURITY
from subscriptions.security import accept_security, audited_security, moving_credentials
from subscriptions.signals import status_changed
from webhooks_project.acceptable import refuse
from webhooks_project.accounts.models import Account
from webhooks_project.fields import EncryptedTextField
from webhooks_project.lib import clock, signing

ROTATION_GRACE: Final = timedelta(hours=24)  # how long the old secret signs beside the new one
MAX_ROTATION_GRACE: Final = timedelta(days=7)

CHANGEABLE: Final = (
    "name", "url", "description", "metadata", "labels", "channels", "filter", "payload_form",
    "transformation", "variables", "schema_versions", "timeout_seconds", "max_in_flight",
    "rate_limit", "rate_period", "ordering", "order_key", "batch_size", "batch_seconds",
    "retry_policy", "retry_schedule", "retry_max_age_seconds", "retry_statuses",
    "delivery_window", "checks_health", "health_check_kind", "health_check_minutes",
)  # fmt: skip

# What the looks at an endpoint go by.
CHECKS: Final = frozenset({"url", "checks_health", "health_check_kind", "health_check_minutes"})

# Reading a row anew opens what is sealed, and fails where its encryption key is missing.
READABLE: Final = [
    column.attname
    for column in Subscription._meta.concrete_fields
    if not isinstance(column, EncryptedTextField)
]


@dataclass(frozen=True)
class NewSubscription:
    """A subscription just made. `secret` is shown once."""

    subscription: Subscription
    secret: str = field(repr=False)

    @property
    def public_key(self) -> str:
        """The public half of an Ed25519 key; empty for a shared secret."""
        return signing.public_key_of(self.secret)


def create_subscription(
    *,
    account: Account,
    name: str,
    url: str,
    event_types: Collection[str],
    secret: str | None = None,
    status: Subscription.Status = Subscription.Status.ACTIVE,
    expires_at: datetime | None = None,
    **fields: Any,
) -> NewSubscription:
    """Make a subscription with a signing secret, its own or the one given: active, unless said.

    `fields` are others of CHANGEABLE and those of SECURITY. Raises EndpointNotAcceptable (looks
    the URL's name up), EventTypeMalformed and SubscriptionNotAcceptable.
    """
    _check_names(fields)
    _check(url=url, event_types=event_types)
    fields |= accept_security(fields)
    text = secret or signing.new_secret()
    signing.key_of(text)
    subscription = Subscription(
        account=account,
        name=name,
        url=url,
        status=status,
        expires_at=expires_at,
        expiry_noticed_days=passed_notice(expires_at=expires_at, now=clock.now())
        if expires_at
        else None,
        **fields,
    )
    refuse(subscription_problems(subscription), SubscriptionNotAcceptable)
    with transaction.atomic():
        subscription.save(force_insert=True)
        _set_event_types(subscription, event_types)
        _add_secret(subscription, text)
        journal.record_change(
            account_id=account.pk,
            action="subscription.created",
            subject=subscription,
            after=_shown(subscription),
        )
    return NewSubscription(subscription, text)


def change_subscription(
    *,
    subscription: Subscription,
    event_types: Collection[str] | None = None,
    keep_credentials: bool = False,
    **changes: Any,
) -> Subscription:
    """Change the named fields (those of CHANGEABLE and SECURITY) and, where given, what it hears.

    A URL of another host is refused while there are credentials that it would be sent, unless
    `keep_credentials` says that it may have them, or they are named anew. Raises
    EndpointNotAcceptable, EventTypeMalformed and SubscriptionNotAcceptable.
    """
    _check_names(changes)
    _check(url=changes.get("url"), event_types=event_types)
    accepted = accept_security(changes, subscription)
    if "url" in changes and not keep_credentials:
        moving = moving_credentials(subscription, changes["url"], changes)
        refuse(moving, SubscriptionNotAcceptable)
    changes |= accepted
    with transaction.atomic():
        subscription.refresh_from_db(
            fields=READABLE, from_queryset=Subscription.objects.select_for_update()
        )
        before = _shown(subscription)
        if changes.get("url", subscription.url) != subscription.url:
            changes |= _closed_breaker(subscription, clock.now())
        if CHECKS & changes.keys():  # it is looked at anew soon, in the new way
            changes["health_check_due_at"] = clock.now()
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
            after={name: value for name, value in after.items() if value != before[name]}
            | ({"security_set": sorted(accepted)} if accepted else {}),
        )
        if subscription.url != before["url"]:
            from subscriptions.setup import ask_again_for_ownership  # which imports this module

            ask_again_for_ownership(subscription=subscription)
    return subscription


@transaction.atomic
def rotate_secret(
    *,
    subscription: Subscription,
    kind: SigningSecret.Kind = SigningSecret.Kind.HMAC,
    grace: timedelta = ROTATION_GRACE,
    replaces_all: bool = False,
) -> NewSubscription:
    """Sign with a new secret of this kind from now on, and with the old ones too for the grace.

    Secrets of the other kind go on beside it, unless it `replaces_all`. An end that was set
    before is brought forward, never put off. Raises GraceNotAcceptable.
    """
    if not timedelta() <= grace <= MAX_ROTATION_GRACE:
        raise GraceNotAcceptable
    end = clock.now() + grace
    old = SigningSecret.objects.filter(subscription=subscription)
    if not replaces_all:
        old = old.filter(kind=kind)
    old.filter(Q(expires_at=None) | Q(expires_at__gt=end)).update(expires_at=end)
    is_shared = kind == SigningSecret.Kind.HMAC
    text = signing.new_secret() if is_shared else signing.new_private_key()
    _add_secret(subscription, text)
    journal.record_change(
        account_id=subscription.account_id,
        action="subscription.secret_rotated",
        subject=subscription,
        after={
            "kind": kind,
            "grace_seconds": grace.total_seconds(),
            "replaces_all": replaces_all,
        },
    )
    return NewSubscription(subscription, text)


@transaction.atomic
def set_status(
    *, subscription: Subscription, status: Subscription.Status, reason: str = ""
) -> Subscription:
    """Change the status and note when and why; asked for the one that it has, change nothing.

    Deliveries follow it by themselves: while it is paused or disabled they are held, when it is
    active again they go out, when it is archived they are cancelled. Raises StateNotAllowed.
    """
    subscription = Subscription.objects.select_for_update().get(pk=subscription.pk)
    if subscription.status == status:
        return subscription
    now = clock.now()
    _check_move(subscription, status, now)
    before = _shown(subscription)
    changes: dict[str, Any] = {
        "status": status,
        "status_reason": reason[:200],
        "paused_at": now if status == Subscription.Status.PAUSED else None,
        "disabled_at": now if status == Subscription.Status.DISABLED else None,
    }
    if status != Subscription.Status.VERIFYING:
        changes["setup_due_at"] = None
    if status == Subscription.Status.ACTIVE:
        # Its time begins anew. That people were warned is kept, so that they hear of a success.
        warned = subscription.failing_noticed_percent is not None
        changes |= {
            "failing_since": None,
            "last_failed_at": None,
            "failing_noticed_percent": 0 if warned else None,
            "failing_noticed_at": None,
            **_closed_breaker(subscription, now),
        }
    for name, value in changes.items():
        setattr(subscription, name, value)
    subscription.save(update_fields=list(changes))
    journal.record_change(
        account_id=subscription.account_id,
        action=f"subscription.{status}",
        subject=subscription,
        before=before,
        after=_shown(subscription),
    )
    status_changed.send(Subscription, subscription=subscription)
    return subscription


def _closed_breaker(subscription: Subscription, now: datetime) -> dict[str, Any]:
    """What was seen of its endpoint so far counts no more."""
    if subscription.breaker != Subscription.Breaker.CLOSED:
        journal.record_activity(
            account_id=subscription.account_id,
            kind="breaker.closed",
            text=f"Deliveries to {subscription.name} go on: it is taken up anew.",
            subject=subscription,
        )
    return {"breaker": Subscription.Breaker.CLOSED, "breaker_changed_at": now}


def _check_names(fields: Iterable[str]) -> None:
    if unknown := set(fields) - {*CHANGEABLE, *SECURITY}:
        raise TypeError(f"not changeable: {', '.join(sorted(unknown))}")


def _check_move(subscription: Subscription, status: Subscription.Status, now: datetime) -> None:
    before = Subscription.Status(subscription.status)
    if not allows(before, status):
        raise StateNotAllowed(
            f"it is {before.value}, and cannot become {status.value} from that",
            present_status=before.value,
        )
    if status != Subscription.Status.ACTIVE:
        return
    if subscription.expires_at is not None and subscription.expires_at <= now:
        raise StateNotAllowed("its time is over; renew it", present_status=before.value)
    if subscription.challenge:
        raise StateNotAllowed(
            "its endpoint has not proved yet who owns it; verify it", present_status=before.value
        )


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


def _add_secret(subscription: Subscription, text: str) -> None:
    public_key = signing.public_key_of(text)
    SigningSecret.objects.create(
        subscription=subscription,
        kind=SigningSecret.Kind.ED25519 if public_key else SigningSecret.Kind.HMAC,
        secret=text,
        public_key=public_key,
    )


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
        **audited_security(subscription),
    }
