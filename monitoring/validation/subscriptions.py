"""What is wrong with subscriptions: hundreds at a time, in as many queries whatever they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.db.models import Exists, OuterRef, Q
from django.utils.dateparse import parse_datetime

from monitoring.outcomes import ever_attempted
from monitoring.validation.problems import (
    Kind,
    Problem,
    expression_problem,
    filter_problem,
    unreadable_fields,
)
from outgoing.models import Delivery
from subscriptions.models import EventSchema, EventType, SigningSecret, SubscribedType, Subscription
from subscriptions.operational import is_operational
from subscriptions.versions import downgrades_of, steps_down
from webhooks_project.accounts.models import UnknownEventTypes
from webhooks_project.fields import EncryptedTextField

VERIFYING_FOR: Final = timedelta(days=1)  # a set-up takes minutes
QUIET_FOR: Final = timedelta(days=7)  # without one delivery, before that is worth a word
LOOKED_AT: Final = 500  # of a subscription's first and of its last deliveries

Status = Subscription.Status
TypeKey = tuple[UUID, str]
SEALED: Final = tuple(
    item.name for item in Subscription._meta.concrete_fields if isinstance(item, EncryptedTextField)
)
READ: Final = (
    "account", "name", "status", "status_reason", "expires_at", "setup", "filter",
    "transformation", "schema_versions", "created_at", "failing_since", *SEALED,
)  # fmt: skip


def problems_of_subscriptions(rows: Sequence[Subscription], now: datetime) -> Iterator[Problem]:
    """Everything wrong with these; of archived ones nothing is."""
    rows = [row for row in rows if row.status != Status.ARCHIVED]
    if not rows:
        return
    facts = _read(rows, now)
    for row in rows:
        for kind, text in _problems(row, facts, now):
            yield Problem(row.account_id, kind, text[:500], subscription_id=row.pk)


@dataclass(slots=True)
class _Facts:
    """What the checks need of other tables."""

    patterns: dict[UUID, list[str]] = field(default_factory=dict)
    secrets: dict[UUID, list[SigningSecret]] = field(default_factory=dict)
    types: dict[TypeKey, EventType] = field(default_factory=dict)
    majors: dict[TypeKey, set[int]] = field(default_factory=dict)
    downgrades: Mapping[TypeKey, Mapping[int, str]] = field(default_factory=dict)
    without_any: set[UUID] = field(default_factory=set)
    undelivered: set[UUID] = field(default_factory=set)
    rejecting: set[UUID] = field(default_factory=set)


def _read(rows: Sequence[Subscription], now: datetime) -> _Facts:
    facts = _Facts()
    ids = [row.pk for row in rows]
    accounts = {row.account_id for row in rows}
    for subscription_id, pattern in SubscribedType.objects.filter(subscription__in=ids).values_list(
        "subscription_id", "pattern"
    ):
        facts.patterns.setdefault(subscription_id, []).append(pattern)
    for secret in SigningSecret.objects.filter(subscription__in=ids):
        facts.secrets.setdefault(secret.subscription_id, []).append(secret)
    pinned = {name for row in rows for name in row.schema_versions}
    named = {name for found in facts.patterns.values() for name in found if not name.endswith("*")}
    for type_ in EventType.objects.filter(
        account__in=accounts, name__in=named | pinned
    ).select_related("successor"):
        facts.types[type_.account_id, type_.name] = type_
    pairs = EventSchema.objects.filter(
        event_type__account__in=accounts, event_type__name__in=pinned
    ).values_list("event_type__account_id", "event_type__name", "major")
    for account_id, name, major in pairs:
        facts.majors.setdefault((account_id, name), set()).add(major)
    facts.downgrades = downgrades_of(dict.fromkeys(accounts, pinned))
    facts.rejecting = set(
        Subscription.objects.filter(
            pk__in=ids, account__unknown_event_types=UnknownEventTypes.REJECT
        ).values_list("account_id", flat=True)
    )
    _read_deliveries(rows, facts, now)
    return facts


def _read_deliveries(rows: Sequence[Subscription], facts: _Facts, now: datetime) -> None:
    """Those that never got a delivery, and those whose deliveries all failed."""
    old = [
        row for row in rows
        if row.status in (Status.ACTIVE, Status.PAUSED) and row.created_at <= now - QUIET_FOR
    ]  # fmt: skip
    any_ = Delivery.objects.filter(subscription=OuterRef("pk")).order_by()
    without_any = set(
        Subscription.objects.filter(~Exists(any_), pk__in=[row.pk for row in old]).values_list(
            "pk", flat=True
        )
    )
    # Only what has not succeeded since its first failure may never have.
    failing = [row.pk for row in old if row.failing_since is not None]
    of_it = Delivery.objects.filter(subscription=OuterRef(OuterRef("pk")))
    first = of_it.order_by("created_at").values("pk")[:LOOKED_AT]
    last = of_it.order_by("-created_at").values("pk")[:LOOKED_AT]
    delivered = [
        Exists(Delivery.objects.filter(pk__in=some, status=Delivery.Status.DELIVERED).order_by())
        for some in (first, last)
    ]
    undelivered = set(
        Subscription.objects.filter(
            ~delivered[0], ~delivered[1], Q(failing_since__lte=now - QUIET_FOR), pk__in=failing
        ).values_list("pk", flat=True)
    )
    # Deliveries are pruned; what was counted of them stays.
    facts.without_any = without_any - ever_attempted(without_any)
    facts.undelivered = undelivered - ever_attempted(undelivered, succeeded=True)


def _problems(row: Subscription, facts: _Facts, now: datetime) -> Iterator[tuple[Kind, str]]:
    if row.status == Status.EXPIRED:
        yield Kind.EXPIRED, f"It ended{_on(row.expires_at)}. Renew it, or archive it."
        return
    yield from _of_setup(row, now)
    yield from _of_secrets(row, facts, now)
    yield from _of_types(row, facts)
    if row.pk in facts.without_any:
        yield (
            Kind.NEVER_DELIVERED,
            (f"No event has matched it since it was made{_on(row.created_at)}."),
        )
    elif row.pk in facts.undelivered:
        yield (
            Kind.NEVER_DELIVERED,
            (f"Not one delivery has succeeded; the first failed{_on(row.failing_since)}."),
        )
    if row.filter is not None and (problem := filter_problem(row.filter)):
        yield Kind.FILTER_BROKEN, f"Its filter cannot be used, so it hears nothing: {problem}"
    if row.transformation and (problem := expression_problem(row.transformation)):
        yield Kind.TRANSFORMATION_BROKEN, f"Its transformation is no expression: {problem}"


def _of_setup(row: Subscription, now: datetime) -> Iterator[tuple[Kind, str]]:
    steps: list[dict[str, Any]] = row.setup
    moments = [found for step in steps if (found := parse_datetime(str(step.get("at", ""))))]
    since = max(moments, default=row.created_at)
    if row.status == Status.VERIFYING and since <= now - VERIFYING_FOR:
        yield Kind.UNVERIFIABLE, f"It has been verifying{_on(since, 'since')} without an end."
    failed = next((step for step in steps if step.get("outcome") == "failed"), None)
    if failed is not None:
        yield (
            Kind.SETUP_FAILING,
            (f"The last set-up failed at {failed.get('step')}: {failed.get('detail')}"),
        )


def _of_secrets(row: Subscription, facts: _Facts, now: datetime) -> Iterator[tuple[Kind, str]]:
    secrets = facts.secrets.get(row.pk, [])
    valid = [secret for secret in secrets if secret.is_valid(now)]
    unreadable = {*unreadable_fields(row)}
    if any(True for secret in valid for _ in unreadable_fields(secret)):
        unreadable.add("signing secret")
    if unreadable:
        yield (
            Kind.SECRET_UNREADABLE,
            (f"No encryption key opens its {', '.join(sorted(unreadable))}."),
        )
    if not valid:
        yield Kind.NO_VALID_SECRET, "It has no valid signing secret: nothing can be delivered."


def _of_types(row: Subscription, facts: _Facts) -> Iterator[tuple[Kind, str]]:
    gone, deprecated = [], []
    for name in sorted(facts.patterns.get(row.pk, [])):
        if name.endswith("*") or is_operational(name):
            continue
        type_ = facts.types.get((row.account_id, name))
        if type_ is None:
            if row.account_id in facts.rejecting:
                gone.append(name)
        elif type_.archived_at is not None:
            gone.append(name)
        elif type_.deprecated_at is not None:
            deprecated.append(f"{name} (now {type_.successor})" if type_.successor else name)
    if gone:
        yield Kind.TYPE_GONE, f"No event is published as {_some(gone)} any more."
    if deprecated:
        yield Kind.TYPE_DEPRECATED, f"It hears deprecated types: {_some(deprecated)}."
    lost = [
        f"{name} {major}" for name, major in sorted(row.schema_versions.items())
        if not _is_to_be_had(facts, (row.account_id, name), major)
    ]  # fmt: skip
    if lost:
        yield Kind.SCHEMA_VERSION_GONE, f"It stays with versions that are gone: {_some(lost)}."


def _is_to_be_had(facts: _Facts, key: TypeKey, major: Any) -> bool:
    """Whether data of the latest major version can be brought to the one asked for."""
    majors = facts.majors.get(key, set())
    if major not in majors:
        return False
    return steps_down(facts.downgrades.get(key, {}), major=max(majors), to=major) is not None


def _on(moment: datetime | None, word: str = "on") -> str:
    return f" {word} {moment:%Y-%m-%d}" if moment else ""


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more


def subscriptions_after(after: UUID | None, size: int) -> list[Subscription]:
    """The next of all subscriptions by their ids, with what is read of each."""
    rows = Subscription.objects.only("pk", *READ).order_by("pk")
    return list((rows if after is None else rows.filter(pk__gt=after))[:size])
