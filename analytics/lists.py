"""Widgets that are lists of something else than rollups: objectives, health, what is unused."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from heapq import nsmallest
from typing import Final
from uuid import UUID

from django.db.models import QuerySet

from analytics.integrations import (
    OF_ENDPOINTS,
    OF_SOURCES,
    Integration,
    endpoint_health,
    source_health,
)
from analytics.measures import describe
from analytics.models import Objective
from analytics.objectives import ObjectiveStatus, statuses_of
from analytics.query import Measure
from analytics.shown import BEFORE, Cell, Figures, Grid, Key, Line
from analytics.spans import DAY, Period
from analytics.tops import Top, top
from analytics.widgets import DEFAULT_ROWS, MAX_ROWS, WidgetSpec
from webhooks_project.lib import clock
from webhooks_project.lib.visible import visible

WHOLE_ACCOUNT: Final = "all of the account"
BURN: Final = {"burn_hour": timedelta(hours=1), "burn_day": DAY}
OF_OBJECTIVES: Final = ("target_rate", "attained_rate", "budget_left_rate", *BURN)
KNOWN: Final = "known_days"
Accounts = Sequence[UUID] | None


def objective_figures(spec: WidgetSpec, account_ids: Accounts, period: Period) -> Figures:
    """Each objective of the accounts: its target, what is attained in its own days up to now, what
    is left of the budget of failures, and how fast that burns; the most endangered first."""
    rows = Objective.objects.select_related("subscription", "account").order_by("created_at", "pk")
    if account_ids is not None:
        rows = rows.filter(account__in=list(account_ids))
    found = nsmallest(
        spec.limit or DEFAULT_ROWS, _with_statuses(rows), key=lambda pair: pair[1].budget_left_rate
    )
    several = len({objective.account_id for objective, _ in found}) > 1
    lines = []
    for objective, status in found:
        of = objective.subscription
        name = of.name if of is not None else WHOLE_ACCOUNT
        if several:
            name = f"{objective.account.name}: {name}"
        key = (
            Key("subscription", str(of.pk), visible(name))
            if of is not None
            else Key("account", str(objective.account_id), visible(name))
        )
        values = dict(
            zip(
                OF_OBJECTIVES,
                (
                    status.target, status.attained, status.budget_left_rate,
                    *(burn.rate for burn in status.burn),
                ),
                strict=True,
            )
        )  # fmt: skip
        days = f"{objective.window_days} days"
        lines.append(Line((key, Key("days", str(objective.window_days), days)), values))
    measures = tuple(map(describe, OF_OBJECTIVES))
    table = Grid(
        ("Objective of", "Within", *(measure.label for measure in measures)),
        tuple(
            (
                *(Cell(key.name, key=key) for key in line.keys),
                *(Cell(line.values[measure.name], measure.unit) for measure in measures),
            )
            for line in lines
        ),
        (False, False, *([True] * len(measures))),
    )
    return Figures(spec, period, "", tuple(lines), measures=measures, table=table)


def _with_statuses(rows: QuerySet[Objective]) -> Iterator[tuple[Objective, ObjectiveStatus]]:
    """All of them, in their order: any may be the most endangered. No more are asked for together
    than a query may well name."""
    now = clock.now()
    every = list(rows)
    for start in range(0, len(every), MAX_ROWS):
        objectives = every[start : start + MAX_ROWS]
        yield from zip(objectives, statuses_of(objectives, now, tuple(BURN.values())), strict=True)


def unused_figures(spec: WidgetSpec, account_ids: Accounts, period: Period) -> Figures:
    """Event types without an event or an attempt, and active subscriptions without an attempt, in
    the period."""
    now = clock.now()
    lines = []
    for kind, dimension in (
        (Top.UNUSED_TYPES, "event_type"), (Top.UNUSED_SUBSCRIPTIONS, "subscription"),
    ):  # fmt: skip
        for item in top(
            kind,
            account_ids=account_ids,
            since=period.since,
            until=period.until,
            limit=spec.limit or DEFAULT_ROWS,
        ):
            value = item.name if dimension == "event_type" else str(item.id)
            days = (now - item.created_at) // DAY if item.created_at else None
            key = Key(dimension, value, visible(item.name))
            lines.append(Line((key,), {KNOWN: days}, at=item.created_at))
    described = describe(KNOWN)
    table = Grid(
        ("What", "Name", described.label),
        tuple(
            (
                Cell("Event type" if line.keys[0].dimension == "event_type" else "Subscription"),
                Cell(line.keys[0].name, key=line.keys[0]),
                Cell(line.values[KNOWN], described.unit),
            )
            for line in lines
        ),
        (False, False, True),
    )
    return Figures(spec, period, "", tuple(lines), measures=(described,), table=table)


def health_figures(spec: WidgetSpec, account_ids: Accounts, period: Period) -> Figures:
    """Endpoints, or sources, with their state, when one last succeeded and how volume goes,
    against the period before."""
    asked = (account_ids, period.since, period.until, spec.limit or DEFAULT_ROWS)
    measures: tuple[Measure, ...] = OF_ENDPOINTS
    shown: tuple[Measure, ...] = (Measure.RETRIES_PER_DELIVERY, Measure.TOTAL_P95_MS)
    compared = Measure.SUCCESS_RATE
    if spec.dimensions == ("source",):
        found = source_health(*asked)
        measures, shown, compared = OF_SOURCES, (Measure.REFUSED,), Measure.ACCEPTED_RATE
    else:
        found = endpoint_health(*asked)
    [dimension] = spec.dimensions
    volume = measures[0]
    lines = tuple(_health_line(dimension, item) for item in found)
    table = Grid(
        (
            dimension.capitalize() if dimension == "source" else "Endpoint", "State",
            "Last success", "Trend", *_labels((volume, compared)), BEFORE, *_labels(shown),
        ),
        tuple(
            (
                Cell(line.keys[0].name, key=line.keys[0]),
                Cell(item.status),
                Cell(_local(period, item.last_success_at)),
                Cell(item.trend.value),
                *_cells(item, (volume, compared)),
                Cell(item.before.get(compared), describe(compared).unit),
                *_cells(item, shown),
            )
            for line, item in zip(lines, found, strict=True)
        ),
        (False, False, False, False, *([True] * (3 + len(shown)))),
    )  # fmt: skip
    return Figures(spec, period, "", lines, measures=tuple(map(describe, measures)), table=table)


def _health_line(dimension: str, item: Integration) -> Line:
    last = item.last_success_at.isoformat() if item.last_success_at else ""
    return Line(
        (
            Key(dimension, str(item.id), visible(item.name)),
            Key("state", item.status, item.status),
            Key("trend", item.trend.value, item.trend.value),
            Key("last_success_at", last, last),
        ),
        {str(name): value for name, value in item.values.items()},
        {str(name): value for name, value in item.before.items()},
    )


def _labels(measures: Iterable[Measure]) -> list[str]:
    return [describe(measure).label for measure in measures]


def _cells(item: Integration, measures: Iterable[Measure]) -> list[Cell]:
    return [Cell(item.values.get(measure), describe(measure).unit) for measure in measures]


def _local(period: Period, moment: datetime | None) -> datetime | None:
    return period.local(moment) if moment is not None else None
