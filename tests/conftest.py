"""What every test stands on."""

from __future__ import annotations

import importlib
import socket
from collections.abc import Iterator
from typing import Any

import pytest
import time_machine
from django.conf import settings
from django.db import connection, transaction
from django.test import TransactionTestCase
from pytest_socket import socket_allow_hosts
from xdist.scheduler import LoadScopeScheduling

from monitoring.protection import protect, unprotect
from tests.process_state import forget_process_state

LOOPBACK = ["127.0.0.1", "::1", "localhost"]

# Whole hubs run one at a time, and browsers do: two of either would measure each other. They wait
# more than they work, so what else there is runs beside them, and they begin first.
ONE_AT_A_TIME = ("tests/hub/", "tests/console/browser/")

_look_up = socket.getaddrinfo


def pytest_runtest_setup() -> None:
    socket_allow_hosts(LOOPBACK, allow_unix_socket=True)


def _look_up_nobody_outside(host: Any, *args: Any, **kwargs: Any) -> Any:
    name = host.decode() if isinstance(host, bytes) else host
    if name is None or name in LOOPBACK or name.replace(".", "").isdigit() or ":" in name:
        return _look_up(host, *args, **kwargs)
    raise AssertionError(f"a test looked up {name}")


class _Scheduling(LoadScopeScheduling):
    """Each test by itself, to whoever is free; those that run one at a time go to one process."""

    def _split_scope(self, nodeid: str) -> str:
        return next(filter(nodeid.startswith, ONE_AT_A_TIME), nodeid)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--on-database", action="store_true", help="Only tests that ask a database or start a hub."
    )


@pytest.hookimpl(trylast=True)  # after they were put in random order
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not item.nodeid.startswith(ONE_AT_A_TIME))
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


# What `migrate` writes and no test changes: to write it again takes longer than most tests.
KEPT_TABLES = {"auth_permission", "django_content_type", "django_migrations"}


def _empty(_case: TransactionTestCase) -> None:
    """A test that commits is followed by one that finds empty tables, the audit chain's too.

    Rows are deleted: PostgreSQL truncates a table by a new file for it and for each of its indexes,
    most of them for nothing, which takes seconds.
    """
    tables = sorted(
        set(connection.introspection.django_table_names(only_existing=True)) - KEPT_TABLES
    )
    with transaction.atomic(), connection.cursor() as cursor:
        unprotect(connection)
        for table in tables:
            cursor.execute(f"DELETE FROM {connection.ops.quote_name(table)}")
        protect(connection)


TransactionTestCase._fixture_teardown = _empty  # type: ignore[method-assign]


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
