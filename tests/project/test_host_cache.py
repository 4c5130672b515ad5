"""The cache in files: what cannot be read is as if it were not there."""

from __future__ import annotations

import os
import pickle
import zlib
from pathlib import Path
from typing import Any

import pytest

from webhooks_project.host_cache import HostCache

NEVER = pickle.dumps(None)  # when it expires
WHOLE = NEVER + zlib.compress(pickle.dumps([1, 2, 3]))
CLASS_GONE = NEVER + zlib.compress(b"cmonitoring.figures\nRenamed\n.")
MODULE_GONE = NEVER + zlib.compress(b"cmonitoring.gone\nFigure\n.")


@pytest.fixture
def cache(tmp_path: Path) -> HostCache:
    return HostCache(str(tmp_path), {})


def keep(cache: HostCache, content: bytes) -> Path:
    path = Path(cache._key_to_file("figures"))  # type: ignore[attr-defined]
    path.write_bytes(content)
    return path


def test_reads_what_is_whole(cache: HostCache) -> None:
    path = keep(cache, WHOLE)
    assert (cache.get("figures"), path.exists()) == ([1, 2, 3], True)


@pytest.mark.parametrize(
    "content",
    [WHOLE[:-9], NEVER + b"x", b"\xff", CLASS_GONE, MODULE_GONE],
    ids=["cut off", "not packed", "no pickle", "class gone", "module gone"],
)
def test_what_cannot_be_read_is_removed(cache: HostCache, content: bytes) -> None:
    path = keep(cache, content)
    assert (cache.get("figures", "none"), path.exists()) == ("none", False)


def test_what_cannot_be_read_is_not_there(cache: HostCache) -> None:
    path = keep(cache, b"\xff")
    assert (cache.has_key("figures"), path.exists()) == (False, False)
    path = keep(cache, NEVER + b"x")
    assert (cache.touch("figures"), path.exists()) == (False, False)


def test_where_the_files_cannot_be_used_nothing_fails(
    cache: HostCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(cache, WHOLE)

    def refused(*args: Any, **more: Any) -> Any:
        raise PermissionError("no")

    monkeypatch.setattr(os, "remove", refused)
    monkeypatch.setattr("glob.glob", refused)
    cache.set("figures", 1)
    assert cache.delete("figures") is False
    cache.clear()
    cache._cull()
