"""What the supervisor decides. Its services are fakes; whole hubs are in tests/hub."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.db import OperationalError

from webhooks_project import supervisor as module
from webhooks_project.lib import clock
from webhooks_project.lib.ids import new_id
from webhooks_project.models import Heartbeat
from webhooks_project.supervisor import (
    HINT_AFTER_SECONDS,
    RESTART_SECONDS,
    SILENT_SECONDS,
    START_SECONDS,
    Service,
    Supervisor,
    cluster_services,
    web_service,
)

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
NODE = "node-1"


class Fake(Service):
    """Says what was done to it."""

    def __init__(
        self, name: str = "cluster hub", families: tuple[str, ...] = ("delivery",)
    ) -> None:
        super().__init__(name=name, command=[], families=families)
        self.done: list[str] = []
        self.alive = False

    def start(self) -> None:
        self.started_at = clock.now()
        self.alive = True
        self.done.append("start")

    @property
    def running(self) -> bool:
        return self.alive

    def terminate(self) -> None:
        self.alive = False
        self.done.append("terminate")

    def kill(self) -> None:
        self.alive = False
        self.done.append("kill")


@pytest.fixture(autouse=True)
def traveller(settings: Any) -> Iterator[Any]:
    settings.HUB_NODE = NODE
    with time_machine.travel(NOW, tick=False) as moving:
        yield moving


@pytest.fixture(autouse=True)
def hints(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    families: list[str] = []
    monkeypatch.setattr(module, "send_hint", families.append)
    return families


@pytest.fixture(autouse=True)
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    seconds: list[float] = []
    monkeypatch.setattr(module.time, "sleep", seconds.append)
    return seconds


def beat(family: str = "delivery", *, at: datetime = NOW, host: str = NODE, slot: int = 0) -> None:
    Heartbeat.objects.update_or_create(
        host=host, cluster="hub", family=family, slot=slot, defaults={"beat_at": at}
    )


def started(*services: Fake) -> Supervisor:
    supervisor = Supervisor(services)
    for service in services:
        service.start()
        service.done.clear()
    return supervisor


# --- starting and stopping ------------------------------------------------------------------------


def test_starts_everything_and_hints_at_every_family(hints: list[str]) -> None:
    from django_q.models import Schedule

    cluster, web = Fake(families=("processing", "delivery")), Fake("web", ())
    for host in (NODE, "another"):
        Heartbeat.objects.create(host=host, cluster="hub", family="retry", stop_requested_at=NOW)
    Supervisor([cluster, web]).start()
    assert cluster.done == web.done == ["start"]
    assert hints == ["processing", "delivery"]
    assert Schedule.objects.count() == 9
    assert Heartbeat.objects.get(host=NODE).stop_requested_at is None
    assert Heartbeat.objects.get(host="another").stop_requested_at == NOW


def test_stops_everything_of_this_node_and_nothing_of_another() -> None:
    cluster, web = Fake(), Fake("web", ())
    supervisor = started(cluster, web)
    beat()
    beat(host="another")
    supervisor.stop()
    assert cluster.done == web.done == ["terminate", "kill"]
    assert Heartbeat.objects.get(host=NODE).stop_requested_at == NOW
    assert Heartbeat.objects.get(host="another").stop_requested_at is None


def test_waits_for_the_work_under_way_and_no_longer_than_it_may_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    monkeypatch.setattr(module.time, "sleep", sleep)
    cluster = Fake()
    supervisor = started(cluster)
    monkeypatch.setattr(cluster, "terminate", lambda: None)
    supervisor.stop()
    assert module.STOP_SECONDS <= now < module.STOP_SECONDS + 1
    assert cluster.done == ["kill"]


def test_stops_also_where_the_database_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Fake()
    supervisor = started(cluster)
    monkeypatch.setattr(Heartbeat, "objects", _Away())
    supervisor.stop()
    assert cluster.done == ["terminate", "kill"]


def test_watches_until_it_is_asked_to_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    supervisor = started(Fake())
    looks = []

    def look() -> None:
        looks.append(1)
        if len(looks) == 3:
            supervisor.request_stop()

    monkeypatch.setattr(supervisor, "look", look)
    supervisor.watch()
    assert len(looks) == 3


# --- one look -------------------------------------------------------------------------------------


def test_leaves_a_cluster_alone_that_beats(traveller: Any, hints: list[str]) -> None:
    cluster = Fake()
    supervisor = started(cluster)
    traveller.shift(3600)
    beat(at=clock.now() - timedelta(seconds=HINT_AFTER_SECONDS))
    supervisor.look()
    assert cluster.done == []
    assert hints == []


def test_hints_at_a_family_that_is_idle(traveller: Any, hints: list[str]) -> None:
    cluster = Fake(families=("processing", "delivery"))
    supervisor = started(cluster)
    traveller.shift(3600)
    beat("processing", at=clock.now())
    beat("processing", at=clock.now(), slot=1)
    beat("delivery", at=clock.now() - timedelta(seconds=HINT_AFTER_SECONDS + 0.001))
    supervisor.look()
    assert hints == ["delivery"]
    assert cluster.done == []


@pytest.mark.parametrize(
    ("silent", "replaced"), [(SILENT_SECONDS, False), (SILENT_SECONDS + 0.001, True)]
)
def test_replaces_a_cluster_that_fell_silent(
    traveller: Any, hints: list[str], silent: float, replaced: bool
) -> None:
    cluster, other = Fake(families=("processing", "delivery")), Fake("cluster retry", ("retry",))
    supervisor = started(cluster, other)
    traveller.shift(3600)
    now = clock.now()
    beat("processing", at=now)
    beat("processing", at=now, slot=1)
    beat("retry", at=now)
    beat("delivery", at=now - timedelta(seconds=silent))
    supervisor.look()
    assert cluster.done == (["kill", "start"] if replaced else [])
    assert other.done == []
    assert hints == (["processing", "delivery"] if replaced else ["delivery"])


@pytest.mark.parametrize("others", [{"host": "another"}, {"family": "retry"}])
def test_a_beat_of_another_node_or_family_is_none(traveller: Any, others: Any) -> None:
    cluster = Fake()
    supervisor = started(cluster)
    traveller.shift(START_SECONDS + 1)
    beat(**{"at": clock.now(), **others})
    supervisor.look()
    assert cluster.done == ["kill", "start"]


def test_a_free_place_is_hinted_at_while_another_pump_of_the_family_beats(
    traveller: Any, hints: list[str], settings: Any
) -> None:
    settings.WEBHOOKS_DELIVERY_PUMPS = 3
    cluster = Fake()
    supervisor = started(cluster)
    traveller.shift(3600)
    beat(at=clock.now() - timedelta(hours=1), slot=0)
    beat(at=clock.now(), slot=1)
    supervisor.look()
    assert cluster.done == []
    assert hints == ["delivery"]
    beat(at=clock.now(), slot=0)
    beat(at=clock.now(), slot=2)
    supervisor.look()
    assert hints == ["delivery"]


@pytest.mark.parametrize(
    ("silent", "replaced"), [(SILENT_SECONDS, False), (SILENT_SECONDS + 0.001, True)]
)
def test_a_pump_at_work_must_beat_whatever_the_others_do(
    traveller: Any, silent: float, replaced: bool
) -> None:
    cluster = Fake(families=("processing",))
    supervisor = started(cluster)
    traveller.shift(3600)
    beat("processing", at=clock.now())
    beat("processing", at=clock.now() - timedelta(seconds=silent), slot=1)
    Heartbeat.objects.update(token=new_id())
    supervisor.look()
    assert cluster.done == (["kill", "start"] if replaced else [])


def test_a_place_of_another_cluster_or_one_too_many_is_not_looked_at(traveller: Any) -> None:
    cluster = Fake(families=("delivery",))
    supervisor = started(cluster)
    traveller.shift(3600)
    beat(at=clock.now())
    beat(at=clock.now() - timedelta(hours=2), slot=1)
    Heartbeat.objects.create(
        host=NODE, cluster="delivery", family="delivery", beat_at=clock.now() - timedelta(hours=2)
    )
    Heartbeat.objects.update(token=new_id())
    supervisor.look()
    assert cluster.done == []


@pytest.mark.parametrize(
    ("age", "hinted", "replaced"),
    [
        (HINT_AFTER_SECONDS, False, False),
        (HINT_AFTER_SECONDS + 0.1, True, False),
        (SILENT_SECONDS + 1, True, False),
        (START_SECONDS, True, False),
        (START_SECONDS + 0.1, False, True),
    ],
)
@pytest.mark.parametrize("beaten_before", [False, True])
def test_gives_a_cluster_time_to_come_up(
    traveller: Any,
    hints: list[str],
    age: float,
    hinted: bool,
    replaced: bool,
    beaten_before: bool,
) -> None:
    if beaten_before:  # by the one that was replaced
        beat(at=NOW - timedelta(seconds=1))
    cluster = Fake()
    supervisor = started(cluster)
    traveller.shift(age)
    supervisor.look()
    assert cluster.done == (["kill", "start"] if replaced else [])
    assert bool(hints) == (hinted or replaced)


def test_replaces_what_died(traveller: Any, hints: list[str], naps: list[float]) -> None:
    cluster, web = Fake(), Fake("web", ())
    supervisor = started(cluster, web)
    traveller.shift(3600)
    beat(at=clock.now())
    cluster.alive = web.alive = False
    supervisor.look()
    assert cluster.done == web.done == ["kill", "start"]
    assert hints == ["delivery"]
    assert sum(naps) == 0


def test_what_dies_as_it_starts_is_not_started_in_a_rush(traveller: Any, naps: list[float]) -> None:
    web = Fake("web", ())
    supervisor = started(web)
    web.alive = False
    supervisor.look()
    assert web.done == ["kill", "start"]
    assert sum(naps) == RESTART_SECONDS


class _Away:
    def filter(self, **_: Any) -> Any:
        raise OperationalError("away")


@pytest.mark.parametrize("error", [OperationalError("away"), ConnectionError("away")])
def test_kills_nothing_where_the_database_or_the_broker_is_away(
    traveller: Any, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: Any) -> None:
        raise error

    cluster = Fake()
    supervisor = started(cluster)
    traveller.shift(HINT_AFTER_SECONDS + 1)
    if isinstance(error, OperationalError):
        traveller.shift(3600)
        monkeypatch.setattr(Heartbeat, "objects", _Away())
    else:
        monkeypatch.setattr(module, "send_hint", fail)
    monkeypatch.setattr(module.db, "close_old_connections", lambda: None)
    supervisor.look()
    assert cluster.done == []


def test_replaces_also_where_no_hint_can_be_sent(
    traveller: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: str) -> None:
        raise OSError("away")

    cluster = Fake()
    supervisor = started(cluster)
    traveller.shift(3600)
    monkeypatch.setattr(module, "send_hint", fail)
    supervisor.look()
    assert cluster.done == ["kill", "start"]


# --- what there is to run -------------------------------------------------------------------------


def test_one_cluster_serves_every_family_that_is_switched_on(settings: Any) -> None:
    settings.QM_WEBHOOKS = {family: family != "retry" for family in settings.FAMILIES}
    (service,) = cluster_services()
    assert service.families == ["processing", "delivery"]
    assert service.environment == {"Q_CLUSTER_NAME": "hub"}
    assert service.command == [sys.executable, "manage.py", "qcluster"]


def test_each_family_has_a_cluster_of_its_own_where_they_are_not_shared(settings: Any) -> None:
    settings.WEBHOOKS_SHARED_CLUSTER = False
    services = cluster_services()
    assert [service.environment["Q_CLUSTER_NAME"] for service in services] == [*settings.FAMILIES]
    assert [list(service.families) for service in services] == [
        ["processing"],
        ["delivery"],
        ["retry"],
        [],
        [],
    ]


def test_nothing_runs_where_every_family_is_switched_off(settings: Any) -> None:
    settings.QM_WEBHOOKS = dict.fromkeys(settings.FAMILIES, False)
    assert cluster_services() == []


def test_the_web_server_listens_where_it_is_told(settings: Any) -> None:
    settings.WEB_PROCESSES = 3
    service = web_service(host="127.0.0.1", port=8123)
    command = " ".join(service.command)
    assert "webhooks_project.wsgi:application" in command
    assert "--host 127.0.0.1 --port 8123 --workers 3" in command
    assert service.families == ()


def test_a_service_is_a_process_group_that_ends_whole() -> None:
    service = Service("sleeper", [sys.executable, "-c", "import time; time.sleep(60)"])
    assert not service.running
    service.kill()
    service.start()
    assert service.running
    assert service.started_at == NOW
    service.kill()
    assert not service.running
    service.terminate()
    service.kill()
