"""Sending what people are to be told: once, again after a failure, and with its outcome kept."""

from __future__ import annotations

import email
import smtplib
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email import policy
from typing import Any

import pytest
import time_machine
from aiosmtpd.controller import Controller
from django.core import mail
from django.core.mail.backends import locmem

from monitoring import notifications, tasks, turns
from monitoring.channels.email import mail_of
from monitoring.models import Activity, Notification
from monitoring.notifications import LEASE_SECONDS, RETRY_SECONDS, Claim, send_due_notifications
from monitoring.readiness import queue_states
from monitoring.wording import message_of
from tests.factories import make_account, make_source
from webhooks_project.lib.clock import now
from webhooks_project.lib.ids import new_id

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
SMTP = "django.core.mail.backends.smtp.EmailBackend"


@pytest.fixture
def clock() -> Iterator[time_machine.Coordinates]:
    with time_machine.travel(NOW, tick=False) as traveller:
        yield traveller


def make_notification(**fields: Any) -> Notification:
    return Notification.objects.create(
        **{
            "account": make_account(name="Acme"),
            "kind": "receipt.routed",
            "recipient": "ann@example.com",
            "title": "An invoice was paid",
            "text": "It was about time.",
            "next_attempt_at": NOW,
            "created_at": NOW,
        }
        | fields
    )


def outcome(notification: Notification) -> tuple[Any, ...]:
    notification.refresh_from_db()
    return (
        notification.status,
        notification.attempt_count,
        notification.next_attempt_at,
        notification.sent_at,
        notification.error,
    )


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> list[Exception]:
    """What the mail server raises for each message in turn; nothing once the list is empty."""
    errors: list[Exception] = []
    send = locmem.EmailBackend.send_messages

    def send_messages(self: Any, messages: Any) -> int:
        if errors:
            raise errors.pop(0)
        return send(self, messages)

    monkeypatch.setattr(locmem.EmailBackend, "send_messages", send_messages)
    return errors


# --- the message ----------------------------------------------------------------------------------


def test_sends_plain_text_with_a_link(clock: Any, settings: Any) -> None:
    settings.PUBLIC_URL = "https://hooks.example.com"
    settings.DEFAULT_FROM_EMAIL = "hub@example.com"
    source = make_source()
    notification = make_notification(object_type="incoming.source", object_id=str(source.pk))

    assert send_due_notifications() == 1

    [sent] = mail.outbox
    assert (sent.to, sent.from_email) == (["ann@example.com"], "hub@example.com")
    assert (sent.cc, sent.bcc, sent.attachments) == ([], [], [])
    assert sent.subject == "An invoice was paid"
    assert sent.body == (
        "It was about time.\n\nAccount: Acme\n"
        f"https://hooks.example.com/admin/incoming/source/{source.pk}/change/"
    )
    message = sent.message()
    assert message.get_content_type() == "text/plain"
    assert message["Message-ID"] == f"<{notification.pk}@hooks.example.com>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert outcome(notification) == ("sent", 1, None, NOW, "")


@pytest.mark.parametrize("object_type", ["", "incoming.nothing"])
def test_there_is_no_link_where_there_is_no_page(clock: Any, object_type: str) -> None:
    notification = make_notification(object_type=object_type, object_id="1")
    assert mail_of(message_of(notification)).body == "It was about time.\n\nAccount: Acme"


@pytest.mark.parametrize("title", ["a\nBcc: all@example.com", "a\r\n\r\nbody", "a\u2028b"])
def test_no_title_makes_a_header(clock: Any, title: str) -> None:
    make_notification(title=title)
    send_due_notifications()
    message = mail.outbox[0].message()
    assert "\n" not in message["Subject"]
    assert message["Bcc"] is None
    assert mail.outbox[0].recipients() == ["ann@example.com"]


# --- when -----------------------------------------------------------------------------------------


def test_the_longest_waiting_first_and_nothing_early(clock: Any) -> None:
    account = make_account()
    make_notification(account=account, title="second")
    hour = timedelta(hours=1)
    make_notification(account=account, title="first", next_attempt_at=NOW - hour)
    make_notification(title="early", next_attempt_at=NOW + timedelta(microseconds=1))
    make_notification(title="sent", status="sent", next_attempt_at=None)
    make_notification(title="failed", status="failed", next_attempt_at=None)
    assert send_due_notifications() == 2
    assert [message.subject for message in mail.outbox] == ["first", "second"]


def test_stops_when_its_turn_is_over(clock: Any) -> None:
    for _ in range(3):
        make_notification()
    turns = iter([True, True, False])
    assert send_due_notifications(lambda: next(turns)) == 2
    assert Notification.objects.filter(status="pending").count() == 1


def test_nothing_due_is_one_query(clock: Any, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(1):
        assert send_due_notifications() == 0


def test_the_monitoring_family_sends_also_where_the_queues_cannot_be_looked_at(
    clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_notification()

    def fail() -> int:
        raise RuntimeError

    tasks.watch()
    assert len(mail.outbox) == 1
    make_notification()
    monkeypatch.setattr(tasks, "watch_queues", fail)
    with pytest.raises(RuntimeError):
        tasks.watch()
    assert len(mail.outbox) == 2


# --- once -----------------------------------------------------------------------------------------


def test_of_two_nodes_one_sends_it(clock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    make_notification()
    send = locmem.EmailBackend.send_messages
    others = []

    def send_messages(self: Any, messages: Any) -> int:
        others.append(notifications._claim(NOW))
        return send(self, messages)

    monkeypatch.setattr(locmem.EmailBackend, "send_messages", send_messages)
    assert send_due_notifications() == 1
    assert (len(mail.outbox), others) == (1, [None])


def test_what_a_node_left_is_taken_up_when_its_lease_ran_out(
    clock: time_machine.Coordinates,
) -> None:
    notification = make_notification()
    lost = notifications._claim(NOW)
    assert lost == Claim(notification.pk, 1)
    lease = NOW + timedelta(seconds=LEASE_SECONDS)
    assert outcome(notification) == ("sending", 1, lease, None, "")
    clock.shift(LEASE_SECONDS - 1)
    assert send_due_notifications() == 0
    clock.shift(1)
    assert send_due_notifications() == 1
    assert outcome(notification) == ("sent", 2, None, lease, "")


def test_one_whose_last_try_never_ended_has_failed_and_is_not_tried_for_ever(clock: Any) -> None:
    tries = len(RETRY_SECONDS) + 1
    notification = make_notification(status="sending", attempt_count=tries)
    assert send_due_notifications() == 1
    assert mail.outbox == []
    status, _, due_at, sent_at, error = outcome(notification)
    assert (status, due_at, sent_at) == ("failed", None, None)
    assert error == "TryNeverEnded: The process ended before the last try did."
    assert Activity.objects.get().kind == "notification.failed"


def test_who_comes_late_changes_nothing(clock: Any) -> None:
    notification = make_notification()
    late = notifications._claim(NOW)
    assert late is not None
    in_between = notifications._claim(NOW + timedelta(seconds=LEASE_SECONDS))
    assert in_between == Claim(notification.pk, 2)
    notifications._fail(notification, late, OSError("late"))
    assert not notifications._end(late, status="sent")
    assert outcome(notification)[:2] == ("sending", 2)
    assert notifications._end(in_between, status="sent", next_attempt_at=None)


# --- failures -------------------------------------------------------------------------------------


def test_a_failure_is_tried_again_later_and_later_and_then_has_failed(
    clock: time_machine.Coordinates, failing: list[Exception]
) -> None:
    notification = make_notification()
    moment = NOW
    for number, seconds in enumerate(RETRY_SECONDS, start=1):
        failing.append(ConnectionRefusedError("nobody there"))
        assert send_due_notifications() == 1
        moment += timedelta(seconds=seconds)
        error = "mail_not_sent: ConnectionRefusedError: nobody there"
        assert outcome(notification) == ("pending", number, moment, None, error)
        clock.move_to(moment)
    assert not Activity.objects.exists()
    failing.append(ConnectionRefusedError("nobody there"))

    assert send_due_notifications() == 1

    number = len(RETRY_SECONDS) + 1
    assert outcome(notification) == ("failed", number, None, None, error)
    activity = Activity.objects.get()
    assert (activity.kind, activity.object_id) == ("notification.failed", str(notification.pk))
    assert activity.text == f"ann@example.com was not told after {number} tries: {error}"
    assert mail.outbox == []


def test_a_later_success_leaves_no_error(
    clock: time_machine.Coordinates, failing: list[Exception]
) -> None:
    notification = make_notification()
    failing.append(OSError("away"))
    send_due_notifications()
    clock.shift(RETRY_SECONDS[0])
    send_due_notifications()
    sent_at = NOW + timedelta(seconds=RETRY_SECONDS[0])
    assert outcome(notification) == ("sent", 2, None, sent_at, "")


REFUSED = {"ann@example.com": (550, b"no such mailbox")}


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (smtplib.SMTPRecipientsRefused(REFUSED), "failed"),
        (smtplib.SMTPDataError(554, b"spam"), "failed"),
        (smtplib.SMTPRecipientsRefused({"ann@example.com": (450, b"busy")}), "pending"),
        (smtplib.SMTPDataError(452, b"full"), "pending"),
        (smtplib.SMTPServerDisconnected("gone"), "pending"),
        (ValueError("odd"), "pending"),
    ],
)
def test_what_is_wrong_with_one_message_does_not_hold_up_the_next(
    clock: Any, failing: list[Exception], error: Exception, status: str
) -> None:
    first = make_notification()
    second = make_notification(next_attempt_at=NOW)
    failing.append(error)
    assert send_due_notifications() == 2
    assert sorted((outcome(first)[0], outcome(second)[0])) == sorted((status, "sent"))


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError("nobody there"), TimeoutError("slow"),
        smtplib.SMTPAuthenticationError(535, b"who are you"),
        smtplib.SMTPSenderRefused(550, b"not you", "hub@example.com"),
    ],
)  # fmt: skip
def test_a_server_that_does_not_take_us_is_asked_once(
    clock: Any, failing: list[Exception], error: Exception
) -> None:
    for _ in range(3):
        make_notification()
    failing.append(error)
    assert send_due_notifications() == 1
    until = NOW + timedelta(seconds=turns.AWAY_SECONDS)
    assert Notification.objects.filter(attempt_count=0, next_attempt_at=until).count() == 2
    assert mail.outbox == []


def test_what_waits_for_a_server_that_is_away_makes_no_node_unready(
    clock: time_machine.Coordinates, failing: list[Exception]
) -> None:
    account = make_account()
    for number in range(8):
        make_notification(account=account, title=str(number))
    for minute in range(30):
        failing[:] = [ConnectionRefusedError("nobody there")] * 10
        if minute == 10:  # a node that knows of nothing yet
            turns.forget()
        if minute == 15:  # what comes meanwhile waits with the rest
            make_notification(account=account, title="8", next_attempt_at=now())
        send_due_notifications()
        assert queue_states(now(), ["monitoring"])["monitoring"]["age_seconds"] == 0.0
        clock.shift(60)
    assert Notification.objects.filter(attempt_count__gt=0).count() >= 3
    waiting = Notification.objects.filter(attempt_count=0, status="pending")
    waited = sorted(waiting.values_list("title", flat=True))
    assert len(waited) >= 3

    failing.clear()
    clock.shift(turns.LONGEST_AWAY_SECONDS)
    send_due_notifications()
    # In the order in which they came, though all of them were put off until the same moment.
    assert [sent.subject for sent in mail.outbox if sent.subject in waited] == waited


def test_a_queue_that_nobody_drains_counts_also_where_its_server_is_away(
    clock: time_machine.Coordinates, failing: list[Exception]
) -> None:
    for _ in range(2):
        make_notification()
    failing.append(ConnectionRefusedError("nobody there"))
    send_due_notifications()
    clock.shift(turns.AWAY_SECONDS + 400)
    assert queue_states(now(), ["monitoring"])["monitoring"]["age_seconds"] == 400.0


# --- a real mail server ---------------------------------------------------------------------------


class Mailbox:
    """Keeps what it is sent; refuses who is nobody."""

    def __init__(self) -> None:
        self.envelopes: list[Any] = []
        self.sessions: list[Any] = []

    async def handle_RCPT(
        self, server: Any, session: Any, envelope: Any, address: str, options: Any
    ) -> str:
        if address.startswith("nobody"):
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.envelopes.append(envelope)
        self.sessions.append(session)
        return "250 taken"


@pytest.fixture
def mailbox(settings: Any) -> Iterator[Mailbox]:
    kept = Mailbox()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    controller = Controller(kept, hostname="127.0.0.1", port=port)
    controller.start()
    settings.EMAIL_BACKEND = SMTP
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", port
    settings.EMAIL_HOST_USER = settings.EMAIL_HOST_PASSWORD = ""
    settings.EMAIL_USE_TLS = settings.EMAIL_USE_SSL = False
    settings.EMAIL_TIMEOUT = 5
    yield kept
    controller.stop()


def test_a_real_server_gets_them_over_one_connection(mailbox: Mailbox) -> None:
    first = make_notification(title="Zahlung über 5 € \u202e", text="Grüße\n.\n" + "x" * 2000)
    make_notification(recipient="bob@example.com")
    assert send_due_notifications() == 2
    assert outcome(first)[:2] == ("sent", 1)
    assert [envelope.rcpt_tos for envelope in mailbox.envelopes] == [
        ["ann@example.com"], ["bob@example.com"],
    ]  # fmt: skip
    assert len({id(session) for session in mailbox.sessions}) == 1
    message = email.message_from_bytes(mailbox.envelopes[0].content, policy=policy.default)
    assert message["To"] == "ann@example.com"
    assert message["Subject"] == "Zahlung über 5 € \u202e"
    text = message.get_content().replace("\r\n", "\n")
    assert text.startswith("Grüße\n.\n" + "x" * 2000 + "\n")
    assert all(len(line) <= 998 for line in mailbox.envelopes[0].content.splitlines())


def test_a_recipient_that_a_real_server_refuses_has_failed(mailbox: Mailbox) -> None:
    refused = make_notification(recipient="nobody@example.com")
    taken = make_notification()
    assert send_due_notifications() == 2
    assert outcome(refused)[0] == "failed"
    assert "no such mailbox" in outcome(refused)[-1]
    assert outcome(taken)[0] == "sent"


def test_a_server_that_is_not_there_is_asked_again_later(settings: Any, mailbox: Mailbox) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        settings.EMAIL_PORT = nobody.getsockname()[1]
        notification = make_notification()
        assert send_due_notifications() == 1
    assert outcome(notification)[:2] == ("pending", 1)
    assert outcome(notification)[-1].startswith("mail_not_sent: ConnectionRefusedError")


def test_an_id_that_no_page_could_have_does_no_harm(clock: Any) -> None:
    notification = make_notification(object_type="incoming.source", object_id=str(new_id()) + "/x")
    assert send_due_notifications() == 1
    assert outcome(notification)[0] == "sent"


def test_one_that_is_deleted_once_it_is_claimed_keeps_no_other_from_its_turn(
    clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, other = make_notification(), make_notification(next_attempt_at=NOW - timedelta(0, 1))
    claim_of = notifications._claim

    def claim(*args: Any) -> Claim | None:
        found = claim_of(*args)
        if found is not None and found.id == gone.pk:
            Notification.objects.filter(pk=gone.pk).delete()
        return found

    monkeypatch.setattr(notifications, "_claim", claim)
    third = make_notification(next_attempt_at=NOW)
    assert send_due_notifications() == 2
    assert {outcome(row)[0] for row in (other, third)} == {"sent"}
