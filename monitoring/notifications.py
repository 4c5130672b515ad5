"""Sending notifications: claimed one by one under a lease, tried again for hours, then failed."""

from __future__ import annotations

import smtplib
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import UUID

import structlog
from django.conf import settings
from django.core import mail
from django.db import transaction
from django.db.models import F
from django.urls import NoReverseMatch, reverse

from monitoring import journal
from monitoring.models import Notification
from monitoring.report_mail import with_report
from webhooks_project.lib import clock
from webhooks_project.lib.sql import is_due, update_returning

log = structlog.get_logger(__name__)

# A claim not ended for longer is taken again; longer than a mail server may take (EMAIL_TIMEOUT).
LEASE_SECONDS: Final = 180
TURN_SECONDS: Final = 40.0  # of one task; the next minute's goes on
# After a failure, seconds to the next try; after the last the notification has failed.
RETRY_SECONDS: Final = (60, 300, 1_800, 7_200, 21_600)
PERMANENT: Final = range(500, 600)  # SMTP: the same try will have the same answer (RFC 5321, 4.2.1)

Status = Notification.Status


@dataclass(frozen=True, slots=True)
class Claim:
    """A notification that this process is to send. `number` of the try is the claim's token."""

    id: UUID
    number: int


class TryNeverEnded(Exception):
    """Every try is used up, and of the last it is not known how it ended."""


class _Connection:
    """One connection to the mail server for all that is sent in a turn, made anew after an error.

    Opens with the first message.
    """

    def __init__(self) -> None:
        self._backend: Any = None

    def send(self, message: mail.EmailMessage) -> None:
        if self._backend is None:
            backend = mail.get_connection(fail_silently=False)
            backend.open()
            self._backend = backend
        self._backend.send_messages([message])

    def close(self) -> None:
        backend, self._backend = self._backend, None
        if backend is None:
            return
        try:
            backend.close()
        except (OSError, smtplib.SMTPException) as error:
            log.info("the mail server was left without a word", error=str(error)[:200])


def send_due_notifications(goes_on: Callable[[], bool] | None = None) -> int:
    """Send what is due, the longest waiting first. Returns how many were tried.

    Each is claimed, sent and ended in turn, so that of two nodes one sends it. Ends when nothing
    is due, when the turn is over (`goes_on`), or when the mail server cannot be reached.
    """
    ends_at = time.monotonic() + TURN_SECONDS
    goes_on = goes_on or (lambda: time.monotonic() < ends_at)
    connection = _Connection()
    tried = 0
    try:
        while goes_on() and (claim := _claim(clock.now())) is not None:
            tried += 1
            if not _send(claim, connection):
                break
    finally:
        connection.close()
    return tried


def _claim(now: datetime) -> Claim | None:
    """Take the longest waiting one under a lease; its try is counted at once.

    One that a node took and did not end within the lease is due again.
    """
    if not is_due(Notification, "next_attempt_at", now):
        return None
    with transaction.atomic():
        due = (
            Notification.objects.filter(next_attempt_at__lte=now)
            .order_by("next_attempt_at")
            .select_for_update(skip_locked=True)
        )
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


def _send(claim: Claim, connection: _Connection) -> bool:
    """Send one and write down how it ended. Returns whether the mail server can be spoken to."""
    notification = Notification.objects.select_related("account").get(pk=claim.id)
    try:
        if claim.number > len(RETRY_SECONDS) + 1:
            raise TryNeverEnded("The process ended before the last try did.")
        connection.send(message_of(notification))
    except Exception as error:
        connection.close()
        _fail(notification, claim, error)
        return not _is_away(error)
    _end(claim, status=Status.SENT, sent_at=clock.now(), next_attempt_at=None, error="")
    log.info("notification sent", notification_id=str(claim.id), kind=notification.kind)
    return True


def message_of(notification: Notification) -> mail.EmailMessage:
    """The mail: plain text, with a link to the console's page where there is one.

    Its Message-ID is the notification's, so that a mail sent twice, after a crash between sending
    and writing it down, is known as the same.
    """
    host = urlsplit(settings.PUBLIC_URL).hostname or "localhost"
    lines = [notification.text, "", f"Account: {notification.account}"]
    if url := _page(notification):
        lines.append(url)
    message = mail.EmailMessage(
        subject=" ".join(notification.title.split()),
        body="\n".join(lines),
        to=[notification.recipient],
        headers={
            "Message-ID": f"<{notification.pk}@{host}>",
            "Auto-Submitted": "auto-generated",  # RFC 3834: no answers by machines
        },
    )
    return with_report(message, notification.pk)


def _page(notification: Notification) -> str:
    if not notification.object_type or not settings.PUBLIC_URL:
        return ""
    name = f"admin:{notification.object_type.replace('.', '_')}_change"
    try:
        return f"{settings.PUBLIC_URL}{reverse(name, args=[notification.object_id])}"
    except NoReverseMatch:
        return ""


def _end(claim: Claim, **values: Any) -> bool:
    """End the claim. False where it is another's by now: its lease ran out."""
    return bool(
        Notification.objects.filter(
            pk=claim.id, status=Status.SENDING, attempt_count=claim.number
        ).update(**values)
    )


@transaction.atomic
def _fail(notification: Notification, claim: Claim, error: Exception) -> None:
    text = f"{type(error).__name__}: {error}".replace("\x00", "\ufffd")[:500]
    is_last = claim.number > len(RETRY_SECONDS) or _is_final(error)
    if is_last:
        ended = _end(claim, status=Status.FAILED, next_attempt_at=None, error=text)
    else:
        later = clock.now() + timedelta(seconds=RETRY_SECONDS[claim.number - 1])
        ended = _end(claim, status=Status.PENDING, next_attempt_at=later, error=text)
    if ended and is_last:
        journal.record_activity(
            account_id=notification.account_id,
            kind="notification.failed",
            text=f"{notification.recipient} was not told after {claim.number} tries: {text}",
            subject=notification,
        )
    log.warning("notification not sent", notification_id=str(claim.id), number=claim.number,
                failed=is_last, error=text)  # fmt: skip


def _is_final(error: Exception) -> bool:
    """Whether it is the message or its recipient that the mail server does not take."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return all(code in PERMANENT for code, _ in error.recipients.values())
    return isinstance(error, smtplib.SMTPDataError) and error.smtp_code in PERMANENT


def _is_away(error: Exception) -> bool:
    """Whether the next message would fare the same: nobody answers, or not to us."""
    is_of_message = isinstance(
        error,
        smtplib.SMTPRecipientsRefused | smtplib.SMTPDataError | smtplib.SMTPServerDisconnected,
    )
    return isinstance(error, OSError) and not is_of_message
