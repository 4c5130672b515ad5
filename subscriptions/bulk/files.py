"""Subscriptions as JSON and CSV, both ways.

A file says of each subscription the columns of COLUMNS. What it does not name stays as it is, or is
the column's default in a new one. In CSV a nested value is JSON in its cell, event types stand with
spaces or line ends between them, and an empty cell is the column's default.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import orjson
from django.db import models
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from subscriptions.errors import FileNotAcceptable
from subscriptions.models import Subscription
from subscriptions.services import CHANGEABLE
from webhooks_project.acceptable import has_nul
from webhooks_project.fields import EncryptedTextField

MAX_FILE_BYTES: Final = 10 * 1024 * 1024
MAX_LINES: Final = 10_000
FORMATS: Final = ("json", "csv")

FIELDS: Final[dict[str, models.Field[Any, Any]]] = {
    item.name: item
    for item in Subscription._meta.concrete_fields
    if item.name in (*CHANGEABLE, "expires_at") and not isinstance(item, EncryptedTextField)
}
COLUMNS: Final = ("id", "name", "url", "event_types", "status", *(
    name for name in FIELDS if name not in ("name", "url")
))  # fmt: skip

# What a spreadsheet takes for a formula, and the quote that keeps it from doing so.
_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠", "'")


@dataclass(frozen=True, slots=True)
class Line:
    """What a file says of one subscription. `unreadable` are the problems of what is not kept in
    `document`: {path, code, message} each."""

    number: int
    document: dict[str, Any]
    unreadable: list[dict[str, str]] = field(default_factory=list)


def read_lines(content: bytes, file_format: str) -> list[Line]:
    """The lines of a file. Raises FileNotAcceptable, which names the line and the column."""
    if len(content) > MAX_FILE_BYTES:
        raise FileNotAcceptable(f"the file has more than {MAX_FILE_BYTES:,} bytes")
    content = content.removeprefix(b"\xef\xbb\xbf")
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise FileNotAcceptable(f"line {line}: is not UTF-8", line=line) from error
    lines = _csv_lines(text) if file_format == "csv" else _json_lines(content)
    if not lines:
        raise FileNotAcceptable("the file has no subscription")
    return lines


def written_json(subscriptions: Iterable[Subscription]) -> Iterator[bytes]:
    """A JSON array of the subscriptions, piece by piece."""
    before = b"[\n"
    for subscription in subscriptions:
        yield before + orjson.dumps(document_of(subscription))
        before = b",\n"
    yield b"\n]\n" if before != b"[\n" else b"[]\n"


def written_csv(subscriptions: Iterable[Subscription]) -> Iterator[bytes]:
    """The subscriptions as CSV (RFC 4180), piece by piece."""
    yield csv_row(COLUMNS)
    for subscription in subscriptions:
        document = document_of(subscription)
        yield csv_row(_cell(name, document[name]) for name in COLUMNS)


def csv_row(cells: Iterable[object]) -> bytes:
    """One row, in which no cell is a formula to a spreadsheet."""
    row = io.StringIO()
    csv.writer(row).writerow([_guarded(str(cell)) for cell in cells])
    return row.getvalue().encode()


def document_of(subscription: Subscription) -> dict[str, Any]:
    """What a file says of a subscription: no secret."""
    document: dict[str, Any] = {
        "id": str(subscription.pk),
        "event_types": subscription.event_types,
        "status": str(subscription.status),
    }
    for name in FIELDS:
        value = getattr(subscription, name)
        document[name] = value.isoformat() if isinstance(value, datetime) else value
    return {name: document[name] for name in COLUMNS}


# --- JSON -----------------------------------------------------------------------------------------


def _json_lines(content: bytes) -> list[Line]:
    try:
        documents = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise FileNotAcceptable(f"line {error.lineno}: {error.msg}", line=error.lineno) from error
    if not isinstance(documents, list):
        raise FileNotAcceptable("the file must be an array of subscriptions")
    _check_count(len(documents))
    return [_json_line(number, item) for number, item in enumerate(documents, 1)]


def _json_line(number: int, document: object) -> Line:
    if not isinstance(document, dict):
        raise FileNotAcceptable(f"line {number}: must be an object", line=number)
    _check_columns(number, document)
    return _line(number, document, {})


# --- CSV ------------------------------------------------------------------------------------------


def _csv_lines(text: str) -> list[Line]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] = []
    lines: list[Line] = []
    start = 1
    try:
        for row in reader:
            if row and not header:
                header = [name.strip() for name in row]
                _check_header(start, header)
            elif any(row):
                _check_count(len(lines) + 1)
                lines.append(_csv_line(start, header, row))
            start = reader.line_num + 1
    except csv.Error as error:
        raise FileNotAcceptable(f"line {start}: {error}", line=start) from error
    return lines


def _check_header(number: int, header: list[str]) -> None:
    _check_columns(number, dict.fromkeys(header))
    for name in header:
        if header.count(name) > 1:
            raise FileNotAcceptable(
                f"line {number}: the column {name!r} comes twice", line=number, column=name
            )


def _csv_line(number: int, header: list[str], row: list[str]) -> Line:
    if len(row) != len(header):
        raise FileNotAcceptable(
            f"line {number}: has {len(row)} cells where the header has {len(header)}", line=number
        )
    document: dict[str, Any] = {}
    problems: dict[str, tuple[str, str]] = {}
    for name, cell in zip(header, row, strict=True):
        try:
            document[name] = _value_of_cell(name, _unguarded(cell))
        except ValueError as error:
            problems[name] = ("invalid_cell", str(error))
    if document.get("id") == "":
        del document["id"]
    if document.get("status") == "":
        del document["status"]
    return _line(number, document, problems)


def _value_of_cell(name: str, cell: str) -> Any:
    """The value that JSON would have. Raises ValueError."""
    if name in ("id", "status"):
        return cell.strip()
    if name == "event_types":
        return cell.split()
    column = FIELDS[name]
    if cell == "":
        return None if column.null else column.get_default()
    if isinstance(column, models.JSONField):
        try:
            return orjson.loads(cell)
        except orjson.JSONDecodeError as error:
            raise ValueError(f"is no JSON: {error}") from error
    if isinstance(column, models.BooleanField):
        if cell.lower() not in ("true", "false"):
            raise ValueError("must be true or false")
        return cell.lower() == "true"
    if isinstance(column, models.IntegerField):
        if not (cell.isascii() and cell.isdecimal() and len(cell) < 10):
            raise ValueError("must be a whole number")
        return int(cell)
    return cell


def _cell(name: str, value: Any) -> str:
    if name == "event_types":
        return " ".join(value)
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(FIELDS.get(name), models.JSONField):
        return orjson.dumps(value).decode()
    return str(value)


def _guarded(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_FORMULA_STARTS) else cell


def _unguarded(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(_FORMULA_STARTS) else cell


# --- what both have in common ---------------------------------------------------------------------


def _check_count(count: int) -> None:
    if count > MAX_LINES:
        raise FileNotAcceptable(f"the file has more than {MAX_LINES:,} subscriptions")


def _check_columns(number: int, names: Iterable[str]) -> None:
    for name in names:
        if name not in COLUMNS:
            raise FileNotAcceptable(
                f"line {number}: there is no column {name[:64]!r}", line=number, column=name[:64]
            )


def _line(
    number: int, document: Mapping[str, Any], problems: Mapping[str, tuple[str, str]]
) -> Line:
    """The line with what can be stored of it."""
    found = dict(problems)
    kept = {}
    for name, value in document.items():
        try:
            kept[name] = _stored(name, value)
        except ValueError as error:
            found[name] = ("invalid_type", str(error))
    unreadable = [
        {"path": f"/{name}", "code": code, "message": message}
        for name, (code, message) in found.items()
    ]
    return Line(number, kept, unreadable)


def _stored(name: str, value: Any) -> Any:
    """The value, where it has its column's type. Raises ValueError."""
    if has_nul(value):
        raise ValueError("holds a NUL")
    if name == "event_types":
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise ValueError("must be a list of texts")
        return value
    if name == "id":
        return str(UUID(value)) if isinstance(value, str) else _refuse("must be a UUID")
    column = FIELDS.get(name)
    if column is not None and value is None and column.null:
        return None
    match column:
        case models.JSONField():
            return value
        case models.BooleanField():
            return value if isinstance(value, bool) else _refuse("must be true or false")
        case models.IntegerField():
            is_number = isinstance(value, int) and not isinstance(value, bool)
            return value if is_number else _refuse("must be a whole number")
        case models.DateTimeField():
            return _moment(value)
    return value if isinstance(value, str) else _refuse("must be a text")


def _moment(value: Any) -> str:
    """The moment as ISO 8601 with a zone, UTC where it names none."""
    found = parse_datetime(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError("must be an ISO 8601 moment such as 2026-01-31T12:00Z")
    return (found if timezone.is_aware(found) else timezone.make_aware(found)).isoformat()


def _refuse(message: str) -> Any:
    raise ValueError(message)
