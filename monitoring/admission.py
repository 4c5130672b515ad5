"""Whether a notification that is due goes out now, later, as a part of another, or not at all.

Asked once it is claimed and again at each try: what has happened meanwhile counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import reduce
from operator import or_
from typing import Final
from zoneinfo import ZoneInfo

from django.db import transaction
from django.db.models import Q, QuerySet

from monitoring import wording
from monitoring.channels import KINDS, ChannelKind
from monitoring.models import Channel, Incident, Notification
from monitoring.models.incidents import Severity
from monitoring.models.notifications import TELLING, UNANSWERED
from webhooks_project.accounts.models import Account
from webhooks_project.lib.quiet_hours import QuietHours

Moment = Notification.Moment
Status = Notification.Status

SUMMARY: Final = "channel.summary"  # the kind of a message for those over a limit
LIMIT_WITHOUT_CHANNEL: Final = 30  # messages an hour to a person whom no channel leads to
PERIOD: Final = timedelta(hours=1)
IN_FLIGHT_WAIT: Final = timedelta(seconds=30)  # until another of the same incident has ended
MAX_PARTS: Final = 500  # of one message; the rest makes another


@dataclass(frozen=True, slots=True)
class Send:
    """It goes out now."""


@dataclass(frozen=True, slots=True)
class Wait:
    """It is due again then."""

    until: datetime


@dataclass(frozen=True, slots=True)
class Combine:
    """It is told as a part of that message, and is noted to be one."""

    whole: Notification


@dataclass(frozen=True, slots=True)
class Withdraw:
    """It is not told, and why."""

    reason: str


Decision = Send | Wait | Combine | Withdraw


def admit(notification: Notification, now: datetime) -> Decision:
    """Decide about a claimed notification. What takes a place under a limit is noted at once."""
    if not notification.target:
        return Send()  # no incident's: told as it is
    kind = KINDS[notification.via]
    decision = _of_channel(notification, kind, now) or _of_incident(notification, kind, now)
    return decision or _of_limit(notification, kind, now)


def quiet_end(channel: Channel | None, severity: str, now: datetime) -> datetime | None:
    """When the channel's quiet hours end, for what is not critical; None outside of them."""
    if channel is None or channel.quiet_from is None or channel.quiet_until is None:
        return None
    if severity == Severity.CRITICAL:
        return None
    hours = QuietHours(channel.quiet_from, channel.quiet_until, ZoneInfo(channel.time_zone))
    return hours.end_of(now)


# --- what the channel says ------------------------------------------------------------------------


def _of_channel(notification: Notification, kind: ChannelKind, now: datetime) -> Decision | None:
    channel = notification.channel
    if channel is None:
        is_gone = notification.via != Channel.Kind.EMAIL or _is_of_channel(notification)
        return Withdraw("the channel is deleted") if is_gone else None
    if not channel.enabled:
        return Withdraw("the channel is off")
    if channel.waits_until is not None and channel.waits_until > now:
        return Wait(channel.waits_until)
    if kind.passes_at_once(notification.moment):
        return None
    ends_at = quiet_end(channel, wording.severity_of(notification), now)
    return Wait(ends_at) if ends_at else None


def _is_of_channel(notification: Notification) -> bool:
    return not notification.target.startswith("role:")


# --- what has become of the incident --------------------------------------------------------------


def _of_incident(notification: Notification, kind: ChannelKind, now: datetime) -> Decision | None:
    incident = notification.incident
    if incident is None:
        return None
    is_over = incident.status == Incident.Status.RESOLVED
    if notification.moment == Moment.RESOLVED:
        return _of_resolution(notification, kind, now)
    if is_over:
        return Withdraw("the incident was resolved before it was sent")
    if notification.moment == Moment.ESCALATED and incident.status != Incident.Status.OPEN:
        return Withdraw("the incident was acknowledged before it was sent")
    if notification.moment == Moment.ACKNOWLEDGED and not was_told(notification):
        return Withdraw("nothing was sent of its opening")
    return None


def _of_resolution(notification: Notification, kind: ChannelKind, now: datetime) -> Decision | None:
    others = told_of_same(notification)
    if others.filter(status=Status.SENDING, next_attempt_at__gt=now).exists():
        return Wait(now + IN_FLIGHT_WAIT)  # or it would come after its own end
    if was_told(notification):
        return None
    if kind.passes_at_once(Moment.RESOLVED) or not kind.people:
        return Withdraw("nothing was sent of its opening")
    incident = notification.incident
    assert incident is not None  # noqa: S101 - asked of an incident's only
    title, text = wording.was_open(incident, notification.channel)
    _rewrite(notification, title, text)
    return None


def told_of_same(notification: Notification) -> QuerySet[Notification]:
    """What the same target was to be told of the incident before."""
    return Notification.objects.filter(
        incident=notification.incident,
        target=notification.target,
        recipient=notification.recipient,
        moment__in=TELLING,
    )


def was_told(notification: Notification) -> bool:
    """Whether the target may have heard of the incident: sent, perhaps sent, or in a summary.

    What has failed was perhaps sent where nobody answered: an alert of a pager that took it would
    stay open for good.
    """
    unanswered = (Q(error__startswith=cause) for cause in UNANSWERED)
    return (
        told_of_same(notification)
        .filter(
            Q(status__in=[Status.SENT, Status.SENDING])
            | Q(status__in=[Status.PENDING, Status.WITHDRAWN], attempt_count__gt=0)
            | Q(reduce(or_, unanswered), status=Status.FAILED)
            | Q(status=Status.COMBINED, combined_in__status=Status.SENT)
        )
        .exists()
    )


# --- the limit ------------------------------------------------------------------------------------


@transaction.atomic
def _of_limit(notification: Notification, kind: ChannelKind, now: datetime) -> Decision:
    if kind.passes_at_once(notification.moment):
        return Send()
    limit = _locked_limit(notification)
    if notification.moment == Moment.RESOLVED and kind.people:
        _take_in_resolutions(notification, now)
    if notification.admitted_at is None:
        free_at = _full_until(notification, limit, now)
        if free_at is not None:
            if not kind.people or notification.kind == SUMMARY:
                return Wait(free_at)
            whole = _summary(notification, free_at, now)
            _make_part(notification, whole)
            return Combine(whole)
        notification.admitted_at = now
        notification.save(update_fields=["admitted_at"])
    if notification.kind == SUMMARY:
        _rewrite(notification, *wording.summary(_parts(notification), notification.channel))
    return Send()


def _locked_limit(notification: Notification) -> int:
    """The limit of the target, locked until the transaction ends, so that two workers count one
    after the other."""
    if notification.channel_id is not None:
        channels = Channel.objects.select_for_update(no_key=True)
        return channels.get(pk=notification.channel_id).hourly_limit
    Account.objects.select_for_update(no_key=True).get(pk=notification.account_id)
    return LIMIT_WITHOUT_CHANNEL


def _full_until(notification: Notification, limit: int, now: datetime) -> datetime | None:
    """When a place is free under the limit; None where one is now."""
    admitted = (
        Notification.objects.filter(
            account_id=notification.account_id,
            target=notification.target,
            recipient=notification.recipient,
            admitted_at__gt=now - PERIOD,
        )
        .order_by("-admitted_at")
        .values_list("admitted_at", flat=True)[limit - 1 : limit]
    )
    oldest = next(iter(admitted), None)
    return oldest + PERIOD if oldest else None


def _summary(notification: Notification, free_at: datetime, now: datetime) -> Notification:
    """The message that says how many were over the limit: the one that waits, or a new one."""
    same = {
        "account_id": notification.account_id,
        "kind": SUMMARY,
        "via": notification.via,
        "host": notification.host,
        "channel_id": notification.channel_id,
        "target": notification.target,
        "recipient": notification.recipient,
        "status": Status.PENDING,
    }
    waiting = Notification.objects.filter(next_attempt_at__isnull=False, **same).first()
    if waiting is not None:
        return waiting
    return Notification.objects.create(
        **same,
        title="More than the hourly limit",
        text="It says what they were when it is sent.",
        next_attempt_at=free_at,
        created_at=now,
    )


def _make_part(notification: Notification, whole: Notification) -> None:
    """Note it while the limit is locked: whoever sends the whole then finds it among the parts."""
    Notification.objects.filter(
        pk=notification.pk,
        status=Status.SENDING,
        attempt_count=notification.attempt_count,  # the claim's
    ).update(
        status=Status.COMBINED,
        combined_in=whole,
        next_attempt_at=None,
        attempt_count=notification.attempt_count - 1,  # what is not tried is not counted
    )


def _take_in_resolutions(notification: Notification, now: datetime) -> None:
    """Make what else is resolved by now a part of this message."""
    others = Notification.objects.filter(
        account_id=notification.account_id,
        via=notification.via,
        host=notification.host,
        target=notification.target,
        recipient=notification.recipient,
        moment=Moment.RESOLVED,
        status=Status.PENDING,
        attempt_count=0,
        next_attempt_at__isnull=False,
    ).exclude(pk=notification.pk)
    keys = list(others.order_by("created_at").values_list("pk", flat=True)[:MAX_PARTS])
    others.filter(pk__in=keys).update(
        status=Status.COMBINED, combined_in=notification, next_attempt_at=None
    )
    parts = _parts(notification)
    if parts:
        incidents = [item.incident for item in [notification, *parts] if item.incident]
        _rewrite(notification, *wording.resolutions(incidents, notification.channel))


def _parts(notification: Notification) -> list[Notification]:
    parts = notification.parts.select_related("incident")
    return list(parts.order_by("created_at", "pk")[: MAX_PARTS + 1])


def _rewrite(notification: Notification, title: str, text: str) -> None:
    """What is told is what the row shows."""
    notification.title, notification.text = title, text
    notification.save(update_fields=["title", "text"])
