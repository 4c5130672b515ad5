"""Dead letters of both sides, by way of the API."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from incoming.dead_letters import dead_receipts
from incoming.models import Receipt
from outgoing.dead_letters import DeadLetters
from outgoing.models import Delivery
from tests.api.calls import Api
from tests.factories import (
    make_account,
    make_api_key,
    make_delivery,
    make_event,
    make_receipt,
    make_source,
    make_subscription,
)
from webhooks_project.accounts.models import Account
from webhooks_project.lib import clock

pytestmark = pytest.mark.django_db

ALIKE, OTHER = "a" * 32, "b" * 32
OUT, IN = "outgoing/dead-letters", "incoming/dead-letters"


@pytest.fixture
def account() -> Account:
    return make_account()


@pytest.fixture
def api(account: Account) -> Api:
    return Api(make_api_key(account, "operator").text)


def make_dead(account: Account, **fields: Any) -> Delivery:
    event = make_event(account, type=fields.pop("type", "invoice.paid"))
    fields = {
        "status": "exhausted", "last_cause": "status_5xx", "last_status_code": 500,
        "fingerprint": ALIKE,
    } | fields  # fmt: skip
    return make_delivery(event, fields.pop("subscription", make_subscription(account)), **fields)


def make_dead_receipt(account: Account, **fields: Any) -> Receipt:
    receipt = make_receipt(
        make_source(account),
        **{
            "status": "failed", "next_attempt_at": None, "cause": "ValueError",
            "detail": "shop.paid: ValueError: no",
        }
        | fields,
    )  # fmt: skip
    receipt.die(clock.now())
    receipt.save()
    return receipt


# --- deliveries -----------------------------------------------------------------------------------


def test_lists_dead_letters_the_last_first(api: Api, account: Account) -> None:
    now = clock.now()
    old = make_dead(account, exhausted_at=now - timedelta(hours=1))
    new = make_dead(account, exhausted_at=now)
    make_dead(account, status="delivered")
    rows = api.get(OUT).rows
    assert [row["id"] for row in rows] == [str(new.pk), str(old.pk)]
    assert rows[0]["fingerprint"] == ALIKE
    assert rows[0]["exhausted_at"] is not None


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (f"fingerprint={ALIKE}", True),
        (f"fingerprint={OTHER}", False),
        ("cause=status_5xx", True),
        ("cause=dns", False),
        ("status_code=500", True),
        ("status_code=502", False),
        ("event_type=invoice.paid", True),
        ("event_type=order.made", False),
        ("event_type=invoice.*", True),
        ("event_type=Invoice.*", False),
        ("event_type=order.*", False),
        ("since=2000-01-01T00:00:00Z", True),
        ("until=2000-01-01T00:00:00Z", False),
    ],
)
def test_lists_and_groups_by_filters(api: Api, account: Account, query: str, found: bool) -> None:
    row = make_dead(account)
    assert [item["id"] for item in api.get(f"{OUT}?{query}").rows] == [str(row.pk)] * found
    groups = api.get(f"{OUT}/groups?{query}").json
    assert (groups["count"], len(groups["results"])) == (found, found)


def test_tells_groups(api: Api, account: Account) -> None:
    subscription = make_subscription(account)
    make_dead(account, subscription=subscription)
    last = make_dead(account, subscription=subscription)
    make_dead(make_account())
    groups = api.get(f"{OUT}/groups").json
    assert groups["count"] == 1
    [group] = groups["results"]
    assert group.pop("first_at") is not None
    assert group.pop("last_at") is not None
    assert group == {
        "fingerprint": ALIKE, "account": str(account.pk), "subscription": str(subscription.pk),
        "cause": "status_5xx", "status_code": 500, "text": "", "count": 2,
        "sample": str(last.pk),
    }  # fmt: skip


def test_redelivers_and_discards_one(api: Api, account: Account) -> None:
    row = make_dead(account)
    answer = api.post(f"{OUT}/{row.pk}/discard", {"reason": "Stale."})
    assert (answer.status, answer.json["status"]) == (200, "cancelled")
    assert (answer.json["discard_reason"], answer.json["last_cause"]) == ("Stale.", "status_5xx")
    assert api.post(f"{OUT}/{row.pk}/redeliver").status == 404  # no dead letter any more
    other = make_dead(account)
    answer = api.post(f"{OUT}/{other.pk}/redeliver")
    assert (answer.status, answer.json["status"]) == (200, "pending")


@pytest.mark.parametrize("verb", ["redeliver", "discard"])
def test_takes_a_group_of_the_caller_s_account(api: Api, account: Account, verb: str) -> None:
    rows = [make_dead(account), make_dead(account)]
    make_dead(account, fingerprint=OTHER)
    stranger = make_dead(make_account())
    body = {"fingerprint": ALIKE} | ({"reason": "Stale."} if verb == "discard" else {})
    answer = api.post(f"{OUT}/{verb}", body)
    assert (answer.status, answer.json) == (200, {"count": 2})
    left = set(DeadLetters().rows().values_list("pk", flat=True))
    assert left.isdisjoint(row.pk for row in rows)
    assert stranger.pk in left
    assert len(left) == 2


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        ({}, {"": "nothing_named"}),
        ({"fingerprint": "x"}, {"/fingerprint": "invalid"}),
        ({"cause": "bad_luck"}, {"/cause": "invalid_choice"}),
        ({"since": "soon"}, {"/since": "invalid"}),
    ],
)
def test_takes_all_only_where_that_is_said(
    api: Api, account: Account, body: dict[str, Any], errors: dict[str, str]
) -> None:
    make_dead(account)
    assert api.post(f"{OUT}/redeliver", body).errors == errors
    assert api.post(f"{OUT}/discard", {**body, "reason": "No."}).errors == errors
    assert DeadLetters().rows().count() == 1


@pytest.mark.parametrize("reason", [None, "", " ", "x" * 201])
def test_discards_nothing_without_a_reason(api: Api, account: Account, reason: str | None) -> None:
    row = make_dead(account)
    body = {} if reason is None else {"reason": reason}
    assert set(api.post(f"{OUT}/{row.pk}/discard", body).errors) == {"/reason"}
    assert set(api.post(f"{OUT}/discard", {"fingerprint": ALIKE, **body}).errors) == {"/reason"}
    assert DeadLetters().rows().count() == 1


# --- receipts -------------------------------------------------------------------------------------


def test_lists_and_groups_dead_receipts(api: Api, account: Account) -> None:
    row = make_dead_receipt(account)
    make_receipt(row.source, status="processed")
    assert [item["id"] for item in api.get(IN).rows] == [str(row.pk)]
    groups = api.get(f"{IN}/groups").json
    assert groups["count"] == 1
    [group] = groups["results"]
    assert group.pop("first_at") == group.pop("last_at")
    assert group == {
        "fingerprint": row.fingerprint, "account": str(account.pk), "source": str(row.source_id),
        "cause": "ValueError", "text": "shop.paid: valueerror: no", "count": 1,
        "sample": str(row.pk),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("query", "found"),
    [("handler=shop.paid", True), ("handler=shop", False), ("handler=Shop.paid", False),
     ("cause=ValueError", True), ("cause=KeyError", False), ("type=push", True),
     ("since=2100-01-01T00:00:00Z", False)],
)  # fmt: skip
def test_finds_dead_receipts_by_filters(
    api: Api, account: Account, query: str, found: bool
) -> None:
    make_dead_receipt(account)
    assert len(api.get(f"{IN}?{query}").rows) == found
    assert api.get(f"{IN}/groups?{query}").json["count"] == found


def test_reprocesses_and_discards_one_receipt(api: Api, account: Account) -> None:
    row = make_dead_receipt(account)
    answer = api.post(f"{IN}/{row.pk}/discard", {"reason": "Stale."})
    assert (answer.status, answer.json["status"]) == (200, "dead")
    assert answer.json["discard_reason"] == "Stale."
    assert api.get(IN).rows == []
    other = make_dead_receipt(account)
    answer = api.post(f"{IN}/{other.pk}/reprocess")
    assert (answer.status, answer.json["status"]) == (200, "accepted")


@pytest.mark.parametrize("verb", ["reprocess", "discard"])
def test_takes_a_group_of_receipts(api: Api, account: Account, verb: str) -> None:
    row = make_dead_receipt(account)
    stranger = make_dead_receipt(make_account())
    body = {"handler": "shop.paid"} | ({"reason": "Stale."} if verb == "discard" else {})
    answer = api.post(f"{IN}/{verb}", body)
    assert (answer.status, answer.json) == (200, {"count": 1})
    assert dead_receipts().get() == stranger
    row.refresh_from_db()
    assert row.status == ("accepted" if verb == "reprocess" else "dead")


def test_takes_all_receipts_only_where_that_is_said(api: Api, account: Account) -> None:
    make_dead_receipt(account)
    assert api.post(f"{IN}/reprocess", {}).errors == {"": "nothing_named"}
    assert dead_receipts().count() == 1
