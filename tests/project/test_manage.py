"""How a command ends that is cut off."""

from __future__ import annotations

import subprocess
import sys

import pytest

CODE = """
import sys
from django.core import management

def ends(argv):
    {statement}

management.execute_from_command_line = ends
sys.argv = ["manage.py", "any"]
import manage
manage.main()
"""


@pytest.mark.parametrize(
    ("statement", "code", "said"),
    [
        ("raise KeyboardInterrupt", 130, "interrupted"),
        ("sys.stdout.write('x' * 1_000_000)", 141, "nobody reads the output any more"),
    ],
)
def test_says_so_without_a_traceback(statement: str, code: int, said: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", CODE.format(statement=statement)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read().splitlines() == [said]
    assert process.wait(timeout=60) == code
    process.stderr.close()


def test_arguments_that_are_no_text_are_refused() -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "replay_events", "--type", b"order.\xff"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "an argument is no UTF-8\n")
