"""Keeps a node's processes running: the clusters of its families and, where asked, the web server.

Outside django-q2, because a stock cluster cannot see its own commonest death: when a worker that
waits for a task is killed, it takes the queue's lock with it, and the cluster stands still with
every process alive. So the supervisor goes by the heartbeats that the pumps write, and replaces a
cluster that has gone silent.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import psutil
import structlog
from django import db
from django.conf import settings

from webhooks_project.lib import clock
from webhooks_project.models import Heartbeat
from webhooks_project.queues import (
    PUMPS,
    cluster_of,
    enabled_families,
    ensure_schedules,
    send_hint,
    slots_of,
)

log = structlog.get_logger(__name__)

LOOK_SECONDS: Final = 1.0
HINT_AFTER_SECONDS: Final = 2.0  # a family with a place silent for longer is sent a hint
SILENT_SECONDS: Final = 7.0  # a cluster with a family or a pump silent for longer is replaced
START_SECONDS: Final = 20.0  # what a cluster may need to come up on a busy machine
STOP_SECONDS: Final = 75.0  # the longest delivery under way, and then some
RESTART_SECONDS: Final = 1.0


@dataclass
class Service:
    """One process group that should be running."""

    name: str
    command: Sequence[str]
    environment: dict[str, str] = field(default_factory=dict)
    families: Sequence[str] = ()
    process: subprocess.Popen[bytes] | None = None
    started_at: datetime | None = None

    def start(self) -> None:
        self.started_at = clock.now()
        # A session of its own: ctrl-C on the terminal reaches the supervisor alone. django-q2
        # hangs when its whole process group is sent SIGTERM.
        self.process = subprocess.Popen(  # noqa: S603 - our own commands
            self.command, env=os.environ | self.environment, start_new_session=True
        )
        log.info("service started", service=self.name, pid=self.process.pid)

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def terminate(self) -> None:
        """Ask the master alone to stop; it stops its own."""
        if self.running and self.process is not None:
            self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End every process of the group, at once; also those that a dead master left."""
        if self.process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def cluster_services() -> list[Service]:
    """The clusters of the families that are switched on here."""
    clusters: dict[str, list[str]] = {}
    for family in enabled_families():
        clusters.setdefault(cluster_of(family), []).append(family)
    return [
        Service(
            name=f"cluster {name}",
            command=[sys.executable, "manage.py", "qcluster"],
            environment={"Q_CLUSTER_NAME": name},
            families=[family for family in families if family in PUMPS],
        )
        for name, families in clusters.items()
    ]


def web_service(*, host: str, port: int) -> Service:
    """The web server: granian in WSGI mode."""
    return Service(
        name="web",
        command=[
            sys.executable, "-m", "granian", "webhooks_project.wsgi:application",
            "--interface", "wsgi", "--host", host, "--port", str(port),
            "--workers", str(settings.WEB_PROCESSES),
            "--blocking-threads", str(settings.WEB_THREADS),
            "--respawn-failed-workers", "--no-ws", "--log-level", "error",
        ],
    )  # fmt: skip


class Supervisor:
    """Starts the services and keeps them until it is asked to stop."""

    def __init__(self, services: Sequence[Service]) -> None:
        self.services = services
        self._stop = False

    def start(self) -> None:
        """Start everything. Clears what an earlier stop of this node left in the heartbeats."""
        Heartbeat.objects.filter(host=settings.HUB_NODE).update(stop_requested_at=None)
        ensure_schedules()
        for service in self.services:
            service.start()
            for family in service.families:
                send_hint(family)

    def request_stop(self, *_: object) -> None:
        """Signal handler: leave `watch` at its next look."""
        self._stop = True

    def install_signal_handlers(self) -> None:
        """Let SIGTERM and ctrl-C end `watch`, also where they come before it."""
        signal.signal(signal.SIGTERM, self.request_stop)
        signal.signal(signal.SIGINT, self.request_stop)

    def watch(self) -> None:
        """Look after the services until asked to stop."""
        while not self._stop:
            self.look()
            time.sleep(LOOK_SECONDS)

    def look(self) -> None:
        """One look at every service: replace the dead and the silent, hint at the idle."""
        for service in self.services:
            if not service.running:
                log.error("service died", service=service.name)
                self._replace(service)
                continue
            try:
                self._look_at_families(service)
            except (db.Error, OSError) as error:
                # The database or the broker is away. The clusters' own loops come back by
                # themselves; killing them would not help.
                log.warning("cannot see the heartbeats", error=str(error)[:200])
                db.close_old_connections()

    def stop(self) -> None:
        """Stop everything in order: no new work, the work under way finished, then the ends."""
        try:
            Heartbeat.objects.filter(host=settings.HUB_NODE).update(stop_requested_at=clock.now())
        except db.Error as error:
            log.warning("cannot ask the pumps to stop", error=str(error)[:200])
        for service in self.services:
            service.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for service in self.services:
            while service.running and time.monotonic() < deadline:
                time.sleep(0.05)
            service.kill()
            log.info("service stopped", service=service.name)

    def _look_at_families(self, service: Service) -> None:
        if not service.families or service.started_at is None:
            return
        places = [
            row
            for row in Heartbeat.objects.filter(host=settings.HUB_NODE, family__in=service.families)
            if row.cluster == cluster_of(row.family) and row.slot < slots_of(row.family)
        ]
        for family in service.families:
            beats = {row.slot: row.beat_at for row in places if row.family == family}
            # A free place may stay silent while others of its family beat, a pump at work may not.
            at_work = [row.beat_at for row in places if row.family == family and row.token]
            last = max(filter(None, beats.values()), default=None)
            if any(self._is_silent(service, family, beat_at) for beat_at in (last, *at_work)):
                self._replace(service)
                return
            if any(
                _silence(service.started_at, beats.get(slot)) > HINT_AFTER_SECONDS
                for slot in range(slots_of(family))
            ):
                send_hint(family)

    @staticmethod
    def _is_silent(service: Service, family: str, beat_at: datetime | None) -> bool:
        assert service.started_at is not None  # noqa: S101 - it was started
        has_beaten = beat_at is not None and beat_at >= service.started_at
        silence = _silence(service.started_at, beat_at)
        if silence <= (SILENT_SECONDS if has_beaten else START_SECONDS):
            return False
        log.error("cluster is silent", service=service.name, family=family, seconds=silence)
        return True

    def _replace(self, service: Service) -> None:
        service.kill()
        time.sleep(RESTART_SECONDS if self._died_young(service) else 0)
        service.start()
        for family in service.families:
            try:
                send_hint(family)
            except (db.Error, OSError) as error:
                log.warning("cannot hint", family=family, error=str(error)[:200])

    @staticmethod
    def _died_young(service: Service) -> bool:
        return service.started_at is not None and (
            clock.now() - service.started_at < timedelta(seconds=START_SECONDS)
        )


def _silence(started_at: datetime, beat_at: datetime | None) -> float:
    """Seconds since the last sign of life, of which the start is one."""
    return (clock.now() - max(started_at, beat_at or started_at)).total_seconds()


def pss_bytes(processes: Sequence[psutil.Process]) -> int:
    """Proportional set size of the processes and all their children: shared pages count once."""
    seen = {child.pid: child for process in processes for child in process.children(recursive=True)}
    seen |= {process.pid: process for process in processes}
    total = 0
    for process in seen.values():
        try:
            total += process.memory_full_info().pss
        except psutil.NoSuchProcess:
            continue
    return total
