"""Subscriptions as files: what is read, what is refused and where, what is written."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from subscriptions.bulk import files
from subscriptions.bulk.files import COLUMNS, csv_row, read_lines, written_csv, written_json
from subscriptions.errors import FileNotAcceptable
from subscriptions.models import Subscription
from tests.factories import make_subscription

ID = "01a2187d-2a29-7e88-b54d-6a36f4b5e111"


def refusal(content: bytes, file_format: str = "csv") -> tuple[str, dict[str, object]]:
    with pytest.raises(FileNotAcceptable) as caught:
        read_lines(content, file_format)
    return str(caught.value), caught.value.extra


def test_reads_csv() -> None:
    content = (
        b"id,name,event_types,labels,rate_limit,checks_health,expires_at\n"
        b',Shop,invoice.paid invoice.*,"{""team"": ""a""}",10,false,2027-01-01T00:00\n'
    )
    [line] = read_lines(content, "csv")
    assert (line.number, line.unreadable) == (2, [])
    assert line.document == {
        "name": "Shop",
        "event_types": ["invoice.paid", "invoice.*"],
        "labels": {"team": "a"},
        "rate_limit": 10,
        "checks_health": False,
        "expires_at": "2027-01-01T00:00:00+00:00",
    }


def test_event_types_stand_on_lines_of_their_own_too() -> None:
    [line] = read_lines(b'event_types\n"a\nb\r\nc"\n', "csv")
    assert line.document == {"event_types": ["a", "b", "c"]}


def test_an_empty_cell_is_the_columns_default() -> None:
    content = b"name,labels,filter,timeout_seconds,rate_limit,checks_health\nx,,,,,\n"
    [line] = read_lines(content, "csv")
    assert line.document == {
        "name": "x",
        "labels": {},
        "filter": None,
        "timeout_seconds": 15,
        "rate_limit": None,
        "checks_health": True,
    }


@pytest.mark.parametrize(
    "content",
    [b"name,url\na,b\nc,d\n", b"name,url\r\na,b\r\nc,d", b"\xef\xbb\xbfname,url\na,b\n\nc,d\n\n"],
    ids=["lf", "crlf", "bom and empty lines"],
)
def test_line_ends_and_byte_order_marks(content: bytes) -> None:
    assert [line.document for line in read_lines(content, "csv")] == [
        {"name": "a", "url": "b"},
        {"name": "c", "url": "d"},
    ]


def test_a_line_is_named_by_where_it_starts() -> None:
    lines = read_lines(b'name,description\nx,"a\nb"\n\ny,c\n', "csv")
    assert [line.number for line in lines] == [2, 5]


@pytest.mark.parametrize(
    ("content", "message", "extra"),
    [
        (b"name,secret\na,b\n", "line 1: there is no column 'secret'",
         {"line": 1, "column": "secret"}),
        (b"name,name\na,b\n", "line 1: the column 'name' comes twice",
         {"line": 1, "column": "name"}),
        (b"name,url\na,b\nc\n", "line 3: has 1 cells where the header has 2", {"line": 3}),
        (b'name\n"a\n', "line 2: unexpected end of data", {"line": 2}),
        (b"name\na\n\xff\n", "line 3: is not UTF-8", {"line": 3}),
        (b"name\n", "the file has no subscription", {}),
        (b"", "the file has no subscription", {}),
    ],
)  # fmt: skip
def test_refuses_csv(content: bytes, message: str, extra: dict[str, object]) -> None:
    assert refusal(content) == (message, extra)


@pytest.mark.parametrize(
    ("content", "message", "extra"),
    [
        (b'[\n{"name": }]', "line 2: unexpected character: line 2 column 10 (char 11)",
         {"line": 2}),
        (b'{"name": "a"}', "the file must be an array of subscriptions", {}),
        (b'[{"name": "a"}, 1]', "line 2: must be an object", {"line": 2}),
        (b'[{"name": "a"}, {"nam": "a"}]', "line 2: there is no column 'nam'",
         {"line": 2, "column": "nam"}),
        (b"[]", "the file has no subscription", {}),
    ],
)  # fmt: skip
def test_refuses_json(content: bytes, message: str, extra: dict[str, object]) -> None:
    found, details = refusal(content, "json")
    assert (found.split(": ")[0], details) == (message.split(": ")[0], extra)
    if "unexpected" not in message:
        assert found == message


def test_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_LINES", 2)
    monkeypatch.setattr(files, "MAX_FILE_BYTES", 40)
    assert len(read_lines(b"name\na\nb\n", "csv")) == 2
    assert refusal(b"name\na\nb\nc\n")[0] == "the file has more than 2 subscriptions"
    assert refusal(b"[{},{},{}]", "json")[0] == "the file has more than 2 subscriptions"
    assert refusal(b"name\n" + b"a" * 40)[0] == "the file has more than 40 bytes"


@pytest.mark.parametrize(
    ("name", "cell", "code"),
    [
        ("labels", "{", "invalid_cell"),
        ("rate_limit", "-1", "invalid_cell"),
        ("rate_limit", "ten", "invalid_cell"),
        ("checks_health", "yes", "invalid_cell"),
        ("expires_at", "tomorrow", "invalid_type"),
        ("id", "x", "invalid_type"),
        ("name", "a\0b", "invalid_type"),
    ],
)
def test_a_cell_that_cannot_be_read_is_its_lines_problem(name: str, cell: str, code: str) -> None:
    first, second = read_lines(f"{name},description\n{cell},x\n,y\n".encode(), "csv")
    assert first.document == {"description": "x"}
    assert [(item["path"], item["code"]) for item in first.unreadable] == [(f"/{name}", code)]
    assert second.unreadable == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("name", 1),
        ("name", None),
        ("timeout_seconds", "15"),
        ("timeout_seconds", True),
        ("timeout_seconds", None),
        ("checks_health", 1),
        ("event_types", "a"),
        ("event_types", [1]),
        ("expires_at", 5),
        ("id", 5),
        ("labels", {"a": "\0"}),
    ],
)
def test_a_value_of_another_type_is_its_lines_problem(name: str, value: Any) -> None:
    [line] = read_lines(orjson.dumps([{name: value}]), "json")
    assert line.document == {}
    assert [(item["path"], item["code"]) for item in line.unreadable] == [
        (f"/{name}", "invalid_type")
    ]


# --- writing --------------------------------------------------------------------------------------


FULL: dict[str, Any] = {
    "name": "=1+1",
    "description": '\'quoted\r\nline, "two"',
    "labels": {"team": "ä"},
    "metadata": {"a": "@b"},
    "channels": ["eu"],
    "filter": {"data.amount": {"$gte": 100}},
    "transformation": "-$.data",
    "rate_limit": 10,
    "retry_policy": "custom",
    "retry_schedule": [1, 2],
    "expires_at": datetime(2027, 1, 2, 3, 4, 5, 600, tzinfo=UTC),
    "checks_health": False,
}


@pytest.mark.django_db
@pytest.mark.parametrize("file_format", ["csv", "json"])
def test_what_is_written_is_read_again(file_format: str) -> None:
    make_subscription(event_types=("b.*", "a"), **FULL)
    written = written_csv if file_format == "csv" else written_json
    rows = Subscription.objects.prefetch_related("patterns")
    [line] = read_lines(b"".join(written(rows)), file_format)
    subscription = Subscription.objects.get()
    assert line.unreadable == []
    assert line.document.keys() == set(COLUMNS)
    for name, value in FULL.items():
        expected = value.isoformat() if isinstance(value, datetime) else value
        assert line.document[name] == expected, name
    assert line.document["id"] == str(subscription.pk)
    assert line.document["event_types"] == ["a", "b.*"]
    assert line.document["status"] == "active"


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "'="])
def test_no_cell_is_a_formula(start: str) -> None:
    [row] = csv.reader(io.StringIO(csv_row([f"{start}cmd", "plain"]).decode(), newline=""))
    assert row == [f"'{start}cmd", "plain"]


@pytest.mark.django_db
def test_no_secret_is_written() -> None:
    make_subscription(secret="whsec_" + "QUFB" * 8)
    rows = Subscription.objects.prefetch_related("patterns")
    assert b"QUFB" not in b"".join(written_json(rows)) + b"".join(written_csv(rows))
    sealed = {"custom_headers", "authentication", "client_key", "challenge", "secrets", "secret"}
    assert not sealed & set(COLUMNS)


@pytest.mark.django_db
def test_none_is_an_empty_array() -> None:
    assert b"".join(written_json([])) == b"[]\n"
