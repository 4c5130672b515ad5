"""The lists' filters are answered along an index, however many rows there are."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client

from incoming.models import HandlerRun, Receipt, ReceiptReplay, Source
from tests.api.calls import Api
from tests.factories import make_account, make_api_key, make_receipt, make_source
from webhooks_project.accounts.models import Account, Role
from webhooks_project.lib.ids import new_id

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
ROWS = 3_000
RARE = 20  # have the mark that is asked for, the oldest


@pytest.fixture
def account() -> Account:
    return make_account()


@pytest.fixture
def source(account: Account) -> Source:
    return make_source(account)


def make_receipts(source: Source, **marks: Any) -> None:
    """Of many rows the oldest few have the marks."""
    model = make_receipt(source, status="processed", action_count=1, next_attempt_at=None)
    kept = {
        field.attname: getattr(model, field.attname)
        for field in Receipt._meta.concrete_fields
        if field.name not in ("id", "external_id")
    }
    Receipt.objects.bulk_create(
        Receipt(
            **kept
            | {"id": new_id(), "external_id": str(number)}
            | {"received_at": NOW + timedelta(seconds=number)}
            | (marks if number < RARE else {})
        )
        for number in range(ROWS)
    )
    analyze(Receipt)


def make_runs(source: Source, **marks: Any) -> None:
    receipt = make_receipt(source)
    kept = {"account": source.account, "source": source, "receipt": receipt, "status": "succeeded"}
    HandlerRun.objects.bulk_create(
        HandlerRun(
            **kept
            | {"handler": f"h{number}", "created_at": NOW + timedelta(seconds=number)}
            | (marks if number < RARE else {})
        )
        for number in range(ROWS)
    )
    analyze(HandlerRun)


def analyze(model: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"ANALYZE {connection.ops.quote_name(model._meta.db_table)}")


def plan_of_list(model: Any, ask: Callable[[], Any]) -> str:
    """How the database finds the rows of the list that is asked for."""
    table = connection.ops.quote_name(model._meta.db_table)
    word = "EXPLAIN QUERY PLAN" if connection.vendor == "sqlite" else "EXPLAIN"
    plans = []

    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith(f'SELECT {table}."id", ') and "LIMIT" in sql:
            execute(f"{word} {sql}", params, many, context)
            plans.append(str(context["cursor"].fetchall()))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        ask()
    (plan,) = plans
    return plan


def api_list(account: Account, path: str) -> Callable[[], Any]:
    api = Api(make_api_key(account, Role.VIEWER).text)

    def ask() -> None:
        assert len(api.get(path).rows) == RARE

    return ask


def console_list(path: str) -> Callable[[], Any]:
    client = Client()
    client.force_login(get_user_model().objects.create_superuser("root"))

    def ask() -> None:
        assert client.get(path).status_code == 200

    return ask


@pytest.mark.parametrize(
    ("query", "marks", "index"),
    [
        ("unmatched=true", {"action_count": 0}, "receipt_unmatched"),
        ("quarantined=true", {"quarantined_at": NOW}, "receipt_quarantined"),
        ("same_body=true", {"same_body_as": new_id()}, "receipt_same_body"),
        ("replay={replay}", {"replay_id": new_id()}, "receipt_by_replay"),
    ],
)
def test_the_api_s_list_of_marked_receipts(
    source: Source, query: str, marks: dict[str, Any], index: str
) -> None:
    if replay := marks.get("replay_id"):
        ReceiptReplay.objects.create(pk=replay, since=NOW, until=NOW, created_at=NOW)
    make_receipts(source, **marks)
    ask = api_list(source.account, f"incoming/receipts?{query.format(replay=replay)}")
    assert index in plan_of_list(Receipt, ask)


@pytest.mark.parametrize(
    ("query", "marks", "index"),
    [
        ("followed=unmatched", {"action_count": 0}, "receipt_unmatched"),
        ("quarantine=quarantined", {"quarantined_at": NOW}, "receipt_quarantined"),
        ("same_body=as+an+earlier+one", {"same_body_as": new_id()}, "receipt_same_body"),
    ],
)
def test_the_console_s_list_of_marked_receipts(
    source: Source, query: str, marks: dict[str, Any], index: str
) -> None:
    make_receipts(source, **marks)
    ask = console_list(f"/admin/incoming/receipt/?{query}")
    assert index in plan_of_list(Receipt, ask)


@pytest.mark.parametrize(
    ("query", "index"), [("status__exact=dead", "run_by_status"), ("", "run_by_time")]
)
def test_the_console_s_list_of_runs(source: Source, query: str, index: str) -> None:
    make_runs(source, status="dead")
    ask = console_list(f"/admin/incoming/handlerrun/?{query}")
    assert index in plan_of_list(HandlerRun, ask)
