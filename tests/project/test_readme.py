"""The README's way of a webhook leads along files that are there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
NAMED = re.compile(r"`([a-z_]+/[a-z_/]*(?:\.py|/))`")


def test_every_module_that_the_readme_names_is_there() -> None:
    named = NAMED.findall((ROOT / "README.md").read_text())
    assert "outgoing/deliver.py" in named
    assert [path for path in named if not (ROOT / path).exists()] == []
