"""Activity, audit and notifications: the part of monitoring that the other apps call.

It imports none of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import orjson
from django.db import connection, models, transaction
from django.db.models import F, Q, QuerySet

from monitoring.chain import FORMAT, GENESIS, hash_of
from monitoring.models import Activity, AlertRule, AuditEntry, Notification
from webhooks_project.accounts.models import Membership, Role
from webhooks_project.lib import clock
from webhooks_project.lib.actor import current_actor
from webhooks_project.lib.mail_addresses import is_mail_address
from webhooks_project.queues import wake

MAX_TITLE_LENGTH: Final = 200
MAX_TEXT_LENGTH: Final = 16_384  # characters of one notification

_NOT_OF_A_LINE: Final = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u2028\u2029]+")


def record_activity(
    *, account_id: UUID, kind: str, text: str, subject: models.Model | None = None
) -> None:
    """Note what the hub did, in words. Part of the caller's transaction."""
    Activity.objects.create(
        account_id=account_id,
        kind=kind,
        text=text[:500],
        object_type=subject._meta.label_lower if subject else "",
        object_id=str(subject.pk) if subject else "",
        created_at=clock.now(),
    )


@transaction.atomic(savepoint=False)
def count_activity(
    *,
    account_id: UUID,
    kind: str,
    text: str,
    subject: models.Model | None = None,
    times: int = 1,
) -> None:
    """Note what may happen thousands of times: one line for each hour, kind and subject.

    The line counts how often, and has the text of the last time. It is written once the caller's
    transaction is committed, all lines of that in one transaction and in one order, so that no two
    workers wait for each other's lines, and no other row waits for one. A process that dies in
    between leaves the count too low; the rows that it counts are the truth.
    """
    now = clock.now()
    about = (
        subject._meta.label_lower if subject else "",
        str(subject.pk) if subject else "",
    )
    key = f"{kind}:{about[1] or account_id}:{now:%Y%m%d%H}"
    lines = _waiting_lines()
    known = lines.get(key)
    lines[key] = Activity(
        account_id=account_id,
        kind=kind,
        text=text[:500],
        object_type=about[0],
        object_id=about[1],
        created_at=known.created_at if known else now,
        last_at=now,
        count=known.count + times if known else times,
        hour_key=key,
    )


class _WriteLines:
    """Run after the commit: the lines that its transaction counted."""

    def __init__(self) -> None:
        self.lines: dict[str, Activity] = {}
        self.has_run = False
        self.__qualname__ = type(self).__qualname__  # Django names what failed by it

    def __call__(self) -> None:
        self.has_run = True
        with transaction.atomic():
            for key in sorted(self.lines):
                line = self.lines[key]
                counted = Activity.objects.filter(hour_key=key)
                more = {
                    "text": line.text,
                    "last_at": line.last_at,
                    "count": F("count") + line.count,
                }
                if counted.update(**more):
                    continue
                # Of two that write the first of an hour, one counts on with the other's.
                count, line.count = line.count, 0
                Activity.objects.bulk_create([line], ignore_conflicts=True)
                counted.update(**more | {"count": F("count") + count})


def _waiting_lines() -> dict[str, Activity]:
    """The lines of the running transaction: they go with it where it is rolled back."""
    for _, waiting, *_ in reversed(connection.run_on_commit):
        if isinstance(waiting, _WriteLines) and not waiting.has_run:
            return waiting.lines
    write = _WriteLines()
    transaction.on_commit(write, robust=True)
    return write.lines


@transaction.atomic
def record_notification(
    *,
    account_id: UUID,
    kind: str,
    recipients: Sequence[str],
    title: str,
    text: str,
    subject: models.Model | None = None,
    at_most_every: timedelta | None = None,
) -> list[Notification]:
    """Tell people, by e-mail, once the caller's transaction is committed: one row for each person.

    `recipients` are addresses, and roles: who has at least that role in the account, is active and
    has an address. An address that is meant twice is told once. Where nobody is meant, an activity
    says so and the list is empty. The title becomes one line; title and text may be a stranger's
    and are cut where they are too long. Where the account was told of the same kind about the same
    subject within `at_most_every`, nobody is told again.
    """
    if at_most_every is not None and _was_told(account_id, kind, subject, at_most_every):
        return []
    addresses = addresses_of(account_id, recipients)
    title = one_line(title) or kind
    if not addresses:
        record_activity(
            account_id=account_id,
            kind="notification.unaddressed",
            text=f"Nobody was told: {', '.join(recipients)[:200] or 'no recipient'} has no "
            f"address. {title}",
            subject=subject,
        )
        return []
    now = clock.now()
    made = Notification.objects.bulk_create(
        [
            Notification(
                account_id=account_id,
                kind=kind,
                recipient=address,
                title=title,
                text=storable(text)[:MAX_TEXT_LENGTH],
                object_type=subject._meta.label_lower if subject else "",
                object_id=str(subject.pk) if subject else "",
                next_attempt_at=now,
                created_at=now,
            )
            for address in addresses
        ]
    )
    transaction.on_commit(lambda: wake("monitoring"))
    return made


def has_rule(*, account_id: UUID, kind: str, subscription_id: UUID) -> bool:
    """Whether an alert rule of that kind is on for the subscription, so that its incidents tell
    people what would else be told them by a notification alone."""
    for_all = Q(subscription__isnull=True, source__isnull=True)
    rules = AlertRule.objects.filter(account_id=account_id, kind=kind, enabled=True)
    return rules.filter(for_all | Q(subscription_id=subscription_id)).exists()


def _was_told(account_id: UUID, kind: str, subject: models.Model | None, within: timedelta) -> bool:
    about = {
        "account_id": account_id,
        "object_type": subject._meta.label_lower if subject else "",
        "object_id": str(subject.pk) if subject else "",
        "created_at__gt": clock.now() - within,
    }
    return (
        Notification.objects.filter(kind=kind, **about).exists()
        or Activity.objects.filter(kind="notification.unaddressed", **about).exists()
    )


def addresses_of(account_id: UUID, recipients: Sequence[str]) -> list[str]:
    """Those that are meant by addresses and roles: each once, whatever its capitals, in the order
    of the recipients."""
    found: dict[str, str] = {}
    for recipient in recipients:
        meant = _members(account_id, Role(recipient)) if recipient in Role.values else [recipient]
        for address in meant:
            if is_mail_address(address):
                found.setdefault(address.lower(), address)
    return list(found.values())


def _members(account_id: UUID, role: Role) -> list[str]:
    roles = [item for item in Role if item.rank >= role.rank]
    members = Membership.objects.filter(
        account_id=account_id, role__in=roles, user__is_active=True
    ).exclude(user__email="")
    return list(members.order_by("user__email").values_list("user__email", flat=True))


def one_line(text: str) -> str:
    """A title of a text that may be a stranger's."""
    return _NOT_OF_A_LINE.sub(" ", storable(text)).strip()[:MAX_TITLE_LENGTH]


def storable(text: str) -> str:
    # PostgreSQL takes no NUL in a text, and nothing takes half a surrogate pair.
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


@transaction.atomic
def record_change(
    *,
    account_id: UUID,
    action: str,
    subject: models.Model,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> AuditEntry:
    """Add an entry to the account's chain, in the caller's transaction.

    The caller leaves secrets out of `before` and `after`. The actor is the one recognised for
    this request or command. The account is locked until the transaction ends, so entries of one
    account are written one after the other.
    """
    # The last entry itself will not do for a lock: who waited for it would still see it as the
    # last. And the lock is one that leaves those alone who only refer to the account.
    account: type[models.Model] = AuditEntry._meta.get_field("account").related_model
    account._default_manager.select_for_update(no_key=True).filter(pk=account_id).first()
    last = AuditEntry.objects.filter(account_id=account_id).order_by("-sequence").first()
    actor = current_actor.get()
    entry = AuditEntry(
        account_id=account_id,
        sequence=last.sequence + 1 if last else 1,
        created_at=clock.now(),
        actor_kind=actor.kind,
        actor_id=actor.id,
        actor_label=actor.label[:200],
        actor_address=actor.address,
        actor_session=actor.session,
        actor_agent=actor.agent,
        action=action,
        object_type=subject._meta.label_lower,
        object_id=str(subject.pk),
        before=_canonical(before),
        after=_canonical(after),
        previous_hash=last.hash if last else GENESIS,
        format=FORMAT,
    )
    entry.hash = hash_of(entry)
    entry.save(force_insert=True)
    return entry


def changes_of(subject: models.Model) -> QuerySet[AuditEntry]:
    """What the audit chain says of one row, the oldest first."""
    return AuditEntry.objects.filter(
        object_type=subject._meta.label_lower, object_id=str(subject.pk)
    ).order_by("created_at", "sequence")


def activities_of(subject: models.Model, *, kinds: Sequence[str]) -> QuerySet[Activity]:
    """What the hub did with one row of an account, of these kinds, the oldest first."""
    return Activity.objects.filter(
        account_id=subject.account_id,  # type: ignore[attr-defined]
        kind__in=kinds,
        object_type=subject._meta.label_lower,
        object_id=str(subject.pk),
    ).order_by("created_at", "pk")


def _canonical(values: Mapping[str, Any] | None) -> str:
    return orjson.dumps(values or {}, option=orjson.OPT_SORT_KEYS, default=str).decode()
