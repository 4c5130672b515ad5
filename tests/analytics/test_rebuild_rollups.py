"""Counting anew gives the same numbers, mends what is wrong, and leaves alone what was pruned."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.core.management import call_command
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from analytics.compaction import compact_rollups
from analytics.counting import count_marked
from analytics.models import Horizon, ReceiptRollup, Rollup, Scope
from analytics.periods import Grain
from analytics.rebuild import rebuild_rollups
from incoming.models import Receipt
from outgoing.models import Attempt
from tests.analytics.test_counting import (
    ATTEMPTS,
    START,
    add,
    make_deliveries,
    recomputed,
    rollups,
)
from tests.factories import make_account, make_attempt, make_delivery, make_event, make_receipt
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


def test_receipts_whose_bodies_were_emptied_are_left_as_they_were_counted() -> None:
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
