"""Dead letters: found, grouped, redelivered, discarded, pruned."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest
import time_machine

from monitoring.models import AuditEntry
from outgoing import services, tasks
from outgoing.dead_letters import (
    DeadLetters,
    Group,
    discard_dead_letter,
    discard_dead_letters,
    fingerprint_of_failure,
    group_dead_letters,
    prune_dead_letters,
    redeliver_dead_letters,
)
from outgoing.errors import StateNotAllowed
from outgoing.models import Attempt, Delivery
from subscriptions.models import Subscription
from tests.factories import (
    make_account,
    make_attempt,
    make_delivery,
    make_event,
    make_subscription,
)
from tests.lib.receiver import answer, receiver
from tests.outgoing.pump import deliver
from webhooks_project import dead_letters
from webhooks_project.dead_letters import count_groups

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
HOUR = timedelta(hours=1)
ALIKE, OTHER = "a" * 32, "b" * 32


@pytest.fixture(autouse=True)
def _frozen() -> Any:
    with time_machine.travel(NOW, tick=False):
        yield


def make_dead(subscription: Subscription | None = None, **fields: Any) -> Delivery:
    subscription = subscription or make_subscription()
    event = make_event(subscription.account, type=fields.pop("type", "invoice.paid"))
    return make_delivery(
        event,
        subscription,
        **{
            "status": "exhausted",
            "attempt_count": 8,
            "last_cause": "status_5xx",
            "last_status_code": 500,
            "exhausted_at": NOW - HOUR,
            "fingerprint": ALIKE,
        }
        | fields,
    )


def rejecting(body: bytes, status: int = 500) -> Any:
    return answer(b"HTTP/1.1 %d No\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body))


def given_up(body: bytes, status: int = 500) -> Delivery:
    """One that a receiver has rejected with that answer, and that is not tried again."""
    with receiver(rejecting(body, status)) as there:
        subscription = make_subscription(url=there.url, retry_policy="none")
        delivery = make_delivery(subscription=subscription)
        deliver()
    delivery.refresh_from_db()
    return delivery


# --- the fingerprint ------------------------------------------------------------------------------


def test_one_that_is_given_up_has_its_time_and_fingerprint() -> None:
    delivery = given_up(b"request 17 at 2026-03-04T05:06:07Z failed")
    assert (delivery.status, delivery.exhausted_at) == ("exhausted", NOW)
    assert delivery.fingerprint == fingerprint_of_failure(
        subscription_id=delivery.subscription_id,
        cause="status_5xx",
        status_code=500,
        text="request 4711 at 2031-12-31T23:59:59Z failed",
    )


def test_one_without_an_answer_goes_by_its_detail() -> None:
    subscription = make_subscription(url="http://127.0.0.1:1/hook", retry_policy="none")
    delivery = make_delivery(subscription=subscription)
    deliver()
    delivery.refresh_from_db()
    assert delivery.fingerprint == fingerprint_of_failure(
        subscription_id=subscription.pk,
        cause="refused",
        status_code=None,
        text=delivery.attempts.get().detail,
    )


@pytest.mark.parametrize(
    "fact",
    [
        {"subscription_id": UUID(int=2)},
        {"cause": "status_4xx"},
        {"status_code": 502},
        {"text": "no room"},
    ],
)
def test_each_fact_makes_another_group(fact: dict[str, Any]) -> None:
    facts: dict[str, Any] = {
        "subscription_id": UUID(int=1), "cause": "status_5xx", "status_code": 500,
        "text": "no disk",
    }  # fmt: skip
    assert fingerprint_of_failure(**facts) != fingerprint_of_failure(**facts | fact)


def test_several_given_up_together_have_each_its_own() -> None:
    answers = [b"no disk", b"no room", b"no disk"]

    def script(line: Any) -> None:
        while line.read():
            rejecting_body = answers.pop(0)
            line.send(
                b"HTTP/1.1 500 No\r\nContent-Length: %d\r\n\r\n%b"
                % (len(rejecting_body), rejecting_body)
            )

    with receiver(script) as there:
        subscription = make_subscription(url=there.url, retry_policy="none", max_in_flight=1)
        for _ in range(3):
            make_delivery(subscription=subscription, lane=Delivery.Lane.LIMITED)
        deliver()
    assert sorted(
        (group.text, group.count) for group in group_dead_letters(DeadLetters().rows(), limit=9)
    ) == [("no disk", 2), ("no room", 1)]


def test_one_that_is_still_tried_has_none() -> None:
    with receiver(rejecting(b"no")) as there:
        delivery = make_delivery(subscription=make_subscription(url=there.url))
        deliver()
    delivery.refresh_from_db()
    assert (delivery.status, delivery.exhausted_at, delivery.fingerprint) == ("pending", None, "")


# --- which, and their groups ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("marks", "found"),
    [
        ({}, True),
        ({"fingerprint": ALIKE}, True),
        ({"fingerprint": OTHER}, False),
        ({"cause": "status_5xx"}, True),
        ({"cause": "dns"}, False),
        ({"status_code": 500}, True),
        ({"status_code": 502}, False),
        ({"event_type": "invoice.paid"}, True),
        ({"event_type": "invoice"}, False),
        ({"event_type": "invoice.*"}, True),
        ({"event_type": "order.*"}, False),
        ({"event_type": "*"}, True),
        ({"event_type": "INVOICE.*"}, False),
        ({"event_type": "Invoice.paid"}, False),
        ({"since": NOW - HOUR}, True),
        ({"since": NOW - HOUR + timedelta(microseconds=1)}, False),
        ({"until": NOW - HOUR}, False),
        ({"until": NOW}, True),
        ({"cause": "status_5xx", "status_code": 502}, False),
    ],
)
def test_finds_those_with_all_of_the_marks(marks: dict[str, Any], found: bool) -> None:
    row = make_dead()
    assert list(DeadLetters(**marks).rows()) == ([row] if found else [])


def test_finds_those_of_an_account_and_of_a_subscription() -> None:
    row = make_dead()
    make_dead()
    assert DeadLetters(account=row.account).rows().get() == row
    assert DeadLetters(subscription=row.subscription).rows().get() == row


@pytest.mark.parametrize("status", ["pending", "delivered", "held", "cancelled"])
def test_what_is_not_given_up_is_no_dead_letter(status: str) -> None:
    make_dead(status=status)
    assert not DeadLetters().rows().exists()


def test_groups_have_their_count_and_their_first_and_last() -> None:
    subscription = make_subscription(name="Shop")
    make_dead(subscription, exhausted_at=NOW - 3 * HOUR)
    last = make_dead(subscription, exhausted_at=NOW - HOUR)
    make_attempt(last, number=8, response_body=b"Request 17 failed")
    lone = make_dead(
        fingerprint=OTHER, last_cause="dns", last_status_code=None, exhausted_at=NOW - 2 * HOUR
    )
    make_attempt(lone, response_body=b"", detail="no such name 7")
    assert group_dead_letters(DeadLetters().rows(), limit=10) == [
        Group(
            fingerprint=ALIKE,
            account_id=subscription.account_id,
            subscription_id=subscription.pk,
            subscription_name="Shop",
            cause="status_5xx",
            status_code=500,
            text="request <number> failed",
            count=2,
            first_at=NOW - 3 * HOUR,
            last_at=NOW - HOUR,
            sample_id=last.pk,
        ),
        Group(
            fingerprint=OTHER,
            account_id=lone.account_id,
            subscription_id=lone.subscription_id,
            subscription_name="Receiver",
            cause="dns",
            status_code=None,
            text="no such name <number>",
            count=1,
            first_at=NOW - 2 * HOUR,
            last_at=NOW - 2 * HOUR,
            sample_id=lone.pk,
        ),
    ]
    assert count_groups(DeadLetters().rows()) == 2


def test_groups_are_of_what_is_asked_for() -> None:
    subscription = make_subscription()
    make_dead(subscription, type="invoice.paid")
    make_dead(subscription, type="order.made")
    rows = DeadLetters(event_type="order.*").rows()
    assert [group.count for group in group_dead_letters(rows, limit=10)] == [1]


def test_pages_of_groups_follow_one_another() -> None:
    for number in range(3):
        make_dead(fingerprint=f"{number:032x}", exhausted_at=NOW - number * HOUR)
    rows = DeadLetters().rows()
    pages = [group_dead_letters(rows, limit=1, offset=offset) for offset in range(4)]
    found = [[group.fingerprint for group in page] for page in pages]
    assert found == [[f"{0:032x}"], [f"{1:032x}"], [f"{2:032x}"], []]


# --- redeliver ------------------------------------------------------------------------------------


def test_redelivers_a_group_and_leaves_the_others() -> None:
    subscription = make_subscription()
    rows = [make_dead(subscription), make_dead(subscription)]
    other = make_dead(subscription, fingerprint=OTHER)
    assert redeliver_dead_letters(DeadLetters(fingerprint=ALIKE)) == 2
    for row in rows:
        row.refresh_from_db()
        assert (row.status, row.trigger, row.lane) == ("pending", "redeliver", Delivery.Lane.AGAIN)
        assert (row.attempts_before, row.asked_at) == (8, NOW)
    other.refresh_from_db()
    assert other.status == "exhausted"
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.object_id) == (
        "dead_letters.redelivered", str(subscription.account_id),
    )  # fmt: skip
    assert orjson.loads(entry.after) == {"fingerprint": ALIKE, "count": 2}


def test_each_account_s_audit_is_told_of_its_own() -> None:
    rows = [make_dead(), make_dead()]
    assert redeliver_dead_letters(DeadLetters(cause="status_5xx")) == 2
    told = AuditEntry.objects.values_list("account", flat=True)
    assert sorted(told) == sorted(row.account_id for row in rows)


def test_those_of_archived_subscriptions_are_left_alone() -> None:
    row = make_dead(make_subscription(status="archived"))
    assert redeliver_dead_letters(DeadLetters()) == 0
    row.refresh_from_db()
    assert row.status == "exhausted"
    assert not AuditEntry.objects.exists()


def test_takes_the_longest_dead_first_and_no_more_than_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dead_letters, "BATCH_ROWS", 2)
    subscription = make_subscription()
    rows = [make_dead(subscription, exhausted_at=NOW - number * HOUR) for number in range(5)]
    counts: list[int] = []
    assert redeliver_dead_letters(DeadLetters(), limit=3, progress=counts.append) == 3
    assert counts == [2, 1]
    assert set(DeadLetters().rows()) == {rows[0], rows[1]}


def test_a_dead_letter_that_was_redelivered_is_delivered() -> None:
    delivery = given_up(b"no disk")
    with receiver(answer()) as there:
        Subscription.objects.update(url=there.url)
        assert redeliver_dead_letters(DeadLetters(fingerprint=delivery.fingerprint)) == 1
        deliver()
    delivery.refresh_from_db()
    assert (delivery.status, delivery.attempt_count) == ("delivered", 2)
    assert not DeadLetters().rows().exists()


# --- discard --------------------------------------------------------------------------------------


def test_discards_one_with_the_reason() -> None:
    row = make_dead()
    discard_dead_letter(delivery=row, reason="The customer has left.")
    assert (row.status, row.discard_reason) == ("cancelled", "The customer has left.")
    assert (row.last_cause, row.last_status_code) == ("status_5xx", 500)
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.object_id) == ("delivery.discarded", str(row.pk))
    assert orjson.loads(entry.after) == {"reason": "The customer has left."}


@pytest.mark.parametrize("status", ["pending", "delivering", "delivered", "held", "cancelled"])
def test_discards_nothing_but_a_dead_letter(status: str) -> None:
    row = make_dead(status=status)
    with pytest.raises(StateNotAllowed):
        discard_dead_letter(delivery=row, reason="No.")
    row.refresh_from_db()
    assert (row.status, row.discard_reason) == (status, "")
    assert not AuditEntry.objects.exists()


def test_discards_a_filter() -> None:
    subscription = make_subscription()
    make_dead(subscription, type="invoice.paid")
    kept = make_dead(subscription, type="order.made")
    letters = DeadLetters(subscription=subscription, event_type="invoice.*")
    assert discard_dead_letters(letters, reason="Stale.") == 1
    assert list(DeadLetters().rows()) == [kept]
    assert orjson.loads(AuditEntry.objects.get().after) == {
        "subscription": str(subscription.pk), "event_type": "invoice.*", "reason": "Stale.",
        "count": 1,
    }  # fmt: skip


def test_a_discarded_one_that_is_redelivered_has_no_reason_any_more() -> None:
    row = make_dead()
    discard_dead_letter(delivery=row, reason="By mistake.")
    services.redeliver_one(delivery=row)
    assert (row.status, row.discard_reason) == ("pending", "")


def test_what_waited_behind_it_in_its_order_goes_on() -> None:
    subscription = make_subscription(ordering="strict")
    first = make_dead(subscription, order_key="a")
    behind = make_delivery(subscription=subscription, lane=None, order_key="a")
    discard_dead_letters(DeadLetters(fingerprint=first.fingerprint), reason="Skip it.")
    behind.refresh_from_db()
    assert behind.lane == Delivery.Lane.LIMITED


# --- prune ----------------------------------------------------------------------------------------


def test_ends_the_wait_after_the_account_s_days() -> None:
    subscription = make_subscription(make_account(dead_letter_days=7))
    week = timedelta(days=7)
    old = make_dead(subscription, exhausted_at=NOW - week - timedelta(microseconds=1))
    young = make_dead(subscription, exhausted_at=NOW - week)
    for row in (old, young):
        make_attempt(row)
    assert prune_dead_letters() == 1
    old.refresh_from_db()
    assert (old.status, old.discard_reason) == ("cancelled", "nobody took it up within 7 days")
    assert list(DeadLetters().rows()) == [young]
    assert Attempt.objects.get().delivery == young


def test_keeps_them_for_ever_where_the_account_says_nothing() -> None:
    make_dead(exhausted_at=NOW - timedelta(days=10_000))
    assert prune_dead_letters() == 0
    assert DeadLetters().rows().count() == 1


def test_prunes_one_account_where_that_is_asked_for() -> None:
    rows = [
        make_dead(make_subscription(make_account(dead_letter_days=1)), exhausted_at=NOW - 48 * HOUR)
        for _ in range(2)
    ]
    assert prune_dead_letters(account=rows[0].account) == 1
    assert list(DeadLetters().rows()) == [rows[1]]


def test_the_hourly_task_prunes() -> None:
    make_dead(make_subscription(make_account(dead_letter_days=1)), exhausted_at=NOW - 48 * HOUR)
    assert tasks.prune() == 1
    assert Delivery.objects.get().discard_reason == "nobody took it up within 1 day"
