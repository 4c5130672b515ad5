"""The audit chain and the activity."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
import time_machine
from django.db import IntegrityError, transaction

from monitoring.chain import GENESIS, hash_of
from monitoring.journal import record_activity, record_change
from monitoring.models import Activity, AuditEntry
from monitoring.verifying import verify_account
from tests.factories import make_account, make_source
from webhooks_project.accounts.models import Account
from webhooks_project.lib.actor import SYSTEM, Actor, current_actor
from webhooks_project.lib.ids import new_id

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 14, 15, 9, 26, 535_897, tzinfo=UTC)
ANN = Actor("user", "7", "ann", address="192.0.2.1", session="5e55104", agent="Browser/1")


def make_chain(account: Account | None = None, length: int = 4) -> Account:
    account = account or make_account()
    for number in range(1, length + 1):
        record_change(
            account_id=account.pk,
            action=f"thing.changed{number}",
            subject=account,
            before={"number": number - 1},
            after={"number": number},
        )
    return account


def entry_of(account: Account, sequence: int) -> Any:
    return AuditEntry.objects.filter(account=account, sequence=sequence)


@time_machine.travel(NOW, tick=False)
def test_an_entry_says_who_changed_what_and_when() -> None:
    current_actor.set(ANN)
    source = make_source()
    entry = record_change(
        account_id=source.account_id,
        action="source.changed",
        subject=source,
        before={"b": None, "a": 1},
        after={"a": "Zoë", "at": NOW, "id": source.pk},
    )
    entry.refresh_from_db()
    assert (entry.account_id, entry.sequence, entry.created_at) == (source.account_id, 1, NOW)
    assert (entry.actor_kind, entry.actor_id, entry.actor_label, entry.actor_address) == (
        "user",
        "7",
        "ann",
        "192.0.2.1",
    )
    assert (entry.actor_session, entry.actor_agent) == ("5e55104", "Browser/1")
    assert (entry.action, entry.object_type, entry.object_id) == (
        "source.changed",
        "incoming.source",
        str(source.pk),
    )
    assert entry.before == '{"a":1,"b":null}'
    assert entry.after == (
        f'{{"a":"Zoë","at":"2026-03-14T15:09:26.535897+00:00","id":"{source.pk}"}}'
    )
    fields = [
        "0" * 64,
        str(source.account_id),
        1,
        "2026-03-14T15:09:26.535897+00:00",
        "user",
        "7",
        "ann",
        "192.0.2.1",
        "5e55104",
        "Browser/1",
        "source.changed",
        "incoming.source",
        str(source.pk),
        entry.before,
        entry.after,
        2,
    ]
    text = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
    assert entry.previous_hash == GENESIS == "0" * 64
    assert entry.hash == hashlib.sha256(text.encode()).hexdigest()


def test_the_hub_is_the_actor_where_nobody_is_recognised() -> None:
    make_chain(length=1)
    entry = AuditEntry.objects.get()
    assert (
        (entry.actor_kind, entry.actor_label)
        == (SYSTEM.kind, SYSTEM.label)
        == (
            "system",
            "the hub",
        )
    )


def test_a_long_name_of_an_actor_is_cut() -> None:
    current_actor.set(Actor("key", label="x" * 300))
    make_chain(length=1)
    assert AuditEntry.objects.get().actor_label == "x" * 200


def test_what_cannot_be_json_is_kept_as_text() -> None:
    account = make_account()
    entry = record_change(
        account_id=account.pk, action="a.b", subject=account, after={"span": timedelta(hours=1)}
    )
    assert orjson.loads(entry.after) == {"span": "1:00:00"}
    assert entry.before == "{}"


def test_each_entry_follows_the_one_before_it() -> None:
    account = make_chain()
    entries = list(AuditEntry.objects.filter(account=account).order_by("sequence"))
    assert [entry.sequence for entry in entries] == [1, 2, 3, 4]
    assert [entry.previous_hash for entry in entries] == [
        GENESIS,
        *(entry.hash for entry in entries[:-1]),
    ]
    assert len({entry.hash for entry in entries}) == 4
    assert verify_account(account).breaches == []


def test_two_accounts_have_two_chains() -> None:
    one, other = make_account(), make_account()
    for account in (one, other, one):
        record_change(account_id=account.pk, action="a.b", subject=account)
    assert list(
        AuditEntry.objects.filter(account=one)
        .order_by("sequence")
        .values_list("sequence", flat=True)
    ) == [1, 2]
    assert AuditEntry.objects.get(account=other).previous_hash == GENESIS


CHANGED = {
    "sequence": 9,
    "created_at": NOW,
    "actor_kind": "key",
    "actor_id": "8",
    "actor_label": "eve",
    "actor_address": "192.0.2.2",
    "actor_session": "0",
    "actor_agent": "Browser/2",
    "format": 1,
    "action": "thing.forged",
    "object_type": "other.thing",
    "object_id": "0",
    "before": '{"number": 1}',  # the same JSON, other text
    "after": '{"number":7}',
    "previous_hash": "1" * 64,
    "hash": "1" * 64,
}


def test_every_field_is_tried() -> None:
    names = {field.attname for field in AuditEntry._meta.concrete_fields}
    assert names == set(CHANGED) | {"id", "account_id"}


@pytest.mark.parametrize("name", sorted(set(CHANGED) - {"hash"}))
def test_the_hash_is_over_every_field(name: str) -> None:
    current_actor.set(ANN)
    make_chain(length=1)
    entry = AuditEntry.objects.get()
    assert entry.hash == hash_of(entry)
    setattr(entry, name, CHANGED[name])
    assert entry.hash != hash_of(entry)


def test_the_hash_is_over_the_account() -> None:
    make_chain(length=1)
    entry = AuditEntry.objects.get()
    entry.account_id = new_id()
    assert entry.hash != hash_of(entry)


def test_two_writers_cannot_both_follow_the_same_entry() -> None:
    account = make_chain()
    twin = entry_of(account, 4).get()
    twin.pk = new_id()
    with pytest.raises(IntegrityError), transaction.atomic():
        twin.save(force_insert=True)
    assert AuditEntry.objects.count() == 4


def test_a_change_that_is_rolled_back_is_in_no_chain() -> None:
    account = make_chain(length=1)
    with transaction.atomic():
        record_change(account_id=account.pk, action="a.b", subject=account)
        transaction.set_rollback(True)
    assert AuditEntry.objects.count() == 1
    make_chain(account, length=1)
    assert verify_account(account).breaches == []


@time_machine.travel(NOW, tick=False)
def test_activity_says_what_the_hub_did() -> None:
    source = make_source()
    record_activity(
        account_id=source.account_id, kind="receipt.dead", text="It was given up.", subject=source
    )
    activity = Activity.objects.get()
    assert str(activity) == "It was given up."
    assert (activity.account_id, activity.kind) == (source.account_id, "receipt.dead")
    assert (activity.object_type, activity.object_id) == ("incoming.source", str(source.pk))
    assert activity.created_at == NOW


def test_activity_may_be_about_nothing_and_is_cut() -> None:
    record_activity(account_id=make_account().pk, kind="hub.started", text="é" * 600)
    activity = Activity.objects.get()
    assert (activity.object_type, activity.object_id) == ("", "")
    assert activity.text == "é" * 500
