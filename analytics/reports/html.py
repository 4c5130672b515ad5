"""A report as HTML that mail programs show: tables and inline styles, no script, no image.

Bars are cells with a colour, which also those draw that block images and know no CSS.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from analytics.charts.scales import part, top_of
from analytics.measures import NOTHING, change_written, written
from analytics.reports.content import (
    COLOURS,
    Content,
    groups_of,
    nothing,
    numbers_of,
)
from analytics.shown import Figures, Grid, Series
from analytics.widgets import TABLES, Kind

MAX_ROWS: Final = 50
FONT: Final = "font-family:system-ui,-apple-system,'Segoe UI',Roboto,Arial,sans-serif"
INK, QUIET, LINE, PAPER = "#111827", "#4b5563", "#e5e7eb", "#ffffff"
CELL: Final = f"padding:4px 12px 4px 0;border-bottom:1px solid {LINE};font-size:13px"
NUMBER_CELL: Final = f"{CELL};white-space:nowrap"  # a number stays with its unit


def make(content: Content) -> bytes:
    """A whole document, UTF-8."""
    parts = format_html_join("", "{}", ((_part(group),) for group in groups_of(content.figures)))
    return format_html(
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light"><title>{}</title></head>'
        '<body style="margin:0;padding:16px;background:#f3f4f6;color:{};{}">'
        '<table role="presentation" width="100%" cellpadding="0" cellspacing="0"><tr><td align='
        '"center"><table role="presentation" width="100%" cellpadding="0" cellspacing="0" style='
        '"max-width:680px;background:{};border-radius:8px"><tr><td style="padding:24px">'
        '<h1 style="font-size:20px;margin:0 0 4px">{}</h1>'
        '<p style="margin:0 0 4px;font-size:14px;color:{}">{}</p>'
        '<p style="margin:0 0 8px;font-size:14px;color:{}">{}</p>{}'
        "</td></tr></table></td></tr></table></body></html>",
        content.title, INK, mark_safe(FONT), PAPER, content.title, QUIET, content.heading, QUIET,  # noqa: S308
        content.about, parts or "This report has no widgets.",
    ).encode()  # fmt: skip


def _part(group: Sequence[Figures]) -> SafeString:
    first = group[0]
    if len(group) > 1:
        return format_html('<div style="margin-top:20px">{}</div>', _numbers(group))
    return format_html(
        '<h2 style="font-size:15px;margin:24px 0 8px">{}</h2>{}', first.spec.title, _body(first)
    )


def _body(figures: Figures) -> SafeString:
    if why := nothing(figures):
        return format_html('<p style="font-size:13px;color:{}">{}</p>', QUIET, why)
    match figures.spec.kind:
        case Kind.NUMBER:
            return _numbers([figures])
        case Kind.HEAT_MAP:
            return _heat_map(figures)
        case kind if kind in TABLES:
            return _table(figures.grid())
        case Kind.BAR if not figures.step:
            name = figures.measures[0].name
            values = [line.values.get(name) or 0 for line in figures.lines]
            top = top_of(values, figures.unit)
            return _rows(
                (line.name, [(part(value, 0, top), 0)], written(value, figures.unit))
                for line, value in zip(figures.lines, values, strict=True)
            )
    return _over_time(figures)


def _numbers(group: Sequence[Figures]) -> SafeString:
    found = numbers_of(group)
    cells = []
    for label, measure, value, before, change in found:
        note = (
            f"{change_written(change, measure.unit)}; before: {written(before, measure.unit)}"
            if before is not None
            else ""
        )
        shown = label if len(found) > 1 else ""
        cells.append((QUIET, shown, written(value, measure.unit), QUIET, note))
    return format_html(
        '<table role="presentation" cellpadding="0" cellspacing="0"><tr>{}</tr></table>',
        format_html_join(
            "",
            '<td style="padding:0 24px 8px 0;vertical-align:top">'
            '<div style="font-size:12px;color:{}">{}</div>'
            '<div style="font-size:24px;font-weight:600">{}</div>'
            '<div style="font-size:12px;color:{}">{}</div></td>',
            cells,
        ),
    )


def _over_time(figures: Figures) -> SafeString:
    """A bar for each step: of what adds up one part for each series, else of the first series."""
    series = figures.series()
    if not series:
        return mark_safe("")
    stacked = figures.measures[0].adds_up and figures.spec.kind != Kind.FORECAST
    columns = list(zip(*(one.points for one in series), strict=True))
    if figures.spec.kind == Kind.FORECAST:  # where nothing is counted yet, what is expected
        columns = [column if column[0] is not None else column[1:] for column in columns]
    heights = [sum(v or 0 for v in column) if stacked else column[0] for column in columns]
    top = top_of(heights, figures.unit)
    rows = []
    for at, column in zip(figures.steps, columns, strict=True):
        parts = (
            [(part(value or 0, 0, top), index) for index, value in enumerate(column)]
            if stacked
            else [(part(column[0] or 0, 0, top), 0)]
        )
        rows.append((_when(figures, at), parts, _values(column, figures)))
    return format_html("{}{}", _legend(series, stacked, figures.left_out), _rows(rows))


def _when(figures: Figures, at: datetime) -> str:
    """The hour alone where all are of one day."""
    is_of_a_day = figures.step in ("hour", "minute") and figures.period.length.days <= 1
    return f"{figures.period.local(at):%H:%M}" if is_of_a_day else figures.moment(at)


def _values(column: Sequence[float | int | None], figures: Figures) -> str:
    if figures.spec.kind == Kind.FORECAST:
        column = [value for value in column if value is not None]
    return " / ".join(written(value, figures.unit) for value in column)


def _legend(series: Sequence[Series], stacked: bool, left_out: str) -> SafeString:
    if len(series) < 2 and not left_out:
        return mark_safe("")
    if not stacked:
        text = f"Bars: {series[0].name}. Figures: {' / '.join(one.name for one in series)}."
        if left_out:
            text += f" {left_out.capitalize()}."
        return format_html('<p style="font-size:12px;margin:0 0 8px;color:{}">{}</p>', QUIET, text)
    return format_html(
        '<p style="font-size:12px;margin:0 0 8px">{}</p>',
        format_html_join(
            " ",
            '<span style="white-space:nowrap;margin-right:12px"><span style="display:inline-block;'
            'width:10px;height:10px;background:{}">&nbsp;</span> {}</span>',
            ((COLOURS[index % 8], one.name) for index, one in enumerate(series)),
        ),
    )


def _rows(rows: Iterable[tuple[str, list[tuple[float, int]], str]]) -> SafeString:
    return format_html(
        '<table role="presentation" width="100%" cellpadding="0" cellspacing="0">{}</table>',
        format_html_join(
            "",
            '<tr><td style="font-size:12px;padding:2px 8px 2px 0;white-space:nowrap" width="1%">'
            '{}</td><td style="padding:2px 0">{}</td><td align="right" width="1%" style='
            '"font-size:12px;padding:2px 0 2px 8px;white-space:nowrap">{}</td></tr>',
            ((name, _bar(parts), text) for name, parts, text in rows),
        ),
    )


def _bar(parts: Sequence[tuple[float, int]]) -> SafeString:
    """Cells whose widths are per cent; the last takes what is left."""
    shown = [(max(1, round(100 * size)), COLOURS[index % 8]) for size, index in parts if size]
    left = max(0, 100 - sum(width for width, _ in shown))
    cells = [(width, colour, colour) for width, colour in shown]
    cells.append((left, "#f3f4f6", "#f3f4f6"))
    return format_html(
        '<table role="presentation" width="100%" cellpadding="0" cellspacing="0" height="12"><tr>'
        "{}</tr></table>",
        format_html_join(
            "",
            '<td width="{}%" bgcolor="{}" style="background:{};height:12px;line-height:12px;'
            'font-size:1px">&nbsp;</td>',
            (cell for cell in cells if cell[0]),
        ),
    )


def _heat_map(figures: Figures) -> SafeString:
    hours = figures.hours()
    highest = max((value or 0 for day in hours for value in day), default=0) or 1
    rows = []
    for day, row in zip(figures.grid().rows, hours, strict=True):
        cells = format_html_join(
            "",
            '<td bgcolor="{}" style="background:{};height:16px;font-size:1px" title="{}">&nbsp;'
            "</td>",
            (
                (
                    shade := _shade((value or 0) / highest),
                    shade,
                    NOTHING if value is None else written(value, figures.unit),
                )
                for value in row
            ),
        )
        rows.append((str(day[0].value)[:3], cells))
    clock = format_html_join(
        "",
        '<td style="font-size:10px">{}</td>',
        ((f"{hour:02}" if hour % 3 == 0 else "",) for hour in range(24)),
    )
    return format_html(
        '<table width="100%" cellpadding="0" cellspacing="1" style="table-layout:fixed">{}'
        '<tr><td width="32"></td>{}</tr></table>',
        format_html_join("", '<tr><td width="32" style="font-size:11px">{}</td>{}</tr>', rows),
        clock,
    )


def _shade(share: float) -> str:
    """From the empty colour to the first series' own."""
    low, high = (243, 244, 246), (37, 99, 235)
    mixed = (round(a + (b - a) * share) for a, b in zip(low, high, strict=True))
    return "#" + "".join(f"{value:02x}" for value in mixed)


def _table(full: Grid) -> SafeString:
    grid = full.narrowed()
    heads = format_html_join(
        "",
        '<th scope="col" align="{}" style="{}">{}</th>',
        (
            ("right" if number else "left", mark_safe(CELL), text)  # noqa: S308 - our own
            for text, number in zip(grid.headers, grid.numeric, strict=True)
        ),
    )
    rows = format_html_join(
        "",
        "<tr>{}</tr>",
        (
            (
                format_html_join(
                    "",
                    '<td align="{}" style="{}">{}</td>',
                    (
                        (
                            "right" if number else "left",
                            mark_safe(NUMBER_CELL if number else CELL),  # noqa: S308 - our own
                            cell.text,
                        )
                        for cell, number in zip(row, grid.numeric, strict=True)
                    ),
                ),
            )
            for row in grid.rows[:MAX_ROWS]
        ),
    )
    more = len(grid.rows) - MAX_ROWS
    note = f"and {more} more; the other formats have them all" if more > 0 else ""
    return format_html(
        '<table width="100%" cellpadding="0" cellspacing="0"><thead><tr>{}</tr></thead><tbody>{}'
        '</tbody></table><p style="font-size:12px;color:{}">{}</p>',
        heads, rows, QUIET, note,
    )  # fmt: skip
