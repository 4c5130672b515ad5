"""A command's output as a person at a terminal sees it."""

from __future__ import annotations

import os
import pty
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from django.core.management import call_command

CONTROLS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass
class Screen:
    """What was written, once it is over: as it was, and its lines without control sequences."""

    raw: str = ""
    lines: list[str] = field(default_factory=list)


@contextmanager
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Screen]:
    """Standard output is a terminal meanwhile."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    screen, said = Screen(), []
    ours, theirs = pty.openpty()

    def read() -> None:
        while True:
            try:
                part = os.read(ours, 4096)
            except OSError:  # the other end is closed
                return
            if not part:
                return
            said.append(part)

    reader = threading.Thread(target=read)
    reader.start()
    with os.fdopen(theirs, "w", encoding="utf-8") as file, monkeypatch.context() as patch:
        assert file.isatty()
        patch.setattr(sys, "stdout", file)
        yield screen
        file.flush()
    reader.join()
    os.close(ours)
    screen.raw = b"".join(said).decode()
    screen.lines = [line.strip() for line in CONTROLS.sub("", screen.raw).split("\r\n")]


def at_terminal(monkeypatch: pytest.MonkeyPatch, command: str, *given: str) -> Screen:
    """Run a command there."""
    with terminal(monkeypatch) as screen:
        call_command(command, *given, stdout=sys.stdout)
    return screen
