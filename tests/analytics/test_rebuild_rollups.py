"""Counting anew gives the same numbers, mends what is wrong, and leaves alone what was pruned."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.core.management import call_command
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from analytics import rebuild
from analytics.compaction import compact_rollups
from analytics.counting import count_marked
from analytics.models import Horizon, ReceiptRollup, Rollup, Scope
from analytics.periods import Grain
from analytics.reading import read
from analytics.rebuild import rebuild_rollups
from analytics.rows import counting, stored_tallies
from analytics.tallies import ATTEMPTS as counted_attempts
from analytics.tallies import RECEIPTS as counted_receipts
from incoming.expunging import expunge_page
from incoming.models import Receipt
from incoming.replays import advance_replays, replay_receipt
from incoming.retention import prune_receipts
from incoming.services.receipts import drop_quarantined
from outgoing.models import Attempt
from tests.analytics.test_counting import (
    ATTEMPTS,
    START,
    add,
    make_deliveries,
    recomputed,
    rollups,
)
from tests.factories import (
    make_account,
    make_attempt,
    make_delivery,
    make_event,
    make_receipt,
    make_source,
)
from webhooks_project.lib import clock
from webhooks_project.models import Uncounted

pytestmark = pytest.mark.django_db

SINCE = datetime(2026, 3, 31, tzinfo=UTC)
UNTIL = datetime(2026, 4, 2, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def frozen() -> Any:
    with time_machine.travel(UNTIL + DAY - timedelta(minutes=1), tick=False):
        yield


def test_gives_what_counting_gave_and_mends_what_was_lost_or_spoilt() -> None:
    deliveries = make_deliveries()

    @settings(max_examples=8, deadline=None, database=None, phases=(Phase.explicit, Phase.generate))
    @given(history=ATTEMPTS, lost=st.sets(st.integers(0, 60)))
    def holds(history: list[Any], lost: set[int]) -> None:
        for model in (Rollup, Attempt, Uncounted):
            model.objects.all().delete()
        add(deliveries, history)
        count_marked()
        counted = rollups()
        ids = list(Rollup.objects.order_by("pk").values_list("pk", flat=True))
        assert rebuild_rollups(since=SINCE, until=UNTIL).changed == 0
        # Days say whether something was pruned: all the rest may be lost.
        Rollup.objects.filter(pk__in=[pk for at, pk in enumerate(ids) if at in lost]).exclude(
            grain=Grain.DAY, scope=Scope.FULL
        ).delete()
        Rollup.objects.exclude(grain=Grain.DAY).exclude(scope=Scope.HUB).update(retries=77)
        rebuild_rollups(since=SINCE, until=UNTIL)
        assert rollups() == counted == recomputed()
        assert list(Rollup.objects.order_by("pk").values_list("pk", flat=True)) == ids

    holds()


def test_from_nothing_it_gives_the_same_as_counting() -> None:
    deliveries = make_deliveries()
    add(deliveries, [(0, 0, "", 10.0, 5.0), (1, 120_000, "dns", 7.0, None), (3, 9, "", 1.0, 1.0)])
    make_receipt(body=b"123", received_at=START)
    done = rebuild_rollups(since=SINCE, until=UNTIL)
    assert (done.days, done.counted, done.refused) == (2, 4, [])
    assert rollups() == recomputed()
    receipts = set(ReceiptRollup.objects.values_list("id", "receipts", "receipt_bytes"))
    # The marks are still there: counting them adds nothing.
    count_marked()
    assert rollups() == recomputed()
    assert set(ReceiptRollup.objects.values_list("id", "receipts", "receipt_bytes")) == receipts


def test_a_day_that_was_pruned_in_part_is_left_as_it_was_counted() -> None:
    deliveries = make_deliveries()
    add(deliveries, [(0, 0, "", 10.0, 5.0), (0, 1, "dns", 7.0, None), (3, 9, "", 1.0, 1.0)])
    count_marked()
    before = rollups()
    Attempt.objects.filter(delivery=deliveries[0], number=1).delete()
    # What can be mended of the other account is.
    Rollup.objects.filter(account=deliveries[3].account, grain=Grain.HOUR).delete()
    done = rebuild_rollups(since=SINCE, until=UNTIL)
    assert [(item.day, item.account_id, item.of) for item in done.refused] == [
        (SINCE.date(), deliveries[0].account_id, "attempts")
    ]
    assert rollups() == before


def receipt_rollups() -> set[Any]:
    return set(ReceiptRollup.objects.values_list("id", "receipts", "receipt_bytes"))


def rebuilt_from_nothing() -> None:
    """Counts the days anew, from the receipts alone, to just the rows that were."""
    counted = receipt_rollups()
    assert (done := rebuild_rollups(since=SINCE, until=UNTIL)).changed == 0
    assert done.refused == []
    ReceiptRollup.objects.all().delete()
    assert rebuild_rollups(since=SINCE, until=UNTIL).changed == len(counted)
    assert receipt_rollups() == counted


def test_a_refused_receipt_that_was_replayed_stays_refused_on_arrival() -> None:
    source = make_source()
    receipt = make_receipt(
        source,
        status="refused",
        cause="rate_limited",
        external_id="",
        is_verified=True,
        received_at=START,
        next_attempt_at=None,
    )
    count_marked()
    replay_receipt(receipt)
    assert advance_replays(clock.now()) == 1
    receipt.refresh_from_db()
    assert (receipt.status, receipt.cause, receipt.refusal) == ("accepted", "", "rate_limited")
    rebuilt_from_nothing()
    found = ReceiptRollup.objects.values_list("verdict", "cause", "receipts").distinct()
    assert list(found.order_by()) == [("refused", "rate_limited", 1)]


def test_one_that_was_dropped_from_quarantine_stays_accepted_on_arrival() -> None:
    receipt = make_receipt(
        cause="schema_mismatch", received_at=START, quarantined_at=START, next_attempt_at=None
    )
    count_marked()
    assert drop_quarantined(receipt=receipt).status == "refused"
    rebuilt_from_nothing()
    assert set(ReceiptRollup.objects.values_list("verdict", "cause")) == {("accepted", "")}


def refused_before_it_was_kept(**fields: Any) -> Receipt:
    """As a node of an older version leaves it."""
    return make_receipt(
        status="refused", refusal="", received_at=START, next_attempt_at=None, **fields
    )


def test_one_refused_by_a_node_that_did_not_keep_it_is_refused_all_the_same() -> None:
    refused_before_it_was_kept(cause="rate_limited")
    count_marked()
    rebuilt_from_nothing()
    found = ReceiptRollup.objects.values_list("verdict", "cause", "receipts").distinct()
    assert list(found.order_by()) == [("refused", "rate_limited", 1)]


def counted_by_verdict(scope: Scope) -> dict[tuple[int, str], tuple[int, int]]:
    return {
        (grain, verdict): (receipts, size)
        for grain, verdict, receipts, size in ReceiptRollup.objects.filter(scope=scope).values_list(
            "grain", "verdict", "receipts", "receipt_bytes"
        )
    }


def test_one_replayed_before_its_refusal_was_kept_is_counted_as_it_stands_when_asked() -> None:
    source = make_source()
    refused = [
        refused_before_it_was_kept(source=source, cause="rate_limited", body=b"12345")
        for _ in range(2)
    ]
    make_receipt(source, body=b"123", received_at=START, next_attempt_at=None)
    elsewhere = refused_before_it_was_kept(cause="rate_limited", body=b"1")
    count_marked()
    counted = receipt_rollups()
    Receipt.objects.filter(pk=refused[0].pk).update(status="processed", cause="")
    done = rebuild_rollups(since=SINCE, until=UNTIL)
    assert [(item.day, item.account_id, item.of) for item in done.refused] == [
        (START.date(), source.account_id, "verdicts")
    ]
    assert receipt_rollups() == counted
    # What was deleted is known by the hub's rows alone, which go on to have it.
    elsewhere.account.delete()
    done = rebuild_rollups(since=SINCE, until=UNTIL, as_they_stand=True)
    assert done.refused == []
    for scope, of_others in ((Scope.ACCOUNT, 0), (Scope.HUB, 1)):
        assert counted_by_verdict(scope) == {
            (grain, verdict): figures
            for grain in Grain
            for verdict, figures in (
                ("accepted", (2, 8)), ("refused", (1 + of_others, 5 + of_others)),
            )
        }, scope  # fmt: skip
    assert rebuild_rollups(since=SINCE, until=UNTIL).changed == 0


def test_what_was_pruned_is_left_alone_whatever_verdicts_are_asked_for() -> None:
    source = make_source()
    kept, gone = (refused_before_it_was_kept(source=source, cause="rate_limited") for _ in "12")
    count_marked()
    counted = receipt_rollups()
    Receipt.objects.filter(pk=kept.pk).update(status="processed", cause="")
    gone.delete()
    done = rebuild_rollups(since=SINCE, until=UNTIL, as_they_stand=True)
    assert [(item.account_id, item.of) for item in done.refused] == [
        (source.account_id, "receipts")
    ]
    assert receipt_rollups() == counted


@pytest.mark.parametrize("status", ["processed", "refused", "dead"])
def test_receipts_whose_bodies_were_pruned_keep_their_bytes(status: str) -> None:
    account = make_account(receipt_body_days=0, receipt_days=30, dead_letter_days=0)
    cause = "rate_limited" if status == "refused" else ""
    receipt = make_receipt(
        make_source(account),
        body=b"12345",
        status=status,
        cause=cause,
        received_at=START,
        next_attempt_at=None,
        dead_at=START if status == "dead" else None,
    )
    count_marked()
    prune_receipts()
    receipt.refresh_from_db()
    assert (bytes(receipt.body), receipt.pruned_bytes) == (b"", 5)
    prune_receipts()
    rebuilt_from_nothing()
    assert set(ReceiptRollup.objects.values_list("receipt_bytes", flat=True)) == {5}


def test_an_expunged_receipt_keeps_its_bytes() -> None:
    receipt = make_receipt(
        body=b"1234567", status="processed", received_at=START, next_attempt_at=None
    )
    count_marked()
    assert expunge_page([], [receipt.pk]).receipts == 1
    rebuilt_from_nothing()
    assert set(ReceiptRollup.objects.values_list("receipt_bytes", flat=True)) == {7}


def test_receipts_emptied_before_their_size_was_kept_are_left_as_they_were_counted() -> None:
    receipt = make_receipt(body=b"123", received_at=START)
    count_marked()
    Receipt.objects.update(body=b"")
    done = rebuild_rollups(since=SINCE, until=UNTIL)
    assert [(item.account_id, item.of) for item in done.refused] == [
        (receipt.account_id, "receipts")
    ]
    assert set(ReceiptRollup.objects.values_list("receipt_bytes", flat=True)) == {3}


def test_an_account_that_is_gone_stays_in_the_hubs_sums() -> None:
    delivery = make_delivery(make_event(make_account()))
    make_attempt(delivery, started_at=START)
    make_attempt(started_at=START)
    count_marked()
    delivery.account.delete()
    rebuild_rollups(since=SINCE, until=UNTIL)
    assert {row.attempts for row in Rollup.objects.filter(scope=Scope.HUB)} == {2}
    assert {row.attempts for row in Rollup.objects.filter(scope=Scope.ACCOUNT)} == {1}


def test_compacted_grains_are_not_made_again() -> None:
    deliveries = make_deliveries()
    add(deliveries, [(0, 0, "", 10.0, 5.0)])
    count_marked()
    with time_machine.travel(UNTIL + 60 * DAY, tick=False):
        compact_rollups()
        kept = set(Rollup.objects.values_list("grain", "scope"))
        assert {grain for grain, _ in kept} == {Grain.HOUR, Grain.DAY, Grain.MONTH}
        assert {scope for grain, scope in kept if grain == Grain.HOUR} == {
            Scope.HUB, Scope.ACCOUNT,
        }  # fmt: skip
        before = rollups()
        Rollup.objects.filter(grain=Grain.HOUR).delete()
        rebuild_rollups(since=SINCE, until=UNTIL)
        assert rollups() == before
        # One that comes as late as that is counted all the same.
        add(deliveries, [(0, 1, "", 10.0, 5.0)])
        count_marked()
        found = Rollup.objects.filter(scope=Scope.ACCOUNT).values_list("grain", "attempts")
        assert dict(found) == {Grain.HOUR: 2, Grain.DAY: 2, Grain.MONTH: 2}
    assert Horizon.objects.count() == 4


def test_the_horizon_never_moves_back(settings: Any) -> None:
    compact_rollups()
    first = dict(Horizon.objects.filter(is_wide=False).values_list("grain", "since"))
    settings.WEBHOOKS_ROLLUP_MINUTES_DAYS = 30
    compact_rollups()
    assert dict(Horizon.objects.filter(is_wide=False).values_list("grain", "since")) == first


# --- beside those who count -----------------------------------------------------------------------


@pytest.fixture
def is_locked(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Ends with whether the lock of those who count is held now."""
    held = [False]

    @contextmanager
    def noted() -> Iterator[None]:
        with counting():
            held.append(True)
            try:
                yield
            finally:
                held.append(False)

    monkeypatch.setattr(rebuild, "counting", noted)
    return held


@pytest.mark.parametrize("times", [0, 1, 2, 100])
def test_what_is_counted_while_a_day_is_read_is_counted_once(
    times: int, is_locked: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    deliveries = make_deliveries()
    add(deliveries, [(0, 0, "", 10.0, 5.0)])
    count_marked()
    unlocked = []

    def reading(series: Any, since: datetime, until: datetime) -> Any:
        found = read(series, since, until)
        if series is counted_attempts and not is_locked[-1]:
            unlocked.append(since)
            if len(unlocked) <= times:  # another node, which was quicker
                add(deliveries, [(0, len(unlocked), "", 20.0, 5.0)])
                count_marked()
        return found

    monkeypatch.setattr(rebuild, "read", reading)
    done = rebuild_rollups(since=START, until=START + timedelta(minutes=1))
    assert done.refused == []
    added = min(times, rebuild.UNLOCKED_TRIES)
    assert len(unlocked) == min(times + 1, rebuild.UNLOCKED_TRIES)
    assert done.counted == 1 + added
    assert rollups() == recomputed()
    count_marked()
    assert rollups() == recomputed()


@pytest.mark.parametrize("times", [0, 1, 2, 100])
@pytest.mark.parametrize("scope", [Scope.HUB, Scope.FULL])
def test_what_is_counted_while_a_month_is_summed_is_counted_once(
    scope: Scope, times: int, is_locked: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    deliveries = make_deliveries()
    add(deliveries, [(0, 0, "", 10.0, 5.0)])
    count_marked()
    Rollup.objects.filter(grain=Grain.MONTH).update(retries=77)
    summed = []  # of each reading, whether under the lock

    def reading(series: Any, of: Scope, grain: Grain, periods: Any, *condition: Any) -> Any:
        found = stored_tallies(series, of, grain, periods, *condition)
        days_of_month = grain is Grain.DAY and len(periods) > 1
        if days_of_month and series is counted_attempts and of is scope:
            summed.append(is_locked[-1])
            if not is_locked[-1] and len(summed) <= times:  # another node, which was quicker
                add(deliveries, [(0, len(summed), "", 20.0, 5.0)])
                count_marked()
        return found

    monkeypatch.setattr(rebuild, "stored_tallies", reading)
    rebuild_rollups(since=START, until=START + timedelta(minutes=1))
    assert summed == (
        [False] * (times + 1)
        if times < rebuild.UNLOCKED_TRIES
        else [*[False] * rebuild.UNLOCKED_TRIES, True]
    )
    assert rollups() == recomputed()
    count_marked()
    assert rollups() == recomputed()


def test_a_month_of_receipts_is_summed_anew_where_they_were_counted_meanwhile(
    is_locked: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make_source()
    make_receipt(source, body=b"123", received_at=START)
    count_marked()
    ReceiptRollup.objects.filter(grain=Grain.MONTH).delete()
    summed = []

    def reading(series: Any, of: Scope, grain: Grain, periods: Any, *condition: Any) -> Any:
        found = stored_tallies(series, of, grain, periods, *condition)
        if (
            series is counted_receipts
            and of is Scope.FULL
            and len(periods) > 1
            and grain is Grain.DAY
        ):
            summed.append(is_locked[-1])
            if len(summed) == 1:
                make_receipt(source, body=b"12345", received_at=START)
                count_marked()
        return found

    monkeypatch.setattr(rebuild, "stored_tallies", reading)
    rebuild_rollups(since=START, until=START + timedelta(minutes=1))
    assert summed == [False, False]
    found = ReceiptRollup.objects.filter(grain=Grain.MONTH).order_by("scope")
    assert list(found.values_list("scope", "receipts", "receipt_bytes")) == [
        (scope, 2, 8)
        for scope in (Scope.HUB, Scope.ACCOUNT, Scope.EVENT_TYPE, Scope.FULL, Scope.SOURCE)
    ]


# --- the command ----------------------------------------------------------------------------------


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command("rebuild_rollups", *arguments, stdout=out)
    return out.getvalue()


def test_the_command_says_what_it_did() -> None:
    deliveries = make_deliveries()
    add(deliveries, [(0, 0, "", 10.0, 5.0)])
    dry = run("--dry-run")
    assert dry.splitlines()[-1] == (
        "1 attempts and receipts of 3 days counted, 13 rows would be changed"
    )
    assert not Rollup.objects.exists()
    assert "18 rows changed" in run("--since", "2026-03-31T00:00:00Z")
    found = json.loads(run("--since", "2026-03-31T00:00:00Z", "--until",
                           "2026-04-01T00:00:00Z", "--json"))  # fmt: skip
    assert found == {"days": 1, "counted": 1, "changed": 0, "refused": []}
    Attempt.objects.all().delete()
    assert "is left alone: fewer attempts are there" in run("--since", "2026-03-31T00:00:00Z")


def test_the_command_names_what_counts_verdicts_as_they_stand() -> None:
    receipt = refused_before_it_was_kept(cause="rate_limited")
    count_marked()
    Receipt.objects.update(status="processed", cause="")
    since = ("--since", "2026-03-31T00:00:00Z")
    [told] = [line for line in run(*since).splitlines() if "left alone" in line]
    assert told == (
        f"{START.date()} of account {receipt.account_id} is left alone: all receipts are there, "
        "but some under another verdict than was counted; --verdicts-as-they-stand counts them by "
        "what they are now"
    )
    assert run(*since, "--verdicts-as-they-stand").splitlines()[-1] == (
        "1 attempts and receipts of 3 days counted, 36 rows changed"
    )
    assert set(ReceiptRollup.objects.values_list("verdict", flat=True)) == {"accepted"}
