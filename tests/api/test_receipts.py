"""Receipts and handler runs, by way of the API: the lists' filters, and what is done with them."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine

from incoming.models import HandlerRun, Receipt, ReceiptReplay
from incoming.processing import process_due_receipts
from monitoring.models import AuditEntry
from outgoing.models import Event
from tests.api.calls import Api
from tests.api.rows import everything
from tests.factories import make_account, make_api_key, make_receipt, make_run, make_source
from webhooks_project.accounts.models import Account, Role

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
EARLIER = uuid.UUID(int=7)


@pytest.fixture(autouse=True)
def _frozen() -> Any:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def account() -> Account:
    return make_account()


@pytest.fixture
def api(account: Account) -> Api:
    return Api(make_api_key(account, Role.OPERATOR).text)


def quarantined(account: Account) -> Receipt:
    return make_receipt(
        make_source(account), quarantined_at=NOW, next_attempt_at=None, cause="schema_mismatch"
    )


def actions_of(row: Any) -> list[str]:
    entries = AuditEntry.objects.filter(object_id=row.pk).order_by("sequence")
    return list(entries.values_list("action", flat=True))


# --- the lists' filters ---------------------------------------------------------------------------


def make_named_receipts(account: Account) -> dict[str, Receipt]:
    """One in line, one with every mark that a receipt may have, one that a route took."""
    replay = ReceiptReplay.objects.create(account=account, since=NOW, until=NOW, created_at=NOW)
    marked = {
        "status": "processed",
        "action_count": 0,
        "cause": "odd_cause",
        "type": "odd.type",
        "external_id": "odd-id",
        "request_id": "odd-request",
        "replay": replay,
        "quarantined_at": NOW,
        "same_body_as": EARLIER,
        "received_at": NOW,
    }
    return {
        "plain": make_receipt(make_source(account), action_count=0, received_at=NOW - SECOND),
        "odd": make_receipt(make_source(account), **marked),
        "matched": make_receipt(
            make_source(account), status="processed", action_count=2, received_at=NOW + SECOND
        ),
    }


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", {"plain", "odd", "matched"}),
        ("account={account}", {"plain", "odd", "matched"}),
        ("source={odd.source_id}", {"odd"}),
        ("status=accepted", {"plain"}),
        ("status=processed", {"odd", "matched"}),
        ("status=dead", set()),
        ("cause=odd_cause", {"odd"}),
        ("cause=odd", set()),
        ("type=odd.type", {"odd"}),
        ("type=push", {"plain", "matched"}),
        ("external_id=odd-id", {"odd"}),
        ("external_id=odd-ID", set()),
        ("request_id=odd-request", {"odd"}),
        ("replay={odd.replay_id}", {"odd"}),
        ("replay={odd.pk}", set()),
        ("since=2026-03-04T12:00:00Z", {"odd", "matched"}),
        ("until=2026-03-04T12:00:00Z", {"plain"}),
        ("since=2026-03-04T12:00:00Z&until=2026-03-04T12:00:01Z", {"odd"}),
        ("unmatched=true", {"odd"}),
        ("unmatched=false", {"plain", "matched"}),
        ("quarantined=true", {"odd"}),
        ("quarantined=false", {"plain", "matched"}),
        ("same_body=true", {"odd"}),
        ("same_body=false", {"plain", "matched"}),
        ("unmatched=true&quarantined=true&same_body=true&status=processed", {"odd"}),
        ("unmatched=true&status=accepted", set()),
    ],
)
def test_a_filter_of_receipts_finds_these_alone(
    api: Api, account: Account, query: str, found: set[str]
) -> None:
    rows = make_named_receipts(account)
    make_named_receipts(make_account())
    query = query.format(account=account.pk, **rows)
    names = {str(row.pk): name for name, row in rows.items()}
    assert [names[row["id"]] for row in api.get(f"incoming/receipts?{query}").rows] == [
        name for name in ("matched", "odd", "plain") if name in found
    ]


@pytest.mark.parametrize(
    "query",
    [
        "source=x", "replay=x", "account=x", "status=gone", "since=x", "until=x", "unmatched=x",
        "quarantined=x", "same_body=x", "cause=%00", "request_id=%00",
    ],
)  # fmt: skip
def test_a_filter_of_receipts_that_means_nothing_is_refused(
    api: Api, account: Account, query: str
) -> None:
    make_named_receipts(account)
    answer = api.get(f"incoming/receipts?{query}")
    assert answer.status == 400
    assert set(answer.errors) == {f"/{query.partition('=')[0]}"}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", {"plain", "odd"}),
        ("account={account}", {"plain", "odd"}),
        ("source={odd.source_id}", {"odd"}),
        ("receipt={odd.receipt_id}", {"odd"}),
        ("receipt={odd.pk}", set()),
        ("handler=odd.handler", {"odd"}),
        ("status=dead", {"odd"}),
        ("status=pending", {"plain"}),
        ("status=running", set()),
        ("cause=odd_cause", {"odd"}),
        ("since=2026-03-04T12:00:00Z", {"odd"}),
        ("until=2026-03-04T12:00:00Z", {"plain"}),
    ],
)
def test_a_filter_of_runs_finds_these_alone(
    api: Api, account: Account, query: str, found: set[str]
) -> None:
    marked = {"handler": "odd.handler", "status": "dead", "cause": "odd_cause", "created_at": NOW}
    rows = {
        "plain": make_run(make_receipt(make_source(account)), created_at=NOW - SECOND),
        "odd": make_run(make_receipt(make_source(account)), **marked),
    }
    make_run(make_receipt(), **marked)
    query = query.format(account=account.pk, **rows)
    names = {str(row.pk): name for name, row in rows.items()}
    assert {names[row["id"]] for row in api.get(f"incoming/runs?{query}").rows} == found


# --- quarantine -----------------------------------------------------------------------------------


def test_a_quarantined_receipt_is_released(api: Api, account: Account) -> None:
    row = quarantined(account)
    answer = api.post(f"incoming/receipts/{row.pk}/release")
    assert answer.status == 200
    shown = {name: answer.json[name] for name in ("status", "cause", "quarantined_at")}
    assert shown == {"status": "accepted", "cause": "", "quarantined_at": None}
    assert answer.json["next_attempt_at"] == "2026-03-04T12:00:00Z"
    assert process_due_receipts() == 1
    assert Event.objects.get().causation_id == row.causation_id
    assert actions_of(row) == ["receipt.released"]


def test_a_quarantined_receipt_is_dropped(api: Api, account: Account) -> None:
    row = quarantined(account)
    answer = api.post(f"incoming/receipts/{row.pk}/drop")
    assert answer.status == 200
    shown = {name: answer.json[name] for name in ("status", "cause", "quarantined_at")}
    assert shown == {"status": "refused", "cause": "schema_mismatch", "quarantined_at": None}
    assert answer.json["next_attempt_at"] is None
    assert process_due_receipts() == 0
    assert actions_of(row) == ["receipt.dropped"]


@pytest.mark.parametrize("again", ["release", "drop"])
@pytest.mark.parametrize("first", ["release", "drop"])
def test_what_was_decided_of_it_is_not_decided_again(
    api: Api, account: Account, first: str, again: str
) -> None:
    row = quarantined(account)
    api.post(f"incoming/receipts/{row.pk}/{first}")
    before = everything()
    answer = api.post(f"incoming/receipts/{row.pk}/{again}")
    assert (answer.status, answer.code) == (409, "state_not_allowed")
    assert everything() == before


@pytest.mark.parametrize("action", ["release", "drop"])
def test_one_that_is_not_quarantined_stays_as_it_is(
    api: Api, account: Account, action: str
) -> None:
    row = make_receipt(make_source(account))
    before = everything()
    answer = api.post(f"incoming/receipts/{row.pk}/{action}")
    assert (answer.status, answer.code) == (409, "state_not_allowed")
    assert everything() == before


# --- runs -----------------------------------------------------------------------------------------


def make_dead_run(account: Account, **fields: Any) -> HandlerRun:
    receipt = make_receipt(
        make_source(account), status="dead", routed_at=NOW, next_attempt_at=None,
        cause="value_error", detail="app.handlers.paid: it broke", action_count=2,
    )  # fmt: skip
    make_run(receipt, handler="other", status="succeeded", finished_at=NOW)
    dead = {"status": "dead", "attempt_count": 6, "cause": "value_error", "error": "it broke"}
    return make_run(receipt, **dead | fields)


@pytest.mark.parametrize("status", ["failed", "dead"])
def test_a_run_is_run_again(api: Api, account: Account, status: str) -> None:
    run = make_dead_run(account, status=status, finished_at=NOW if status == "dead" else None)
    answer = api.post(f"incoming/runs/{run.pk}/rerun")
    assert answer.status == 200
    shown = {name: answer.json[name] for name in ("id", "status", "attempt_count", "finished_at")}
    assert shown == {
        "id": str(run.pk), "status": "pending", "attempt_count": 0, "finished_at": None
    }  # fmt: skip
    assert answer.json["next_attempt_at"] == "2026-03-04T12:00:00Z"
    receipt = Receipt.objects.get()
    assert (receipt.status, receipt.cause, receipt.detail) == ("processing", "", "")
    assert HandlerRun.objects.get(handler="other").status == "succeeded"
    assert actions_of(run) == ["handler.rerun"]


@pytest.mark.parametrize("status", ["pending", "running", "succeeded"])
def test_a_run_that_has_not_failed_is_left_alone(api: Api, account: Account, status: str) -> None:
    run = make_dead_run(account, status=status)
    before = everything()
    answer = api.post(f"incoming/runs/{run.pk}/rerun")
    assert (answer.status, answer.code) == (409, "state_not_allowed")
    assert everything() == before


@pytest.mark.parametrize("change", [{"round": 1}, {"body_pruned_at": NOW}])
def test_a_run_whose_receipt_went_on_or_was_pruned_is_left_alone(
    api: Api, account: Account, change: dict[str, Any]
) -> None:
    run = make_dead_run(account)
    Receipt.objects.update(**change)
    before = everything()
    answer = api.post(f"incoming/runs/{run.pk}/rerun")
    assert (answer.status, answer.code) == (409, "state_not_allowed")
    assert everything() == before


def test_a_run_shows_its_traceback_and_its_list_does_not(api: Api, account: Account) -> None:
    run = make_dead_run(account)
    assert api.get(f"incoming/runs/{run.pk}").json["error"] == "it broke"
    assert all("error" not in row for row in api.get("incoming/runs").rows)
