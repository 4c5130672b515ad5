"""What a report says, before it is HTML, CSV, Excel or PDF."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from django.db.models import Count

from analytics.asking import figures_of
from analytics.defaults import SUBJECTS
from analytics.errors import DashboardNotSeen
from analytics.measures import Described, Value
from analytics.models import Report, ReportRun
from analytics.shown import Figures
from analytics.spans import Period
from analytics.widgets import Kind, WidgetSpec, spec_of
from webhooks_project.lib.visible import visible
from webhooks_project.models import Uncounted

# Steps of charts where the widget leaves them to the period: few enough to be read in a mail.
_STEPS: Final = {Report.Period.DAILY: "hour"}
SIDE_BY_SIDE: Final = 4
COLOURS: Final = (
    "#2563eb", "#c2410c", "#047857", "#9333ea", "#be123c", "#0e7490", "#a16207", "#64748b",
)  # fmt: skip


@dataclass(frozen=True)
class Content:
    """A report's figures with what stands above them."""

    title: str
    account: str
    description: str
    period: Period
    figures: tuple[Figures, ...]
    missing: str = ""  # what of the period is not among the figures, in words

    @property
    def about(self) -> str:
        """What stands below the heading."""
        return " ".join(filter(None, (self.description, self.missing)))

    @property
    def heading(self) -> str:
        return f"{self.account}: {self.period} ({self.period.time_zone})"

    def text(self) -> str:
        """The main numbers in plain words, for those who read mail without HTML."""
        lines = [self.title, self.heading, *([self.missing] if self.missing else ()), ""]
        for figures in self.figures:
            if figures.problem or figures.is_empty:
                continue
            grid = figures.grid()
            if figures.spec.kind == Kind.NUMBER:
                lines += [": ".join(cell.text for cell in row[:2]) for row in grid.rows]
            elif not figures.step:
                lines += ["", figures.spec.title]
                lines += ["  ".join(cell.text for cell in row) for row in grid.rows[:10]]
        return "\n".join(lines)


def content_of(run: ReportRun) -> Content:
    """The figures of a run's period. Reads the database. Raises DashboardNotSeen."""
    report = run.report
    if not report.is_seen:
        raise DashboardNotSeen
    period = Period(run.since, run.until, report.time_zone)
    name, description, specs = _asked(report)
    step = _STEPS.get(Report.Period(report.period), "day")
    if period.length.days > 62:
        step = "month"
    stepped = [
        replace(spec, granularity=step)
        if (not spec.granularity and spec.kind in (Kind.LINE, Kind.STACKED))
        or (spec.kind == Kind.BAR and not spec.dimensions and not spec.granularity)
        else spec
        for spec in specs
    ]
    return Content(
        title=visible(report.name),
        account=visible(run.account.name),
        description=visible(description or name),
        period=period,
        figures=tuple(figures_of(stepped, account_ids=[run.account_id], period=period)),
        missing=_missing(period),
    )


def _missing(period: Period) -> str:
    marked = Uncounted.objects.filter(minute__gte=period.since, minute__lt=period.until)
    minutes = marked.aggregate(minutes=Count("minute", distinct=True))["minutes"]
    if not minutes:
        return ""
    return f"Not all of it was counted yet: {minutes} of its minutes may be missing."


def _asked(report: Report) -> tuple[str, str, Sequence[WidgetSpec]]:
    if report.dashboard is not None:
        dashboard = report.dashboard
        specs = [spec_of(widget) for widget in dashboard.widgets.all()]
        return dashboard.name, dashboard.description, specs
    subject = SUBJECTS[report.subject]
    return subject.name, subject.description, subject.widgets


def nothing(figures: Figures) -> str:
    """Why there is nothing to show; empty where there is something."""
    if figures.problem:
        return figures.problem
    if figures.is_empty:
        return figures.spec.empty_text.partition(". ")[0].rstrip(".") + "."
    return ""


def groups_of(figures: Sequence[Figures]) -> Iterator[list[Figures]]:
    """The figures in order; single numbers that follow each other stand side by side."""
    row: list[Figures] = []
    for one in figures:
        if row and not (_is_number(one) and len(row) < SIDE_BY_SIDE and _is_number(row[-1])):
            yield row
            row = []
        row.append(one)
    if row:
        yield row


Number = tuple[str, Described, Value, Value, float | None]


def numbers_of(group: Sequence[Figures]) -> list[Number]:
    """Of a group of numbers each with its name, the value, that before, and the change."""
    return [
        (figures.spec.title if len(group) > 1 else measure.label, measure, value, before, change)
        for figures in group
        for measure, value, before, change in figures.numbers()
    ]


def _is_number(figures: Figures) -> bool:
    return figures.spec.kind == Kind.NUMBER and len(figures.measures) == 1
