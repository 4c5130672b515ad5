"""A report as PDF: A4, charts drawn as vectors, each with its table."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import cache
from math import ceil
from pathlib import Path
from typing import Any, Final
from xml.sax.saxutils import escape

from django.conf import settings

from analytics.charts.scales import bottom_of, part, ticks, time_labels, top_of
from analytics.measures import change_written, written
from analytics.reports.content import (
    COLOURS,
    Content,
    groups_of,
    nothing,
    numbers_of,
)
from analytics.shown import Figures, Grid, Series
from analytics.widgets import TABLES, Kind

MAX_BARS: Final = 40  # as many as a page has room for
MAX_ROWS: Final = 60  # of a table; the other formats have them all
WIDTH, HEIGHT = 469.0, 150.0  # of a chart, in points
PADDING = 8.0  # of a table's cell, at both sides
LEFT, FOOT = 44.0, 18.0
NUMBER_HIGH: Final = 50  # a figure with its name and how it changed
INK, QUIET, RULE = "#111827", "#4b5563", "#d1d5db"
DASHES: Final = (None, (5, 3), (1.5, 2.5), (7, 2, 1.5, 2))  # of the first lines
NUMBER_FACES: Final = ((7, QUIET), (18, INK), (7, QUIET))  # of the name, the figure, the change
FONT: Final = "Hub"
# Fonts that know most scripts, where a system has them; else the one that comes along knows Latin.
_FONTS: Final = (
    "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf",
    "/usr/share/fonts/dejavu/DejaVuSans.ttf",
    "/usr/share/fonts/TTF/DejaVuSans.ttf",
)


def make(content: Content) -> bytes:
    """The document's bytes."""
    from reportlab.lib.enums import TA_LEFT
    from reportlab.lib.pagesizes import A4
    from reportlab.lib.styles import ParagraphStyle
    from reportlab.platypus import KeepTogether, Paragraph, SimpleDocTemplate, Spacer

    face = _face()
    body = ParagraphStyle("body", fontName=FONT, fontSize=9, leading=12, textColor=QUIET)
    title = ParagraphStyle("title", body, fontSize=18, leading=24, textColor=INK)
    heading = ParagraphStyle(
        "heading", body, fontSize=12, leading=16, textColor=INK, spaceBefore=14, spaceAfter=4,
        alignment=TA_LEFT, keepWithNext=1,
    )  # fmt: skip

    def said(text: str, style: Any) -> Any:
        return Paragraph(escape(_known(text, face)), style)

    story: list[Any] = [
        said(content.title, title), said(content.heading, body), said(content.about, body),
    ]  # fmt: skip
    if not content.figures:
        story.append(said("This report has no widgets.", body))
    for group in groups_of(content.figures):
        if len(group) > 1:
            story += [Spacer(1, 12), _numbers(group, face)]
            continue
        [figures] = group
        top = said(figures.spec.title, heading)
        if why := nothing(figures):
            story.append(KeepTogether([top, said(why, body)]))
            continue
        drawing = _drawing(figures, face)
        story.append(KeepTogether([top, drawing]) if drawing is not None else top)
        if drawing is None:
            story.append(_table(figures, face, body))
        elif figures.note:
            story.append(said(figures.note, body))
        elif figures.spec.kind == Kind.BAR and not figures.step:
            more = len(figures.lines) - MAX_BARS
            story += [said(f"and {more} more", body)] if more > 0 else []
    out = io.BytesIO()
    document = SimpleDocTemplate(
        out, pagesize=A4, leftMargin=57, rightMargin=57, topMargin=50, bottomMargin=50,
        title=content.title, author="", subject=content.heading, invariant=True,
    )  # fmt: skip

    def foot(canvas: Any, _: Any) -> None:
        canvas.setFont(FONT, 8)
        canvas.setFillColor(QUIET)
        canvas.drawString(57, 30, _known(content.heading, face)[:110])
        canvas.drawRightString(A4[0] - 57, 30, f"{canvas.getPageNumber()}")

    document.build(story, onFirstPage=foot, onLaterPages=foot)
    return out.getvalue()


# --- text -----------------------------------------------------------------------------------------


@cache
def _face() -> frozenset[int]:
    """The font is registered; what characters it has."""
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.ttfonts import TTFont

    paths = (
        [settings.WEBHOOKS_REPORT_FONT] if settings.WEBHOOKS_REPORT_FONT else [*_FONTS, "Vera.ttf"]
    )
    path = next((item for item in paths if Path(item).exists()), paths[-1])
    font = TTFont(FONT, path)
    pdfmetrics.registerFont(font)
    pdfmetrics.registerFontFamily(FONT, FONT, FONT, FONT, FONT)
    return frozenset(font.face.charToGlyph)


def _known(text: str, face: frozenset[int]) -> str:
    """The text with a question mark for each character that the font does not have."""
    return "".join(c if ord(c) in face or c.isspace() else "?" for c in text)


def _fitting(text: str, face: frozenset[int], width: float, size: float) -> str:
    from reportlab.pdfbase.pdfmetrics import stringWidth

    text = _known(text, face)
    if stringWidth(text, FONT, size) <= width:
        return text
    while text and stringWidth(text + "...", FONT, size) > width:
        text = text[:-1]
    return text + "..."


# --- tables ---------------------------------------------------------------------------------------


def _table(figures: Figures, face: frozenset[int], style: Any) -> Any:
    from reportlab.lib.styles import ParagraphStyle
    from reportlab.platypus import Paragraph, Table

    grid = figures.grid().narrowed()
    small = 6.0 if len(grid.headers) > 12 else 7.0 if len(grid.headers) > 8 else 8.0
    plain = ParagraphStyle("cell", style, fontSize=small, leading=small + 2, textColor=INK)
    right = ParagraphStyle("number", plain, alignment=2)

    def row(texts: Sequence[str]) -> list[Any]:
        return [
            Paragraph(escape(_known(text, face)), right if number else plain)
            for text, number in zip(texts, grid.numeric, strict=True)
        ]

    rows = [row(grid.headers)]
    rows += [row([cell.text for cell in cells]) for cells in grid.rows[:MAX_ROWS]]
    more = len(grid.rows) - MAX_ROWS
    if more > 0:
        rows.append(row([f"and {more} more", *([""] * (len(grid.headers) - 1))]))
    return Table(
        rows,
        colWidths=_widths(grid, small),
        repeatRows=1,
        hAlign="LEFT",
        style=[
            ("LINEBELOW", (0, 0), (-1, 0), 0.8, INK),
            ("LINEBELOW", (0, 1), (-1, -1), 0.3, RULE),
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
            ("LEFTPADDING", (0, 0), (-1, -1), 4),
            ("RIGHTPADDING", (0, 0), (-1, -1), 3),
            ("TOPPADDING", (0, 0), (-1, -1), 2),
            ("BOTTOMPADDING", (0, 0), (-1, -1), 2),
        ],
    )


def _widths(grid: Grid, size: float) -> list[float]:
    """Of each column, in points: what no word of its header and no number of it is broken in, and
    of the rest more for texts than for numbers. Where there is no such room, in proportion."""
    from reportlab.pdfbase.pdfmetrics import stringWidth

    least: list[float] = []
    for index, (header, number) in enumerate(zip(grid.headers, grid.numeric, strict=True)):
        words = header.split()
        if number:
            words += [cells[index].text for cells in grid.rows[:MAX_ROWS]]
        least.append(max((stringWidth(word, FONT, size) for word in words), default=0) + PADDING)
    rest = WIDTH - sum(least)
    if rest < 0:
        return [WIDTH * width / sum(least) for width in least]
    shares = [1.0 if number else 2.4 for number in grid.numeric]
    return [width + rest * share / sum(shares) for width, share in zip(least, shares, strict=True)]


# --- charts ---------------------------------------------------------------------------------------


def _drawing(figures: Figures, face: frozenset[int]) -> Any:
    """The widget's chart; None where it is a table."""
    match figures.spec.kind:
        case kind if kind in TABLES:
            return None
        case Kind.NUMBER:
            return _numbers([figures], face)
        case Kind.HEAT_MAP:
            return _heat_map(figures, face)
        case Kind.BAR if not figures.step:
            return _bars(figures, face)
    return _plot(figures, face)


def _numbers(group: Sequence[Figures], face: frozenset[int]) -> Any:
    """As many beside each other as nothing written of them is cut for."""
    from reportlab.graphics.shapes import Drawing, String

    found = numbers_of(group)
    written_of = [
        (
            name if len(found) > 1 else "",
            written(value, measure.unit),
            f"{change_written(change, measure.unit)}; before: {written(before, measure.unit)}"
            if before is not None
            else "",
        )
        for name, measure, value, before, change in found
    ]
    rows = ceil(len(written_of) / _fitting_beside(written_of))
    beside = max(3, ceil(len(written_of) / rows)) if rows == 1 else ceil(len(written_of) / rows)
    drawing = Drawing(WIDTH, rows * NUMBER_HIGH - (0 if len(found) > 1 else 12))
    for index, texts in enumerate(written_of):
        x, room = index % beside * WIDTH / beside, WIDTH / beside - 6
        y = (rows - 1 - index // beside) * NUMBER_HIGH
        for text, up, (size, colour) in zip(texts, (36, 14, 2), NUMBER_FACES, strict=True):
            drawing.add(String(x, y + up, _fitting(text, face, room, size), fontName=FONT,
                               fontSize=size, fillColor=_colour(colour)))  # fmt: skip
    return drawing


def _fitting_beside(written_of: Sequence[tuple[str, str, str]]) -> int:
    from reportlab.pdfbase.pdfmetrics import stringWidth

    widest = max(
        stringWidth(text, FONT, size)
        for texts in written_of
        for text, (size, _) in zip(texts, NUMBER_FACES, strict=True)
    )
    return max(2, min(4, int(WIDTH // (widest + 6))))


def _bars(figures: Figures, face: frozenset[int]) -> Any:
    from reportlab.graphics.shapes import Drawing, Rect, String

    name = figures.measures[0].name
    lines = figures.lines[:MAX_BARS]
    values = [line.values.get(name) or 0 for line in lines]
    top = top_of(values, figures.unit)
    drawing = Drawing(WIDTH, 16 * len(values))
    for index, (line, value) in enumerate(zip(lines, values, strict=True)):
        y = 16 * (len(values) - index - 1) + 3
        drawing.add(String(0, y + 1, _fitting(line.name, face, 130, 8), fontName=FONT, fontSize=8,
                           fillColor=_colour(INK)))  # fmt: skip
        drawing.add(Rect(140, y, max(1, 270 * part(value, 0, top)), 10, strokeColor=None,
                         fillColor=_colour(COLOURS[0])))  # fmt: skip
        drawing.add(String(WIDTH, y + 1, written(value, figures.unit), fontName=FONT, fontSize=8,
                           textAnchor="end", fillColor=_colour(INK)))  # fmt: skip
    return drawing


def _heat_map(figures: Figures, face: frozenset[int]) -> Any:
    from reportlab.graphics.shapes import Drawing, Rect, String
    from reportlab.lib.colors import linearlyInterpolatedColor

    hours = figures.hours()
    highest = max((value or 0 for day in hours for value in day), default=0) or 1
    low, high = _colour("#f3f4f6"), _colour(COLOURS[0])
    drawing = Drawing(WIDTH, 7 * 15 + 14)
    room = (WIDTH - 30) / 24
    for day, (cells, row) in enumerate(zip(figures.grid().rows, hours, strict=True)):
        y = 14 + 15 * (6 - day)
        drawing.add(String(0, y + 3, str(cells[0].value)[:3], fontName=FONT, fontSize=7,
                           fillColor=_colour(QUIET)))  # fmt: skip
        for hour, value in enumerate(row):
            shade = linearlyInterpolatedColor(low, high, 0, highest, value or 0)
            drawing.add(Rect(30 + hour * room, y, room - 1, 14, strokeColor=None, fillColor=shade))
    for hour in range(0, 24, 3):
        drawing.add(String(30 + hour * room, 3, f"{hour:02}", fontName=FONT, fontSize=7,
                           fillColor=_colour(QUIET)))  # fmt: skip
    return drawing


def _plot(figures: Figures, face: frozenset[int]) -> Any:
    from reportlab.graphics.shapes import Drawing, Line, String

    series = figures.series()
    stacked = figures.spec.kind == Kind.STACKED
    columns = list(zip(*(one.points for one in series), strict=True))
    values: list[float | int | None]
    if stacked:
        values = [sum(value or 0 for value in column) for column in columns]
    else:
        values = [value for column in columns for value in column]
    bottom = bottom_of(values, figures.unit) if figures.spec.kind == Kind.LINE else 0.0
    top = top_of(values, figures.unit)
    names = [one.name for one in series if len(series) > 1 or figures.spec.dimensions]
    names += [figures.left_out] if figures.left_out else []
    legend = 14.0 if names else 0.0
    drawing = Drawing(WIDTH, HEIGHT + FOOT + legend)
    base = FOOT + legend
    room, high = WIDTH - LEFT, HEIGHT - 8
    for mark in ticks(bottom, top, figures.unit):
        y = base + high * part(mark, bottom, top)
        drawing.add(Line(LEFT, y, WIDTH, y, strokeColor=_colour(RULE), strokeWidth=0.4))
        drawing.add(String(LEFT - 4, y - 2.5, written(mark, figures.unit), fontName=FONT,
                           fontSize=7, textAnchor="end", fillColor=_colour(QUIET)))  # fmt: skip
    wide = room / max(1, len(figures.steps))
    for index, text in time_labels(figures):
        drawing.add(String(LEFT + wide * (index + 0.5), base - 11, text, fontName=FONT, fontSize=7,
                           textAnchor="middle", fillColor=_colour(QUIET)))  # fmt: skip
    draw = _lines if figures.spec.kind in (Kind.LINE, Kind.FORECAST) else _columns
    for shape in draw(series, bottom, top, wide, base, high, stacked):
        drawing.add(shape)
    is_of_lines = draw is _lines
    for shape in _legend(names, len(series), face, is_of_lines=is_of_lines):
        drawing.add(shape)
    return drawing


def _lines(
    series: Sequence[Series], bottom: float, top: float, wide: float, base: float, high: float,
    stacked: bool,
) -> list[Any]:  # fmt: skip
    from reportlab.graphics.shapes import Circle, PolyLine

    found: list[Any] = []
    for index, one in enumerate(series):
        colour = _colour(COLOURS[index % 8])
        run: list[float] = []
        for step, value in enumerate([*one.points, None]):
            if value is not None:
                run += [LEFT + wide * (step + 0.5), base + high * part(value, bottom, top)]
            elif len(run) == 2:
                found.append(Circle(run[0], run[1], 2.5, fillColor=colour, strokeColor=None))
                run = []
            elif run:
                found.append(PolyLine(run, strokeColor=colour, strokeWidth=1.4,
                                      strokeDashArray=DASHES[index % 4]))  # fmt: skip
                run = []
    return found


def _columns(
    series: Sequence[Series], bottom: float, top: float, wide: float, base: float, high: float,
    stacked: bool,
) -> list[Any]:  # fmt: skip
    from reportlab.graphics.shapes import Rect

    found = []
    beside = 1 if stacked else max(1, len(series))
    width = wide * 0.8 / beside
    for step in range(len(series[0].points) if series else 0):
        foot = base
        for index, one in enumerate(series):
            tall = high * part(one.points[step] or 0, 0, top)
            if tall:
                x = LEFT + wide * (step + 0.1) + (0 if stacked else index * width)
                found.append(Rect(x, foot, width, tall, strokeColor=None,
                                  fillColor=_colour(COLOURS[index % 8])))  # fmt: skip
            foot += tall if stacked else 0
    return found


def _legend(
    names: Sequence[str], coloured: int, face: frozenset[int], *, is_of_lines: bool
) -> list[Any]:
    """The names side by side, the first of them with a piece of their line, or their colour."""
    from reportlab.graphics.shapes import Line, Rect, String

    found: list[Any] = []
    room = (WIDTH - LEFT) / max(1, len(names))
    key = 18 if is_of_lines else 7
    for index, name in enumerate(names):
        x = LEFT + index * room
        colour = _colour(COLOURS[index % 8])
        if index < coloured and is_of_lines:
            found.append(Line(x, 4, x + key, 4, strokeColor=colour, strokeWidth=1.4,
                              strokeDashArray=DASHES[index % 4]))  # fmt: skip
        elif index < coloured:
            found.append(Rect(x, 1, key, 7, strokeColor=None, fillColor=colour))
        fitting = _fitting(name, face, room - key - 7, 7)
        found.append(String(x + key + 3, 1.5, fitting, fontName=FONT, fontSize=7,
                            fillColor=_colour(INK)))  # fmt: skip
    return found


@cache
def _colour(text: str) -> Any:
    from reportlab.lib.colors import HexColor

    return HexColor(text)
