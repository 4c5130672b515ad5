"""What every test stands on."""

from __future__ import annotations

import importlib
import socket
from collections.abc import Iterator
from typing import Any

import pytest
import time_machine
from django.conf import settings
from django.db.backends.base.operations import BaseDatabaseOperations
from django.db.backends.postgresql.operations import DatabaseOperations
from pytest_socket import socket_allow_hosts
from xdist.scheduler import LoadScopeScheduling

from monitoring.protection import protect, unprotect
from tests.process_state import forget_process_state

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
    forget_process_state()


@pytest.fixture
def clock(request: pytest.FixtureRequest) -> Iterator[time_machine.Traveller]:
    """Time stands still at the NOW of the test's module, until the test moves it."""
    with time_machine.travel(request.module.NOW, tick=False) as traveller:
        yield traveller
