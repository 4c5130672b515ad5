"""The look at every account: its endpoints and sources are judged, its rules asked.

Once a minute for each account, by one process at a time, batch by batch while the turn lasts; who
is not reached is first in the next one.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import structlog
from django.db import transaction
from django.db.models import F, Q

from analytics.objectives import Targets, targets_of
from incoming.models import Source
from monitoring import journal
from monitoring.alert_rules import give_defaults, give_hub_rules
from monitoring.figures import AccountFigures, EndpointFigures, SourceFigures
from monitoring.gathering import JUDGED, HubFigures, read_accounts, read_hub
from monitoring.incidents import follow
from monitoring.judging import (
    JUDGED_BY,
    Judgement,
    Standing,
    judge_endpoint,
    judge_source,
    next_standing,
    not_better,
)
from monitoring.kinds import Kind
from monitoring.looks import Rule
from monitoring.models import AlertRule, HealthCheck, HealthPolicy
from monitoring.outcomes import heard_by_hour
from monitoring.problems import Known, Openings, Seen, known_problems
from monitoring.rules import Signal, is_blind, signals_of, without_repeats
from monitoring.thresholds import limits_with
from monitoring.usual import LEAST, Profile, learn, usual_silence
from subscriptions.models import Subscription
from webhooks_project.lib import clock
from webhooks_project.lib.ids import new_id

log = structlog.get_logger(__name__)

EVERY: Final = timedelta(seconds=50)  # an account is judged; less than a task's minute
TURN_SECONDS: Final = 40.0
ACCOUNTS_AT_ONCE: Final = 200
LEARNED_AT_ONCE: Final = 50  # silent sources whose history is read, of one batch
LEARN_EVERY: Final = timedelta(days=1)
# Figures that did not change are written down again so often, to say that they were looked at.
WRITE_EVERY: Final = timedelta(minutes=5)

State = HealthCheck.State
Figures = EndpointFigures | SourceFigures
COLUMNS: Final = (
    "state", "state_since", "wanted_state", "wanted_since", "reasons", "figures", "judged_at",
    "profile", "learned_at",
)  # fmt: skip


def evaluate_health(goes_on: Callable[[], bool] | None = None) -> int:
    """Judge the accounts whose time it is, the longest waiting first. Returns how many."""
    ends_at = time.monotonic() + TURN_SECONDS
    goes_on = goes_on or (lambda: time.monotonic() < ends_at)
    give_defaults()
    give_hub_rules()
    hub: HubFigures | None = None
    openings = Openings()
    judged = 0
    while goes_on() and (policies := _claim(clock.now())):
        now = clock.now()
        hub = hub or read_hub(now)
        _evaluate(policies, hub, openings, now)
        judged += len(policies)
    return judged


def _claim(now: datetime) -> list[HealthPolicy]:
    """Take the accounts that were not judged for the longest; nobody else judges them now."""
    due = HealthPolicy.objects.filter(Q(judged_at=None) | Q(judged_at__lte=now - EVERY))
    if not due.exists():
        return []
    with transaction.atomic():
        ordered = due.order_by(F("judged_at").asc(nulls_first=True), "pk")
        policies = list(ordered.select_for_update(skip_locked=True)[:ACCOUNTS_AT_ONCE])
        HealthPolicy.objects.filter(pk__in=[row.pk for row in policies]).update(judged_at=now)
    return policies


def _evaluate(
    policies: Sequence[HealthPolicy], hub: HubFigures, openings: Openings, now: datetime
) -> None:
    ids = [policy.account_id for policy in policies]
    checks = {
        key: check
        for check in HealthCheck.objects.filter(account__in=ids)
        if (key := check.subscription_id or check.source_id) is not None
    }
    figures = read_accounts(ids, hub, checks, now)
    learned = _learn(figures.values(), checks, now)
    if learned:
        figures = {key: _with_usual(item, learned) for key, item in figures.items()}
    _judge(policies, figures, checks, learned, now)
    _ask_rules(ids, figures, openings, now)


# --- health ---------------------------------------------------------------------------------------


def _judge(
    policies: Sequence[HealthPolicy],
    figures: Mapping[UUID, AccountFigures],
    checks: Mapping[UUID, HealthCheck],
    learned: Mapping[UUID, Profile],
    now: datetime,
) -> None:
    """Judge, and write down what changed."""
    endpoints: list[HealthCheck] = []
    sources: list[HealthCheck] = []
    for policy in policies:
        limits = limits_with(policy.thresholds)
        account = figures[policy.account_id]
        found: list[tuple[Figures, Judgement]] = [
            *((item, judge_endpoint(item, limits, now)) for item in account.endpoints),
            *((item, judge_source(item, limits, now)) for item in account.sources),
        ]
        for item, judgement in found:
            before = checks.get(item.id)
            if before is not None and _is_partly_known(item, judgement):
                judgement = not_better(judgement, State(before.state), before.reasons)
            standing = next_standing(_standing(before), judgement.state, limits, now)
            after = _check_of(policy.account_id, item, judgement, standing, before, now)
            if item.id in learned:
                after.profile, after.learned_at = learned[item.id].as_json(), now
            if _is_changed(before, after):
                (endpoints if after.subscription_id else sources).append(after)
                _say(before, after, item)
    _write(endpoints, "subscription")
    _write(sources, "source")
    HealthCheck.objects.filter(
        account__in=[policy.account_id for policy in policies], subscription__isnull=False
    ).exclude(subscription__status__in=JUDGED).delete()


def _is_partly_known(figures: Figures, judgement: Judgement) -> bool:
    """Whether it was judged by what is not all counted."""
    if figures.why_not_judged:
        return False
    is_unknown = judgement.state == State.UNKNOWN and bool(figures.uncounted)
    return is_unknown or bool(figures.uncounted & JUDGED_BY)


def _standing(check: HealthCheck | None) -> Standing | None:
    if check is None:
        return None
    return Standing(
        State(check.state), check.state_since, State(check.wanted_state), check.wanted_since
    )


def _check_of(
    account_id: UUID,
    figures: Figures,
    judgement: Judgement,
    standing: Standing,
    before: HealthCheck | None,
    now: datetime,
) -> HealthCheck:
    is_endpoint = isinstance(figures, EndpointFigures)
    return HealthCheck(
        id=new_id(),  # of a new row; one that is there keeps its own
        account_id=account_id,
        subscription_id=figures.id if is_endpoint else None,
        source_id=None if is_endpoint else figures.id,
        state=standing.state,
        state_since=standing.since,
        wanted_state=standing.wanted,
        wanted_since=standing.wanted_since,
        reasons=list(judgement.reasons),
        figures=figures.as_json(),
        profile=before.profile if before else None,
        learned_at=before.learned_at if before else None,
        judged_at=now,
    )


def _is_changed(before: HealthCheck | None, after: HealthCheck) -> bool:
    if before is None or after.judged_at - before.judged_at >= WRITE_EVERY:
        return True
    return any(
        getattr(before, name) != getattr(after, name)
        for name in COLUMNS
        # As long as the wanted state is the one that is taken, since when says nothing.
        if name not in ("judged_at", "wanted_since")
    ) or (before.wanted_state != before.state and before.wanted_since != after.wanted_since)


def _say(before: HealthCheck | None, after: HealthCheck, figures: Figures) -> None:
    if before is None or before.state == after.state:
        return
    why = f": {'; '.join(after.reasons)}" if after.reasons else ""
    is_endpoint = isinstance(figures, EndpointFigures)
    subject = Subscription(pk=figures.id) if is_endpoint else Source(pk=figures.id)
    journal.record_activity(
        account_id=after.account_id,
        kind="health.changed",
        text=f"{figures.name} was {before.state} and is {after.state}{why}",
        subject=subject,
    )


def _write(checks: Sequence[HealthCheck], subject: str) -> None:
    if checks:
        HealthCheck.objects.bulk_create(
            checks,
            batch_size=200,
            update_conflicts=True,
            unique_fields=[subject],
            update_fields=COLUMNS,
        )


# --- what is usual --------------------------------------------------------------------------------


def _learn(
    accounts: Iterable[AccountFigures], checks: Mapping[UUID, HealthCheck], now: datetime
) -> dict[UUID, Profile]:
    """Learn what is usual for sources that are silent, of each once a day, in one query."""
    wanted = [
        source.id
        for account in accounts
        for source in account.sources
        if source.silent_seconds is not None
        and source.silent_seconds >= LEAST.total_seconds()
        and not source.why_not_judged
        and _is_old(checks.get(source.id), source.last_received_at, now)
    ][:LEARNED_AT_ONCE]
    if not wanted:
        return {}
    hours = heard_by_hour(wanted, now)
    return {key: learn(hours.get(key, {}), now) for key in wanted}


def _is_old(check: HealthCheck | None, heard_at: datetime | None, now: datetime) -> bool:
    if check is None or check.learned_at is None:
        return True
    # While it stays silent there is nothing new to learn, and what it was like slides out of the
    # history: in the end the silence itself would be usual.
    is_known = check.profile is not None and Profile.from_json(check.profile) != Profile()
    if is_known and (heard_at is None or heard_at <= check.learned_at):
        return False
    return now - check.learned_at >= LEARN_EVERY


def _with_usual(figures: AccountFigures, learned: Mapping[UUID, Profile]) -> AccountFigures:
    sources = []
    for source in figures.sources:
        if source.id in learned and source.last_received_at is not None:
            usual = usual_silence(learned[source.id], source.last_received_at)
            seconds = usual.total_seconds() if usual is not None else None
            source = replace(source, usual_silence_seconds=seconds)
        sources.append(source)
    return replace(figures, sources=tuple(sources))


# --- rules ----------------------------------------------------------------------------------------


def _ask_rules(
    ids: Sequence[UUID],
    figures: Mapping[UUID, AccountFigures],
    openings: Openings,
    now: datetime,
) -> None:
    rules: dict[UUID, list[AlertRule]] = {key: [] for key in ids}
    for rule in AlertRule.objects.filter(account__in=ids, enabled=True).order_by("name"):
        rules[rule.account_id].append(rule)
    known = known_problems(ids, now)
    targets = targets_of(ids)
    for key in ids:
        try:
            account = _with_what_was_known(figures[key], known.get(key, Known()))
            seen = _look(key, rules[key], account, targets, now)
            follow(seen, known.get(key, Known()), now, openings)
        except Exception:
            log.exception("an account's rules were not followed", account_id=str(key))


def _with_what_was_known(figures: AccountFigures, known: Known) -> AccountFigures:
    """With what was usual before what is open now, and why endpoints fail by it: that holds for as
    long as it is open."""
    found: dict[UUID, dict[str, float]] = defaultdict(dict)
    causes: dict[UUID, str] = {}
    for incident in sorted(known.incidents.values(), key=lambda item: item.last_seen_at):
        subject = incident.subscription_id or incident.source_id
        if subject is not None and incident.kind == Kind.ENDPOINT_FAILING:
            causes[subject] = incident.cause
        usual, seconds = (incident.figures.get(name) for name in ("usual", "window_seconds"))
        if subject is not None and usual is not None and seconds:
            found[subject][incident.kind] = usual / seconds
    if not found and not causes:
        return figures
    return replace(
        figures,
        endpoints=tuple(
            replace(item, usual_before=found[item.id], known_cause=causes.get(item.id, ""))
            for item in figures.endpoints
        ),
        sources=tuple(replace(item, usual_before=found[item.id]) for item in figures.sources),
    )


def _look(
    account_id: UUID,
    rules: Sequence[AlertRule],
    figures: AccountFigures,
    targets: Targets,
    now: datetime,
) -> Seen:
    """Ask each rule; one that fails is left out, and so are its problems."""
    found: list[tuple[Rule, Signal]] = []
    objectives = {
        item.id: percent
        for item in figures.endpoints
        if (percent := targets.of(item.id, account_id)) is not None
    }
    broken: set[UUID] = set()
    for rule in rules:
        try:
            leaves = _leaves(rule, rules)
            signals = signals_of(rule, figures, now, leaves=leaves, targets=objectives)
            found.extend((rule, signal) for signal in signals)
        except Exception:
            broken.add(rule.pk)
            log.exception("an alert rule failed", rule_id=str(rule.pk), kind=rule.kind)
    judged: list[Figures] = [*figures.endpoints, *figures.sources]
    return Seen(
        account_id=account_id,
        signals={signal.key: signal for signal in without_repeats(found)},
        rules={rule.pk: rule for rule in rules},
        subjects={item.id for item in judged if not item.why_not_judged},
        idle={item.id for item in judged if item.why_not_judged},
        stale={item.id for item in figures.endpoints if item.is_certificate_stale},
        broken=broken,
        blind={rule.pk for rule in rules if is_blind(rule, figures)},
    )


def _leaves(rule: AlertRule, rules: Sequence[AlertRule]) -> frozenset[UUID]:
    """What other rules of its kind are for, which the account's general one leaves to them."""
    if rule.subscription_id is not None or rule.source_id is not None:
        return frozenset()
    return frozenset(
        subject
        for other in rules
        if other.kind == rule.kind
        for subject in (other.subscription_id, other.source_id)
        if subject is not None
    )
