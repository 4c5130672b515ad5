from __future__ import annotations

from collections.abc import Iterator

import pytest

from incoming.providers import pinned


@pytest.fixture(autouse=True)
def _offline() -> Iterator[None]:
    pinned.forget()
    with pinned.offline():
        yield
