"""One process at a time has the turn to write."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from webhooks_project.lib import turns
from webhooks_project.lib.turns import turn_to_write

HOLDER = """
import sys, time
from types import SimpleNamespace
from webhooks_project.lib.turns import turn_to_write
with turn_to_write(SimpleNamespace(vendor="sqlite", settings_dict={"NAME": sys.argv[1]})):
    print("mine", flush=True)
    sys.stdin.readline()
"""


def database(name: str, vendor: str = "sqlite") -> SimpleNamespace:
    return SimpleNamespace(vendor=vendor, settings_dict={"NAME": name})


def holder(name: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout
    assert process.stdout.readline() == b"mine\n"
    return process


def test_waits_while_another_process_has_it(tmp_path: Path) -> None:
    name = str(tmp_path / "hub.sqlite3")
    with holder(name) as other, holder(str(tmp_path / "another.sqlite3")) as unrelated:
        assert other.stdin
        began = time.monotonic()
        killer = threading.Timer(0.3, other.kill)
        killer.start()
        with turn_to_write(database(name)):  # a process that dies gives it back
            assert time.monotonic() - began >= 0.3
        killer.join()
        assert unrelated.poll() is None
        unrelated.kill()


def test_goes_without_it_and_waits_once_it_was_refused_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, mine = database(str(tmp_path / "hub.sqlite3")), turns.Turns()
    with holder(str(tmp_path / "hub.sqlite3")) as other:
        with mine.take(here, waits=False) as has_turn:
            assert not has_turn
        monkeypatch.setattr(turns, "REFUSED_SECONDS", 0)
        began = time.monotonic()
        threading.Timer(0.3, other.kill).start()
        with mine.take(here, waits=False) as has_turn:
            assert has_turn
            assert time.monotonic() - began >= 0.3


def test_waits_no_longer_than_its_bound_and_keeps_nothing_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "WAIT_SECONDS", 0.2)
    name = str(tmp_path / "hub.sqlite3")
    with holder(name) as other:
        with turns.Turns().take(database(name), waits=True) as has_turn:
            assert not has_turn
        other.kill()
    for thread in threading.enumerate():
        if thread.name == "turn":
            thread.join(5)
    with holder(name) as next_one:  # it is free: what came too late was given back
        next_one.kill()


def test_gives_it_back_where_the_block_fails(tmp_path: Path) -> None:
    def fail(*, waits: bool) -> None:
        with turns.Turns().take(database(str(tmp_path / "hub.sqlite3")), waits=waits) as has_turn:
            raise ZeroDivisionError if has_turn else AssertionError

    for waits in (True, False):
        with pytest.raises(ZeroDivisionError):
            fail(waits=waits)
    with holder(str(tmp_path / "hub.sqlite3")) as other:
        other.kill()


def test_has_it_again_and_again(tmp_path: Path) -> None:
    for _ in range(3):
        with turn_to_write(database(str(tmp_path / "hub.sqlite3"))):
            pass
    with holder(str(tmp_path / "hub.sqlite3")) as other:
        other.kill()


def test_needs_no_file_where_there_is_nothing_to_wait_for(tmp_path: Path) -> None:
    for connection in (
        database("file:memorydb_default?mode=memory&cache=shared"),
        database(":memory:"),
        database(str(tmp_path / "hub"), "postgresql"),
    ):
        with turn_to_write(connection), turns.Turns().take(connection, waits=False) as has_turn:
            assert has_turn
    assert list(tmp_path.iterdir()) == []
