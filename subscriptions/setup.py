"""The set-up of a subscription: asked for here, run by outgoing/setups.py, written down here.

The row is the queue: `setup_due_at` says when the set-up is to run. It never runs in a request,
since an endpoint may be slow.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from django.db import transaction

from monitoring import journal
from subscriptions.errors import ExpiryNotAcceptable, StateNotAllowed
from subscriptions.models import Subscription
from subscriptions.services import NewSubscription, create_subscription, set_status
from webhooks_project.accounts.models import Account
from webhooks_project.lib import clock
from webhooks_project.queues import send_hint

Status = Subscription.Status

LEASE: Final = timedelta(minutes=3)  # a set-up not ended for longer is run again


class Name(StrEnum):
    """The steps, in their order."""

    ENDPOINT = "endpoint"
    PERMISSION = "permission"
    CONFIGURATION = "configuration"
    CERTIFICATE = "certificate"
    TEST_DELIVERY = "test_delivery"
    OWNERSHIP = "ownership"
    ACTIVATION = "activation"
    HEALTH_CHECK = "health_check"
    ANALYTICS = "analytics"


class Outcome(StrEnum):
    OK = "ok"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Step:
    """What one step found."""

    name: Name
    outcome: Outcome
    detail: str
    at: datetime

    def as_json(self) -> dict[str, str]:
        return {
            "step": self.name.value,
            "outcome": self.outcome.value,
            "detail": self.detail,
            "at": self.at.isoformat().replace("+00:00", "Z"),
        }


def ok(name: Name, detail: str) -> Step:
    return Step(name, Outcome.OK, detail, clock.now())


def failed(name: Name, detail: str) -> Step:
    return Step(name, Outcome.FAILED, detail, clock.now())


def skipped(name: Name, detail: str) -> Step:
    return Step(name, Outcome.SKIPPED, detail, clock.now())


def create_with_setup(
    *, account: Account, activate: bool = True, skip_verification: bool = False, **fields: Any
) -> NewSubscription:
    """`create_subscription`, and its set-up right after the commit; as a draft where not asked to
    activate. `skip_verification` makes it active without one.

    Raises what `create_subscription` does, and ExpiryNotAcceptable.
    """
    expires_at = fields.get("expires_at")
    if expires_at is not None and expires_at <= clock.now():
        raise ExpiryNotAcceptable
    made = create_subscription(account=account, status=Status.DRAFT, **fields)
    if skip_verification:
        subscription = activate_subscription(subscription=made.subscription, skip_verification=True)
    elif activate:
        subscription = request_setup(subscription=made.subscription)
    else:
        return made
    return NewSubscription(subscription, made.secret)


@transaction.atomic
def request_setup(*, subscription: Subscription) -> Subscription:
    """Have the set-up run, in the background, from now.

    A draft is verifying until then, and active or a draft again afterwards. Of one that is active,
    paused or disabled only the findings change. Raises StateNotAllowed.
    """
    subscription = _locked(subscription)
    if subscription.status in (Status.EXPIRED, Status.ARCHIVED):
        raise StateNotAllowed(f"it is {subscription.status}", present_status=subscription.status)
    if subscription.status == Status.DRAFT:
        subscription = set_status(subscription=subscription, status=Status.VERIFYING)
    subscription.setup_due_at = clock.now()
    if subscription.status == Status.VERIFYING and subscription.account.asks_for_ownership:
        subscription.challenge = subscription.challenge or secrets.token_urlsafe(24)
    subscription.save(update_fields=["setup_due_at", "challenge"])
    journal.record_change(
        account_id=subscription.account_id,
        action="subscription.setup_requested",
        subject=subscription,
    )
    # Not `wake`, which is silent for a second after each hint: people wait for this.
    transaction.on_commit(lambda: send_hint("monitoring"), robust=True)
    return subscription


@transaction.atomic
def activate_subscription(
    *, subscription: Subscription, skip_verification: bool = False
) -> Subscription:
    """Make a draft active on the findings of its last set-up, or, said explicitly, without any.

    Raises StateNotAllowed.
    """
    subscription = _locked(subscription)
    if subscription.status not in (Status.DRAFT, Status.VERIFYING):
        raise StateNotAllowed(
            f"it is {subscription.status}; a draft is activated", present_status=subscription.status
        )
    if not skip_verification:
        # A set-up without a failure has activated it already, so there is nothing to go by.
        raise StateNotAllowed(
            "its set-up has not succeeded: verify it, or say skip_verification",
            present_status=subscription.status,
        )
    subscription.challenge = ""
    subscription.save(update_fields=["challenge"])
    journal.record_change(
        account_id=subscription.account_id,
        action="subscription.verification_skipped",
        subject=subscription,
    )
    return set_status(
        subscription=subscription, status=Status.ACTIVE, reason="activated without verification"
    )


@transaction.atomic
def ask_again_for_ownership(*, subscription: Subscription) -> Subscription:
    """After a change of the URL, where the account asks for ownership: the new one has to prove it.

    What is active is verifying until then, and its deliveries are held; what is paused or disabled
    cannot be resumed before it is verified, and what has expired is verified when it is renewed.
    """
    subscription = _locked(subscription)
    if not subscription.account.asks_for_ownership or subscription.status in (
        Status.DRAFT,
        Status.ARCHIVED,
    ):
        return subscription
    subscription.challenge = secrets.token_urlsafe(24)
    subscription.save(update_fields=["challenge"])
    if subscription.status == Status.EXPIRED:
        return subscription
    if subscription.status == Status.ACTIVE:
        subscription = set_status(
            subscription=subscription, status=Status.VERIFYING, reason="its URL was changed"
        )
    return request_setup(subscription=subscription)


@dataclass(frozen=True, slots=True)
class SetupClaim:
    """A set-up that this process is to run. `until` is its token: the end of its lease."""

    subscription: Subscription
    until: datetime


@transaction.atomic
def claim_due_setups(now: datetime, limit: int) -> list[SetupClaim]:
    """Take due set-ups, the longest waiting first. One that a process was lost with is due again
    when its lease has ended."""
    rows = list(
        Subscription.objects.filter(setup_due_at__lte=now)
        .order_by("setup_due_at")
        .select_for_update(skip_locked=True, of=("self",))
        .select_related("account")
        .prefetch_related("patterns")[:limit]
    )
    until = (now + LEASE).replace(microsecond=0)  # whole, so that every database keeps it exactly
    Subscription.objects.filter(pk__in=[row.pk for row in rows]).update(setup_due_at=until)
    return [SetupClaim(row, until) for row in rows]


@transaction.atomic
def finish_setup(
    *,
    claim: SetupClaim,
    steps: Sequence[Step],
    certificate_expires_at: datetime | None,
) -> Subscription | None:
    """Write the findings down, and make what is verifying active, or a draft again.

    None where the claim is another's by now, or the subscription was changed so that the findings
    are not of it any more: then the set-up runs once more.
    """
    row = _locked(claim.subscription)
    if row.setup_due_at != claim.until:
        return None
    if (row.url, row.challenge) != (claim.subscription.url, claim.subscription.challenge):
        Subscription.objects.filter(pk=row.pk).update(setup_due_at=clock.now())
        return None
    problem = next((step for step in steps if step.outcome == Outcome.FAILED), None)
    row.setup = [step.as_json() for step in [*steps, *_last_steps(row, problem)]]
    row.setup_due_at = None
    row.certificate_expires_at = certificate_expires_at
    if problem is None:
        row.challenge = ""
    row.save(update_fields=["setup", "setup_due_at", "certificate_expires_at", "challenge"])
    if row.status != Status.VERIFYING:
        return row
    if problem is None:
        return set_status(subscription=row, status=Status.ACTIVE)
    return set_status(
        subscription=row,
        status=Status.DRAFT,
        reason=f"{problem.name.value} failed: {problem.detail}",
    )


def _last_steps(row: Subscription, problem: Step | None) -> list[Step]:
    if problem is not None:
        why = f"{problem.name.value} failed"
        return [skipped(name, why) for name in list(Name)[-3:]]
    return [
        ok(Name.ACTIVATION, "it is active")
        if row.status in (Status.VERIFYING, Status.ACTIVE)
        else skipped(Name.ACTIVATION, f"it is {row.status}, and stays so"),
        ok(
            Name.HEALTH_CHECK,
            f"the endpoint is looked at every {row.health_check_minutes} minutes "
            f"({row.health_check_kind}), for the first time soon",
        )
        if row.checks_health
        else skipped(Name.HEALTH_CHECK, "checks_health is off"),
        ok(Name.ANALYTICS, "each attempt is counted by the minute, from the first one on"),
    ]


def _locked(subscription: Subscription) -> Subscription:
    return Subscription.objects.select_for_update().get(pk=subscription.pk)
