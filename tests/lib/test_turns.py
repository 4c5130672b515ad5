"""One process at a time has the turn to write."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

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


def test_goes_without_it_rather_than_wait(tmp_path: Path) -> None:
    here = database(str(tmp_path / "hub.sqlite3"))
    with holder(str(tmp_path / "hub.sqlite3")) as other:
        with turn_to_write(here, waits=False) as has_turn:
            assert not has_turn
        other.kill()
    with turn_to_write(here, waits=False) as has_turn:
        assert has_turn


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
        with turn_to_write(connection):
            pass
    assert list(tmp_path.iterdir()) == []
