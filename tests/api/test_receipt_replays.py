"""Replay of receipts through the API."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine

from incoming.models import Receipt, ReceiptReplay, Source
from incoming.processing import process_due_receipts
from incoming.replays import Selection, advance_replays, plan_replay
from monitoring.models import AuditEntry
from tests.api.calls import Api
from tests.factories import make_account, make_api_key, make_receipt, make_source, make_user
from webhooks_project.accounts.models import Account, Membership, Role, User

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
PERIOD = {"since": "2026-03-04T00:00:00Z", "until": "2026-03-04T12:00:00Z"}


@pytest.fixture(autouse=True)
def _frozen() -> Any:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def source() -> Source:
    return make_source(name="Shop")


@pytest.fixture
def api(source: Source) -> Api:
    return Api(make_api_key(source.account, Role.OPERATOR).text)


def past(source: Source, **fields: Any) -> Receipt:
    kept = {
        "status": "dead",
        "is_verified": True,
        "received_at": NOW - timedelta(hours=2),
        "next_attempt_at": None,
    }
    return make_receipt(source, **kept | fields)


def test_plan_start_and_end(api: Api, source: Source) -> None:
    past(source)
    past(source, status="handshake")
    past(make_source())

    planned = api.post("incoming/replays", {**PERIOD, "source": str(source.pk), "cause": ""})

    row = {"source": str(source.pk), "source_name": "Shop", "type": "push", "status": "dead",
           "count": 1}  # fmt: skip
    replay = ReceiptReplay.objects.get()
    assert planned.status == 201
    assert planned.json == {
        "id": str(replay.pk), "account": str(source.account_id), **PERIOD,
        "source": str(source.pk), "receipt_id": None, "type_pattern": "", "statuses": [],
        "cause": "", "status": "planned", "planned_count": 1, "replayed_count": 0,
        "plan": {"count": 1, "oldest": "2026-03-04T10:00:00Z", "receipts": [row],
                 "left_out": {"handshake": 1}},
        "error": "", "requested_by": replay.requested_by, "created_at": "2026-03-04T12:00:00Z",
        "started_at": None, "finished_at": None,
    }  # fmt: skip
    path = f"incoming/replays/{replay.pk}"
    assert api.post(f"{path}/start").json["status"] == "running"
    advance_replays(NOW)
    process_due_receipts()
    advance_replays(NOW)
    ended = api.get(path).json
    assert (ended["status"], ended["replayed_count"]) == ("finished", 1)
    assert ended["started_at"] == ended["finished_at"] == "2026-03-04T12:00:00Z"
    kinds = AuditEntry.objects.filter(object_id=replay.pk).values_list("actor_kind", flat=True)
    assert list(kinds) == ["key", "key"]


def test_its_progress_is_shown_and_it_is_cancelled_under_way(
    api: Api, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("incoming.replays.carrying.BATCH_ROWS", 2)
    for _ in range(5):
        past(source)
    path = f"incoming/replays/{api.post('incoming/replays', PERIOD).json['id']}"

    def shown() -> tuple[str, int, int]:
        row = api.get(path).json
        return row["status"], row["replayed_count"], row["planned_count"]

    assert shown() == ("planned", 0, 5)
    assert advance_replays(NOW) == 0
    assert api.post(f"{path}/start").status == 200
    assert shown() == ("running", 0, 5)
    again = api.post(f"{path}/start")
    assert (again.status, again.code) == (409, "state_not_allowed")
    assert advance_replays(NOW) == 2
    assert shown() == ("running", 2, 5)
    cancelled = api.post(f"{path}/cancel").json
    assert (cancelled["status"], cancelled["finished_at"]) == ("cancelled", "2026-03-04T12:00:00Z")
    assert advance_replays(NOW) == 0
    assert shown() == ("cancelled", 2, 5)
    again = api.post(f"{path}/cancel")
    assert (again.status, again.code) == (409, "state_not_allowed")
    replayed = api.get(f"incoming/receipts?replay={cancelled['id']}").rows
    assert [(row["status"], row["round"]) for row in replayed] == [("accepted", 1)] * 2
    assert process_due_receipts() == 2


def test_a_filter_of_replays_finds_these_alone(api: Api, source: Source) -> None:
    planned = api.post("incoming/replays", {**PERIOD, "source": str(source.pk)}).json["id"]
    cancelled = api.post("incoming/replays", PERIOD).json["id"]
    api.post(f"incoming/replays/{cancelled}/cancel")
    plan_replay(Selection(since=NOW - timedelta(hours=1), until=NOW, source=make_source()))
    for query, found in {
        "": {planned, cancelled},
        "status=planned": {planned},
        "status=cancelled": {cancelled},
        "status=running": set(),
        f"source={source.pk}": {planned},
        f"account={source.account_id}": {planned, cancelled},
    }.items():
        rows = api.get(f"incoming/replays?{query}").rows
        assert {row["id"] for row in rows} == found, query


def test_one_receipt_alone(api: Api, source: Source) -> None:
    """Though another came in the same microsecond."""
    receipts = [past(source), past(source)]
    body = {**PERIOD, "receipt_id": str(receipts[1].pk)}
    planned = api.post("incoming/replays", body).json
    assert (planned["planned_count"], planned["receipt_id"]) == (1, str(receipts[1].pk))
    api.post(f"incoming/replays/{planned['id']}/start")
    assert advance_replays(NOW) == 1
    assert [Receipt.objects.get(pk=receipt.pk).round for receipt in receipts] == [0, 1]


def test_a_receipt_of_another_account_is_none(api: Api) -> None:
    body = {**PERIOD, "receipt_id": str(past(make_source()).pk)}
    assert api.post("incoming/replays", body).json["planned_count"] == 0


def test_cancel(api: Api, source: Source) -> None:
    past(source)
    key = api.post("incoming/replays", PERIOD).json["id"]
    assert api.post(f"incoming/replays/{key}/cancel").json["status"] == "cancelled"
    again = api.post(f"incoming/replays/{key}/start")
    assert (again.status, again.json["code"]) == (409, "state_not_allowed")
    assert advance_replays(NOW) == 0


@pytest.mark.parametrize(
    ("fields", "errors"),
    [
        ({"until": PERIOD["since"]}, {"/until": "invalid"}),
        ({"since": "yesterday"}, {"/since": "invalid"}),
        ({"statuses": ["gone"]}, {"/statuses/0": "invalid_choice"}),
        ({"statuses": "dead"}, {"/statuses": "not_a_list"}),
        ({"type_pattern": "a" * 256}, {"/type_pattern": "max_length"}),
        ({"cause": "a\x00"}, {"/cause": "null_characters_not_allowed"}),
    ],
)
def test_says_what_is_wrong(api: Api, fields: dict[str, Any], errors: dict[str, str]) -> None:
    answer = api.post("incoming/replays", {**PERIOD, **fields})
    assert (answer.status, answer.errors) == (400, errors)
    assert not ReceiptReplay.objects.exists()


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"type_pattern": "a*b"}, "type_pattern"),
        ({"since": "2026-03-05T00:00:00Z", "until": "2026-03-06T00:00:00Z"}, "since"),
    ],
)
def test_says_what_cannot_be_meant(api: Api, fields: dict[str, Any], field: str) -> None:
    answer = api.post("incoming/replays", {**PERIOD, **fields})
    assert (answer.status, answer.json["code"]) == (400, "replay_not_acceptable")
    assert answer.json["field"] == field


def test_a_source_of_another_account_is_none(api: Api) -> None:
    answer = api.post("incoming/replays", {**PERIOD, "source": str(make_source().pk)})
    assert answer.errors == {"/source": "does_not_exist"}
    assert not ReceiptReplay.objects.exists()


def test_a_source_of_the_caller_s_other_account_does_not_fit(source: Source) -> None:
    other = make_account()
    api = Api(user=_member_of(source, other))
    body = {**PERIOD, "source": str(source.pk), "account": str(other.pk)}
    answer = api.post("incoming/replays", body)
    assert (answer.status, answer.json["code"]) == (400, "replay_not_acceptable")


def _member_of(source: Source, other: Account) -> User:
    user = make_user(source.account, Role.OPERATOR)
    Membership.objects.create(account=other, user=user, role=Role.OPERATOR)
    return user


def test_takes_only_the_caller_s_account(api: Api, source: Source) -> None:
    past(source)
    past(make_source())
    assert api.post("incoming/replays", PERIOD).json["planned_count"] == 1
