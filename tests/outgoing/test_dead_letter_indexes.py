"""Dead letters are found, grouped and pruned along an index, however long the history is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models import Count, Max

from incoming.dead_letters import DeadReceipts
from incoming.models import Receipt
from outgoing.dead_letters import DeadLetters
from outgoing.models import Delivery
from tests.factories import (
    make_account,
    make_delivery,
    make_event,
    make_receipt,
    make_source,
    make_subscription,
)
from webhooks_project.accounts.models import Account
from webhooks_project.lib.ids import new_id

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
ROWS, DEAD = 3_000, 20


def copies_of(row: Any, dead: dict[str, Any], **own: Any) -> None:
    """Of many rows like this one the oldest few are dead letters."""
    model = type(row)
    kept = {
        field.attname: getattr(row, field.attname)
        for field in model._meta.concrete_fields
        if field.name not in ("id", "external_id", "dedup_slot", "event")
    }
    model._default_manager.bulk_create(
        model(
            **kept
            | {"id": new_id()}
            | {name: make() for name, make in own.items()}
            | (dead if number < DEAD else {})
        )
        for number in range(ROWS)
    )
    with connection.cursor() as cursor:
        cursor.execute(f"ANALYZE {connection.ops.quote_name(model._meta.db_table)}")


@pytest.fixture
def account() -> Account:
    account = make_account()
    subscription = make_subscription(account)
    event = make_event(account)
    delivery = make_delivery(event, subscription, status="delivered")
    events = type(event).objects.bulk_create(
        type(event)(account=account, type="a", data=b"{}", occurred_at=NOW, created_at=NOW)
        for _ in range(ROWS)
    )
    ids = iter([item.pk for item in events])
    dead = {"fingerprint": "a" * 32}
    copies_of(
        delivery, dead | {"status": "exhausted", "exhausted_at": NOW}, event_id=lambda: next(ids)
    )
    receipt = make_receipt(make_source(account), status="processed", next_attempt_at=None)
    copies_of(receipt, dead | {"status": "dead", "dead_at": NOW}, external_id=lambda: new_id().hex)
    return account


SIDES: Any = [
    (DeadLetters, Delivery, "exhausted_at", "delivery_dead", "delivery_dead_alike"),
    (DeadReceipts, Receipt, "dead_at", "receipt_dead", "receipt_dead_alike"),
]


@pytest.mark.parametrize(("letters", "model", "dead_at", "index", "alike"), SIDES)
def test_lists_groups_and_prunes_along_an_index(
    account: Account, letters: Any, model: Any, dead_at: str, index: str, alike: str
) -> None:
    rows = letters(account=account).rows()
    assert rows.count() == DEAD
    plan = rows.order_by(f"-{dead_at}").values("pk")[:50].explain()
    assert index in plan, plan
    until = letters(account=account, until=NOW - timedelta(days=7)).rows()
    plan = until.order_by(dead_at).values("pk")[:50].explain()
    assert index in plan, plan
    groups = rows.values("account", "fingerprint").annotate(count=Count("pk"), last=Max(dead_at))
    plan = groups.explain()
    assert index in plan or alike in plan, plan
    plan = letters(account=account, fingerprint="a" * 32).rows().values("pk").explain()
    assert index in plan or alike in plan, plan
