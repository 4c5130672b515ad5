"""Activity and audit: the part of monitoring that the other apps call. It imports none of them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import orjson
from django.db import models, transaction

from monitoring.models import Activity, AuditEntry
from webhooks_project.lib import clock
from webhooks_project.lib.actor import current_actor

GENESIS = "0" * 64  # what the first entry of an account follows


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
        action=action,
        object_type=subject._meta.label_lower,
        object_id=str(subject.pk),
        before=_canonical(before),
        after=_canonical(after),
        previous_hash=last.hash if last else GENESIS,
    )
    entry.hash = hash_of(entry)
    entry.save(force_insert=True)
    return entry


def hash_of(entry: AuditEntry) -> str:
    """SHA-256, in hex, over the previous hash and every field of the entry, as canonical JSON."""
    fields = [
        entry.previous_hash,
        str(entry.account_id),
        entry.sequence,
        entry.created_at.isoformat(timespec="microseconds"),
        entry.actor_kind,
        entry.actor_id,
        entry.actor_label,
        entry.actor_address,
        entry.action,
        entry.object_type,
        entry.object_id,
        entry.before,
        entry.after,
    ]
    return hashlib.sha256(orjson.dumps(fields)).hexdigest()


def first_broken_entry(*, account_id: UUID) -> int | None:
    """The sequence number at which the account's chain does not hold; None where all of it does."""
    expected_hash, expected_sequence = GENESIS, 1
    for entry in AuditEntry.objects.filter(account_id=account_id).order_by("sequence").iterator():
        if (
            entry.sequence != expected_sequence
            or entry.previous_hash != expected_hash
            or entry.hash != hash_of(entry)
        ):
            return expected_sequence
        expected_hash, expected_sequence = entry.hash, entry.sequence + 1
    return None


def _canonical(values: Mapping[str, Any] | None) -> str:
    return orjson.dumps(values or {}, option=orjson.OPT_SORT_KEYS, default=str).decode()
