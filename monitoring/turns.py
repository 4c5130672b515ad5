"""Whose notification is sent next.

A flood of one account's must not delay another's, and a host that hangs must not hold up what goes
elsewhere. So the kinds of channels share a turn by the time that each has taken of it, and within a
kind the accounts take turns, one message each; a host that is away is left alone for a while, and
what waits for it is put off until then, on all nodes: nothing is overdue that is not to be tried.
"""

from __future__ import annotations

import time
from collections import deque
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from monitoring.models import Notification
from monitoring.models.notifications import MAIL
from webhooks_project.lib import clock

AWAY_SECONDS: Final = 45  # less than the pause after a first failure, so that its retry is tried
LONGEST_AWAY_SECONDS: Final = 300

# A host that takes so long for one message is left alone for a while too, though it answers.
SLOW_SECONDS: Final = 5.0

Lane = tuple[str, str, UUID]  # the kind of channel, the host, the account

# Of this process: a cache outside of it may be what is being told of as down.
_last: dict[str, str] = {}  # by kind, the account whose turn was last
_away: dict[str, tuple[int, datetime]] = {}  # by host, how often it was, and until when it is so


class Turn:
    """The order of one turn. Whose turn it was last is kept for the next one."""

    def __init__(self) -> None:
        self._lanes: dict[str, deque[Lane]] = {}
        self._spent: dict[str, float] = {}

    def next_lane(self) -> Lane | None:
        """The lane whose longest waiting message is next; None where nothing is due."""
        if not self._lanes:
            self._lanes = _due_lanes(clock.now())
        while self._lanes:
            kind = min(self._lanes, key=lambda name: self._spent.get(name, 0.0))
            if self._lanes[kind]:
                lane = self._lanes[kind].popleft()
                _last[kind] = lane[2].hex
                if not is_away(lane[1]):
                    return lane
            else:
                # Every lane of the kind had its turn: look again what is due.
                self._lanes = _due_lanes(clock.now())
        return None

    def note_time(self, lane: Lane, started_at: float) -> None:
        """`started_at` is by the monotonic clock."""
        taken = time.monotonic() - started_at
        self._spent[lane[0]] = self._spent.get(lane[0], 0.0) + taken
        if taken > SLOW_SECONDS and lane[1] != MAIL:  # a mail server is slow by design
            note_away(lane[1])


def _due_lanes(now: datetime) -> dict[str, deque[Lane]]:
    """The lanes with due messages, those of away hosts put off, by kind; in each the accounts in a
    ring that begins after the one whose turn was last."""
    due: Any = (
        Notification.objects.filter(next_attempt_at__lte=now)
        .order_by()
        .values_list("via", "host", "account_id")
        .distinct()
    )
    by_kind: dict[str, list[Lane]] = {}
    away: set[tuple[str, str]] = set()
    for lane in due:
        if is_away(lane[1]):
            away.add(lane[:2])
        else:
            by_kind.setdefault(lane[0], []).append(lane)
    for kind, host in sorted(away):
        _put_off(kind, host, now)
    return {kind: deque(_in_a_ring(kind, lanes)) for kind, lanes in by_kind.items()}


def _put_off(kind: str, host: str, now: datetime) -> None:
    """Make what is due through the host due when it is to be tried again.

    One that somebody claims meanwhile is not due any more, and stays theirs.
    """
    due = Notification.objects.filter(via=kind, host=host, next_attempt_at__lte=now)
    due.update(next_attempt_at=_away[host][1])


def _in_a_ring(kind: str, lanes: list[Lane]) -> list[Lane]:
    lanes.sort(key=lambda lane: (lane[2].hex, lane[1]))
    last = _last.get(kind, "")
    after = [lane for lane in lanes if lane[2].hex > last]
    return after + lanes[: len(lanes) - len(after)]


def is_away(host: str) -> bool:
    return host in _away and clock.now() < _away[host][1]


def note_away(host: str) -> None:
    """Leave the host alone: for longer each time, as long as nothing is sent to it."""
    times = _away[host][0] if host in _away else 0
    seconds = min(AWAY_SECONDS * 2 ** min(times, 8), LONGEST_AWAY_SECONDS)
    _away[host] = (times + 1, clock.now() + timedelta(seconds=seconds))


def note_present(host: str) -> None:
    _away.pop(host, None)


def forget() -> None:
    """What a process starts with, for tests."""
    _last.clear()
    _away.clear()
