"""What a widget asks for: one spec for those in code and those in the database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, Final
from uuid import UUID

from analytics.measures import DIMENSIONS, describe
from analytics.models.dashboards import MAX_HEIGHT, MAX_WIDTH, Widget
from analytics.query import Dimension, Granularity, Measure, Query
from analytics.spans import Period, granularity_of, whole_days
from analytics.trends import MIN_DAYS
from webhooks_project.acceptable import Problem, problems_of
from webhooks_project.lib import clock

Kind = Widget.Kind
NO_TIME: Final = "none"
GRANULARITIES: Final = (NO_TIME, "minute", "hour", "day", "week", "month")
OVER_TIME: Final = (Kind.LINE, Kind.STACKED, Kind.FORECAST)
# What is no question to the rollups alone, and always a table.
LISTS: Final = (Kind.DEAD_LETTERS, Kind.OBJECTIVES, Kind.UNUSED, Kind.HEALTH)
TABLES: Final = (Kind.TABLE, *LISTS)
VOLUMES: Final = (
    Measure.ATTEMPTS, Measure.FIRST_ATTEMPTS, Measure.FAILED, Measure.RECEIPTS, Measure.ACCEPTED,
    Measure.REFUSED, Measure.REQUEST_BYTES, Measure.RECEIPT_BYTES,
)  # fmt: skip
HISTORY_DAYS: Final = 56  # that a forecast is made of: eight of each weekday
AHEAD_DAYS: Final = 14
INCOMING: Final = frozenset(
    {"receipts", "accepted", "refused", "duplicates", "accepted_rate", "receipt_bytes"}
)
BRINGS_ATTEMPTS: Final = "Add a subscription and publish an event of a type that it hears"
BRINGS_RECEIPTS: Final = "Add a source, give its URL to the provider and send a sample"
NO_ATTEMPTS: Final = (
    f"Nothing was sent in this period. {BRINGS_ATTEMPTS}, or look at a longer period."
)
NO_ANSWERS: Final = f"No answer came in this period. {BRINGS_ATTEMPTS}, or look at a longer period."
NO_RECEIPTS: Final = (
    f"Nothing came in in this period. {BRINGS_RECEIPTS}, or look at a longer period."
)
NO_FORECAST: Final = (
    f"There is no forecast yet: it takes {MIN_DAYS} whole days from the first on which something "
    "was counted"
)
NO_FAILURES: Final = "Nothing failed in this period."
NO_REFUSALS: Final = "Nothing was refused in this period."
NO_DEAD_LETTERS: Final = "None: everything was delivered, or is being tried."
NO_OBJECTIVES: Final = (
    "None: add an objective to say what share of attempts, or of deliveries, shall succeed, of a "
    "subscription or of the account."
)
NO_UNUSED: Final = "None: every event type and every subscription was used in this period."
EMPTY: Final = {
    Kind.DEAD_LETTERS: NO_DEAD_LETTERS, Kind.OBJECTIVES: NO_OBJECTIVES, Kind.UNUSED: NO_UNUSED,
}  # fmt: skip
NOTHING_FITS: Final = (
    "Nothing that fits the filters was counted in this period. Look at a longer period, or take "
    "filters away."
)
OF_INCOMING: Final = frozenset({"verdict"})
OF_OUTGOING: Final = frozenset({"subscription", "status_class"})
OF_BOTH: Final = frozenset({"account", "source"})  # the same of what comes in and of what goes out
MAX_MEASURES: Final = 6
MAX_DIMENSIONS: Final = 2
MAX_FILTER_VALUES: Final = 50
MAX_VALUE_LENGTH: Final = 256
MAX_ROWS: Final = 500
DEFAULT_ROWS: Final = 10  # of a table, or bars without an axis of time
MAX_SPLIT: Final = 100  # values of the dimension that a chart over time is split by
MAX_POINTS: Final = {Kind.LINE: 200, Kind.BAR: 62, Kind.STACKED: 62, Kind.TABLE: 200}
MAX_STEPS: Final = 1500  # of a granularity that is chosen: the minutes of a day


@dataclass(frozen=True, kw_only=True)
class WidgetSpec:
    """A widget wherever it is kept. `key` is its id, or its name within a default dashboard."""

    key: str = ""
    title: str
    kind: str
    measures: tuple[str, ...] = ()
    dimensions: tuple[str, ...] = ()
    granularity: str = ""
    filters: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    order_by: str = ""
    limit: int | None = None
    compare: bool = False
    width: int = 2
    height: int = 2

    @property
    def empty_text(self) -> str:
        """What stands where there is nothing to show: that all is well, or what brings figures."""
        if text := EMPTY.get(Kind(self.kind)):
            return text
        if self.kind == Kind.HEALTH:
            return NO_RECEIPTS if self.dimensions == ("source",) else NO_ATTEMPTS
        first = self.measures[0] if self.measures else ""
        if self.kind == Kind.FORECAST:
            return f"{NO_FORECAST}. {BRINGS_RECEIPTS if first in INCOMING else BRINGS_ATTEMPTS}."
        if first in ("failed", "refused"):
            return NO_FAILURES if first == "failed" else NO_REFUSALS
        if any(self.filters.values()):
            return NOTHING_FITS
        if first.startswith("response_") and first.endswith("_ms"):
            return NO_ANSWERS
        return NO_RECEIPTS if first in INCOMING else NO_ATTEMPTS

    def columns(self) -> dict[str, Any]:
        """As the columns of a Widget."""
        return {
            "title": self.title,
            "kind": str(self.kind),
            "measures": list(self.measures),
            "dimensions": list(self.dimensions),
            "granularity": self.granularity,
            "filters": {name: list(values) for name, values in self.filters.items()},
            "order_by": self.order_by,
            "limit": self.limit,
            "compare": self.compare,
            "width": self.width,
            "height": self.height,
        }


def spec_of(widget: Widget) -> WidgetSpec:
    """What a row asks for."""
    return WidgetSpec(
        key=str(widget.pk),
        title=widget.title,
        kind=widget.kind,
        measures=tuple(widget.measures),
        dimensions=tuple(widget.dimensions),
        granularity=widget.granularity,
        filters={name: tuple(values) for name, values in widget.filters.items()},
        order_by=widget.order_by,
        limit=widget.limit,
        compare=widget.compare,
        width=widget.width,
        height=widget.height,
    )


def step_of(spec: WidgetSpec, period: Period) -> str:
    """The granularity that the widget has in a period; empty for no axis of time.

    One that was chosen is made coarser where the period has too many of it.
    """
    if spec.kind == Kind.HEAT_MAP:
        return "hour_of_week"
    if spec.kind == Kind.FORECAST:
        return "day"
    if spec.kind in (Kind.NUMBER, *LISTS) or spec.granularity == NO_TIME:
        return ""
    if spec.granularity:
        coarsest = granularity_of(period, MAX_STEPS)
        order = GRANULARITIES.index
        return max(spec.granularity, coarsest, key=order)
    if spec.kind == Kind.TABLE or (spec.kind == Kind.BAR and spec.dimensions):
        return ""
    return granularity_of(period, MAX_POINTS[Kind(spec.kind)])


def longer_step(spec: WidgetSpec, step: str) -> str:
    """The next one, where the period chose the step; empty where there is none, or it is given."""
    if spec.granularity or spec.kind in (Kind.HEAT_MAP, Kind.FORECAST) or not step:
        return ""
    return dict(pairwise(GRANULARITIES[1:])).get(step, "")


def query_of(
    spec: WidgetSpec, *, account_ids: Sequence[UUID] | None, period: Period, step: str
) -> Query | None:
    """What is asked of the rollups, by that step; None for a widget that is of something else."""
    if spec.kind in LISTS:
        return None
    measures = [Measure(name) for name in spec.measures]
    since, until = period.since, period.until
    if spec.kind == Kind.FORECAST:
        since, until = whole_days(period, HISTORY_DAYS, clock.now())
    limit = None
    if not step and spec.kind in (Kind.TABLE, Kind.BAR):
        limit = spec.limit or DEFAULT_ROWS
    elif step and len(spec.dimensions) == 1:
        limit = MAX_SPLIT
    return Query(
        account_ids=account_ids,
        measures=measures,
        dimensions=[Dimension(name) for name in spec.dimensions],
        granularity=Granularity(step) if step else None,
        filters={Dimension(name): list(values) for name, values in spec.filters.items() if values},
        since=since,
        until=until,
        time_zone=period.time_zone,
        compare=spec.compare,
        order_by=(Measure(spec.order_by) if spec.order_by else measures[0]) if limit else None,
        limit=limit,
    )


# --- what a widget may be -------------------------------------------------------------------------


def widget_problems(row: Widget) -> list[Problem]:
    """What is wrong with a widget as it would be stored."""
    checks = {
        "title": lambda: [] if row.title.strip() else [Problem("required", "needs a title")],
        "measures": lambda: _measures(row),
        "dimensions": lambda: _dimensions(row),
        "granularity": lambda: _granularity(row),
        "filters": lambda: _filters(row),
        "order_by": lambda: _order_by(row),
    }
    unjudged = ("dashboard", "measures", "dimensions", "filters")
    found = problems_of(row, checks, unjudged=unjudged)
    if not found:
        found = [replace(problem, field="dimensions") for problem in _together(row)]
    return found


def _names(value: object, known: type, most: int, what: str) -> Iterator[Problem]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        yield Problem("not_a_list", "must be a list of names")
        return
    if len(set(value)) < len(value):
        yield Problem("repeated", "has something twice")
    if len(value) > most:
        text = f"takes at most {most} {what}{'s' * (most > 1)}" if most else f"takes no {what}"
        yield Problem("too_many", text)
    names = {item.value for item in known}  # type: ignore[attr-defined]
    for index, item in enumerate(value):
        if item not in names:
            message = f"{item[:64]!r} is no {what}"
            yield Problem("unknown", message, pointer=f"/{index}")


def _measures(row: Widget) -> Iterator[Problem]:
    yield from _names(row.measures, Measure, MAX_MEASURES, "measure")
    if row.kind in LISTS:
        return
    if row.kind == Kind.FORECAST and (len(row.measures) != 1 or row.measures[0] not in VOLUMES):
        yield Problem("not_a_volume", f"a forecast is of one of {', '.join(VOLUMES)}")
        return
    if not row.measures:
        yield Problem("required", "needs at least one measure")
    if row.kind == Kind.HEAT_MAP and len(row.measures) > 1:
        yield Problem("too_many", "a heat map shows one measure")
    described = [describe(name) for name in row.measures]
    if row.kind in (Kind.LINE, Kind.BAR, Kind.STACKED) and len({d.unit for d in described}) > 1:
        yield Problem("mixed_units", "measures of one chart have one unit; make it a table, or two")
    if row.kind == Kind.STACKED and not all(item.adds_up for item in described):
        yield Problem("not_additive", "only counts and bytes can be stacked")
    if row.kind in (*OVER_TIME, Kind.BAR) and row.dimensions and len(row.measures) > 1:
        yield Problem("too_many", "a chart that is split by a dimension shows one measure")


def _dimensions(row: Widget) -> Iterator[Problem]:
    most: dict[str, int] = {
        Kind.TABLE: MAX_DIMENSIONS, Kind.NUMBER: 0, Kind.HEAT_MAP: 0, Kind.DEAD_LETTERS: 0,
        Kind.FORECAST: 0, Kind.OBJECTIVES: 0, Kind.UNUSED: 0,
    }  # fmt: skip
    if row.kind == Kind.HEALTH and row.dimensions not in (["subscription"], ["source"]):
        yield Problem("required", "health is that of subscriptions or of sources")
        return
    yield from _names(row.dimensions, Dimension, most.get(row.kind, 1), "dimension")
    if row.kind == Kind.BAR and row.granularity == NO_TIME and not row.dimensions:
        yield Problem("required", "bars without an axis of time need a dimension")


def _granularity(row: Widget) -> Iterator[Problem]:
    if row.granularity not in ("", *GRANULARITIES):
        yield Problem("unknown", f"is one of {', '.join(GRANULARITIES)}, or empty")
    elif row.granularity == NO_TIME and row.kind in OVER_TIME:
        yield Problem("needs_time", "this kind has an axis of time")
    elif row.kind == Kind.FORECAST and row.granularity not in ("", "day"):
        yield Problem("needs_days", "a forecast is by day")


def _filters(row: Widget) -> Iterator[Problem]:
    value: object = row.filters
    if not isinstance(value, dict):
        yield Problem("not_a_mapping", "must be a mapping of dimensions to lists of values")
        return
    if row.kind in LISTS and any(value.values()):
        yield Problem("not_filtered", "this kind is of the whole account: take the filters away")
        return
    for name, values in value.items():
        pointer = f"/{str(name)[:64]}"
        if name not in DIMENSIONS:
            yield Problem("unknown", f"{str(name)[:64]!r} is no dimension", pointer=pointer)
        elif not isinstance(values, list) or not all(
            isinstance(item, str) and len(item) <= MAX_VALUE_LENGTH for item in values
        ):
            message = f"must be a list of texts of at most {MAX_VALUE_LENGTH} characters"
            yield Problem("not_a_list", message, pointer=pointer)
        elif not all(map(_is_storable, values)):
            message = "holds a NUL, or half of a character"
            yield Problem("not_storable", message, pointer=pointer)
        elif len(values) > MAX_FILTER_VALUES:
            message = f"at most {MAX_FILTER_VALUES} values are taken"
            yield Problem("too_many", message, pointer=pointer)
        elif name in ("account", "source", "subscription") and not all(map(_is_id, values)):
            yield Problem("not_an_id", "has a value that is no id", pointer=pointer)


def _order_by(row: Widget) -> Iterator[Problem]:
    if row.order_by and row.order_by not in row.measures:
        yield Problem("unknown", "is one of the widget's measures")


def _together(row: Widget) -> Iterator[Problem]:
    """What measures and dimensions do not go together, as what comes in has no subscription."""
    asked = {*row.dimensions, *row.filters}
    comes_in = INCOMING.intersection(row.measures)
    goes_out = set(row.measures) - INCOMING
    if comes_in and (strange := asked & OF_OUTGOING):
        message = f"what comes in is not counted by {', '.join(sorted(strange))}"
        yield Problem("not_of_incoming", message)
    elif goes_out and (strange := asked & OF_INCOMING):
        message = f"what goes out is not counted by {', '.join(sorted(strange))}"
        yield Problem("not_of_outgoing", message)
    elif comes_in and goes_out and asked - OF_BOTH:
        message = "what comes in and what goes out have no cause and no type in common"
        yield Problem("mixed_directions", message)


def _is_storable(text: str) -> bool:
    """Whether PostgreSQL takes it: no NUL, and no surrogate."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _is_id(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


BOUNDS: Final = {"width": (1, MAX_WIDTH), "height": (1, MAX_HEIGHT)}
