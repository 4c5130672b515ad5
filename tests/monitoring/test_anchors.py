"""The heads of the chains, given out once a day, and the chain that they are."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import structlog
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext

from monitoring.anchors import (
    Known,
    NotAnAnchor,
    broken_anchors,
    find_anchors,
    give_out_anchors,
    hash_of_anchor,
    head_of_anchors,
    read_anchor,
)
from monitoring.chain import GENESIS
from monitoring.models import AuditAnchor, AuditEntry, Notification
from tests.factories import make_account, make_user
from tests.monitoring.forging import make_chain, without_triggers
from webhooks_project.accounts.models import Role

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 14, 15, 9, 26, 535_897, tzinfo=UTC)


def test_gives_out_each_head_once_a_day() -> None:
    one, other, _ = make_chain(length=3), make_chain(length=1), make_account()
    assert give_out_anchors(NOW) == 2
    assert give_out_anchors(NOW) == 0
    assert give_out_anchors(NOW.replace(hour=23)) == 0
    make_chain(one, length=2)
    assert give_out_anchors(NOW + timedelta(days=1)) == 1
    assert give_out_anchors(NOW + timedelta(days=2)) == 0  # nothing has grown
    rows = AuditAnchor.objects.order_by("number")
    assert [(row.number, row.account_id, row.sequence) for row in rows] == [
        (1, one.pk, 3), (2, other.pk, 1), (3, one.pk, 5),
    ]  # fmt: skip
    for row in rows:
        entry = AuditEntry.objects.get(account=row.account_id, sequence=row.sequence)
        assert row.head_hash == entry.hash
        assert str(row) == f"{row.account_id}:{row.sequence}:{entry.hash}"
    assert [row.previous_hash for row in rows] == [GENESIS, rows[0].hash, rows[1].hash]
    assert head_of_anchors() == f"hub:3:{rows[2].hash}"
    assert broken_anchors({3: rows[2].hash}) == []


def test_says_them_in_the_log() -> None:
    account = make_chain()
    with structlog.testing.capture_logs() as lines:
        give_out_anchors(NOW)
    anchor = AuditAnchor.objects.get()
    assert [(line["event"], line["anchor"]) for line in lines] == [
        ("audit anchor", f"{account.pk}:4:{anchor.head_hash}"),
        ("audit anchors given out", f"hub:1:{anchor.hash}"),
    ]
    assert find_anchors(str(line) for line in lines) == [
        Known(account.pk, 4, anchor.head_hash), Known(None, 1, anchor.hash),
    ]  # fmt: skip


def test_mails_each_account_its_own_where_asked_to(settings: Any) -> None:
    settings.WEBHOOKS_ANCHOR_RECIPIENTS = ["admin", "audit@example.com"]
    account = make_chain()
    make_user(account, Role.ADMIN, email="ann@example.com")
    make_user(account, Role.OPERATOR, email="bob@example.com")
    give_out_anchors(NOW)
    told = Notification.objects.order_by("recipient")
    assert [row.recipient for row in told] == ["ann@example.com", "audit@example.com"]
    anchor = AuditAnchor.objects.get()
    for row in told:
        assert (row.account_id, row.kind) == (account.pk, "audit.anchor")
        assert find_anchors(row.text.splitlines()) == [
            Known(account.pk, 4, anchor.head_hash), Known(None, 1, anchor.hash),
        ]  # fmt: skip


def test_takes_few_queries_whatever_the_number_of_accounts() -> None:
    counts = []
    for day, accounts in enumerate((1, 12)):
        for _ in range(accounts):
            make_chain(length=1)
        with CaptureQueriesContext(connection) as queries:
            assert give_out_anchors(NOW + timedelta(days=day)) == accounts
        counts.append(len(queries))
    assert counts[0] == counts[1]


@pytest.mark.parametrize(
    ("name", "value"),
    [("head_hash", "f" * 64), ("sequence", 9), ("created_at", NOW), ("hash", "f" * 64)],
)
def test_finds_an_anchor_that_was_changed(name: str, value: Any) -> None:
    for day in range(3):
        make_chain(length=2)
        give_out_anchors(NOW + timedelta(days=day + 1))
    kept = AuditAnchor.objects.get(number=3).hash
    assert broken_anchors({3: kept}) == []
    with without_triggers():
        AuditAnchor.objects.filter(number=2).update(**{name: value})
    found = broken_anchors({3: kept})
    assert (2, "its fields do not give its hash") in found


def test_one_kept_line_vouches_for_all_older_anchors() -> None:
    for day in range(3):
        make_chain(length=1)
        give_out_anchors(NOW + timedelta(days=day))
    kept = AuditAnchor.objects.get(number=3).hash
    with without_triggers():
        previous = GENESIS
        for anchor in AuditAnchor.objects.order_by("number"):
            anchor.head_hash = "f" * 64
            anchor.previous_hash = previous
            anchor.hash = previous = hash_of_anchor(anchor)
            anchor.save()
    assert broken_anchors() == []  # it holds in itself
    assert broken_anchors({3: kept}) == [(3, "it is another than the one that was kept")]


def test_finds_anchors_that_were_removed() -> None:
    for day in range(4):
        make_chain(length=1)
        give_out_anchors(NOW + timedelta(days=day))
    kept = AuditAnchor.objects.get(number=4).hash
    with without_triggers():
        AuditAnchor.objects.filter(number__in=[2, 4]).delete()
    assert broken_anchors({4: kept}) == [
        (2, "anchors 2 to 2 are not there"), (4, "it was kept and is not there"),
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["", "hub", "hub:1:xyz", "hub:x:" + "0" * 64, "a:1:" + "0" * 64,
                                  "0" * 36 + ":1:" + "0" * 64, "hub:1:" + "0" * 65])  # fmt: skip
def test_says_what_is_no_anchor(text: str) -> None:
    with pytest.raises(NotAnAnchor):
        read_anchor(text)


@time_machine.travel(NOW, tick=False)
def test_two_nodes_give_out_one(monkeypatch: pytest.MonkeyPatch) -> None:
    make_chain()
    assert give_out_anchors() == 1
    from monitoring import anchors

    # The other has looked before the first was done.
    found = make_chain()
    found.head, found.head_hash = 4, "1" * 64  # type: ignore[attr-defined]
    monkeypatch.setattr(anchors, "_grown", lambda: iter([[found]]))
    number = AuditAnchor.objects.get().number
    real = AuditAnchor.objects.order_by

    class Behind:
        def first(self) -> None:
            return None

    monkeypatch.setattr(AuditAnchor.objects, "order_by", lambda *_: Behind())
    assert give_out_anchors() == 0
    monkeypatch.setattr(AuditAnchor.objects, "order_by", real)
    assert AuditAnchor.objects.get().number == number
