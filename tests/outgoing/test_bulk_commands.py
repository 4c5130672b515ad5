"""Commands that do one thing to every delivery of a selection."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.core.management import CommandError, call_command

from monitoring.models import AuditEntry
from outgoing import arguments
from outgoing.models import Delivery, Retry
from outgoing.retries import bring_forward
from outgoing.services import cancel_delivery
from tests.factories import make_account, make_delivery, make_event, make_retry, make_subscription
from tests.terminal import at_terminal
from webhooks_project.accounts.models import Account

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def frozen_clock() -> Any:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def account() -> Account:
    return make_account(slug="acme")


def run(command: str, *given: str) -> list[str]:
    out = io.StringIO()
    call_command(command, *given, stdout=out)
    return out.getvalue().splitlines()


def past(account: Account, status: str, **fields: Any) -> Delivery:
    event = make_event(
        account, created_at=NOW - 2 * HOUR, type=fields.pop("type", "invoice.paid"),
        data={"amount": fields.pop("amount", 1)}, channels=fields.pop("channels", []),
        body_pruned_at=fields.pop("body_pruned_at", None),
    )  # fmt: skip
    subscription = fields.pop("subscription", None) or make_subscription(account, name="Shop")
    return make_delivery(event, subscription, status=status, **fields)


def with_retry(account: Account, **fields: Any) -> Delivery:
    delivery = past(account, "pending", lane=None, attempt_count=1, trigger="retry", **fields)
    make_retry(delivery, due_at=NOW + HOUR)
    return delivery


def statuses() -> list[str]:
    return sorted(Delivery.objects.values_list("status", flat=True))


def test_cancels_what_waits_or_is_held(account: Account) -> None:
    for status in ("pending", "held", "delivering", "delivered", "exhausted", "cancelled"):
        past(account, status)
    retried = with_retry(account)
    assert run("cancel_deliveries") == ["3 of 3 cancelled", "3 deliveries cancelled"]
    assert statuses() == ["cancelled"] * 4 + ["delivered", "delivering", "exhausted"]
    assert not Retry.objects.exists()
    entry = AuditEntry.objects.get(object_id=retried.pk)
    assert (entry.action, entry.actor_label) == ("delivery.cancelled", "cancel_deliveries")


def test_redelivers_dead_letters_with_all_attempts_before_them(account: Account) -> None:
    rows = [past(account, "exhausted", attempt_count=8) for _ in range(2)]
    past(account, "delivered")
    past(account, "exhausted", body_pruned_at=NOW)
    archived = make_subscription(account, status="archived")
    past(account, "exhausted", subscription=archived)
    assert run("redeliver_dead_letters", "--dry-run")[-1] == "2 deliveries would be redelivered"
    assert run("redeliver_dead_letters")[-1] == "2 deliveries redelivered"
    for row in rows:
        row.refresh_from_db()
        assert (row.status, row.trigger, row.attempts_before) == ("pending", "redeliver", 8)
    assert statuses() == ["delivered", "exhausted", "exhausted", "pending", "pending"]
    entry = AuditEntry.objects.get(object_id=rows[0].pk)
    assert entry.action == "delivery.redelivered"


def test_brings_retries_forward(account: Account) -> None:
    row = with_retry(account)
    past(account, "pending")
    past(account, "exhausted")
    assert run("retry_deliveries")[-1] == "1 deliveries brought forward"
    assert Retry.objects.get().due_at == NOW
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.object_id) == ("retry.brought_forward", str(row.pk))


def test_a_retry_that_is_gone_is_not_brought_forward(account: Account) -> None:
    retry = with_retry(account).retry
    Retry.objects.all().delete()
    with pytest.raises(Exception, match="no longer in the retry queue"):
        bring_forward(retry=retry)
    assert not AuditEntry.objects.exists()


@pytest.mark.parametrize("is_deleted", [False, True])
def test_passes_over_a_retry_that_goes_meanwhile(
    account: Account, monkeypatch: pytest.MonkeyPatch, is_deleted: bool
) -> None:
    rows = [with_retry(account) for _ in range(2)]

    def bring(*, retry: Retry) -> Retry:
        Retry.objects.filter(delivery=rows[1].pk).delete()
        if is_deleted:
            Delivery.objects.filter(pk=rows[1].pk).delete()
        return bring_forward(retry=retry)

    monkeypatch.setattr("outgoing.management.commands.retry_deliveries.bring_forward", bring)
    assert run("retry_deliveries") == ["1 of 2 brought forward", "1 deliveries brought forward"]
    assert AuditEntry.objects.get().object_id == str(rows[0].pk)


@pytest.mark.parametrize("command", ["cancel_deliveries", "retry_deliveries"])
@pytest.mark.parametrize(
    ("given", "count"),
    [
        ((), 3),
        (("--type", "order.*"), 1),
        (("--account", "acme"), 3),
        (("--channel", "eu"), 1),
        (("--filter", '{"data.amount": {"$gt": 1}}'), 1),
        (("--since", "2026-03-04T11:00"), 0),
        (("--until", "2026-03-04T10:00"), 0),
        (("--cause", "timeout_response"), 1),
    ],
)
def test_takes_what_the_filters_say(
    account: Account, command: str, given: tuple[str, ...], count: int
) -> None:
    with_retry(account, type="order.made", amount=2)
    with_retry(account, channels=["eu"])
    with_retry(account, last_cause="timeout_response")
    assert run(command, *given, "--json") == [json.dumps({"count": count}, separators=(",", ":"))]
    untouched = Retry.objects.filter(due_at=NOW + HOUR).count()
    assert untouched == 3 - count


def test_takes_one_subscription(account: Account) -> None:
    mine = past(account, "held")
    other = past(account, "held")
    run("cancel_deliveries", "--subscription", str(mine.subscription_id))
    other.refresh_from_db()
    assert (Delivery.objects.get(pk=mine.pk).status, other.status) == ("cancelled", "held")


def test_a_dry_run_changes_nothing(account: Account) -> None:
    shop = make_subscription(account, name="Shop")
    past(account, "held", subscription=shop)
    past(account, "held", subscription=shop)
    past(account, "pending", subscription=shop, type="order.made")
    before = list(Delivery.objects.order_by("pk").values())
    assert run("cancel_deliveries", "--dry-run") == [
        "       2 × invoice.paid to Shop, now held",
        "       1 × order.made to Shop, now pending",
        "3 deliveries would be cancelled",
    ]
    (line,) = run("cancel_deliveries", "--dry-run", "--json")
    assert json.loads(line) == {
        "count": 3,
        "deliveries": [
            {"event_type": "invoice.paid", "subscription_name": "Shop", "status": "held",
             "count": 2},
            {"event_type": "order.made", "subscription_name": "Shop", "status": "pending",
             "count": 1},
        ],
    }  # fmt: skip
    assert list(Delivery.objects.order_by("pk").values()) == before
    assert not AuditEntry.objects.exists()


def test_works_page_by_page_and_passes_over_what_changed(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arguments, "PAGE_ROWS", 1)
    rows = [past(account, "held") for _ in range(3)]
    act = cancel_delivery

    def cancel(*, delivery: Delivery) -> Delivery:
        if delivery == rows[0]:
            Delivery.objects.filter(pk=delivery.pk).update(status="delivered")
        return act(delivery=delivery)

    monkeypatch.setattr("outgoing.services.cancel_delivery", cancel)
    assert run("cancel_deliveries") == [
        "1 of 3 cancelled", "2 of 3 cancelled", "2 deliveries cancelled",
    ]  # fmt: skip
    assert statuses() == ["cancelled", "cancelled", "delivered"]


def test_refuses_arguments_that_make_no_sense(account: Account) -> None:
    past(account, "held")
    for given in (("--type", "a*b"), ("--filter", "[]"), ("--since", "2026-03-05T00:00")):
        with pytest.raises(CommandError) as caught:
            run("cancel_deliveries", *given)
        assert caught.value.returncode == 2
    assert statuses() == ["held"]


# --- on a terminal ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "status", "done"),
    [
        ("cancel_deliveries", "held", "cancelled"),
        ("redeliver_dead_letters", "exhausted", "redelivered"),
    ],
)
def test_on_a_terminal_a_bar_stands_for_the_lines(
    account: Account, monkeypatch: pytest.MonkeyPatch, command: str, status: str, done: str
) -> None:
    for _ in range(3):
        past(account, status)
    screen = at_terminal(monkeypatch, command)
    text = "\n".join(screen.lines)
    assert "\x1b[" in screen.raw
    assert f"{done} \N{BOX DRAWINGS HEAVY HORIZONTAL}" in text
    assert "100%" in text
    assert f"3 of 3 {done}" not in text
    assert f"3 deliveries {done}" in screen.lines


def test_json_on_a_terminal_is_json_and_nothing_else(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    past(account, "held")
    screen = at_terminal(monkeypatch, "cancel_deliveries", "--json")
    assert "\x1b[" not in screen.raw
    assert [json.loads(line) for line in screen.lines if line] == [{"count": 1}]
