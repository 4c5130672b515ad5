"""What every test stands on."""

from __future__ import annotations

import pytest
from django.core.cache import cache
from pytest_socket import disable_socket, socket_allow_hosts

from incoming.sources import forget_sources
from webhooks_project import queues


def pytest_runtest_setup() -> None:
    disable_socket(allow_unix_socket=True)
    socket_allow_hosts(["127.0.0.1", "::1", "localhost"], allow_unix_socket=True)


@pytest.fixture(autouse=True)
def fresh_process_state() -> None:
    """What a process keeps in memory starts empty in each test."""
    cache.clear()
    forget_sources()
    queues._woken_at.clear()
