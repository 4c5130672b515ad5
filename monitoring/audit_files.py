"""The audit log of a period as a file with its proof, and the proof's check without a database.

A file is a head, the entries in order, and an end. The head says what the first entry follows and
which fields each format's hash is over, in their order; each entry has those fields exactly as they
were hashed; the end has the last hash and the period's anchors. So the file can be checked by
itself, and against an anchor that somebody kept. docs/audit.md has the recipe.

JSON Lines has an object a line. CSV has a row for each, whose column `record` says which of the
three it is; what only head and end have is JSON in the column `after`. A cell that a spreadsheet
would take for a formula, or that begins with a quote, has a quote in front: one quote less gives
the text that was hashed.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import orjson
from django.db.models import Max, Min
from django.http import StreamingHttpResponse

from monitoring import journal
from monitoring.chain import FIELDS, GENESIS, Breach, Kind, breaches_of, fields_of, hashed_fields
from monitoring.models import AuditAnchor, AuditEntry
from webhooks_project.accounts.models import Account
from webhooks_project.lib import clock

FORMATS: Final = {"jsonl": "application/jsonl", "csv": "text/csv; charset=utf-8"}
VERSION: Final = 1
CHUNK_ROWS: Final = 1_000
MAX_LINE: Final = 16 * 1024 * 1024  # characters of one line of a file that is checked
# The columns of the CSV form: the fields of the newest format, and what goes with them.
ENTRY_FIELDS: Final = FIELDS[2]
COLUMNS: Final = ("record", *ENTRY_FIELDS, "hash")
# What a spreadsheet takes for a formula, and the quote that keeps it from doing so.
_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠", "'")


class NotReadable(ValueError):
    """It is no audit log file as this hub writes it."""


@dataclass(frozen=True, slots=True)
class Line:
    """An entry of a file."""

    fields: Mapping[str, Any]
    hash: str

    @property
    def account_id(self) -> str:
        return str(self.fields["account"])

    def __getattr__(self, name: str) -> Any:
        try:
            return self.fields[name]
        except KeyError as error:
            raise AttributeError(name) from error


@dataclass(frozen=True, slots=True)
class CheckedFile:
    """What a file says of itself, and what is wrong with it."""

    account_id: UUID
    first: int
    last: int
    count: int
    head: str
    breaches: list[Breach]


@dataclass(frozen=True)
class Export:
    """A file that is written while it is read."""

    content: Iterator[bytes]
    file_format: str
    name: str

    def as_response(self) -> StreamingHttpResponse:
        return StreamingHttpResponse(
            self.content,
            content_type=FORMATS[self.file_format],
            headers={
                "Content-Disposition": f'attachment; filename="{self.name}"',
                "Cache-Control": "no-store",
            },
        )


def export_audit_log(
    *, account: Account, since: datetime | None, until: datetime | None, file_format: str
) -> Export:
    """What `written_audit_log` writes, for somebody who asked for it: that is in the log too."""
    journal.record_change(
        account_id=account.pk,
        action="audit_log.exported",
        subject=account,
        after={"since": since, "until": until, "format": file_format},
    )
    content = written_audit_log(account=account, since=since, until=until, file_format=file_format)
    day = f"{clock.now():%Y-%m-%d}"
    return Export(content, file_format, f"audit-{account.slug}-{day}.{file_format}")


def written_audit_log(
    *, account: Account, since: datetime | None, until: datetime | None, file_format: str
) -> Iterator[bytes]:
    """The entries of an account from `since` until before `until`, piece by piece.

    The entries are a run without gaps: clocks of two nodes may differ, so one that says a moment
    just outside of the period but stands between two of the period is in it too.
    """
    write = _csv if file_format == "csv" else _json
    entries = _run(account, since, until)
    first = entries.first()
    head = {
        "record": "head",
        "version": VERSION,
        "account": str(account.pk),
        "account_name": account.name,
        "since": since and since.isoformat(),
        "until": until and until.isoformat(),
        "exported_at": clock.now().isoformat(),
        "first_sequence": first.sequence if first else 0,
        "previous_hash": first.previous_hash if first else GENESIS,
        "fields": {str(number): list(names) for number, names in FIELDS.items()},
    }
    if file_format == "csv":
        yield _row(COLUMNS)
    yield write(head)
    count, last = 0, first
    for entry in entries.iterator(chunk_size=CHUNK_ROWS):
        count, last = count + 1, entry
        fields = dict(zip(fields_of(entry.format), hashed_fields(entry), strict=True))
        yield write({"record": "entry", **fields, "format": entry.format, "hash": entry.hash})
    yield write(
        {
            "record": "end",
            "count": count,
            "last_sequence": last.sequence if last else 0,
            "hash": last.hash if last else head["previous_hash"],
            "anchors": [
                _anchor(row) for row in _anchors(account, first, last) if first is not None
            ],
        }
    )


Kept = Mapping[str, Mapping[int, str]]


def check_file(lines: Iterable[str], file_format: str, kept: Kept) -> CheckedFile:
    """Whether a file holds in itself, and by the hashes that were `kept` elsewhere: by account
    and number.

    An anchor that is older or newer than the file says nothing of it. Raises NotReadable.
    """
    records = _read_csv(lines) if file_format == "csv" else _read_json(lines)
    return _Check(records, kept).made


# --- writing --------------------------------------------------------------------------------------


def _run(account: Account, since: datetime | None, until: datetime | None) -> Any:
    entries = AuditEntry.objects.filter(account=account)
    period = entries
    if since is not None:
        period = period.filter(created_at__gte=since)
    if until is not None:
        period = period.filter(created_at__lt=until)
    ends = period.aggregate(first=Min("sequence"), last=Max("sequence"))
    if ends["first"] is None:
        return entries.none()
    return entries.filter(sequence__gte=ends["first"], sequence__lte=ends["last"]).order_by(
        "sequence"
    )


def _anchors(account: Account, first: Any, last: Any) -> Any:
    if first is None:
        return []
    found = AuditAnchor.objects.filter(account=account, sequence__gte=first.sequence)
    return found.filter(sequence__lte=last.sequence).order_by("sequence")


def _anchor(row: AuditAnchor) -> dict[str, Any]:
    return {
        "sequence": row.sequence,
        "hash": row.head_hash,
        "created_at": row.created_at.isoformat(timespec="microseconds"),
        "number": row.number,
        "previous_anchor_hash": row.previous_hash,
        "anchor_hash": row.hash,
    }


def _json(record: Mapping[str, Any]) -> bytes:
    return orjson.dumps(record) + b"\n"


def _csv(record: Mapping[str, Any]) -> bytes:
    if record["record"] == "entry":
        return _row(record.get(name, "") for name in COLUMNS)
    ends = {"record": record["record"], "account": record.get("account", "")}
    rest = {name: value for name, value in record.items() if name != "record"}
    row = ends | {"after": orjson.dumps(rest).decode()}
    return _row(row.get(name, "") for name in COLUMNS)


def _row(cells: Iterable[object]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerow([_guarded(str(cell)) for cell in cells])
    return text.getvalue().encode()


def _guarded(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_FORMULA_STARTS) else cell


# --- checking -------------------------------------------------------------------------------------


def _read_json(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = orjson.loads(line) if len(line) <= MAX_LINE else None
        except orjson.JSONDecodeError as error:
            raise NotReadable(f"line {number}: {error}") from error
        if not isinstance(record, dict):
            raise NotReadable(f"line {number}: it is no record")
        yield record


def _read_csv(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    csv.field_size_limit(MAX_LINE)
    try:
        rows = csv.DictReader(lines, strict=True)
        for row in rows:
            if None in row or None in row.values():
                raise NotReadable(f"line {rows.line_num}: it has not as many cells as the first")
            yield _record_of_row({name: _unguarded(cell) for name, cell in row.items()})
    except (csv.Error, orjson.JSONDecodeError) as error:
        raise NotReadable(str(error)) from error


def _unguarded(cell: str) -> str:
    return cell.removeprefix("'")


def _record_of_row(row: dict[str, Any]) -> dict[str, Any]:
    if row.get("record") != "entry":
        rest = orjson.loads(row.get("after", ""))
        if not isinstance(rest, dict):
            raise NotReadable("head and end have an object in the column after")
        return {"record": row.get("record"), **rest}
    for name in ("sequence", "format"):
        text = row.get(name, "")
        if not (text.isascii() and text.isdigit() and len(text) < 19):
            raise NotReadable(f"{text[:40]!r} is no {name}")
        row[name] = int(text)
    return row


class _Check:
    """One reading of a file from its head to its end."""

    def __init__(self, records: Iterator[dict[str, Any]], kept: Kept) -> None:
        self._end: dict[str, Any] | None = None
        self._last = self._count = 0
        self._hash = ""
        self._foreign: list[int] = []
        head = next(records, {})
        if head.get("record") != "head" or head.get("version") != VERSION:
            raise NotReadable("it does not begin with the head of an audit log")
        try:
            self._account = UUID(str(head["account"]))
            self._formats = {*map(str, FIELDS), *head.get("fields", ())}
            first, previous = int(head["first_sequence"]), str(head["previous_hash"])
        except (KeyError, ValueError, TypeError) as error:
            raise NotReadable("its head is not whole") from error
        self._hash = previous
        # The anchors of the file are at its end, and are held against what was read before.
        found = breaches_of(self._entries(records), first=max(first, 1), previous_hash=previous)
        found += self._by_anchors(kept.get(str(self._account), {}))
        found += [
            Breach(Kind.CHANGED, number, "it is of another account") for number in self._foreign
        ]
        self.made = CheckedFile(
            self._account, first, self._last, self._count, self._hash,
            sorted(found + self._by_end(), key=lambda item: (item.sequence, item.kind)),
        )  # fmt: skip

    def _entries(self, records: Iterator[dict[str, Any]]) -> Iterator[Line]:
        self._hashes: dict[int, str] = {}
        for record in records:
            if self._end is not None:
                raise NotReadable("something follows its end")
            if record.get("record") == "end":
                self._end = record
                continue
            entry = self._entry(record)
            self._count += 1
            self._last, self._hash = max(self._last, entry.sequence), entry.hash
            if entry.fields["account"] != str(self._account):
                self._foreign.append(entry.sequence)
            self._hashes[entry.sequence] = entry.hash
            yield entry

    def _entry(self, record: dict[str, Any]) -> Line:
        if record.get("record") != "entry" or not isinstance(record.get("format"), int):
            raise NotReadable("a record is neither head, entry nor end")
        number = record["format"]
        if number not in FIELDS and str(number) in self._formats:
            raise NotReadable(f"it has entries of format {number}, which this hub does not know")
        fields = fields_of(number)  # one that even the head does not name was put there
        numbers = {"sequence", "format"}
        for name in (*fields, "hash"):
            if not isinstance(record.get(name), int if name in numbers else str):
                raise NotReadable(f"an entry has no right {name}")
        return Line({name: record[name] for name in (*fields, "format")}, record["hash"])

    def _by_end(self) -> list[Breach]:
        if self._end is None:
            return [Breach(Kind.TAIL_CUT, self._last + 1, "the file has no end")]
        last = self._end.get("last_sequence")
        if isinstance(last, int) and last > self._last:
            return [Breach(Kind.TAIL_CUT, self._last + 1, f"its end says {last}", last)]
        if self._end.get("hash") != self._hash or self._end.get("count") != self._count:
            return [Breach(Kind.CHANGED, self._last, "its end says another last hash, or count")]
        return []

    def _by_anchors(self, kept: Mapping[int, str]) -> list[Breach]:
        own = self._end.get("anchors", []) if self._end else []
        known = [(item.get("sequence"), item.get("hash"), "its own anchor") for item in own]
        known += [(number, text, "an anchor that was kept") for number, text in kept.items()]
        return [
            Breach(Kind.REWRITTEN, number, f"{whose} has another hash for it")
            for number, text, whose in known
            if isinstance(number, int) and self._hashes.get(number, text) != text
        ]
