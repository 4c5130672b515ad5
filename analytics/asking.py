"""Asking for the figures of widgets: their answers, dead letters, and the names of rows."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import chain
from typing import Any, Final
from uuid import UUID

from django.db.models import Count, Min, QuerySet

from analytics.cells import NONE, UNTYPED
from analytics.errors import StepsNotKept
from analytics.forecasts import forecast_figures
from analytics.lists import health_figures, objective_figures, unused_figures
from analytics.measures import NAMED_BY_ROW, Value, describe
from analytics.query import Answer, Unanswerable, answers
from analytics.shown import Cell, Figures, Grid, Key, Line
from analytics.spans import Period, steps_of
from analytics.widgets import (
    AHEAD_DAYS,
    DEFAULT_ROWS,
    Kind,
    WidgetSpec,
    longer_step,
    query_of,
    step_of,
)
from incoming.dead_letters import dead_receipts
from incoming.models import Receipt, Source
from outgoing.models import Delivery
from subscriptions.models import Subscription
from webhooks_project.accounts.models import Account
from webhooks_project.lib.visible import visible

_MODELS: Final = {"account": Account, "source": Source, "subscription": Subscription}
_SAID_FOR_NONE: Final = {("status_class", NONE), ("event_type", UNTYPED)}
_EMPTY_KEYS: Final = {
    "cause": "succeeded", "event_type": "no type", "status_class": "no answer",
    "source": "none", "subscription": "none", "account": "none",
}  # fmt: skip


def figures_of(
    specs: Sequence[WidgetSpec], *, account_ids: Sequence[UUID] | None, period: Period
) -> list[Figures]:
    """The figures of many widgets. One that cannot be answered says so, and the others stand.

    `account_ids` are whose figures they are of; None for those of every account.
    """
    steps = [step_of(spec, period) for spec in specs]

    def ask(indexes: Iterable[int]) -> dict[int, Answer | Unanswerable]:
        asked = {
            index: query
            for index in indexes
            if (query := query_of(
                specs[index], account_ids=account_ids, period=period, step=steps[index]
            )) is not None
        }  # fmt: skip
        return dict(zip(asked, answers(list(asked.values())), strict=True))

    answered = ask(range(len(specs)))
    # Of long ago there are no short steps: a chart whose step was not chosen has longer ones then.
    while longer := {
        index: step
        for index, one in answered.items()
        if isinstance(one, StepsNotKept) and (step := longer_step(specs[index], steps[index]))
    }:
        for index, step in longer.items():
            steps[index] = step
        answered |= ask(longer)
    found = [
        _figures(spec, period, steps[index], answered[index])
        if index in answered
        else _listed(spec, account_ids, period)
        for index, spec in enumerate(specs)
    ]
    return _named(found, account_ids)


def _figures(
    spec: WidgetSpec, period: Period, step: str, answered: Answer | Unanswerable
) -> Figures:
    measures = tuple(describe(name) for name in spec.measures)
    if isinstance(answered, Unanswerable):
        return Figures(spec, period, step, problem=str(answered), measures=measures)
    if spec.kind == Kind.FORECAST:
        return forecast_figures(spec, period, answered, AHEAD_DAYS)
    lines = []
    shared: dict[tuple[str, ...], tuple[Key, ...]] = {}  # a combination comes once for each step
    for row in answered.rows:
        combination = tuple(row.keys.values())
        keys = shared.get(combination)
        if keys is None:
            keys = shared[combination] = tuple(
                Key(str(dimension), value, value) for dimension, value in row.keys.items()
            )
        values: dict[str, Value] = {str(name): value for name, value in row.values.items()}
        before: dict[str, Value] | None = None
        if row.before is not None:
            before = {str(name): value for name, value in row.before.items()}
        at, hour = row.at, None
        if step == "hour_of_week":
            at, hour = None, row.hour_of_week
        lines.append(Line(keys, values, before, at, hour))
    if spec.kind == Kind.BAR and not step:  # a bar of nothing is none
        lines = [line for line in lines if not line.is_nothing]
    steps: tuple[datetime, ...] = ()
    if step and step != "hour_of_week":
        known = {line.at for line in lines if line.at}
        steps = tuple(sorted({*steps_of(period, step), *known}))
    return Figures(spec, period, step, tuple(lines), steps, measures=measures)


def dead_letters(spec: WidgetSpec, account_ids: Sequence[UUID] | None, period: Period) -> Figures:
    """What waits for a person now, whatever the period: deliveries and receipts, by cause."""
    found = [
        ("delivery", _waiting(Delivery.objects.filter(status=Delivery.Status.EXHAUSTED),
                              account_ids, "last_cause", "exhausted_at")),
        ("receipt", _waiting(dead_receipts(), account_ids, "type", "dead_at")),
    ]  # fmt: skip
    lines = [
        Line(
            (Key("kind", kind, kind), Key("why", why, visible(why) or "unknown")),
            {"waiting": count},
            at=oldest,
        )
        for kind, rows in found
        for why, count, oldest in rows
    ]
    lines.sort(key=lambda line: -(line.values["waiting"] or 0))
    shown = tuple(lines[: spec.limit or DEFAULT_ROWS])
    table = Grid(
        ("What", "Cause, or type", "Waiting", "Oldest since"),
        tuple(
            (
                Cell("Delivery" if line.keys[0].value == "delivery" else "Receipt"),
                Cell(line.keys[1].name),
                Cell(line.values["waiting"], "count"),
                Cell(period.local(line.at) if line.at else None),
            )
            for line in shown
        ),
        (False, False, True, False),
    )
    return Figures(spec, period, "", shown, measures=(describe("waiting"),), table=table)


def _waiting(
    rows: QuerySet[Delivery] | QuerySet[Receipt],
    account_ids: Sequence[UUID] | None,
    cause: str,
    moment: str,
) -> list[tuple[str, int, datetime | None]]:
    # Account by account, as the index by account and status has them.
    every: Any = Account.objects.order_by().values("pk")
    accounts = every if account_ids is None else account_ids
    return list(
        rows.filter(account__in=accounts)
        .order_by()
        .values_list(cause)
        .annotate(count=Count("pk"), oldest=Min(moment))
    )


_LISTED: Final = {
    Kind.DEAD_LETTERS: dead_letters,
    Kind.OBJECTIVES: objective_figures,
    Kind.UNUSED: unused_figures,
    Kind.HEALTH: health_figures,
}


def _listed(spec: WidgetSpec, account_ids: Sequence[UUID] | None, period: Period) -> Figures:
    try:
        return _LISTED[Kind(spec.kind)](spec, account_ids, period)
    except Unanswerable as error:
        return Figures(spec, period, "", problem=str(error))


def _named(found: Sequence[Figures], account_ids: Sequence[UUID] | None) -> list[Figures]:
    """With the names of the rows whose ids are among the keys: one query for each kind of row."""
    wanted: dict[str, set[str]] = {name: set() for name in NAMED_BY_ROW}
    combinations = [
        set() if figures.table is not None else {line.keys for line in figures.lines}
        for figures in found
    ]
    for keys in chain.from_iterable(combinations):
        for key in keys:
            if key.dimension in wanted and key.value:
                wanted[key.dimension].add(key.value)
    names = {name: _names(name, ids, account_ids) for name, ids in wanted.items() if ids}
    return [_renamed(figures, own, names) for figures, own in zip(found, combinations, strict=True)]


def _names(dimension: str, ids: set[str], account_ids: Sequence[UUID] | None) -> dict[str, str]:
    rows = _MODELS[dimension]._default_manager.filter(pk__in=ids)
    if account_ids is not None:
        rows = rows.filter(**{"pk__in" if dimension == "account" else "account__in": account_ids})
    return {str(pk): visible(name) for pk, name in rows.values_list("pk", "name")}


def _renamed(
    figures: Figures,
    combinations: Collection[tuple[Key, ...]],
    names: Mapping[str, Mapping[str, str]],
) -> Figures:
    if not figures.spec.dimensions or figures.table is not None:
        return figures
    renamed = {keys: tuple(_renamed_key(key, names) for key in keys) for keys in combinations}
    # Two rows of one name are told apart by the end of their ids.
    seen: dict[tuple[str, str], set[str]] = {}
    for key in chain.from_iterable(renamed.values()):
        seen.setdefault((key.dimension, key.name), set()).add(key.value)
    apart = {
        keys: tuple(
            Key(key.dimension, key.value, f"{key.name} (…{key.value[-4:]})")
            if len(seen[key.dimension, key.name]) > 1
            else key
            for key in new
        )
        for keys, new in renamed.items()
    }
    lines = tuple(
        Line(apart[line.keys], line.values, line.before, line.at, line.hour)
        for line in figures.lines
    )
    return Figures(
        figures.spec, figures.period, figures.step, lines, figures.steps, figures.problem,
        figures.measures,
    )  # fmt: skip


def _renamed_key(key: Key, names: Mapping[str, Mapping[str, str]]) -> Key:
    if not key.value or (key.dimension, key.value) in _SAID_FOR_NONE:
        return Key(key.dimension, key.value, _EMPTY_KEYS.get(key.dimension, "none"))
    if key.dimension in NAMED_BY_ROW:
        known = names.get(key.dimension, {}).get(key.value)
        return Key(key.dimension, key.value, known or f"deleted (…{key.value[-4:]})")
    return Key(key.dimension, key.value, visible(key.value))
