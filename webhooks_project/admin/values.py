"""Values as the console shows them: escaped always, since strangers sent much of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import orjson
from django.db.models import Model, QuerySet
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.http import urlencode
from django.utils.safestring import SafeString

from webhooks_project.lib.visible import visible as visible

SHOWN_CHARACTERS: Final = 64 * 1024  # of one body; a browser chokes on the 25 MiB that may come
SHOWN_HEX_BYTES: Final = 2 * 1024
MAX_COUNTED: Final = 10_000  # rows; more are "10,000+"
EMPTY: Final = "-"

_Method = TypeVar("_Method", bound=Callable[..., Any])


def column(title: str, *, ordering: str = "") -> Callable[[_Method], _Method]:
    """Name a method that is a column or a field; `ordering` makes the column sortable."""

    def name(method: _Method) -> _Method:
        method.short_description = title  # type: ignore[attr-defined]
        if ordering:
            method.admin_order_field = ordering  # type: ignore[attr-defined]
        return method

    return name


def moment(value: datetime | None) -> str:
    """`2026-01-31 15:04:05`, in UTC."""
    return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S") if value else EMPTY


def moment_column(title: str, name: str) -> Callable[[Any, Any], str]:
    """A column or field that shows the moment which the row keeps under that name."""

    @column(title, ordering=name)
    def show(model_admin: Any, row: Any) -> str:
        return moment(getattr(row, name))

    return show


def value_column(title: str, name: str) -> Callable[[Any, Any], str]:
    """A column or field that shows a choice by its value, which is the word everywhere else."""

    @column(title)
    def show(model_admin: Any, row: Any) -> str:
        return str(getattr(row, name) or EMPTY)

    return show


def text_column(title: str, name: str) -> Callable[[Any, Any], str]:
    """A column or field that shows a stranger's text, with what cannot be seen written out."""

    @column(title)
    def show(model_admin: Any, row: Any) -> str:
        return visible(str(getattr(row, name) or EMPTY))

    return show


def short(text: str, limit: int = 80) -> str:
    """A stranger's text for a cell of a table."""
    text = visible(text)
    return text if len(text) <= limit else f"{text[:limit]}…"


def marked(text: str) -> SafeString:
    """A text in which what stands between backticks is code."""
    parts = text.split("`")
    if len(parts) % 2 == 0:  # one without its other
        return format_html("{}", text)
    pairs = zip(parts[::2], [*parts[1::2], ""], strict=True)
    return format_html_join(
        "", "{}{}", ((plain, _code(code) if code else "") for plain, code in pairs)
    )


def _code(text: str) -> SafeString:
    return format_html('<code class="hub-code">{}</code>', text)


def milliseconds(value: float | None) -> str:
    """`12.3 ms`, `4.56 s`."""
    if value is None:
        return EMPTY
    return f"{value / 1000:.2f} s" if value >= 1000 else f"{value:.1f} ms"


def label(text: str, colours: Mapping[Any, str] | None = None) -> str:
    """A coloured label; `colours` gives success, danger, warning, info or primary for a text."""
    if not text:
        return EMPTY
    context = {"text": text, "type": (colours or {}).get(text, "")}
    return render_to_string("unfold/helpers/label.html", context)


def page_of(model: str, pk: object) -> str:
    """The path of a row's page; `model` is `app.model`."""
    return reverse(f"admin:{model.replace('.', '_')}_change", args=[pk])


def list_of(model: str, **filters: object) -> str:
    """The path of a list, filtered."""
    path = reverse(f"admin:{model.replace('.', '_')}_changelist")
    given = {name: str(value) for name, value in filters.items()}
    return f"{path}?{urlencode(given)}" if given else path


def capped_count(rows: QuerySet[Any]) -> str:
    """How many rows there are, counted only as far as that is quick."""
    count = rows.order_by()[: MAX_COUNTED + 1].count()
    return f"{MAX_COUNTED:,}+" if count > MAX_COUNTED else f"{count:,}"


def link(url: str, text: object) -> SafeString:
    return format_html('<a class="text-link" href="{}">{}</a>', url, text)


def link_to(row: Model | None) -> SafeString | str:
    """A link to the row's own page, named as the row names itself."""
    return link(page_of(row._meta.label_lower, row.pk), row) if row is not None else EMPTY


def pretty_json(data: bytes | str) -> str:
    """The JSON text indented, empty where it is none."""
    try:
        return json_text(orjson.loads(data))
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return ""


def json_text(value: Any) -> str:
    """A value as indented JSON."""
    try:
        return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
    except orjson.JSONEncodeError:  # an integer of more than 64 bits
        return json.dumps(value, indent=2, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Text:
    """A block of preformatted text. `note` says what is not seen from it; with `keeps_lines` its
    lines are not broken."""

    title: str
    text: str
    note: str = ""
    is_open: bool = True
    keeps_lines: bool = False


def text_block(title: str, text: str, *, note: str = "", is_open: bool = True) -> Text:
    """The text, cut where it is too long for a page."""
    if len(text) > SHOWN_CHARACTERS:
        note = f"{note} The first {SHOWN_CHARACTERS:,} of {len(text):,} characters.".strip()
    return Text(title, visible(text[:SHOWN_CHARACTERS]), note, is_open)


def bytes_block(
    title: str, data: bytes, *, mask: Callable[[str], str] = str, is_open: bool = True
) -> Text:
    """Raw bytes as text, or as a hex dump where they are none. `mask` hides secrets in a text."""
    note = f"{len(data):,} bytes."
    try:
        if b"\0" in data:
            raise ValueError
        return text_block(title, mask(data.decode()), note=note, is_open=is_open)
    except ValueError:
        shown = data[:SHOWN_HEX_BYTES]
        if len(shown) < len(data):
            note += f" The first {len(shown):,} as a hex dump."
        return Text(title, hex_dump(shown), note, is_open, keeps_lines=True)


def hex_dump(data: bytes) -> str:
    """Sixteen bytes a line: offset, hex, ASCII."""
    lines = []
    for offset in range(0, len(data), 16):
        part = data[offset : offset + 16]
        plain = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)
        lines.append(f"{offset:08x}  {part.hex(' '):<47}  {plain}")
    return "\n".join(lines)


def headers_block(title: str, headers: Mapping[str, str], *, is_open: bool = True) -> Text:
    """One header a line."""
    lines = "\n".join(f"{name}: {value}" for name, value in headers.items())
    return text_block(title, lines, is_open=is_open)
