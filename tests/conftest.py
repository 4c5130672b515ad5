"""What every test stands on."""

from __future__ import annotations

import importlib
import socket
from collections.abc import Iterator
from typing import Any

import pytest
import time_machine
from django.conf import settings
from django.core.cache import cache
from django.db.backends.base.operations import BaseDatabaseOperations
from django.db.backends.postgresql.operations import DatabaseOperations
from pytest_socket import socket_allow_hosts
from xdist.scheduler import LoadScopeScheduling

from incoming.sources import forget_sources
from monitoring import turns
from monitoring.protection import protect, unprotect
from subscriptions import lookup
from webhooks_project import queues
from webhooks_project.accounts import known_keys
from webhooks_project.lib.actor import SYSTEM, current_actor

LOOPBACK = ["127.0.0.1", "::1", "localhost"]

ALONE = ("tests/hub/", "tests/console/browser/")

_look_up = socket.getaddrinfo


def pytest_runtest_setup() -> None:
    socket_allow_hosts(LOOPBACK, allow_unix_socket=True)


def _look_up_nobody_outside(host: Any, *args: Any, **kwargs: Any) -> Any:
    name = host.decode() if isinstance(host, bytes) else host
    if name is None or name in LOOPBACK or name.replace(".", "").isdigit() or ":" in name:
        return _look_up(host, *args, **kwargs)
    raise AssertionError(f"a test looked up {name}")


class _Scheduling(LoadScopeScheduling):
    """Whole hubs and browsers run one at a time: two on two cores would measure each other."""

    def _split_scope(self, nodeid: str) -> str:
        return "alone" if nodeid.startswith(ALONE) else nodeid


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--on-database", action="store_true", help="Only tests that ask a database or start a hub."
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--on-database"):
        return
    left = [item for item in items if not _asks_database(item)]
    items[:] = [item for item in items if _asks_database(item)]
    config.hook.pytest_deselected(items=left)


def _asks_database(item: pytest.Item) -> bool:
    fixtures = {"db", "transactional_db"}.intersection(getattr(item, "fixturenames", ()))
    marks = [item.get_closest_marker(name) for name in ("django_db", "hub")]
    return bool(fixtures) or any(marks)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    return _Scheduling(config, log)


_flush = BaseDatabaseOperations.execute_sql_flush


def _flush_what_is_protected(self: Any, sql_list: Any) -> None:
    """A test that commits is followed by one that finds empty tables, the audit chain's too."""
    unprotect(self.connection)
    try:
        _flush(self, sql_list)
    finally:
        protect(self.connection)


BaseDatabaseOperations.execute_sql_flush = _flush_what_is_protected  # type: ignore[method-assign]

_truncate = DatabaseOperations.sql_flush


def _delete(self: Any, style: Any, tables: Any, **options: Any) -> list[str]:
    """PostgreSQL truncates a table by a new file for it and for each of its indexes, most of them
    for nothing: that takes seconds after each test that commits, and this takes milliseconds."""
    if any(options.values()):  # a sequence to be begun anew, or what refers to these tables
        return _truncate(self, style, tables, **options)
    return ["".join(f"DELETE FROM {self.quote_name(table)};" for table in tables)] * bool(tables)


DatabaseOperations.sql_flush = _delete  # type: ignore[method-assign]


@pytest.fixture(scope="session", autouse=True)
def every_view_is_imported() -> None:
    """A view first imported while a test holds a stand-in would keep that for later tests."""
    importlib.import_module(settings.ROOT_URLCONF)


@pytest.fixture(autouse=True)
def fresh_process_state(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a process keeps in memory starts empty in each test, and names stay unasked."""
    monkeypatch.setattr(socket, "getaddrinfo", _look_up_nobody_outside)
    current_actor.set(SYSTEM)
    forget_sources()
    turns.forget()
    lookup.forget()
    known_keys.forget()
    queues._woken_at.clear()
    if settings.REDIS_URL:
        _forget_in_redis()
    else:
        cache.clear()


@pytest.fixture
def clock(request: pytest.FixtureRequest) -> Iterator[time_machine.Traveller]:
    """Time stands still at the NOW of the test's module, until the test moves it."""
    with time_machine.travel(request.module.NOW, tick=False) as traveller:
        yield traveller


def _forget_in_redis() -> None:
    # The cache and the queues of this process alone: others may use the same server.
    from django_redis import get_redis_connection

    connection = get_redis_connection("default")
    keys = list(connection.scan_iter(f"{settings.REDIS_PREFIX}:*", count=1000))
    if keys:
        connection.delete(*keys)
