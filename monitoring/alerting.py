"""Telling an account's people of an incident, and telling others when nobody sees to it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import transaction
from django.db.models import Q

from monitoring import journal, wording
from monitoring.admission import quiet_end
from monitoring.channels import kind_of
from monitoring.models import Channel, Incident, IncidentEntry, Notification
from monitoring.models.notifications import MAIL, REPEATED, TELLING
from webhooks_project.accounts.models import Role
from webhooks_project.lib import clock
from webhooks_project.lib.ids import new_id
from webhooks_project.lib.sql import insert_new
from webhooks_project.queues import wake

Moment = Notification.Moment
Status = Notification.Status

GROUP_FOR: Final = timedelta(minutes=1)  # how long a resolution waits for others to go with it
TARGET_OF_ROLE: Final = "role:{}"


@transaction.atomic
def tell(incident: Incident, moment: IncidentEntry.Kind | Notification.Moment | str) -> int:
    """Queue what people are told of it at this moment.

    Part of the caller's transaction; the incident's row is as the moment left it. Opened goes
    through the channels of its rules that are on, and by e-mail to the account's operators where
    there is none; raised and reminded the same way, as opened to those who have not heard of it,
    and raised to all others who have, too; escalated through the rules' escalation channels, else
    the same way again; acknowledged and resolved to whom it was told before. What a target has been
    told is never queued for it again, however often this is called, but that each round of the
    incident reminds and escalates anew. Returns how many messages were queued.
    """
    moment = Moment(str(moment))
    if moment in (Moment.OPENED, Moment.ESCALATED):
        rows = _to_channels(incident, moment)
    elif moment in (Moment.RAISED, Moment.REMINDED):
        rows = _to_old_and_new(incident, moment)
    else:
        rows = _to_those_told(incident, moment)
    made = insert_new(rows, ("id", "via"))
    if made:
        words = _words_of([via for _, via in made])
        _note(incident, IncidentEntry.Kind.TOLD, f"{moment.label}: {words} queued.")
        transaction.on_commit(lambda: wake("monitoring"))
    return len(made)


def _words_of(kinds: Sequence[str]) -> str:
    counts = {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}
    shown = [f"{count} by {Channel.Kind(kind).label}" for kind, count in counts.items()]
    return f"{len(kinds)} message{'' if len(kinds) == 1 else 's'} ({', '.join(shown)})"


def _to_channels(incident: Incident, moment: Moment) -> list[Notification]:
    channels = _channels_of(incident, moment)
    rows = [row for channel in channels for row in _through(incident, moment, channel)]
    # Nor where they lead to nobody is an incident left untold.
    return rows or _to_role(incident, moment, Role.OPERATOR)


def _to_old_and_new(incident: Incident, moment: Moment) -> list[Notification]:
    """What waits to be told already says it as it is now; of the opening or of the same moment it
    stands for this one."""
    told = Notification.objects.filter(incident=incident, moment__in=TELLING)
    waiting = told.filter(status=Status.PENDING, attempt_count=0, next_attempt_at__isnull=False)
    hear_by_that = set()
    for row in waiting.select_related("channel"):
        fresh = _row(incident, Moment(row.moment), via=row.via, channel=row.channel)
        is_still_so = waiting.filter(pk=row.pk).update(
            title=fresh.title, text=fresh.text, next_attempt_at=fresh.next_attempt_at
        )
        if is_still_so and row.moment in (Moment.OPENED, moment):
            hear_by_that.add((row.target, row.recipient))
    have_heard = set(told.values_list("target", "recipient"))
    rows = {(row.target, row.recipient): row for row in _to_channels(incident, moment)}
    for whom in rows.keys() - have_heard:
        row = rows[whom]
        row.moment, row.kind = Moment.OPENED.value, f"incident.{Moment.OPENED.value}"
        row.title, row.round = wording.title_of(incident, Moment.OPENED), 0
    if moment == Moment.RAISED:
        others = {(row.target, row.recipient): row for row in _to_those_told(incident, moment)}
        rows = others | rows
    return [row for whom, row in rows.items() if whom not in hear_by_that]


def _channels_of(incident: Incident, moment: Moment) -> list[Channel]:
    own = Channel.objects.filter(enabled=True, account_id=incident.account_id)
    if moment == Moment.ESCALATED:
        found = own.filter(escalating_rules__held_incidents=incident).distinct()
        if found:
            return list(found)
    return list(own.filter(alert_rules__held_incidents=incident).distinct())


def _through(incident: Incident, moment: Moment, channel: Channel) -> Iterator[Notification]:
    if moment not in kind_of(channel.kind).takes:
        return
    recipients = [""]  # the channel itself, whatever it is called
    if channel.kind == Channel.Kind.EMAIL:
        recipients = journal.addresses_of(incident.account_id, channel.recipients)
        if not recipients:
            _nobody(incident, moment, f"{channel.name} leads to nobody who has an address")
    for recipient in recipients:
        yield _row(
            incident,
            moment,
            via=str(channel.kind),
            channel=channel,
            host=channel.host,
            target=str(channel.pk),
            recipient=recipient,
        )


def _to_role(incident: Incident, moment: Moment, role: Role) -> list[Notification]:
    addresses = journal.addresses_of(incident.account_id, [role.value])
    if not addresses:
        _nobody(incident, moment, f"no {role.value} of the account has an address")
    target = TARGET_OF_ROLE.format(role.value)
    email = Channel.Kind.EMAIL.value
    return [
        _row(incident, moment, via=email, target=target, recipient=address) for address in addresses
    ]


def _to_those_told(incident: Incident, moment: Moment) -> list[Notification]:
    """One for each target that was told of its opening; what was not yet sent to it is withdrawn
    where the incident is over."""
    told = Notification.objects.filter(incident=incident, moment__in=TELLING).select_related(
        "channel"
    )
    targets = {(row.target, row.recipient): row for row in told.order_by("created_at")}
    if moment == Moment.RESOLVED:
        told.filter(status=Status.PENDING).update(
            status=Status.WITHDRAWN,
            next_attempt_at=None,
            error="the incident was resolved before it was sent",
        )
    return [
        _row(
            incident,
            moment,
            via=row.via,
            channel=row.channel,
            host=row.channel.host if row.channel else MAIL,
            target=target,
            recipient=recipient,
        )
        for (target, recipient), row in targets.items()
        if moment in kind_of(row.via).takes
        and (row.channel or row.target.startswith(TARGET_OF_ROLE.format("")))
    ]


def _row(incident: Incident, moment: Moment, **fields: Any) -> Notification:
    now = clock.now()
    channel: Channel | None = fields.get("channel")
    return Notification(
        id=new_id(),
        account_id=incident.account_id,
        kind=f"incident.{moment.value}",
        incident=incident,
        moment=moment.value,
        round=incident.round if moment in REPEATED else 0,
        status=Status.PENDING.value,
        title=wording.title_of(incident, moment) or incident.kind,
        text=journal.storable(wording.text_of(incident, moment, channel))[
            : journal.MAX_TEXT_LENGTH
        ],
        object_type=incident._meta.label_lower,
        object_id=str(incident.pk),
        next_attempt_at=_due_at(incident, moment, fields["via"], channel, now),
        created_at=now,
        **fields,
    )


def _due_at(
    incident: Incident, moment: Moment, via: str, channel: Channel | None, now: datetime
) -> datetime:
    kind = kind_of(via)
    if kind.passes_at_once(moment):
        return now
    if moment == Moment.RESOLVED and kind.people:
        now += GROUP_FOR
    return quiet_end(channel, incident.severity, now) or now


def _nobody(incident: Incident, moment: Moment, why: str) -> None:
    text = f"Nobody was told: {why}."
    journal.record_activity(
        account_id=incident.account_id,
        kind="notification.unaddressed",
        text=f"{text} {incident.title}",
        subject=incident,
    )
    _note(incident, IncidentEntry.Kind.TOLD, f"{moment.label}: {text}")


def _note(incident: Incident, kind: IncidentEntry.Kind, text: str) -> None:
    IncidentEntry.objects.create(
        incident=incident, kind=kind, text=text[:1000], created_at=clock.now()
    )


# --- nobody has acknowledged it -------------------------------------------------------------------


def escalate_incidents() -> int:
    """Tell the escalation channels of each incident that nobody acknowledged in its rules' time.

    Once each, however many nodes look. Returns how many were escalated.
    """
    now = clock.now()
    waiting = Incident.objects.filter(
        # As the index of open incidents has it.
        ~Q(status=Incident.Status.RESOLVED),
        status=Incident.Status.OPEN,
        escalated_at__isnull=True,
        rules__escalates_after_seconds__isnull=False,
    ).values_list("pk", "opened_at", "raised_at", "rules__escalates_after_seconds")
    due = {
        key
        for key, opened_at, raised_at, seconds in waiting
        if seconds is not None and (raised_at or opened_at) + timedelta(seconds=seconds) <= now
    }
    return sum(_escalate(key, now) for key in sorted(due))


@transaction.atomic
def _escalate(key: Any, now: datetime) -> bool:
    # Who loses the race finds no row that is still open and not escalated.
    won = Incident.objects.filter(
        pk=key, status=Incident.Status.OPEN, escalated_at__isnull=True
    ).update(escalated_at=now)
    if not won:
        return False
    incident = Incident.objects.get(pk=key)
    minutes = round((now - (incident.raised_at or incident.opened_at)).total_seconds() / 60)
    _note(incident, IncidentEntry.Kind.ESCALATED, f"Nobody has acknowledged it in {minutes} min.")
    tell(incident, Moment.ESCALATED)
    return True
