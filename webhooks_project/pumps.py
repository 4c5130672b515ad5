"""A pump: one long task that drains a family's table for its turn and is then followed by another.

A pump holds a place (a Heartbeat row) that it renews every second. The place keeps a second hint
from starting a second pump, and tells the supervisor that the cluster is alive.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final
from uuid import UUID

import structlog
from django import db
from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Q

from webhooks_project.lib import clock
from webhooks_project.lib.ids import new_id
from webhooks_project.models import Heartbeat
from webhooks_project.queues import cluster_of, send_hint, slots_of

log = structlog.get_logger(__name__)

BEAT_SECONDS: Final = 1.0
STALE_SECONDS: Final = 4.0  # a place not renewed for this long is free to be taken
POLL_SECONDS: Final = 0.05  # how often an idle pump looks into its table


class Place:
    """The right to be one of the family's pumps on this cluster."""

    def __init__(self, family: str, token: UUID, slot: int) -> None:
        self.family = family
        self.slot = slot
        self._token = token
        self._ends_at = time.monotonic() + settings.WEBHOOKS_TURN_SECONDS
        self._beat_after = 0.0
        self._held = True

    @property
    def name(self) -> str:
        """`node/family/slot`, as it stands in attempts and logs."""
        return f"{settings.HUB_NODE}/{self.family}/{self.slot}"

    def goes_on(self) -> bool:
        """Renew the place when that is due; False once the pump should take no more work."""
        now = time.monotonic()
        if not self._held or now >= self._ends_at:
            return False
        if now >= self._beat_after:
            self._beat_after = now + BEAT_SECONDS
            self._held = bool(
                Heartbeat.objects.filter(token=self._token, stop_requested_at=None).update(
                    beat_at=clock.now()
                )
            )
        return self._held

    @contextmanager
    def kept(self, seconds: float) -> Iterator[None]:
        """Renew the place from another thread while the body keeps this one from it.

        For so many seconds at most: a body that takes longer lets the place go silent.
        """
        done = threading.Event()
        thread = threading.Thread(target=self._keep, args=(done, seconds), daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def _keep(self, done: threading.Event, seconds: float) -> None:
        ends_at = time.monotonic() + seconds
        try:
            while not done.wait(BEAT_SECONDS) and time.monotonic() < ends_at:
                try:
                    Heartbeat.objects.filter(token=self._token).update(beat_at=clock.now())
                except db.Error as error:
                    log.warning("the place was not renewed", error=str(error)[:200])
        finally:
            db.connections.close_all()

    def leave(self, *, call_next: bool = True) -> None:
        """Free the place and call the next pump, unless this node is stopping. Idempotent."""
        row = Heartbeat.objects.filter(token=self._token).first()
        if row is None:
            return
        Heartbeat.objects.filter(token=self._token).update(token=None)
        if call_next and row.stop_requested_at is None:
            send_hint(self.family)


@contextmanager
def take_place(family: str) -> Iterator[Place | None]:
    """A free place of the family on this cluster, or None where every one is taken."""
    place = None
    for slot in range(slots_of(family)):
        place = _take(family, slot)
        if place is not None:
            break
    try:
        yield place
    except BaseException:
        # Whatever broke it would break the next at once: the supervisor's hint is soon enough.
        if place is not None:
            place.leave(call_next=False)
        raise
    if place is not None:
        place.leave()


def _take(family: str, slot: int) -> Place | None:
    now = clock.now()
    token = new_id()
    key = {
        "host": settings.HUB_NODE,
        "cluster": cluster_of(family),
        "family": family,
        "slot": slot,
    }
    taken = {"token": token, "pid": os.getpid(), "started_at": now, "beat_at": now}
    free = Q(token=None) | Q(beat_at=None) | Q(beat_at__lt=now - timedelta(seconds=STALE_SECONDS))
    if Heartbeat.objects.filter(free, **key, stop_requested_at=None).update(**taken):
        return Place(family, token, slot)
    if Heartbeat.objects.filter(**key).exists():
        return None
    try:
        with transaction.atomic():
            Heartbeat.objects.create(**key, **taken)
    except IntegrityError:  # another was faster
        return None
    return Place(family, token, slot)
