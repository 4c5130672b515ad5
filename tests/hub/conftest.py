"""One migrated database for all scenarios."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.hub.scenario import COPY_OF, ROOT


@pytest.fixture(scope="session", autouse=True)
def migrated() -> Iterator[None]:
    """What scenarios find in their environment: which database theirs is to be a copy of."""
    with (
        subprocess.Popen(
            [sys.executable, "-m", "tests.hub.migrated"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as keeper,
        pytest.MonkeyPatch.context() as patch,
    ):
        assert keeper.stdin is not None
        assert keeper.stdout is not None
        name = keeper.stdout.readline().strip()
        assert name, "no database was made"
        patch.setenv(COPY_OF, name)
        yield
        keeper.stdin.close()
