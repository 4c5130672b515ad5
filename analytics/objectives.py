"""Objectives: what is attained, what is left of the budget of failures, and how fast it burns."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.db import IntegrityError, transaction

from analytics.errors import ObjectiveExists, SubscriptionOfAnother
from analytics.models import Objective
from analytics.query import Dimension, Measure, Query, Unanswerable, answers
from monitoring import journal
from subscriptions.models import Subscription
from webhooks_project.accounts.models import Account

# The pairs that alerts look at are 1 h with 5 min, 6 h with 30 min, 3 d with 6 h.
BURN_WINDOWS: Final = (
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=1),
    timedelta(hours=6),
    timedelta(days=1),
    timedelta(days=3),
)
MEASURES: Final = (
    Measure.ATTEMPTS, Measure.SUCCEEDED, Measure.FIRST_ATTEMPTS, Measure.FIRST_SUCCEEDED,
    Measure.EXHAUSTED,
)  # fmt: skip
AUDITED: Final = ("counts", "target_percent", "window_days")


@dataclass(frozen=True, slots=True)
class BurnRate:
    """How fast the budget burned in a window: 1 uses it up in just the objective's days, 10 in a
    tenth of them. `rate` is None where nothing was attempted."""

    window: timedelta
    total: int
    failed: int
    rate: float | None


@dataclass(frozen=True, slots=True)
class ObjectiveStatus:
    """Where an objective stands at `until`. `attained` is 0 to 1, None where nothing was
    attempted.

    The budget are the failures that the target leaves room for among `total`; `budget_left` is
    what of it was not used, below 0 where there were more. `budget_left_rate` is its share, 1 where
    nothing failed.
    """

    since: datetime
    until: datetime
    target: float
    attained: float | None
    is_met: bool
    total: int
    failed: int
    budget: float
    budget_left: float
    budget_left_rate: float
    burn: Sequence[BurnRate]


@dataclass(frozen=True, slots=True)
class Targets:
    """The percent that shall succeed, of subscriptions with an objective of their own, and of
    accounts."""

    subscriptions: dict[UUID, float]
    accounts: dict[UUID, float]

    def of(self, subscription_id: UUID, account_id: UUID) -> float | None:
        return self.subscriptions.get(subscription_id, self.accounts.get(account_id))


def status_of(objective: Objective, now: datetime) -> ObjectiveStatus:
    """What was attained in the objective's days up to now."""
    return statuses_of([objective], now)[0]


def statuses_of(
    objectives: Sequence[Objective], now: datetime, windows: Sequence[timedelta] = BURN_WINDOWS
) -> list[ObjectiveStatus]:
    """The status of each, in their order: a question for each length of time, not for each of
    them."""
    own = {objective.pk: timedelta(days=objective.window_days) for objective in objectives}
    counts = _counts(objectives, {*own.values(), *windows}, now)
    found = []
    for objective in objectives:
        total, failed = counts[objective.pk, own[objective.pk]]
        # Exactly: 10 of 100 are within 90 %, which floats do not say.
        room = total * objective.budget_share
        budget = float(room)
        found.append(
            ObjectiveStatus(
                since=now - own[objective.pk],
                until=now,
                target=objective.target,
                attained=(total - failed) / total if total else None,
                is_met=failed <= room,
                total=total,
                failed=failed,
                budget=budget,
                budget_left=budget - failed,
                budget_left_rate=1 - failed / budget if budget else 1.0,
                burn=_burn(objective, windows, counts),
            )
        )
    return found


def burn_rates(
    objective: Objective, now: datetime, windows: Sequence[timedelta] = BURN_WINDOWS
) -> list[BurnRate]:
    """How fast the budget burned in each of the windows up to now."""
    return _burn(objective, windows, _counts([objective], windows, now))


def targets_of(account_ids: Collection[UUID] | None = None) -> Targets:
    """The targets of these accounts and their subscriptions; None for all."""
    rows: Any = Objective.objects.order_by()
    if account_ids is not None:
        rows = rows.filter(account__in=list(account_ids))
    subscriptions: dict[UUID, float] = {}
    accounts: dict[UUID, float] = {}
    for account_id, subscription_id, percent in rows.values_list(
        "account_id", "subscription_id", "target_percent"
    ):
        if subscription_id is None:
            accounts[account_id] = float(percent)
        else:
            subscriptions[subscription_id] = float(percent)
    return Targets(subscriptions, accounts)


Counts = Mapping[tuple[UUID, timedelta], tuple[int, int]]


def _burn(objective: Objective, windows: Sequence[timedelta], counts: Counts) -> list[BurnRate]:
    found = []
    for window in windows:
        total, failed = counts[objective.pk, window]
        rate = failed / total / float(objective.budget_share) if total else None
        found.append(BurnRate(window, total, failed, rate))
    return found


def _counts(
    objectives: Sequence[Objective], windows: Collection[timedelta], now: datetime
) -> Counts:
    """Of each objective and window all that count, and those that failed."""
    by_dimension: dict[Dimension, list[Objective]] = {}
    for objective in objectives:
        of = Dimension.SUBSCRIPTION if objective.subscription_id else Dimension.ACCOUNT
        by_dimension.setdefault(of, []).append(objective)
    asked = [(of, window) for of in by_dimension for window in windows]
    answered = answers(
        [
            Query(
                account_ids=sorted({objective.account_id for objective in by_dimension[of]}),
                measures=MEASURES,
                dimensions=[of],
                filters=_filters(of, by_dimension[of]),
                since=now - window,
                until=now,
                is_bounded=False,
            )
            for of, window in asked
        ]
    )
    found = {}
    for (of, window), answered_one in zip(asked, answered, strict=True):
        if isinstance(answered_one, Unanswerable):
            raise answered_one
        values = {row.keys[of]: row.values for row in answered_one.rows}
        for objective in by_dimension[of]:
            key = str(objective.subscription_id or objective.account_id)
            found[objective.pk, window] = _counted(objective, values.get(key, {}))
    return found


def _filters(of: Dimension, objectives: Sequence[Objective]) -> dict[Dimension, list[str]]:
    if of is Dimension.ACCOUNT:
        return {}
    return {of: sorted({str(objective.subscription_id) for objective in objectives})}


def _counted(objective: Objective, values: Mapping[Measure, Any]) -> tuple[int, int]:
    def count(measure: Measure) -> int:
        return int(values.get(measure) or 0)

    match objective.counts:
        case Objective.Counts.DELIVERIES:
            exhausted = count(Measure.EXHAUSTED)
            return count(Measure.SUCCEEDED) + exhausted, exhausted
        case Objective.Counts.FIRST_ATTEMPTS:
            first = count(Measure.FIRST_ATTEMPTS)
            return first, first - count(Measure.FIRST_SUCCEEDED)
    attempts = count(Measure.ATTEMPTS)
    return attempts, attempts - count(Measure.SUCCEEDED)


# --- changes --------------------------------------------------------------------------------------


def create_objective(
    *, account: Account, subscription: Subscription | None = None, **fields: Any
) -> Objective:
    """Set an objective. Raises ObjectiveExists, SubscriptionOfAnother."""
    if subscription is not None and subscription.account_id != account.pk:
        raise SubscriptionOfAnother
    try:
        with transaction.atomic():
            objective = Objective.objects.create(
                account=account, subscription=subscription, **fields
            )
            journal.record_change(
                account_id=account.pk,
                action="objective.created",
                subject=objective,
                after=_audited(objective),
            )
    except IntegrityError as error:
        raise ObjectiveExists from error
    return objective


@transaction.atomic
def change_objective(*, objective: Objective, **changes: Any) -> Objective:
    """Change what counts, the target or the days; what it is for stays."""
    _hold(objective)
    before = _audited(objective)
    for name, value in changes.items():
        setattr(objective, name, value)
    after = _audited(objective)
    if after != before:
        objective.save(update_fields=[*changes])
        journal.record_change(
            account_id=objective.account_id,
            action="objective.changed",
            subject=objective,
            before=before,
            after=after,
        )
    return objective


@transaction.atomic
def delete_objective(*, objective: Objective) -> None:
    _hold(objective)
    journal.record_change(
        account_id=objective.account_id,
        action="objective.deleted",
        subject=objective,
        before=_audited(objective),
    )
    objective.delete()


def _hold(objective: Objective) -> None:
    """Read the objective anew, and hold it."""
    objective.refresh_from_db(from_queryset=Objective.objects.select_for_update())


def _audited(objective: Objective) -> dict[str, Any]:
    of = objective.subscription_id
    return {
        "subscription": str(of) if of else None,
        **{name: str(getattr(objective, name)) for name in AUDITED},
    }
