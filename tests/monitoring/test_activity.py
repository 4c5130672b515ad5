"""What the hub says that it did: every kind known, counted where it may happen often, pruned."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.db import connection, transaction
from django.test import TestCase
from django.test.utils import CaptureQueriesContext

from monitoring.activity_kinds import KINDS
from monitoring.journal import count_activity, record_activity
from monitoring.models import Activity, Finding
from monitoring.retention import prune_activities
from tests.factories import make_account, make_source, make_subscription

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 14, 15, 9, 26, tzinfo=UTC)
ROOT = Path(__file__).parents[2]
APPS = ("analytics", "incoming", "monitoring", "outgoing", "subscriptions", "webhooks_project")

# --- the catalogue --------------------------------------------------------------------------------


def kinds_in(path: Path) -> Iterator[str]:
    """The kinds that a module's calls record: as they stand, or by a name given in it."""
    tree = ast.parse(path.read_text())
    named = [node for node in ast.walk(tree) if isinstance(node, ast.Assign)]
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        name = getattr(call.func, "attr", getattr(call.func, "id", ""))
        if name not in ("record_activity", "count_activity"):
            continue
        [given] = [item.value for item in call.keywords if item.arg == "kind"]
        if isinstance(given, ast.Constant):
            yield str(given.value)
        elif isinstance(given, ast.JoinedStr):
            assert isinstance(given.values[0], ast.Constant), f"{path}: a kind begins with a text"
            beginning = str(given.values[0].value)
            found = [kind for kind in KINDS if kind.startswith(beginning)]
            assert found, f"{path}: no kind begins with {beginning}"
            yield from found
        else:
            assert isinstance(given, ast.Name), f"{path}: {ast.dump(given)} cannot be followed"
            yield from _given_to(given.id, named, path)


def _given_to(name: str, named: list[ast.Assign], path: Path) -> Iterator[str]:
    found = []
    for node in named:
        for target in node.targets:
            pairs = (
                zip(target.elts, node.value.elts, strict=True)
                if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple)
                else [(target, node.value)]
            )
            found += [
                str(value.value) for to, value in pairs
                if isinstance(to, ast.Name) and to.id == name and isinstance(value, ast.Constant)
            ]  # fmt: skip
    assert found, f"{path}: nothing says which kind {name} is"
    yield from found


def test_every_kind_that_the_code_records_is_known_and_no_other() -> None:
    recorded = {
        kind
        for app in APPS
        for path in (ROOT / app).rglob("*.py")
        if "migrations" not in path.parts
        for kind in kinds_in(path)
    }
    assert recorded == set(KINDS)
    assert all(len(kind) <= 64 and text.endswith(".") for kind, text in KINDS.items())


# --- one line an hour -----------------------------------------------------------------------------


def count(subject: Any, text: str = "It was given up.", kind: str = "delivery.exhausted") -> None:
    count_activity(account_id=subject.account_id, kind=kind, text=text, subject=subject)


def lines() -> list[tuple[Any, ...]]:
    return list(
        Activity.objects.order_by("created_at", "object_id").values_list(
            "object_id", "count", "text", "created_at", "last_at"
        )
    )


def test_thousands_in_an_hour_are_one_line_for_each_subject() -> None:
    one, other = make_subscription(), make_subscription()
    with time_machine.travel(NOW, tick=False) as traveller:
        for number in range(40):
            with TestCase.captureOnCommitCallbacks(execute=True):
                for each in range(50):
                    count(one, f"Number {number}, {each}.")
            traveller.shift(60)
        with TestCase.captureOnCommitCallbacks(execute=True):
            count(other, "The other.")
    later = NOW + timedelta(minutes=60)
    first_hour = NOW + timedelta(minutes=39)
    assert sorted(lines()) == sorted([
        (str(one.pk), 2_000, "Number 39, 49.", NOW, first_hour),
        (str(other.pk), 1, "The other.", NOW + timedelta(minutes=40), NOW + timedelta(minutes=40)),
    ])  # fmt: skip
    with time_machine.travel(later, tick=False), TestCase.captureOnCommitCallbacks(execute=True):
        count(one, "Another hour.")
    assert lines()[-1] == (str(one.pk), 1, "Another hour.", later, later)


def test_a_commit_writes_each_line_once() -> None:
    subscriptions = [make_subscription() for _ in range(3)]
    for _ in range(2):
        with (
            CaptureQueriesContext(connection) as queries,
            TestCase.captureOnCommitCallbacks(execute=True) as callbacks,
        ):
            for _ in range(100):
                for subscription in subscriptions:
                    count(subscription)
        assert len(callbacks) == 1
    updates = [query for query in queries if query["sql"].startswith("UPDATE")]
    assert len(updates) == 3
    assert [line[1] for line in lines()] == [200] * 3


def test_what_is_rolled_back_is_not_counted() -> None:
    subscription = make_subscription()
    with TestCase.captureOnCommitCallbacks(execute=True):
        with transaction.atomic():
            count(subscription)
            transaction.set_rollback(True)
        count(subscription)
    assert [line[1] for line in lines()] == [1]


def test_kinds_and_accounts_are_counted_apart() -> None:
    source, account = make_source(), make_account()
    with TestCase.captureOnCommitCallbacks(execute=True):
        count(source, kind="receipt.dead")
        count(source, kind="handler.dead")
        for _ in range(2):
            count_activity(account_id=account.pk, kind="handler.dead", text="Of nothing.")
    assert sorted(Activity.objects.values_list("account", "kind", "count")) == sorted([
        (source.account_id, "receipt.dead", 1), (source.account_id, "handler.dead", 1),
        (account.pk, "handler.dead", 2),
    ])  # fmt: skip


@pytest.mark.django_db(transaction=True)
def test_the_line_is_written_after_the_commit_and_never_fails_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    subscription = make_subscription()
    with transaction.atomic():
        count(subscription)
        assert not Activity.objects.exists()
    assert Activity.objects.get().count == 1
    count(subscription)  # a caller without a transaction of its own
    assert Activity.objects.get().count == 2
    with monkeypatch.context() as patched:
        patched.setattr(Activity.objects, "filter", None)
        with transaction.atomic():
            count(subscription)
            make_subscription(subscription.account, name="Stays")
    assert type(subscription).objects.filter(name="Stays").exists()


# --- retention ------------------------------------------------------------------------------------


def test_what_is_old_is_pruned_in_batches(settings: Any) -> None:
    account = make_account()
    for days in (0, 29, 30, 31, 400):
        with time_machine.travel(NOW - timedelta(days=days, seconds=1), tick=False):
            record_activity(account_id=account.pk, kind="k", text=str(days))
    source = make_source(account)
    for kind, resolved in (("no_route", None), ("never_received", NOW - timedelta(days=99))):
        Finding.objects.create(
            account=account, source=source, kind=kind, text="t", resolved_at=resolved,
            first_seen_at=NOW - timedelta(days=100), last_seen_at=NOW,
        )  # fmt: skip
    with time_machine.travel(NOW, tick=False):
        settings.WEBHOOKS_ACTIVITY_DAYS = 0
        assert prune_activities() == 0
        settings.WEBHOOKS_ACTIVITY_DAYS = 30
        assert prune_activities() == 4
        assert prune_activities() == 0
    assert set(Activity.objects.values_list("text", flat=True)) == {"0", "29"}
    assert Finding.objects.get().kind == "no_route"
