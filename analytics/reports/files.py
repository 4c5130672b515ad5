"""The formats of a report by their names. What makes Excel and PDF is loaded when it is needed."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Final

from django.utils.text import slugify

from analytics.models.reports import Format
from analytics.reports.content import Content

_MAKERS: Final = {
    Format.HTML: "analytics.reports.html",
    Format.CSV: "analytics.reports.csv_file",
    Format.XLSX: "analytics.reports.xlsx",
    Format.PDF: "analytics.reports.pdf",
}
TYPES: Final = {
    Format.HTML: "text/html; charset=utf-8",
    Format.CSV: "text/csv; charset=utf-8",
    Format.XLSX: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    Format.PDF: "application/pdf",
}


def made_in(name: str, content: Content) -> tuple[str, bytes]:
    """The file's name and its bytes, in the format of that name."""
    kind = Format(name)
    make: Callable[[Content], bytes] = import_module(_MAKERS[kind]).make
    since = content.period.local(content.period.since)
    stem = slugify(content.title)[:80] or "report"
    return f"{stem}-{since:%Y-%m-%d}.{kind}", make(content)
