"""Sending notifications: claimed one by one under a lease, tried again for hours, then failed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import structlog
from django.db import transaction
from django.db.models import F

from monitoring import journal
from monitoring.admission import Combine, Decision, Send, Wait, Withdraw, admit
from monitoring.channels import Connection, SendFailed, kind_of
from monitoring.models import Channel, Notification
from monitoring.turns import Lane, Turn, note_away, note_present
from monitoring.wording import message_of
from webhooks_project.lib import clock
from webhooks_project.lib.sql import is_due, update_returning

log = structlog.get_logger(__name__)

# A claim not ended for longer is taken again; longer than a mail server may take (EMAIL_TIMEOUT).
LEASE_SECONDS: Final = 180
TURN_SECONDS: Final = 40.0  # of one task; the next minute's goes on
# After a failure, seconds to the next try; after the last the notification has failed.
RETRY_SECONDS: Final = (60, 300, 1_800, 7_200, 21_600)

Status = Notification.Status


@dataclass(frozen=True, slots=True)
class Claim:
    """A notification that this process is to send. `number` of the try is the claim's token."""

    id: UUID
    number: int


class TryNeverEnded(Exception):
    """Every try is used up, and of the last it is not known how it ended."""


class LeaseLost(Exception):
    """Another node has taken the notification meanwhile."""


class _Connections:
    """One connection for each kind of channel, for all that is sent in a turn."""

    def __init__(self) -> None:
        self._open: dict[str, Connection] = {}

    def of(self, kind: str) -> Connection:
        if kind not in self._open:
            self._open[kind] = kind_of(kind).connect()
        return self._open[kind]

    def close(self) -> None:
        for connection in self._open.values():
            connection.close()


def send_due_notifications(goes_on: Callable[[], bool] | None = None) -> int:
    """Send what is due: each account in turn, of one account the longest waiting first. Returns how
    many were tried.

    Each is claimed, sent and ended in turn, so that of two nodes one sends it. Ends when nothing
    is due, or when the turn is over (`goes_on`).
    """
    ends_at = time.monotonic() + TURN_SECONDS
    goes_on = goes_on or (lambda: time.monotonic() < ends_at)
    if not is_due(Notification, "next_attempt_at", clock.now()):
        return 0
    turn, connections = Turn(), _Connections()
    tried = 0
    try:
        while goes_on() and (lane := turn.next_lane()) is not None:
            started_at = time.monotonic()
            claim = _claim(clock.now(), lane)
            if claim is not None:
                tried += _send(claim, connections)
            turn.note_time(lane, started_at)
    finally:
        connections.close()
    return tried


def _claim(now: datetime, lane: Lane | None = None) -> Claim | None:
    """Take the longest waiting one of the lane, or of all, under a lease; its try is counted at
    once.

    One that a node took and did not end within the lease is due again.
    """
    waiting = Notification.objects.filter(next_attempt_at__lte=now)
    if lane is not None:
        waiting = waiting.filter(via=lane[0], host=lane[1], account_id=lane[2])
    with transaction.atomic():
        # What was put off until the same moment goes in the order in which it was made.
        due = waiting.order_by("next_attempt_at", "pk").select_for_update(skip_locked=True)
        rows = update_returning(
            Notification.objects.all(),
            {
                "status": Status.SENDING.value,
                "attempt_count": F("attempt_count") + 1,
                "next_attempt_at": now + timedelta(seconds=LEASE_SECONDS),
            },
            ("id", "attempt_count"),
            among=due.values("pk")[:1],
        )
    return Claim(*rows[0]) if rows else None


def _send(claim: Claim, connections: _Connections) -> bool:
    """Send one and write down how it ended. Returns whether it was tried."""
    rows = Notification.objects.select_related(
        "account", "channel", "incident__subscription", "incident__source"
    )
    claimed = rows.filter(pk=claim.id, status=Status.SENDING, attempt_count=claim.number)
    notification = claimed.first()
    if notification is None:  # deleted meanwhile, with its account or incident, or another node's
        return False
    try:
        decision = admit(notification, clock.now())
        if isinstance(decision, Send):
            _carry(notification, claim, connections)
        else:
            _put_aside(claim, decision)
            return False
    except LeaseLost:
        log.warning("notification was another node's", notification_id=str(claim.id))
    except Exception as error:
        _fail(notification, claim, error)
        if isinstance(error, SendFailed) and error.is_away:
            note_away(notification.host)
    else:
        note_present(notification.host)
        log.info("notification sent", notification_id=str(claim.id), kind=notification.kind)
    return True


def _carry(notification: Notification, claim: Claim, connections: _Connections) -> None:
    """Send it, and note that. Raises what went wrong."""
    if claim.number > len(RETRY_SECONDS) + 1:
        raise TryNeverEnded("The process ended before the last try did.")
    is_repeat = claim.number > 1 and notification.may_have_come
    if notification.error:
        # Empty means from now on that a try was begun of which nobody knows how it ended.
        Notification.objects.filter(pk=claim.id, attempt_count=claim.number).update(error="")
    with kind_of(notification.via).while_sending():
        message = message_of(notification, is_repeat=is_repeat)
        connections.of(notification.via).send(message, notification.channel)
        values = {"status": Status.SENT, "sent_at": clock.now(), "next_attempt_at": None}
        if not _end(claim, **values, error=""):
            raise LeaseLost


def _put_aside(claim: Claim, decision: Decision) -> None:
    """End the claim without a try: what waits is not counted as tried."""
    if isinstance(decision, Combine):
        return  # noted when it was decided
    values: dict[str, Any] = {"next_attempt_at": None, "attempt_count": claim.number - 1}
    if isinstance(decision, Wait):
        values |= {"status": Status.PENDING, "next_attempt_at": decision.until}
    elif isinstance(decision, Withdraw):
        values |= {"status": Status.WITHDRAWN, "error": decision.reason}
    _end(claim, **values)


def _end(claim: Claim, **values: Any) -> bool:
    """End the claim. False where it is another's by now: its lease ran out."""
    return bool(
        Notification.objects.filter(
            pk=claim.id, status=Status.SENDING, attempt_count=claim.number
        ).update(**values)
    )


@transaction.atomic
def _fail(notification: Notification, claim: Claim, error: Exception) -> None:
    text = f"{_cause_of(error)}: {error}".replace("\x00", "\ufffd")[:500]
    is_final = isinstance(error, SendFailed) and error.is_final
    is_last = is_final or claim.number > len(RETRY_SECONDS)
    if is_last:
        ended = _end(claim, status=Status.FAILED, next_attempt_at=None, error=text)
    else:
        later = clock.now() + _pause(claim, error)
        ended = _end(claim, status=Status.PENDING, next_attempt_at=later, error=text)
    if notification.channel_id is not None and (asked := _retry_after(error)):
        Channel.objects.filter(pk=notification.channel_id).update(
            waits_until=clock.now() + timedelta(seconds=asked)
        )
    if ended and is_last:
        journal.record_activity(
            account_id=notification.account_id,
            kind="notification.failed",
            text=f"{notification.told_to} was not told after {claim.number} tries: {text}",
            subject=notification,
        )
    log.warning("notification not sent", notification_id=str(claim.id), number=claim.number,
                failed=is_last, error=text)  # fmt: skip


def _cause_of(error: Exception) -> str:
    """The first word of what is kept of an error."""
    if not isinstance(error, SendFailed):
        return type(error).__name__
    return error.cause


def _retry_after(error: Exception) -> float:
    return (error.retry_after or 0.0) if isinstance(error, SendFailed) else 0.0


def _pause(claim: Claim, error: Exception) -> timedelta:
    """Until the next try: what was asked for, and never less than the hub's own."""
    return timedelta(seconds=max(RETRY_SECONDS[claim.number - 1], _retry_after(error)))
