"""The command that holds the address policy against a file."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import orjson
import pytest
from django.core.management import CommandError, call_command


def check(file: Path, entries: Any) -> str:
    file.write_bytes(orjson.dumps(entries))
    out = io.StringIO()
    try:
        call_command("check_addresses", file, stdout=out)
    except SystemExit as error:
        return f"{out.getvalue()}exit {error.code}"
    return out.getvalue()


def test_counts_what_is_as_it_should_be(tmp_path: Path) -> None:
    entries = [
        {"address": "8.8.8.8", "should_block": False},
        # Allowed to this node, and yet judged as it is anywhere.
        {"address": "127.0.0.1", "should_block": True, "what": "loopback"},
        {"address": "nonsense", "should_block": True},
    ]
    assert check(tmp_path / "addresses.json", entries) == "3 passed, 0 failed\n"


def test_names_what_is_not(tmp_path: Path) -> None:
    entries = [
        {"address": "8.8.8.8", "should_block": True, "what": "a resolver"},
        {"address": "10.0.0.1", "should_block": False},
        {"address": "1.1.1.1", "should_block": False},
    ]
    assert check(tmp_path / "addresses.json", entries) == (
        "8.8.8.8 (a resolver) is allowed\n10.0.0.1 () is blocked\n1 passed, 2 failed\nexit 1"
    )


@pytest.mark.parametrize("content", [b"no json", None])
def test_refuses_what_is_no_list(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "addresses.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(CommandError, match=r"addresses\.json"):
        call_command("check_addresses", file)
