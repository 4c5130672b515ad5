"""Charts for the console: HTML and SVG without a script, in the page's colours.

The plot is stretched to whatever room there is; what is written stands beside it as HTML, so that
it keeps its size. What a chart shows is also in a table below it, which screen readers are given
instead of the drawing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from django.utils.html import conditional_escape, escape, format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from analytics.charts.numbers import numbers
from analytics.charts.scales import bottom_of, part, ticks, time_labels, top_of
from analytics.measures import NOTHING, Unit, Value, written
from analytics.shown import Cell, Figures, Grid, Key, Series
from analytics.widgets import TABLES, Kind

WIDTH: Final = 1000  # units of the plot; it is stretched
HEIGHT: Final = 100
GAP: Final = 0.2  # of a bar's room
LINES: Final = (Kind.LINE, Kind.FORECAST)
_COLOUR_KEY: Final = '<span class="hub-key hub-s{}"></span>'
_LINE_KEY: Final = (
    '<svg class="hub-key-line" viewBox="0 0 28 10" focusable="false">'
    '<path class="hub-line hub-s{}" d="M2 5H26"/></svg>'
)
Link = Callable[[Cell], str]  # the address of what a cell names, or nothing


def drawn(figures: Figures, link: Link | None = None) -> SafeString:
    """The widget's body: its chart with the table, or in words why there is none."""
    if figures.problem:
        return format_html('<p class="hub-empty" role="status">{}</p>', figures.problem)
    if figures.is_empty:
        text = figures.spec.empty_text
        return format_html('<p class="hub-empty" role="status">{}</p>', text)
    match figures.spec.kind:
        case Kind.NUMBER:
            return numbers(figures)
        case kind if kind in TABLES:
            return _table(figures.grid(), link)
        case Kind.HEAT_MAP:
            return _with_table(figures, _heat_map(figures), link)
        case Kind.BAR if not figures.step:
            return _with_table(figures, _bars(figures), link)
        case kind if kind in LINES:
            return _with_table(figures, _plot(figures, _lines), link)
    return _with_table(figures, _plot(figures, _columns), link)


# --- a table, and the table below a chart ---------------------------------------------------------


def _with_table(figures: Figures, chart: SafeString, link: Link | None) -> SafeString:
    note = format_html('<p class="hub-note">{}</p>', figures.note) if figures.note else ""
    return format_html(
        '<div class="hub-chart" aria-hidden="true">{}</div>{}'
        '<details class="hub-details hub-figures"><summary>Figures as a table'
        '<span class="hub-unseen"> of {}</span></summary>{}</details>',
        chart, note, figures.spec.title, _table(figures.grid(), link),
    )  # fmt: skip


def _table(full: Grid, link: Link | None) -> SafeString:
    grid = full.narrowed()
    heads = format_html_join(
        "",
        '<th scope="col"{}>{}</th>',
        ((_side(number), text) for text, number in zip(grid.headers, grid.numeric, strict=True)),
    )
    sides = [_side(number) for number in grid.numeric]
    named: dict[Key, str] = {}  # many rows are of one name

    def text_of(cell: Cell) -> str:
        if cell.key is None:
            return conditional_escape(cell.text)
        if cell.key not in named:
            named[cell.key] = _linked(cell, link)
        return named[cell.key]

    def row_of(cells: Sequence[Cell]) -> str:
        found = (f"<td{side}>{text_of(cell)}</td>" for cell, side in zip(cells, sides, strict=True))
        return f"<tr>{''.join(found)}</tr>"

    rows = mark_safe("".join(map(row_of, grid.rows)))  # noqa: S308 - each text is escaped
    return format_html(
        '<div class="hub-scroll" tabindex="0" role="group" aria-label="Table">'
        '<table class="hub-grid"><thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>',
        heads, rows,
    )  # fmt: skip


def _side(is_number: bool) -> SafeString:
    return mark_safe(' class="hub-number"' if is_number else "")  # noqa: S308 - one of two


def _linked(cell: Cell, link: Link | None) -> SafeString:
    text = _breakable(cell.text)
    url = link(cell) if link is not None else ""
    return format_html('<a class="text-link" href="{}">{}</a>', url, text) if url else text


def _breakable(name: str) -> SafeString:
    """A name such as `customer.trial_will_end`, broken behind its dots and lines if at all."""
    found: str = escape(name).replace(".", ".<wbr>").replace("_", "_<wbr>")
    return mark_safe(found)  # noqa: S308 - escaped


# --- bars of categories ---------------------------------------------------------------------------


def _bars(figures: Figures) -> SafeString:
    sizes: list[Value] = [_of(line.values, figures) for line in figures.lines]
    top = top_of(sizes, figures.unit)
    rows = [
        (
            line.name,
            _breakable(line.name),
            f"{100 * part(_of(line.values, figures), 0, top):.2f}",
            written(line.values.get(figures.measures[0].name), figures.unit),
        )
        for line in figures.lines
    ]
    return format_html(
        '<div class="hub-bars">{}</div>',
        format_html_join(
            "",
            '<span class="hub-bar-name" title="{}">{}</span>'
            '<span class="hub-bar"><span style="width:{}%"></span></span>'
            '<span class="hub-bar-value">{}</span>',
            rows,
        ),
    )


def _of(values: Mapping[str, Value], figures: Figures) -> float:
    return values.get(figures.measures[0].name) or 0


# --- over time ------------------------------------------------------------------------------------


def _plot(
    figures: Figures, draw: Callable[[Figures, Sequence[Series], float, float], str]
) -> SafeString:
    series = figures.series()
    unit = figures.unit
    values: list[Value]
    if figures.spec.kind == Kind.STACKED:
        values = [sum(point or 0 for point in column) for column in _columns_of(series)]
    else:
        values = [point for one in series for point in one.points]
    bottom = bottom_of(values, unit) if figures.spec.kind == Kind.LINE else 0.0
    top = top_of(values, unit)
    marks = ticks(bottom, top, unit)
    lines = "".join(
        f'<line class="hub-rule" x1="0" x2="{WIDTH}" y1="{y:.2f}" y2="{y:.2f}"/>'
        for y in (HEIGHT * (1 - part(mark, bottom, top)) for mark in marks)
    )
    svg = mark_safe(  # noqa: S308 - numbers, and texts that are escaped
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" focusable="false">'
        f"{lines}{draw(figures, series, bottom, top)}{_hints(figures, series, unit)}</svg>"
    )
    count = max(1, len(figures.steps))
    return format_html(
        '<div class="hub-plot"><div class="hub-y">{}</div><div class="hub-area">{}</div>'
        '<div class="hub-x">{}</div></div>{}',
        format_html_join(
            "",
            '<span style="bottom:{}%">{}</span>',
            ((f"{100 * part(mark, bottom, top):.2f}", _mark(mark, unit)) for mark in marks),
        ),
        svg,
        format_html_join(
            "",
            '<span style="left:{}%">{}</span>',
            ((f"{100 * (index + 0.5) / count:.2f}", text) for index, text in time_labels(figures)),
        ),
        _legend(figures, series) if len(series) > 1 or figures.spec.dimensions else "",
    )


def _mark(value: float, unit: Unit) -> str:
    if unit == "count" and value >= 1000:
        for size, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
            if value >= size:
                return f"{value / size:g}{name}"
    return f"{100 * value:g} %" if unit == "rate" else written(value, unit)


def _legend(figures: Figures, series: Sequence[Series]) -> SafeString:
    """The names, each by what is drawn of it: a piece of its line, or its colour."""
    sample = _LINE_KEY if figures.spec.kind in LINES else _COLOUR_KEY
    return format_html(
        '<ul class="hub-legend">{}{}</ul>',
        format_html_join(
            "",
            f"<li>{sample}<span>{{}}</span></li>",
            ((index % 8 + 1, one.name) for index, one in enumerate(series)),
        ),
        format_html("<li>{}</li>", figures.left_out) if figures.left_out else "",
    )


def _lines(figures: Figures, series: Sequence[Series], bottom: float, top: float) -> str:
    count = max(1, len(figures.steps))
    found = []
    alone: dict[str, list[str]] = {}  # of points beside which there is none, what is drawn there
    for index, one in enumerate(series):
        colour = f"hub-s{index % 8 + 1}"
        path: list[str] = []
        points = one.points
        for step, value in enumerate(points):
            if value is None:
                continue
            at = f"{WIDTH * (step + 0.5) / count:.1f} {HEIGHT * (1 - part(value, bottom, top)):.2f}"
            is_first = not step or points[step - 1] is None
            if is_first and (step + 1 == len(points) or points[step + 1] is None):
                alone.setdefault(at, []).append(colour)
            else:
                path.append(f"{'M' if is_first else 'L'}{at}")
        if path:
            found.append(f'<path class="hub-line {colour}" d="{"".join(path)}"/>')
    for at, colours in alone.items():
        # A line of no length has round ends: a dot, whatever the plot is stretched to. Of several
        # at one place those below are seen around those above.
        found += [
            f'<path class="hub-point {colour}" d="M{at}h.01" stroke-width="{8 + 5 * above}"/>'
            for above, colour in zip(reversed(range(len(colours))), colours, strict=True)
        ]
    return "".join(found)


def _columns(figures: Figures, series: Sequence[Series], bottom: float, top: float) -> str:
    """Bars over time: on top of each other, or of several measures side by side."""
    stacked = figures.spec.kind == Kind.STACKED
    count = max(1, len(figures.steps))
    room = WIDTH / count
    beside = 1 if stacked else max(1, len(series))
    width = room * (1 - GAP) / beside
    found = []
    for step in range(len(figures.steps)):
        foot = 0.0
        for index, one in enumerate(series):
            value = one.points[step]
            if not value:
                continue
            height = HEIGHT * part(value, 0, top)
            x = room * (step + GAP / 2) + (0 if stacked else index * width)
            y = HEIGHT - foot - height
            found.append(
                f'<rect class="hub-fill hub-s{index % 8 + 1}" x="{x:.2f}" y="{y:.2f}"'
                f' width="{width:.2f}" height="{height:.2f}"/>'
            )
            foot += height if stacked else 0
    return "".join(found)


def _hints(figures: Figures, series: Sequence[Series], unit: Unit) -> str:
    """What stands at the pointer: for each step a field over the plot's whole height."""
    count = max(1, len(figures.steps))
    room = WIDTH / count
    found = []
    for step, at in enumerate(figures.steps):
        texts = "\n".join(f"{one.name}: {written(one.points[step], unit)}" for one in series)
        found.append(
            format_html(
                '<rect class="hub-hint" x="{}" y="0" width="{}" height="{}"><title>{}\n{}</title>'
                "</rect>",
                f"{room * step:.2f}", f"{room:.2f}", HEIGHT, figures.moment(at), texts,
            )
        )  # fmt: skip
    return "".join(found)


def _columns_of(series: Sequence[Series]) -> Iterable[Iterable[Value]]:
    return zip(*(one.points for one in series), strict=True)


# --- hours of the week ----------------------------------------------------------------------------


def _heat_map(figures: Figures) -> SafeString:
    hours = figures.hours()
    highest = max((value or 0 for day in hours for value in day), default=0) or 1
    grid = figures.grid()
    cells = []
    for day, row in zip(grid.rows, hours, strict=True):
        cells.append(format_html('<span class="hub-day">{}</span>', str(day[0].value)[:3]))
        cells += [
            format_html(
                '<span class="hub-hour" style="--part:{}" title="{} {}:00, {}"></span>',
                f"{100 * (value or 0) / highest:.1f}", day[0].value, f"{hour:02}",
                NOTHING if value is None else written(value, figures.unit),
            )
            for hour, value in enumerate(row)
        ]  # fmt: skip
    cells.append(mark_safe('<span class="hub-day"></span>'))
    cells += [
        format_html('<span class="hub-clock">{}</span>', f"{hour:02}" if hour % 3 == 0 else "")
        for hour in range(24)
    ]
    return format_html(
        '<div class="hub-heat">{}</div><p class="hub-scale"><span>{}</span>'
        '<span class="hub-ramp"></span><span>{}</span></p>',
        format_html_join("", "{}", ((cell,) for cell in cells)),
        written(0, figures.unit), written(highest, figures.unit),
    )  # fmt: skip
