"""Reading the figures: a fixed number of queries, whatever the number of endpoints and sources.

What is counted over the whole hub is read once for a look at all accounts; the rest once for each
batch of accounts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final, TypeVar
from uuid import UUID

from django.db.models import Count, Exists, Max, Min, OuterRef, Q, QuerySet

from incoming.models import Receipt, Source, SourceSecret
from monitoring.figures import (
    CERTIFICATE,
    WINDOWS,
    AccountFigures,
    Arrivals,
    Check,
    EndpointFigures,
    FindingFigures,
    Outcome,
    SourceFigures,
)
from monitoring.models import Finding, HealthCheck
from monitoring.outcomes import (
    Counted,
    arrivals_by_window,
    failures_in_a_row,
    outcomes_by_window,
)
from monitoring.readiness import queue_states
from monitoring.shrinking import Low, next_low
from monitoring.usual import Profile, usual_silence
from outgoing.models import Delivery
from subscriptions.certificates import is_stale
from subscriptions.models import SigningSecret, Subscription
from webhooks_project.accounts.models import Account
from webhooks_project.lib.certificates import ends_at
from webhooks_project.lib.windows import parse_window

Item = TypeVar("Item")

# Of each line the oldest that are due: who is not among them waits for less long than all who are.
COUNTED_BACKLOG: Final = 50_000
JUDGED: Final = (
    Subscription.Status.ACTIVE, Subscription.Status.PAUSED, Subscription.Status.DISABLED,
)  # fmt: skip
SUBSCRIPTION_COLUMNS: Final = (
    "account_id", "name", "status", "failing_since", "breaker", "breaker_changed_at",
    "certificate_expires_at", "client_certificate", "expires_at", "delivery_window",
    "checks_health", "health_check_kind", "health_checked_at", "health_problem",
    "health_check_failures",
)  # fmt: skip
# When a certificate was seen: long, and so read of those alone that are not looked at.
CERTIFICATE_COLUMNS: Final = (
    "certificate_expires_at", "checks_health", "health_checked_at", "health_check_result", "setup",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Backlog:
    """What of one endpoint or source is due and waits. At least so many."""

    count: int
    oldest: datetime


@dataclass(frozen=True, slots=True)
class HubFigures:
    """What is counted over all accounts at one moment."""

    outcomes: Mapping[int, Counted[Outcome]]
    failures: Mapping[UUID, int]
    arrivals: Mapping[int, Counted[Arrivals]]
    deliveries: Mapping[UUID, Backlog]
    receipts: Mapping[UUID, Backlog]
    queues: Mapping[str, float]
    # Whether more is due than was counted, of whomever it is.
    are_deliveries_cut: bool = False
    are_receipts_cut: bool = False


def read_hub(now: datetime) -> HubFigures:
    """Count over the whole hub."""
    deliveries, are_deliveries_cut = _deliveries(now)
    receipts, are_receipts_cut = _waiting(Receipt.objects.all().due(now), "source_id")
    return HubFigures(
        outcomes=outcomes_by_window(now),
        failures=failures_in_a_row(now),
        arrivals=arrivals_by_window(now),
        deliveries=deliveries,
        receipts=receipts,
        queues={family: state["age_seconds"] for family, state in queue_states(now).items()},
        are_deliveries_cut=are_deliveries_cut,
        are_receipts_cut=are_receipts_cut,
    )


def read_accounts(
    account_ids: Collection[UUID],
    hub: HubFigures,
    checks: Mapping[UUID, HealthCheck],
    now: datetime,
) -> dict[UUID, AccountFigures]:
    """The figures of these accounts, the paused and disabled with why they are not judged.

    `checks` are what was found last, by subscription and by source: what was learned of a source
    stands there.
    """
    endpoints: dict[UUID, list[EndpointFigures]] = defaultdict(list)
    sources: dict[UUID, list[SourceFigures]] = defaultdict(list)
    secrets = _signing_secrets_end(account_ids)
    dead = _by_window(
        Delivery.objects.filter(status=Delivery.Status.EXHAUSTED),
        "subscription_id", "exhausted_at", account_ids, now,
    )  # fmt: skip
    rows = Subscription.objects.filter(account__in=account_ids, status__in=JUDGED).order_by()
    stale = _stale_certificates(rows, now)
    for row in rows.only(*SUBSCRIPTION_COLUMNS):
        figures = _endpoint(
            row, hub, checks.get(row.pk), secrets.get(row.pk), dead.get(row.pk, {}), now,
            is_certificate_stale=row.pk in stale,
        )  # fmt: skip
        endpoints[row.account_id].append(figures)
    secrets = _source_secrets_end(account_ids)
    dead = _by_window(
        Receipt.objects.filter(status=Receipt.Status.DEAD, discard_reason=""),
        "source_id", "dead_at", account_ids, now,
    )  # fmt: skip
    for source in Source.objects.filter(account__in=account_ids).order_by().only(
        "account_id", "name", "disabled_at", "last_received_at", "last_verified_at"
    ):  # fmt: skip
        sources[source.account_id].append(
            _source(source, hub, checks, secrets.get(source.pk), dead.get(source.pk, {}), now)
        )
    findings = _findings(account_ids)
    return {
        key: AccountFigures(
            tuple(endpoints[key]), tuple(sources[key]), hub.queues, tuple(findings[key])
        )
        for key in account_ids
    }


def _findings(account_ids: Collection[UUID]) -> dict[UUID, list[FindingFigures]]:
    """What is wrong with how things are set up, and is not mended."""
    found: dict[UUID, list[FindingFigures]] = defaultdict(list)
    rows = Finding.objects.filter(account__in=account_ids, resolved_at=None).order_by()
    for account_id, kind, text, since, subscription_id, subscription, source_id, source in (
        rows.values_list(
            "account", "kind", "text", "first_seen_at", "subscription", "subscription__name",
            "source", "source__name",
        )
    ):  # fmt: skip
        name = {"name": subscription or source} if subscription_id or source_id else {}
        found[account_id].append(
            FindingFigures(
                kind, text, since, subscription_id=subscription_id, source_id=source_id, **name
            )
        )
    return found


def _endpoint(
    row: Subscription,
    hub: HubFigures,
    check: HealthCheck | None,
    secrets_end: datetime | None,
    dead: Mapping[int, int],
    now: datetime,
    *,
    is_certificate_stale: bool,
) -> EndpointFigures:
    is_active = row.status == Subscription.Status.ACTIVE
    is_window_closed = _is_window_closed(row.delivery_window, now)
    waiting = hub.deliveries.get(row.pk)
    ends = {
        CERTIFICATE: None if is_certificate_stale else row.certificate_expires_at,
        "client_certificate": _end_of(row.client_certificate) if row.client_certificate else None,
        "secret": secrets_end,
        "subscription": row.expires_at,
    }
    return EndpointFigures(
        id=row.pk,
        name=row.name,
        why_not_judged="" if is_active else f"it is {row.status}",
        windows=_windows(hub.outcomes, row.pk),
        uncounted=_uncounted(hub.outcomes),
        consecutive_failures=max(hub.failures.get(row.pk, 0), _known_failures(check, row))
        if row.failing_since
        else 0,
        failing_since=row.failing_since,
        breaker=row.breaker,
        breaker_changed_at=row.breaker_changed_at,
        backlog=waiting.count if waiting else 0,
        backlog_age_seconds=(now - waiting.oldest).total_seconds() if waiting else 0.0,
        # What its window holds back is due to be let out once it opens, and shrinks from then on.
        backlog_low=None
        if is_window_closed
        else _low(check, waiting, now, is_cut=hub.are_deliveries_cut),
        is_window_closed=is_window_closed,
        dead_letters=dead,
        check=Check(
            kind=row.health_check_kind,
            checked_at=row.health_checked_at,
            problem=row.health_problem,
            failures=row.health_check_failures,
        )
        if row.checks_health
        else Check(),
        ends={name: moment for name, moment in ends.items() if moment is not None},
        is_certificate_stale=is_certificate_stale,
    )


def _stale_certificates(rows: QuerySet[Subscription], now: datetime) -> set[UUID]:
    """Those whose certificate nobody looks at, and was not seen for too long."""
    unwatched = rows.filter(checks_health=False, certificate_expires_at__isnull=False)
    return {row.pk for row in unwatched.only(*CERTIFICATE_COLUMNS) if is_stale(row, now)}


def _known_failures(check: HealthCheck | None, row: Subscription) -> int:
    """The failures in a row that were known of at the last look, where nothing has succeeded since.

    They fall out of the day that is counted; that time goes by is no success.
    """
    figures = check.figures if check else {}
    since = row.failing_since.isoformat() if row.failing_since else None
    is_same = since is not None and figures.get("failing_since") == since
    return int(figures.get("consecutive_failures", 0)) if is_same else 0


def _source(
    row: Source,
    hub: HubFigures,
    checks: Mapping[UUID, HealthCheck],
    secrets_end: datetime | None,
    dead: Mapping[int, int],
    now: datetime,
) -> SourceFigures:
    waiting = hub.receipts.get(row.pk)
    # Where calls are proved, only those count: what a stranger sends is no sign of the sender.
    heard_at = row.last_verified_at or row.last_received_at
    check = checks.get(row.pk)
    usual = None
    if check is not None and check.profile is not None and heard_at is not None:
        usual = usual_silence(Profile.from_json(check.profile), heard_at)
    return SourceFigures(
        id=row.pk,
        name=row.name,
        why_not_judged="it is disabled" if row.disabled_at else "",
        windows=_windows(hub.arrivals, row.pk),
        uncounted=_uncounted(hub.arrivals),
        last_received_at=heard_at,
        silent_seconds=max(0.0, (now - heard_at).total_seconds()) if heard_at else None,
        usual_silence_seconds=usual.total_seconds() if usual is not None else None,
        dead_receipts=dead,
        backlog=waiting.count if waiting else 0,
        backlog_age_seconds=(now - waiting.oldest).total_seconds() if waiting else 0.0,
        backlog_low=_low(check, waiting, now, is_cut=hub.are_receipts_cut),
        ends={"secret": secrets_end} if secrets_end is not None else {},
    )


def _low(
    check: HealthCheck | None, waiting: Backlog | None, now: datetime, *, is_cut: bool
) -> Low | None:
    """Where not all that is due was counted it is not known whether a backlog shrinks: what was
    known before stays."""
    before = Low.from_figures(check.figures) if check else None
    if is_cut:
        return before
    return next_low(before, waiting.count if waiting else 0, now)


def _windows(counted: Mapping[int, Counted[Item]], key: UUID) -> dict[int, Item]:
    return {seconds: found.items[key] for seconds, found in counted.items() if key in found.items}


def _uncounted(counted: Mapping[int, Counted[Any]]) -> frozenset[int]:
    return frozenset(seconds for seconds, found in counted.items() if not found.is_whole)


def _is_window_closed(document: Any, now: datetime) -> bool:
    if document is None:
        return False
    try:
        return not parse_window(document).is_open(now)
    except ValueError:  # stored before windows were judged
        return False


@lru_cache(maxsize=4_096)
def _end_of(certificate: str) -> datetime | None:
    return ends_at(certificate)


def _deliveries(now: datetime) -> tuple[dict[UUID, Backlog], bool]:
    """Line by line, so that the index of what is due gives the oldest in its own order; and whether
    one was cut."""
    found: dict[UUID, Backlog] = {}
    is_any_cut = False
    for lane in Delivery.Lane:
        of_lane, is_cut = _waiting(Delivery.objects.all().due(now, lane), "subscription_id")
        is_any_cut |= is_cut
        for key, item in of_lane.items():
            other = found.get(key)
            found[key] = (
                Backlog(item.count + other.count, min(item.oldest, other.oldest)) if other else item
            )
    return found, is_any_cut


def _waiting(due: QuerySet[Any], column: str) -> tuple[dict[UUID, Backlog], bool]:
    """The oldest of what is due, which is in that order, by `column`; and whether there may be
    more."""
    oldest = due.values("pk")[:COUNTED_BACKLOG]
    rows = (
        due.model._default_manager.filter(pk__in=oldest)
        .order_by()
        .values_list(column)
        .annotate(count=Count("pk"), oldest=Min("next_attempt_at"))
    )
    found = {key: Backlog(count, moment) for key, count, moment in rows}
    return found, sum(item.count for item in found.values()) >= COUNTED_BACKLOG


def _by_window(
    rows: QuerySet[Any], column: str, moment: str, account_ids: Collection[UUID], now: datetime
) -> dict[UUID, dict[int, int]]:
    """How many there are since each window's start, by `column`."""
    counts = {
        f"of_{seconds}": Count(
            "pk", filter=Q(**{f"{moment}__gt": now - timedelta(seconds=seconds)})
        )
        for seconds in WINDOWS
    }
    # Account by account: the indexes of what is dead begin with it.
    accounts = Account.objects.filter(pk__in=account_ids).order_by().values("pk")
    since = now - timedelta(seconds=max(WINDOWS))
    found = (
        rows.filter(account__in=accounts, **{f"{moment}__gt": since})
        .order_by()
        .values(column)
        .annotate(**counts)
    )
    return {row[column]: {seconds: row[f"of_{seconds}"] for seconds in WINDOWS} for row in found}


def _signing_secrets_end(account_ids: Collection[UUID]) -> dict[UUID, datetime]:
    """When the last secret of each subscription ends, where all of them end."""
    endless = SigningSecret.objects.filter(subscription=OuterRef("subscription"), expires_at=None)
    rows = (
        SigningSecret.objects.filter(
            ~Exists(endless), subscription__account__in=account_ids, expires_at__isnull=False
        )
        .order_by()
        .values_list("subscription_id")
        .annotate(end=Max("expires_at"))
    )
    return dict(rows)


def _source_secrets_end(account_ids: Collection[UUID]) -> dict[UUID, datetime]:
    """When the last secret of each source ends that calls may be signed with, where all end."""
    signing = SourceSecret.objects.filter(option="")
    endless = signing.filter(source=OuterRef("source"), expires_at=None)
    rows = (
        signing.filter(~Exists(endless), source__account__in=account_ids, expires_at__isnull=False)
        .order_by()
        .values_list("source_id")
        .annotate(end=Max("expires_at"))
    )
    return dict(rows)
