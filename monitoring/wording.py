"""What people are told, in words; and the same for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from django.conf import settings
from django.urls import NoReverseMatch, reverse

from monitoring.channels.message import Message
from monitoring.figures import CERTIFICATE
from monitoring.journal import one_line
from monitoring.kinds import Kind
from monitoring.models import Channel, Incident, Notification
from monitoring.models.incidents import Severity

Moment = Notification.Moment

SHOWN_PARTS: Final = 20  # lines of a message that stands for many


def title_of(incident: Incident, moment: str) -> str:
    """The title of a message about one incident."""
    if moment == Moment.RESOLVED:
        word = "Closed, not recovered" if _is_gone(incident) else "Resolved"
        return one_line(f"{word}: {incident.title}")
    if moment == Moment.ACKNOWLEDGED:
        return one_line(f"Acknowledged: {incident.title}")
    if moment == Moment.RAISED:
        return one_line(f"Now {incident.severity}: {incident.title}")
    if moment == Moment.REMINDED:
        return one_line(f"Reminder: {incident.title}")
    if moment == Moment.ESCALATED:
        return one_line(f"Not acknowledged: {incident.title}")
    return one_line(incident.title)


def text_of(incident: Incident, moment: str, channel: Channel | None) -> str:
    text = incident.text or incident.title
    if moment == Moment.RESOLVED and _is_gone(incident):
        return (
            f"It was open from {period(incident, channel)} and is closed, not recovered: what it is"
            f" about, or the rule that opened it, is not active any more{_or_unseen(incident)}."
            f"\n{text}"
        )
    if moment == Moment.RESOLVED:
        by = f" by {incident.resolved_by}" if incident.resolved_by else ""
        return f"It was open from {period(incident, channel)} and is resolved{by}.\n{text}"
    if moment == Moment.ACKNOWLEDGED:
        return f"{incident.acknowledged_by or 'Somebody'} sees to it.\n{text}"
    since = shown_moment(incident.opened_at, channel)
    if moment == Moment.ESCALATED:
        return f"It is open since {since}, and nobody has acknowledged it.\n{text}"
    if moment in (Moment.RAISED, Moment.REMINDED):
        return f"It is open since {since}.\n{text}"
    return text


def _or_unseen(incident: Incident) -> str:
    is_of_certificate = (incident.kind, incident.cause) == (Kind.EXPIRING, CERTIFICATE)
    return ", or its certificate was not seen for long" if is_of_certificate else ""


def was_open(incident: Incident, channel: Channel | None) -> tuple[str, str]:
    """One line for those who never heard of it while it was open."""
    how = "closed, not recovered" if _is_gone(incident) else "resolved"
    title = one_line(f"Was open and is {how}: {incident.title}")
    return title, f"It was open from {period(incident, channel)}; nothing was sent meanwhile."


def resolutions(incidents: Sequence[Incident], channel: Channel | None) -> tuple[str, str]:
    """One message for what was resolved at about the same time."""
    lines = [
        f"{incident.title}: {period(incident, channel)}"
        f"{', closed, not recovered' if _is_gone(incident) else ''}"
        for incident in incidents
    ]
    gone = sum(_is_gone(incident) for incident in incidents)
    if not gone:
        return f"{len(incidents)} incidents are resolved", _lines(lines)
    return f"{len(incidents)} incidents are closed, {gone} of them not recovered", _lines(lines)


def _is_gone(incident: Incident) -> bool:
    """Whether it ended because nobody looks any more, which says nothing of the problem."""
    return incident.resolution == Incident.Resolution.GONE


def summary(parts: Sequence[Notification], channel: Channel | None) -> tuple[str, str]:
    """One message for those over the hourly limit."""
    lines = [f"{shown_moment(part.created_at, channel)} {part.title}" for part in parts]
    count = len(parts)
    messages = "message" if count == 1 else "messages"
    return (
        f"{count} more {messages}, over the hourly limit",
        f"So many were not sent one by one:\n{_lines(lines)}",
    )


def _lines(lines: Sequence[str]) -> str:
    more = len(lines) - SHOWN_PARTS
    return "\n".join([*lines[:SHOWN_PARTS], *([f"and {more} more"] if more > 0 else [])])


def period(incident: Incident, channel: Channel | None) -> str:
    end = incident.resolved_at or incident.last_seen_at
    begin = shown_moment(incident.opened_at, channel)
    return f"{begin} to {shown_moment(end, channel)} ({_duration(end - incident.opened_at)})"


def shown_moment(moment: datetime, channel: Channel | None) -> str:
    """`2026-01-31 15:04 CET`, by the channel's clock."""
    zone = ZoneInfo(channel.time_zone if channel else "UTC")
    return moment.astimezone(zone).strftime("%Y-%m-%d %H:%M %Z")


def _duration(length: timedelta) -> str:
    minutes = max(0, round(length.total_seconds() / 60))
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def message_of(notification: Notification, *, is_repeat: bool = False) -> Message:
    """A queued notification as its channel is to send it."""
    incident = notification.incident
    message = Message(
        key=notification.pk,
        account_id=notification.account_id,
        account=str(notification.account),
        recipient=notification.recipient,
        title=notification.title,
        text=notification.text,
        url=page_of(notification.object_type, notification.object_id),
        severity=severity_of(notification) if notification.target else "",
        is_repeat=is_repeat,
    )
    if incident is None:
        return message
    is_whole = notification.moment == Moment.RESOLVED and notification.parts.exists()
    return replace(
        message,
        moment=notification.moment,
        incident_id=incident.pk,
        subscription_id=incident.subscription_id,
        facts=() if is_whole else facts_of(incident, notification.channel),
        data=data_of(incident, message.url),
        is_gone=not is_whole and notification.moment == Moment.RESOLVED and _is_gone(incident),
    )


def severity_of(notification: Notification) -> str:
    """That of its incident; of a message that stands for many, the worst of theirs."""
    if notification.incident is not None:
        return notification.incident.severity
    worst = notification.parts.filter(incident__severity=Severity.CRITICAL).exists()
    return Severity.CRITICAL.value if worst else Severity.WARNING.value


def facts_of(incident: Incident, channel: Channel | None) -> tuple[tuple[str, str], ...]:
    facts = [("Severity", incident.severity), ("Kind", incident.kind.replace("_", " "))]
    if incident.subscription is not None:
        facts.append(("Subscription", incident.subscription.name))
    if incident.source is not None:
        facts.append(("Source", incident.source.name))
    if incident.cause:
        facts.append(("Cause", incident.cause))
    facts.append(("Open since", shown_moment(incident.opened_at, channel)))
    return tuple(facts)


def data_of(incident: Incident, url: str) -> dict[str, Any]:
    """What the events about an incident say of it."""
    return {
        "incident": str(incident.pk),
        "kind": incident.kind,
        "severity": incident.severity,
        "status": incident.status,
        "title": incident.title,
        "text": incident.text,
        "cause": incident.cause,
        "subscription": _key(incident.subscription_id),
        "source": _key(incident.source_id),
        "figures": incident.figures,
        "opened_at": _iso(incident.opened_at),
        "acknowledged_at": _iso(incident.acknowledged_at),
        "acknowledged_by": incident.acknowledged_by,
        "raised_at": _iso(incident.raised_at),
        "escalated_at": _iso(incident.escalated_at),
        "resolved_at": _iso(incident.resolved_at),
        "resolution": incident.resolution,
        "url": url,
    }


def _key(key: object) -> str | None:
    return str(key) if key else None


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat().replace("+00:00", "Z") if moment else None


def page_of(object_type: str, object_id: str) -> str:
    """The console's page of what a message is about; empty where there is none."""
    if not object_type or not settings.PUBLIC_URL:
        return ""
    name = f"admin:{object_type.replace('.', '_')}_change"
    try:
        return f"{settings.PUBLIC_URL}{reverse(name, args=[object_id])}"
    except NoReverseMatch:
        return ""
