"""The commands that hold the hub against corpora, as far as they need no hub."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

import orjson
import pytest
import requests
from django.core.management import CommandError, call_command
from standardwebhooks import Webhook

from incoming.conformance import Arrived, read_corpus, verifying_receiver
from tests.factories import SIGNING_SECRET
from webhooks_project.lib import clock

# --- corpora --------------------------------------------------------------------------------------


def test_reads_one_webhook_a_line(tmp_path: Path) -> None:
    file = tmp_path / "corpus.jsonl"
    lines = [{"event": "push", "payload": {"a": "Zoë"}}, {"event": "ping", "payload": {}}]
    file.write_bytes(b"\n\n".join(orjson.dumps(line) for line in lines) + b"\n")
    assert read_corpus(file) == lines


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"event":"push"}', "line 1 has no event and payload"),
        ('{"event":"push","payload":{}}\n[]', "line 2 has no event and payload"),
        ('{"payload":{}}', "line 1 has no event and payload"),
        ('"event payload"', "line 1 has no event and payload"),
        ("{", "Expecting property name"),
    ],
)
def test_refuses_what_is_no_corpus(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "corpus.jsonl"
    file.write_text(text, "utf-8")
    with pytest.raises(ValueError, match=message):
        read_corpus(file)


@pytest.mark.parametrize("text", [None, "{", "[1]"])
def test_a_corpus_that_cannot_be_read_starts_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None
) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("it was started")

    module = "incoming.management.commands.send_corpus"
    monkeypatch.setattr(f"{module}.call_command", fail)
    monkeypatch.setattr(f"{module}.running_hub", fail)
    file = tmp_path / "corpus.jsonl"
    if text is not None:
        file.write_text(text, "utf-8")
    with pytest.raises(CommandError, match=r"corpus\.jsonl: "):
        call_command("send_corpus", str(file))


def test_the_receiver_takes_what_verifies_and_notes_what_does_not() -> None:
    now = clock.now()
    signature = Webhook(SIGNING_SECRET).sign("evt_1", now, '{"a":1}')
    headers = {
        "webhook-id": "evt_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": signature,
    }
    with verifying_receiver(SIGNING_SECRET) as (url, arrived):
        statuses = [
            requests.post(url, data=body, headers=headers, timeout=5).status_code
            for body in (b'{"a":1}', b'{"a":2}', b'{"a":1}')
        ]
    assert statuses == [204, 400, 204]
    assert isinstance(arrived, Arrived)
    assert arrived.bodies == {"evt_1": [b'{"a":1}', b'{"a":1}']}
    assert len(arrived.refused) == 1


# --- addresses ------------------------------------------------------------------------------------

RIGHT = [
    {"address": "169.254.169.254", "should_block": True, "what": "cloud metadata"},
    {"address": "10.0.0.1", "should_block": True},
    {"address": "::ffff:10.0.0.1", "should_block": True},
    {"address": "127.0.0.1", "should_block": True},  # whatever this node's own exceptions are
    {"address": "8.8.8.8", "should_block": False},
    {"address": "2606:4700:4700::1111", "should_block": False},
]


def check(tmp_path: Path, entries: Any) -> tuple[list[str], int]:
    """The lines that the command says, and its exit code."""
    file = tmp_path / "addresses.json"
    file.write_bytes(entries if isinstance(entries, bytes) else orjson.dumps(entries))
    said = StringIO()
    try:
        call_command("check_addresses", str(file), stdout=said)
    except SystemExit as error:
        return said.getvalue().splitlines(), int(error.code or 0)
    return said.getvalue().splitlines(), 0


def test_says_how_many_addresses_are_judged_right(tmp_path: Path) -> None:
    assert check(tmp_path, RIGHT) == (["6 passed, 0 failed"], 0)


def test_names_each_address_that_is_judged_otherwise_and_fails(tmp_path: Path) -> None:
    wrong = [
        {"address": "10.0.0.2", "should_block": False, "what": "private"},
        {"address": "8.8.4.4", "should_block": True},
    ]
    assert check(tmp_path, [*RIGHT, *wrong]) == (
        ["10.0.0.2 (private) is blocked", "8.8.4.4 () is allowed", "6 passed, 2 failed"],
        1,
    )


@pytest.mark.parametrize("text", [b"", b"{", b"\xff"])
def test_says_what_is_wrong_with_a_file_of_addresses(tmp_path: Path, text: bytes) -> None:
    with pytest.raises(CommandError, match=r"addresses\.json: "):
        check(tmp_path, text)


def test_says_that_the_file_of_addresses_is_missing(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"missing\.json: .*No such file"):
        call_command("check_addresses", str(tmp_path / "missing.json"))


# --- all of it ------------------------------------------------------------------------------------


def hold_against(directory: Path) -> tuple[list[str], int]:
    said = StringIO()
    try:
        call_command("conformance", str(directory), stdout=said)
    except SystemExit as error:
        return said.getvalue().splitlines(), int(error.code or 0)
    return said.getvalue().splitlines(), 0


@pytest.mark.parametrize(
    ("entries", "last", "code"),
    [
        (RIGHT, "all 1 parts are as they should be", 0),
        (
            [*RIGHT, {"address": "8.8.8.8", "should_block": True}],
            "failed: vectors/addresses.json",
            1,
        ),
    ],
)
def test_runs_the_parts_that_are_there(
    tmp_path: Path, entries: list[Any], last: str, code: int
) -> None:
    (tmp_path / "vectors").mkdir()
    (tmp_path / "vectors" / "addresses.json").write_bytes(orjson.dumps(entries))
    lines, exit_code = hold_against(tmp_path)
    assert (lines[0], lines[-1], exit_code) == ("== vectors/addresses.json", last, code)


def test_says_what_a_directory_should_have(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"has none of: vectors/signatures\.json"):
        hold_against(tmp_path)
