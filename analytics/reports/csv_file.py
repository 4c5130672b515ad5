"""A report as CSV: one line for each value, so that programs and pivot tables take it as it is."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Final

from analytics.reports.content import Content
from analytics.shown import Figures, Line

HEADERS: Final = (
    "widget", "from", "dimension", "key", "name", "measure", "unit", "value", "before",
)  # fmt: skip
# What a spreadsheet takes for the beginning of a formula (OWASP, CSV injection).
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def make(content: Content) -> bytes:
    """UTF-8 with a mark at its start, by which Excel knows it."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(HEADERS)
    for figures in content.figures:
        writer.writerows(_rows(figures))
    return out.getvalue().encode("utf-8-sig")


def safe(text: str) -> str:
    """A text that no spreadsheet calculates."""
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA) else text


def _rows(figures: Figures) -> Iterator[tuple[str | int | float, ...]]:
    for line in figures.lines:
        for measure in figures.measures:
            value = line.values.get(measure.name)
            before = (line.before or {}).get(measure.name)
            yield (
                safe(figures.spec.title),
                _when(figures, line),
                safe(" / ".join(key.dimension for key in line.keys)),
                safe(" / ".join(key.value for key in line.keys)),
                safe(" / ".join(key.name for key in line.keys)),
                measure.name,
                measure.unit,
                "" if value is None else value,
                "" if before is None else before,
            )


def _when(figures: Figures, line: Line) -> str:
    if line.hour is not None:
        return f"{('Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun')[line.hour // 24]} " \
            f"{line.hour % 24:02}:00"  # fmt: skip
    return figures.period.local(line.at).isoformat() if line.at else ""
