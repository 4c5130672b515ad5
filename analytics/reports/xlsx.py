"""A report as an Excel workbook: a sheet for each widget, with its chart where it has one."""

from __future__ import annotations

import io
import re
from typing import Any, Final

from analytics.reports.content import COLOURS, Content, nothing
from analytics.shown import Cell, Figures, Grid
from analytics.widgets import OVER_TIME, Kind

_NOT_IN_A_NAME: Final = re.compile(r"[^\w .,()-]")  # what Excel refuses, and what wants quoting
_FORMATS: Final = {
    "count": "#,##0", "bytes": '#,##0" B"', "rate": "0.00%", "ms": '#,##0" ms"', "ratio": "0.00",
}  # fmt: skip
_CHANGES: Final = {"rate": '+0.0" points";-0.0" points"'}
_CHARTS: Final = {
    Kind.LINE: {"type": "line"},
    Kind.FORECAST: {"type": "line"},
    Kind.STACKED: {"type": "column", "subtype": "stacked"},
    Kind.BAR: {"type": "column"},
}


def make(content: Content) -> bytes:
    """The workbook's bytes. No text of anybody's is taken for a formula or a link."""
    import xlsxwriter

    out = io.BytesIO()
    with xlsxwriter.Workbook(
        out,
        {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False,
         "strings_to_numbers": False},
    ) as book:  # fmt: skip
        book.set_properties({"title": content.title[:200], "subject": content.heading[:200]})
        _Book(book).write(content)
    return out.getvalue()


class _Book:
    """A workbook with the formats that its cells share."""

    def __init__(self, book: Any) -> None:
        self.book = book
        self.head = book.add_format({"bold": True, "bottom": 1, "text_wrap": True})
        self.title = book.add_format({"bold": True, "font_size": 16})
        self.units = {name: book.add_format({"num_format": f}) for name, f in _FORMATS.items()}
        self.change = book.add_format({"num_format": "+0.0%;-0.0%;0%"})
        self.points = book.add_format({"num_format": _CHANGES["rate"]})
        self.names: set[str] = set()

    def write(self, content: Content) -> None:
        first = self.book.add_worksheet(self._name("Summary"))
        first.set_column(0, 0, 46)
        first.set_column(1, 3, 18)
        first.write_string(0, 0, content.title, self.title)
        first.write_string(1, 0, content.heading)
        first.write_string(2, 0, content.about)
        row = 4
        for figures in content.figures:
            name = ""
            if not (why := nothing(figures)) and figures.spec.kind != Kind.NUMBER:
                name = self._sheet(figures)
            first.write_string(row, 0, figures.spec.title, self.head)
            if name:
                first.write_url(row, 1, f"internal:'{name.replace(chr(39), chr(39) * 2)}'!A1",
                                string="figures")  # fmt: skip
            elif why:
                first.write_string(row, 1, why)
            else:
                row = self._grid(first, figures.grid(), row + 1)
            row += 1

    def _sheet(self, figures: Figures) -> str:
        name = self._name(figures.spec.title)
        sheet = self.book.add_worksheet(name)
        grid = figures.grid()
        sheet.freeze_panes(1, 0)
        for index, is_number in enumerate(grid.numeric):
            sheet.set_column(index, index, 16 if is_number else 30)
        kind = Kind(figures.spec.kind)
        if kind == Kind.HEAT_MAP:
            sheet.set_column(1, 24, 7)
        if kind in OVER_TIME or (kind == Kind.BAR and figures.step):
            self._over_time(sheet, name, figures)
        else:
            last = self._grid(sheet, grid, 0)
            if kind == Kind.HEAT_MAP:
                sheet.conditional_format(
                    1, 1, 7, 24,
                    {"type": "2_color_scale", "min_color": "#F3F4F6", "max_color": COLOURS[0]},
                )  # fmt: skip
            elif kind == Kind.BAR:
                self._chart(sheet, name, figures, {"type": "bar"}, 1, last - 1, len(grid.headers))
        return name

    def _over_time(self, sheet: Any, name: str, figures: Figures) -> None:
        """A column for each series, as charts want them."""
        series = figures.series()
        form = self.units[figures.unit]
        sheet.write_string(0, 0, "From", self.head)
        for index, one in enumerate(series):
            sheet.write_string(0, index + 1, one.name, self.head)
        for row, at in enumerate(figures.steps, 1):
            sheet.write_string(row, 0, figures.moment(at))
            for index, one in enumerate(series):
                if (value := one.points[row - 1]) is not None:
                    sheet.write_number(row, index + 1, value, form)
        sheet.set_column(1, len(series), 16)
        self._chart(
            sheet, name, figures, _CHARTS[Kind(figures.spec.kind)], len(series),
            len(figures.steps), len(series) + 1,
        )  # fmt: skip
        if figures.left_out:
            sheet.write_string(len(figures.steps) + 1, 0, figures.left_out)

    def _chart(
        self, sheet: Any, name: str, figures: Figures, kind: dict[str, str], count: int,
        last: int, beside: int,
    ) -> None:  # fmt: skip
        if not count:  # Excel opens no book that has a chart of nothing
            return
        chart = self.book.add_chart(kind)
        for index in range(count):
            column = index + 1
            fill = {"color": COLOURS[index % 8]}
            chart.add_series(
                {
                    "name": [name, 0, column],
                    "categories": [name, 1, 0, last, 0],
                    "values": [name, 1, column, last, column],
                    "line" if kind["type"] == "line" else "fill": fill,
                }
            )
        # By its cell: a title that looks like a formula would be taken for one.
        sheet.write_string(0, beside + 1, figures.spec.title)
        chart.set_title({"name": [name, 0, beside + 1], "overlay": False})
        chart.set_size({"width": 760, "height": 380})
        chart.set_legend({"position": "bottom"} if count > 1 else {"none": True})
        if kind["type"] == "bar":
            chart.set_y_axis({"reverse": True})
        chart.show_blanks_as("gap")
        sheet.insert_chart(1, beside + 1, chart)

    def _grid(self, sheet: Any, grid: Grid, row: int) -> int:
        """Write a table from that row. Returns the row after it."""
        for column, text in enumerate(grid.headers):
            sheet.write_string(row, column, text, self.head)
        for cells in grid.rows:
            row += 1
            for column, cell in enumerate(cells):
                self._cell(sheet, row, column, cell)
        return row + 1

    def _cell(self, sheet: Any, row: int, column: int, cell: Cell) -> None:
        value = cell.value
        if value is None:
            return
        if not isinstance(value, int | float):
            sheet.write_string(row, column, cell.text)
        elif cell.is_change:
            in_points = cell.unit == "rate"
            sheet.write_number(
                row, column, 100 * value if in_points else value,
                self.points if in_points else self.change,
            )  # fmt: skip
        else:
            sheet.write_number(row, column, value, self.units[cell.unit or "count"])

    def _name(self, title: str) -> str:
        """A sheet's name: 31 characters at most, none that Excel refuses, and none twice."""
        clean = _NOT_IN_A_NAME.sub(" ", title).strip(" '") or "Figures"
        if clean.lower() == "history":  # Excel's own
            clean = "History of it"
        name, number = clean[:31].rstrip(" '"), 1
        while name.lower() in self.names:
            number += 1
            end = f" {number}"
            name = clean[: 31 - len(end)] + end
        self.names.add(name.lower())
        return name
