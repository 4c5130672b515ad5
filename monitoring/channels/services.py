"""What is done with channels and notifications. Each function is one transaction and is audited;
the test of a channel is sent between two."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import IntegrityError, transaction
from django.db.models import Q

from monitoring import journal
from monitoring.channels import Message, SendFailed, kind_of
from monitoring.channels.errors import (
    ChannelExists,
    ChannelNotAcceptable,
    ResendNotAllowed,
    TestTooSoon,
)
from monitoring.models import Channel, Notification
from webhooks_project.acceptable import Problem, problems_of, refuse
from webhooks_project.accounts.models import Account
from webhooks_project.lib import clock
from webhooks_project.lib.ids import new_id
from webhooks_project.lib.keyring import CannotDecrypt
from webhooks_project.lib.quiet_hours import time_zones
from webhooks_project.lib.redaction import last_four
from webhooks_project.queues import wake

FIELDS: Final = (
    "name", "recipients", "secret", "region", "hourly_limit", "quiet_from", "quiet_until",
    "time_zone", "enabled",
)  # fmt: skip
MAX_HOURLY_LIMIT: Final = 1000
TEST_EVERY: Final = timedelta(seconds=10)
MAX_CHANNELS: Final = 100  # of an account
TEST: Final = "channel.test"  # the kind of what is queued of a test
TEST_TEXT: Final = "Somebody has tested this channel of the webhooks hub. Nothing is wrong."


@transaction.atomic
def create_channel(*, account: Account, kind: str, **fields: Any) -> Channel:
    """Make a way to the account's people. Raises ChannelNotAcceptable and ChannelExists."""
    _check_names(fields)
    channel = Channel(account=account, kind=kind, created_at=clock.now(), **fields)
    if Channel.objects.filter(account=account).count() >= MAX_CHANNELS:
        raise ChannelNotAcceptable(f"an account has at most {MAX_CHANNELS} channels")
    _check(channel)
    _save(channel, force_insert=True)
    journal.record_change(
        account_id=account.pk,
        action="channel.created",
        subject=channel,
        after={"kind": kind, **_shown(channel)},
    )
    return channel


@transaction.atomic
def change_channel(*, channel: Channel, **changes: Any) -> Channel:
    """Change the named fields, for what is sent from now on. Its kind stays.

    Raises ChannelNotAcceptable and ChannelExists.
    """
    _check_names(changes)
    channel = Channel.objects.select_for_update(no_key=True).get(pk=channel.pk)
    before = _shown(channel)
    host = channel.host
    # Else nobody could switch it off before its secret is found or given anew.
    is_lost = "secret" not in changes and is_secret_lost(channel)
    for name, value in changes.items():
        setattr(channel, name, value)
    _check(channel, is_secret_lost=is_lost)
    _save(channel, update_fields=[*changes, "host"])
    if channel.host != host:
        Notification.objects.filter(channel=channel, next_attempt_at__isnull=False).update(
            host=channel.host
        )
    journal.record_change(
        account_id=channel.account_id,
        action="channel.changed",
        subject=channel,
        before=before,
        after=_shown(channel) | ({"secret_changed": True} if "secret" in changes else {}),
    )
    return channel


@transaction.atomic
def delete_channel(*, channel: Channel) -> None:
    """Send nothing by it any more. What was sent stays in the list; what waits is withdrawn."""
    # First, as who sends by it does before touching what waits: or each would wait for the other.
    channel = Channel.objects.select_for_update().get(pk=channel.pk)
    Notification.objects.filter(
        channel=channel, status=Notification.Status.PENDING, next_attempt_at__isnull=False
    ).update(
        status=Notification.Status.WITHDRAWN,
        next_attempt_at=None,
        error="the channel is deleted",
    )
    journal.record_change(
        account_id=channel.account_id,
        action="channel.deleted",
        subject=channel,
        before={"kind": channel.kind, **_shown(channel)},
    )
    channel.delete()


def send_test(*, channel: Channel) -> Channel:
    """Send a message by the channel at once, and keep how that ended in `test_error`.

    Sent by whoever calls, within some seconds, past the queue, the limit and the quiet hours. Of
    an e-mail to many that is the first; once it was taken, the others are queued, so that nobody
    waits for a mail server many times. Raises TestTooSoon, and Channel.DoesNotExist.
    """
    now = clock.now()
    _begin_test(channel, now)
    error = ""
    kind = kind_of(channel.kind)
    connection = kind.connect()
    try:
        first, *others = _test_recipients(channel)
        with kind.while_sending():
            connection.send(_test_message(channel, first), channel)
        _queue_tests(channel, others, now)
    except SendFailed as failure:
        error = f"{failure.cause}: {failure}"
    except CannotDecrypt as failure:
        error = f"cannot_decrypt: {failure}"
    finally:
        connection.close()
    channel.tested_at, channel.test_error = now, error.replace("\x00", "\ufffd")[:500]
    shown = {"tested_at": channel.tested_at, "test_error": channel.test_error}
    if not Channel.objects.filter(pk=channel.pk).update(**shown):
        raise Channel.DoesNotExist  # deleted while the message was on its way
    return channel


@transaction.atomic
def _begin_test(channel: Channel, now: datetime) -> None:
    is_free = Q(tested_at__isnull=True) | Q(tested_at__lte=now - TEST_EVERY)
    begun = Channel.objects.filter(is_free, pk=channel.pk).update(
        tested_at=now, test_error="the test has not ended"
    )
    if not begun:
        channel.refresh_from_db(fields=["tested_at"])  # one that was deleted is not there
        raise TestTooSoon
    journal.record_change(account_id=channel.account_id, action="channel.tested", subject=channel)


def _test_recipients(channel: Channel) -> list[str]:
    if channel.kind != Channel.Kind.EMAIL:
        return [channel.name]
    found = journal.addresses_of(channel.account_id, channel.recipients)
    if not found:
        raise SendFailed("unaddressed", "it leads to nobody who has an address", is_final=True)
    return found


@transaction.atomic
def _queue_tests(channel: Channel, recipients: Sequence[str], now: datetime) -> None:
    if not recipients:
        return
    Channel.objects.select_for_update(no_key=True).only("pk").get(pk=channel.pk)
    Notification.objects.bulk_create(
        Notification(
            account_id=channel.account_id,
            kind=TEST,
            via=channel.kind,
            channel=channel,
            host=channel.host,
            recipient=recipient,
            title=_test_title(channel),
            text=TEST_TEXT,
            object_type=channel._meta.label_lower,
            object_id=str(channel.pk),
            next_attempt_at=now,
            created_at=now,
        )
        for recipient in recipients
    )
    transaction.on_commit(lambda: wake("monitoring"))


def _test_title(channel: Channel) -> str:
    return journal.one_line(f"Test of {channel.name}")


def _test_message(channel: Channel, recipient: str) -> Message:
    return Message(
        key=new_id(),
        account_id=channel.account_id,
        account=str(channel.account),
        recipient=recipient,
        title=_test_title(channel),
        text=TEST_TEXT,
        is_test=True,
        data={"channel": str(channel.pk), "name": channel.name},
    )


@transaction.atomic
def resend_notification(*, notification: Notification) -> Notification:
    """Try one that has failed again, from the first try on. Raises ResendNotAllowed."""
    now = clock.now()
    begun = Notification.objects.filter(
        pk=notification.pk, status=Notification.Status.FAILED
    ).update(status=Notification.Status.PENDING, attempt_count=0, next_attempt_at=now)
    if not begun:
        raise ResendNotAllowed
    journal.record_change(
        account_id=notification.account_id,
        action="notification.resent",
        subject=notification,
        before={"status": Notification.Status.FAILED.value, "error": notification.error},
        after={"status": Notification.Status.PENDING.value},
    )
    transaction.on_commit(lambda: wake("monitoring"))
    notification.refresh_from_db()
    return notification


# --- what a channel may be ------------------------------------------------------------------------


def _check_names(fields: dict[str, Any]) -> None:
    unknown = set(fields) - set(FIELDS)
    if unknown:
        raise TypeError(f"no fields of a channel: {', '.join(sorted(unknown))}")


def _check(channel: Channel, *, is_secret_lost: bool = False) -> None:
    """Raise ChannelNotAcceptable with every problem; else set what follows from the rest.

    What its kind asks of it cannot be judged where its secret cannot be opened.
    """
    problems = problems_of(channel, {}, unjudged=["account", "secret", "host", "created_at"])
    met = {problem.field for problem in problems}
    if not met & {"kind", "recipients", "region"}:
        of_kind = () if is_secret_lost else kind_of(channel.kind).problems(channel)
        for problem in [*_general_problems(channel), *of_kind]:
            if problem.field not in met:
                met.add(problem.field)
                problems.append(problem)
    refuse(problems, ChannelNotAcceptable, "the channel is not acceptable")
    if not is_secret_lost:
        channel.host = kind_of(channel.kind).host_of(channel)


def _general_problems(channel: Channel) -> list[Problem]:
    kind = kind_of(channel.kind)
    problems = []
    if not 1 <= channel.hourly_limit <= MAX_HOURLY_LIMIT:
        message = f"is 1 to {MAX_HOURLY_LIMIT:,} messages"
        problems.append(Problem("out_of_range", message, field="hourly_limit"))
    if channel.time_zone not in time_zones():
        message = "is the name of a time zone, such as Europe/Berlin"
        problems.append(Problem("unknown_time_zone", message, field="time_zone"))
    if (channel.quiet_from is None) != (channel.quiet_until is None):
        missing = "quiet_until" if channel.quiet_until is None else "quiet_from"
        problems.append(Problem("required", "quiet hours have both ends", field=missing))
    elif channel.quiet_from is not None and channel.quiet_from == channel.quiet_until:
        message = "quiet hours end at another time than they begin"
        problems.append(Problem("no_hours", message, field="quiet_until"))
    if not kind.has_recipients and channel.recipients:
        message = "only an e-mail channel has recipients"
        problems.append(Problem("not_of_kind", message, field="recipients"))
    if not kind.asks_for and channel.__dict__.get("secret"):
        message = "this kind of channel has none"
        problems.append(Problem("not_of_kind", message, field="secret"))
    return problems


def _save(channel: Channel, **how: Any) -> None:
    try:
        with transaction.atomic():
            channel.save(**how)
    except IntegrityError as error:
        if Channel.objects.filter(account=channel.account_id, name=channel.name).exists():
            raise ChannelExists from error
        raise


def _shown(channel: Channel) -> dict[str, Any]:
    """What the audit keeps of a channel: of its secret the end."""
    fields = {name: getattr(channel, name) for name in FIELDS if name != "secret"}
    return fields | {"secret": secret_end(channel)}


def is_secret_lost(channel: Channel) -> bool:
    """Whether its secret cannot be opened: the key that sealed it is in the key ring no more."""
    try:
        return channel.secret is None
    except CannotDecrypt:
        return True


def secret_end(channel: Channel) -> str:
    """`…abcd`, enough to tell two apart; empty where there is none."""
    try:
        return last_four(channel.secret) if channel.secret else ""
    except CannotDecrypt:
        return "…"
