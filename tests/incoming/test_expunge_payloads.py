"""A person's data taken out, and the history kept."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
import time_machine
from django.core.management import CommandError, call_command

from incoming.models import HandlerRun, Receipt
from monitoring.models import AuditEntry
from outgoing.models import Delivery, Event
from outgoing.replays import plan_replay
from outgoing.selecting import Selection
from outgoing.services import redeliver
from tests.api.rows import everything
from tests.factories import (
    make_account,
    make_attempt,
    make_delivery,
    make_event,
    make_receipt,
    make_run,
    make_source,
    make_subscription,
)
from webhooks_project.accounts.models import Account
from webhooks_project.lib.ids import new_id

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
ANN = "ann@example.com"
FILTER = '{"data.customer.email": "ann@example.com"}'
OF_ANN = ("--account", "acme", "--filter", FILTER)


@pytest.fixture(autouse=True)
def _frozen() -> Any:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def account() -> Account:
    return make_account(slug="acme")


def expunge(*given: str) -> list[str]:
    out = io.StringIO()
    call_command("expunge_payloads", *given, stdout=out)
    return out.getvalue().splitlines()


def about(account: Account, email: str = ANN, status: str = "delivered", **fields: Any) -> Event:
    event = make_event(
        account,
        data={"customer": {"email": email}},
        **{"created_at": NOW - HOUR, "metadata": {"who": email}, "headers": {"x-who": email}}
        | fields,
    )
    subscription = make_subscription(account, ordering="strict", order_key="data.customer.email")
    delivery = make_delivery(event, subscription, status=status, order_key=email, lane=None)
    make_attempt(
        delivery, response_body=email.encode(), response_headers={"x": email},
        request_headers={"x-who": email}, detail=email,
    )  # fmt: skip
    return event


def of_receipt(account: Account, email: str = ANN, **fields: Any) -> Receipt:
    return make_receipt(
        make_source(account),
        body=orjson.dumps({"customer": {"email": email}}),
        **{
            "status": "processed", "next_attempt_at": None, "received_at": NOW - HOUR,
            "headers": {"content-type": "application/json", "x-who": email},
            "query": f"who={email}", "detail": email,
        }
        | fields,
    )  # fmt: skip


def stored() -> str:
    return repr(everything())


def test_nothing_of_the_person_is_left_and_the_history_is(account: Account) -> None:
    receipt = of_receipt(account)
    make_run(receipt, status="dead", error=f"no such customer: {ANN}")
    event = about(
        account,
        causation_id=f"receipt:{receipt.pk}",
        not_matched=[
            {"subscription": str(make_subscription(account).pk), "reason": "filter",
             "clauses": [{"found": [ANN]}]},
        ],
        schema_errors=[{"path": "/customer", "message": f"{ANN!r} is no number"}],
    )  # fmt: skip
    assert ANN in stored()

    lines = expunge(*OF_ANN)

    assert lines == [
        "1 of 2 expunged", "2 of 2 expunged", "1 events and 1 receipts expunged",
    ]  # fmt: skip
    assert ANN not in stored()
    event.refresh_from_db()
    assert (event.payload, event.expunged_at, event.has_body) == (None, NOW, False)
    assert event.not_matched[0]["reason"] == "filter"
    assert event.schema_errors == [{"path": "", "message": "expunged"}]
    delivery = Delivery.objects.get()
    attempt = delivery.attempts.get()
    assert (delivery.status, delivery.order_key) == ("delivered", None)
    assert (attempt.status_code, attempt.outcome, attempt.duration_ms) == (200, "succeeded", 12.5)
    receipt.refresh_from_db()
    assert (bytes(receipt.body), receipt.body_pruned_at, receipt.status) == (b"", NOW, "processed")
    assert bytes(receipt.body_sha256)
    assert HandlerRun.objects.get().status == "dead"
    audited = AuditEntry.objects.order_by("sequence").values_list("action", "actor_label")
    assert list(audited) == [
        ("event.expunged", "expunge_payloads"), ("receipt.expunged", "expunge_payloads"),
    ]  # fmt: skip


def test_another_s_data_stays(account: Account) -> None:
    about(account, "bob@example.com")
    of_receipt(account, "bob@example.com")
    about(make_account())
    of_receipt(make_account())
    before = everything()
    assert expunge(*OF_ANN) == ["0 events and 0 receipts expunged"]
    assert everything() == before


@pytest.mark.parametrize(
    ("given", "count"),
    [
        (("--account", "acme", "--type", "invoice.*"), 2),
        (("--account", "acme", "--type", "order.made"), 1),
        (("--account", "acme", "--since", "2026-03-04T10:30"), 2),
        (("--account", "acme", "--until", "2026-03-04T10:30"), 1),
        (("--account", "acme", "--channel", "eu"), 1),
    ],
)
def test_takes_what_is_said(account: Account, given: tuple[str, ...], count: int) -> None:
    about(account)
    about(account, created_at=NOW - 2 * HOUR)
    about(account, type="order.made", channels=["eu"])
    assert expunge(*given)[-1] == f"{count} events and 0 receipts expunged"
    assert Event.objects.filter(expunged_at=NOW).count() == count


def test_takes_events_by_their_ids_with_their_receipts(account: Account) -> None:
    receipt = of_receipt(account)
    event = about(account, causation_id=f"receipt:{receipt.pk}")
    about(account)
    of_receipt(account)
    assert expunge("--event", str(event.pk))[-1] == "1 events and 1 receipts expunged"
    assert Event.objects.get(expunged_at=NOW) == event
    assert Receipt.objects.get(body_pruned_at=NOW) == receipt


def test_a_filter_beside_an_event_takes_no_other_s_receipts(account: Account) -> None:
    receipt = of_receipt(account)
    event = about(account, causation_id=f"receipt:{receipt.pk}")
    of_receipt(make_account())
    of_receipt(account)
    given = ("--event", str(event.pk), "--filter", FILTER)
    assert expunge(*given)[-1] == "1 events and 1 receipts expunged"
    assert Receipt.objects.get(body_pruned_at=NOW) == receipt


@pytest.mark.parametrize("also", [(), ("--dry-run",), ("--json",)])
def test_says_which_event_there_is_none_of(account: Account, also: tuple[str, ...]) -> None:
    event, gone = about(account), new_id()
    with pytest.raises(CommandError, match=f"there is no event {gone}") as caught:
        expunge("--event", str(event.pk), "--event", str(gone), *also)
    assert caught.value.returncode == 2
    assert Event.objects.get().has_body


def test_what_pruning_has_left_of_the_person_goes_too(account: Account) -> None:
    event = about(account)
    Event.objects.update(data=b"null", body_pruned_at=NOW - HOUR)
    assert ANN in stored()
    assert expunge("--event", str(event.pk))[-1] == "1 events and 0 receipts expunged"
    assert ANN not in stored()
    assert expunge("--event", str(event.pk))[-1] == "0 events and 0 receipts expunged"


@pytest.mark.parametrize("status", ["pending", "held", "delivering"])
def test_what_is_still_to_be_delivered_is_refused(account: Account, status: str) -> None:
    about(account, status=status)
    before = everything()
    with pytest.raises(CommandError, match="1 were refused: they are still to be") as caught:
        expunge(*OF_ANN)
    assert caught.value.returncode == 4
    assert everything() == before


@pytest.mark.parametrize("status", ["accepted", "processing", "failed"])
def test_a_receipt_that_is_still_processed_is_refused(account: Account, status: str) -> None:
    of_receipt(account, status=status)
    with pytest.raises(CommandError) as caught:
        expunge(*OF_ANN)
    assert caught.value.returncode == 4
    assert Receipt.objects.get().body_pruned_at is None


@pytest.mark.parametrize("status", ["pending", "held"])
def test_what_waits_is_cancelled_where_that_is_said(account: Account, status: str) -> None:
    about(account, status=status)
    assert expunge(*OF_ANN, "--cancel") == [
        "1 of 1 expunged", "1 deliveries cancelled", "1 events and 0 receipts expunged",
    ]  # fmt: skip
    assert Delivery.objects.get().status == "cancelled"
    assert ANN not in stored()
    actions = AuditEntry.objects.order_by("sequence").values_list("action", flat=True)
    assert list(actions) == ["delivery.cancelled", "event.expunged"]


def test_what_a_worker_has_is_never_cancelled(account: Account) -> None:
    about(account, status="delivering")
    with pytest.raises(CommandError):
        expunge(*OF_ANN, "--cancel")
    assert Delivery.objects.get().status == "delivering"
    assert Event.objects.get().has_body


def test_what_was_parked_behind_a_dead_letter_goes_on(account: Account) -> None:
    event = about(account, status="exhausted")
    first = Delivery.objects.get()
    parked = make_delivery(
        make_event(account), first.subscription, order_key=ANN, lane=None, status="pending"
    )
    expunge("--event", str(event.pk))
    parked.refresh_from_db()
    assert parked.lane == Delivery.Lane.LIMITED


def test_it_is_carried_no_more(account: Account) -> None:
    about(account, status="exhausted")
    expunge(*OF_ANN)
    assert redeliver(deliveries=[Delivery.objects.get().pk]) == []
    plan = plan_replay(Selection(since=NOW - 2 * HOUR, account=account)).plan
    assert (plan["count"], plan["left_out"]) == (0, {"body_pruned": 1})
    assert Delivery.objects.get().status == "exhausted"


def test_a_dry_run_changes_nothing(account: Account) -> None:
    about(account)
    about(account, status="held")
    of_receipt(account)
    before = everything()
    assert expunge(*OF_ANN, "--dry-run") == [
        "1 of them wait, and would be refused", "2 events and 1 receipts would be expunged",
    ]  # fmt: skip
    (line,) = expunge(*OF_ANN, "--dry-run", "--json")
    assert json.loads(line) == {
        "events": 2, "receipts": 1, "attempts": 0, "cancelled": 0, "waiting": 1,
    }  # fmt: skip
    assert everything() == before


def test_a_dry_run_says_what_would_be_cancelled_and_what_is_refused_all_the_same(
    account: Account,
) -> None:
    for status in ("delivered", "pending", "held", "delivering"):
        about(account, status=status)
    of_receipt(account, status="failed")
    before = everything()
    assert expunge(*OF_ANN, "--cancel", "--dry-run") == [
        "2 of them wait, and would be refused",
        "2 deliveries would be cancelled",
        "4 events and 1 receipts would be expunged",
    ]
    (line,) = expunge(*OF_ANN, "--cancel", "--dry-run", "--json")
    assert json.loads(line) == {
        "events": 4, "receipts": 1, "attempts": 0, "cancelled": 2, "waiting": 2,
    }  # fmt: skip
    assert everything() == before
    with pytest.raises(CommandError, match="2 were refused") as caught:
        expunge(*OF_ANN, "--cancel")
    assert caught.value.returncode == 4
    assert Delivery.objects.filter(status="cancelled").count() == 2


@pytest.mark.parametrize(
    "given",
    [(), ("--account", "acme"), ("--filter", FILTER), ("--account", "acme", "--filter", "[]")],
)
def test_refuses_to_take_everything(account: Account, given: tuple[str, ...]) -> None:
    about(account)
    with pytest.raises(CommandError) as caught:
        expunge(*given)
    assert caught.value.returncode == 2
    assert Event.objects.get().has_body
