"""E-mail: plain text, one mail for each person, by the hub's mail server."""

from __future__ import annotations

import smtplib
from collections.abc import Iterator
from typing import Any, ClassVar, Final
from urllib.parse import urlsplit

import structlog
from django.conf import settings
from django.core import mail

from monitoring.channels.message import MAY_BE_A_REPEAT, ChannelKind, Message, SendFailed
from monitoring.models import Channel
from monitoring.models.notifications import MAIL
from monitoring.report_mail import with_report
from webhooks_project.acceptable import Problem, listed
from webhooks_project.accounts.models import Role
from webhooks_project.lib.mail_addresses import is_mail_address

log = structlog.get_logger(__name__)

PERMANENT: Final = range(500, 600)  # SMTP: the same try will have the same answer (RFC 5321, 4.2.1)
MAX_RECIPIENTS: Final = 20


class Email(ChannelKind):
    kind: ClassVar = Channel.Kind.EMAIL
    explanation: ClassVar = (
        "A mail to each address, and to each member with at least a named role (viewer, developer, "
        "operator, admin) who has an address. It goes out by the hub's own mail server."
    )
    has_recipients: ClassVar = True

    def problems(self, channel: Channel) -> Iterator[Problem]:
        if not channel.recipients:
            yield Problem("required", "name an address or a role", field="recipients")
        for problem in listed(channel.recipients, MAX_RECIPIENTS, _recipient_problem):
            yield Problem(problem.code, problem.message, problem.pointer, "recipients")

    def host_of(self, channel: Channel) -> str:
        return MAIL

    def connect(self) -> MailConnection:
        return MailConnection()


def _recipient_problem(text: str) -> Problem | None:
    if text in Role.values or is_mail_address(text):
        return None
    return Problem("invalid_recipient", f"{text[:80]!r} is neither an address nor a role")


class MailConnection:
    """One connection to the mail server for all that is sent in a turn, made anew after an error.

    Opens with the first message.
    """

    def __init__(self) -> None:
        self._backend: Any = None

    def send(self, message: Message, channel: Channel | None) -> None:
        try:
            if self._backend is None:
                backend = mail.get_connection(fail_silently=False)
                backend.open()
                self._backend = backend
            self._backend.send_messages([mail_of(message)])
        except Exception as error:
            self.close()
            raise SendFailed(
                "mail_not_sent",
                f"{type(error).__name__}: {error}",
                is_final=_is_final(error),
                is_away=_is_away(error),
            ) from error

    def close(self) -> None:
        backend, self._backend = self._backend, None
        if backend is None:
            return
        try:
            backend.close()
        except (OSError, smtplib.SMTPException) as error:
            log.info("the mail server was left without a word", error=str(error)[:200])


def mail_of(message: Message) -> mail.EmailMessage:
    """The mail: plain text, with a link to the console's page where there is one.

    Its Message-ID is the notification's, so that a mail sent twice, after a crash between sending
    and writing it down, is known as the same; not every mailbox looks, so the second one says it.
    """
    host = urlsplit(settings.PUBLIC_URL).hostname or "localhost"
    lines = [message.text, ""]
    lines += [f"{name}: {value}" for name, value in message.facts]
    lines.append(f"Account: {message.account}")
    if message.url:
        lines.append(message.url)
    if message.is_repeat:
        lines += ["", MAY_BE_A_REPEAT]
    made = mail.EmailMessage(
        subject=" ".join(message.title.split()),
        body="\n".join(lines),
        to=[message.recipient],
        headers={
            "Message-ID": f"<{message.key}@{host}>",
            "Auto-Submitted": "auto-generated",  # RFC 3834: no answers by machines
        },
    )
    return with_report(made, message.key)


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
