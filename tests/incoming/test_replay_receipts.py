"""Past receipts processed again, as a job."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
import time_machine
from django.db import OperationalError, connection, transaction
from django.test.utils import CaptureQueriesContext

from incoming.errors import ReplayNotAcceptable, StateNotAllowed
from incoming.models import HandlerRun, Receipt, ReceiptReplay, Source
from incoming.processing import process_due_receipts
from incoming.refusals import KEPT_BODY_BYTES
from incoming.replays import (
    Selection,
    advance_replays,
    cancel_replay,
    carrying,
    plan_of,
    plan_replay,
    receipts_to_replay,
    replay_receipt,
    start_replay,
)
from monitoring.models import Activity, AuditEntry
from outgoing.models import Event
from tests.factories import make_account, make_receipt, make_source
from webhooks_project.lib.actor import Actor, current_actor
from webhooks_project.lib.ids import new_id

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 4, 12, 0, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
SINCE, UNTIL = NOW - 5 * HOUR, NOW - HOUR


@pytest.fixture(autouse=True)
def _frozen() -> Any:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def source() -> Source:
    return make_source()


def past(source: Source, *, ago: timedelta = 2 * HOUR, **fields: Any) -> Receipt:
    """A receipt that was processed; `ago` is when it was received."""
    kept = {
        "status": "processed",
        "is_verified": True,
        "received_at": NOW - ago,
        "next_attempt_at": None,
        "dedup_slot": None if fields.get("status") in ("refused", "duplicate") else 0,
    }
    return make_receipt(source, **kept | fields)


def asked(**fields: Any) -> Selection:
    return Selection(**{"since": SINCE, "until": UNTIL} | fields)


def found(**fields: Any) -> list[Receipt]:
    return list(receipts_to_replay(asked(**fields)))


def running(**fields: Any) -> ReceiptReplay:
    return start_replay(plan_replay(asked(**fields)))


def carried_out(replay: ReceiptReplay) -> ReceiptReplay:
    for _ in range(50):
        if not advance_replays(NOW) + process_due_receipts():
            break
    replay.refresh_from_db()
    return replay


# --- what is replayed -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ago", "taken"),
    [
        (5 * HOUR, True),
        (5 * HOUR + timedelta(microseconds=1), False),
        (HOUR, False),
        (HOUR + timedelta(microseconds=1), True),
    ],
)
def test_takes_the_period_from_its_start_up_to_its_end(
    source: Source, ago: timedelta, taken: bool
) -> None:
    past(source, ago=ago)
    assert len(found()) == taken


@pytest.mark.parametrize(
    ("pattern", "types"),
    [
        ("", ["Push", "push", "push.tag", "pushed"]),
        ("*", ["Push", "push", "push.tag", "pushed"]),
        ("push", ["push"]),
        ("push*", ["push", "push.tag", "pushed"]),
        ("push.*", ["push.tag"]),
        ("pu_h", []),
        ("pu_h*", []),
        ("%*", []),
    ],
)
def test_takes_a_type_or_all_that_begin_so(source: Source, pattern: str, types: list[str]) -> None:
    for type_ in ("Push", "push", "push.tag", "pushed"):
        past(source, type=type_)
    assert sorted(receipt.type for receipt in found(type_pattern=pattern)) == types


@pytest.mark.parametrize("status", ["processed", "failed", "dead", "refused"])
def test_takes_what_has_a_verdict_and_its_body(source: Source, status: str) -> None:
    receipt = past(source, status=status)
    assert found() == [receipt]


LEFT_OUT: list[tuple[str, dict[str, Any]]] = [
    ("duplicate", {"status": "duplicate"}),
    ("handshake", {"status": "handshake"}),
    ("not_verified", {"status": "refused", "is_verified": False, "cause": "signature_mismatch"}),
    ("not_verified", {"status": "processed", "is_verified": False}),
    ("quarantined", {"status": "accepted", "quarantined_at": NOW, "cause": "schema_mismatch"}),
    ("waiting", {"status": "accepted", "next_attempt_at": NOW}),
    ("waiting", {"status": "processing"}),
    ("body_pruned", {"body": b"", "body_pruned_at": NOW}),
    ("body_cut", {"status": "refused", "body": b"x" * KEPT_BODY_BYTES}),
]


@pytest.mark.parametrize(("reason", "fields"), LEFT_OUT)
def test_leaves_out_what_cannot_be_replayed_and_says_why(
    source: Source, reason: str, fields: dict[str, Any]
) -> None:
    past(source, **fields)
    replay = running()
    assert replay.plan == {"count": 0, "oldest": None, "receipts": [], "left_out": {reason: 1}}
    before = list(Receipt.objects.values())
    advance_replays(NOW)
    assert list(Receipt.objects.values()) == before


@pytest.mark.parametrize("length", [KEPT_BODY_BYTES - 1, KEPT_BODY_BYTES + 1])
def test_a_refused_body_of_another_length_than_the_cut_is_whole(
    source: Source, length: int
) -> None:
    # A longer one was dropped from quarantine, where bodies are kept whole.
    receipt = past(source, status="refused", body=b"x" * length)
    assert found() == [receipt]


def test_a_cut_length_is_no_matter_for_what_was_accepted(source: Source) -> None:
    receipt = past(source, body=b"x" * KEPT_BODY_BYTES)
    assert found() == [receipt]


def test_what_was_refused_and_came_again_is_left_out(source: Source) -> None:
    past(source, status="refused", cause="rate_limited", external_id="a")
    other = past(source, status="refused", cause="rate_limited", external_id="b")
    nameless = past(source, status="refused", cause="rate_limited", external_id="")
    past(make_source(), external_id="b", ago=9 * HOUR)
    accepted = past(source, external_id="a")
    past(source, external_id="", dedup_slot=None, ago=9 * HOUR)

    assert set(found()) == {other, nameless, accepted}
    assert plan_of(asked())["left_out"] == {"repeated": 1}


def test_selects_by_every_mark(source: Source) -> None:
    other = make_source(source.account, name="Other")
    wanted = past(source, status="dead", cause="handler_error")
    past(source, status="dead", cause="timed_out")
    past(source, status="failed", cause="handler_error")
    past(other, status="dead", cause="handler_error")
    past(make_source(), status="dead", cause="handler_error")

    selection = {"source": source, "account": source.account, "cause": "handler_error"}
    assert found(**selection, statuses=["dead"]) == [wanted]
    assert len(found(**selection, statuses=["dead", "failed"])) == 2
    assert len(found(account=source.account)) == 4
    assert len(found(source=source)) == 3
    assert len(found(cause="handler_error")) == 4


def test_one_receipt_alone_though_another_came_in_the_same_microsecond(source: Source) -> None:
    receipts = [past(source) for _ in range(3)]
    assert found(receipt_id=receipts[1].pk) == [receipts[1]]

    replay = carried_out(replay_receipt(receipts[1]))

    assert (replay.status, replay.planned_count, replay.replayed_count) == ("finished", 1, 1)
    assert [Receipt.objects.get(pk=receipt.pk).round for receipt in receipts] == [0, 1, 0]


def test_one_that_is_gone_when_its_turn_comes_takes_no_other_with_it(source: Source) -> None:
    receipts = [past(source), past(source)]
    replay = replay_receipt(receipts[0])
    receipts[0].delete()
    assert carried_out(replay).replayed_count == 0
    assert Receipt.objects.get().round == 0


def test_one_that_cannot_be_replayed_is_no_job(source: Source) -> None:
    receipt = past(source, body_pruned_at=NOW)
    past(source)
    with pytest.raises(StateNotAllowed, match="it cannot be replayed: body_pruned"):
        replay_receipt(receipt)
    assert not ReceiptReplay.objects.exists()


# --- the plan -------------------------------------------------------------------------------------


def test_a_plan_is_written_to_the_job_and_changes_nothing_else(source: Source) -> None:
    current_actor.set(Actor("user", "1", "ann"))
    for ago in (2 * HOUR, 3 * HOUR):
        past(source, ago=ago)
    past(source, status="dead", type="tag")
    past(source, status="handshake")
    past(source, status="refused", is_verified=False)
    past(source, status="refused", is_verified=False)
    before = list(Receipt.objects.order_by("pk").values())

    replay = plan_replay(asked(source=source, statuses=["dead", "processed"]))
    whole = plan_replay(asked(account=source.account))

    def row(type_: str, status: str, count: int) -> dict[str, Any]:
        return {"source": str(source.pk), "source_name": "GitHub", "type": type_,
                "status": status, "count": count}  # fmt: skip

    replay.refresh_from_db()
    assert replay.plan == {
        "count": 3,
        "oldest": "2026-03-04T09:00:00Z",
        "receipts": [row("push", "processed", 2), row("tag", "dead", 1)],
        "left_out": {},
    }
    assert whole.plan["left_out"] == {"handshake": 1, "not_verified": 2}
    assert (replay.status, replay.planned_count, replay.replayed_count) == ("planned", 3, 0)
    assert (replay.since, replay.until, replay.created_at) == (SINCE, UNTIL, NOW)
    assert (replay.account, replay.source) == (source.account, source)
    assert replay.statuses == ["dead", "processed"]
    assert replay.requested_by == "ann"
    assert list(Receipt.objects.order_by("pk").values()) == before
    entry = AuditEntry.objects.filter(object_id=replay.pk).get()
    assert (entry.action, entry.account_id) == ("receipt_replay.planned", source.account_id)
    assert orjson.loads(entry.after)["count"] == 3


def test_what_is_yet_to_come_is_not_replayed(source: Source) -> None:
    replay = plan_replay(asked(until=NOW + HOUR))
    assert replay.until == NOW


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"since": UNTIL}, "since"),
        ({"since": NOW, "until": NOW + HOUR}, "since"),
        ({"type_pattern": "a*b"}, "type_pattern"),
        ({"type_pattern": "**"}, "type_pattern"),
        ({"statuses": ["dead", "gone"]}, "statuses"),
    ],
)
def test_refuses_what_cannot_be_meant(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(ReplayNotAcceptable) as caught:
        plan_replay(asked(**fields))
    assert caught.value.extra == {"field": field}
    assert not ReceiptReplay.objects.exists()


def test_refuses_another_account_s_source(source: Source) -> None:
    with pytest.raises(ReplayNotAcceptable) as caught:
        plan_replay(asked(source=source, account=make_account()))
    assert caught.value.extra == {"field": "source"}


# --- start and cancel -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "may_start", "may_cancel"),
    [
        ("planned", True, True),
        ("running", False, True),
        ("failed", True, False),
        ("finished", False, False),
        ("cancelled", False, False),
    ],
)
def test_what_a_job_s_status_allows(
    source: Source, status: str, may_start: bool, may_cancel: bool
) -> None:
    for act, may, after in (
        (start_replay, may_start, "running"),
        (cancel_replay, may_cancel, "cancelled"),
    ):
        replay = plan_replay(asked(source=source))
        ReceiptReplay.objects.filter(pk=replay.pk).update(status=status, error="was wrong")
        if not may:
            with pytest.raises(StateNotAllowed, match=f"the replay is {status}"):
                act(replay)
        else:
            act(replay)
        replay.refresh_from_db()
        assert replay.status == (after if may else status)


def test_only_so_many_jobs_of_an_account_run_at_a_time(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("incoming.replays.jobs.MAX_RUNNING", 2)
    first, _ = running(source=source), running(source=source)
    third = plan_replay(asked(source=source))
    with pytest.raises(StateNotAllowed, match="2 replays are running"):
        start_replay(third)
    third.refresh_from_db()
    assert (third.status, third.started_at) == ("planned", None)
    running(source=make_source())  # another account's is not counted
    running()  # nor one over all accounts
    cancel_replay(first)
    assert start_replay(third).status == "running"


def test_start_and_cancel_are_audited_and_timed(source: Source) -> None:
    replay = running(source=source)
    assert (replay.started_at, replay.finished_at) == (NOW, None)
    cancel_replay(replay)
    assert replay.finished_at == NOW
    actions = AuditEntry.objects.filter(object_id=replay.pk).order_by("sequence")
    assert list(actions.values_list("action", flat=True)) == [
        "receipt_replay.planned", "receipt_replay.started", "receipt_replay.cancelled",
    ]  # fmt: skip


def test_a_job_over_all_accounts_has_no_one_s_audit(source: Source) -> None:
    past(source)
    replay = carried_out(running())
    assert (replay.account, replay.status, replay.replayed_count) == (None, "finished", 1)
    assert not AuditEntry.objects.exists()


# --- carrying it out ------------------------------------------------------------------------------


def test_a_receipt_is_put_back_in_line_in_a_new_round(source: Source) -> None:
    receipt = past(
        source, status="dead", cause="boom", detail="boom: it broke", attempt_count=6,
        routed_at=NOW - HOUR, processed_at=NOW - HOUR, event_count=1, action_count=2, round=1,
        signed_at=NOW - 3 * HOUR, secret_id="s",
    )  # fmt: skip
    kept = Receipt.objects.filter(pk=receipt.pk).values().get()
    replay = running()

    assert advance_replays(NOW) == 1

    assert Receipt.objects.filter(pk=receipt.pk).values().get() == kept | {
        "status": "accepted", "cause": "", "detail": "", "attempt_count": 0,
        "next_attempt_at": NOW, "routed_at": None, "processed_at": None, "event_count": 0,
        "action_count": 0, "round": 2, "replay_id": replay.pk,
    }  # fmt: skip


def test_it_is_processed_and_publishes_again(source: Source) -> None:
    receipt = past(source)
    replay = carried_out(running())
    receipt.refresh_from_db()
    assert (receipt.status, receipt.round, receipt.event_count) == ("processed", 1, 1)
    assert Event.objects.get().causation_id == receipt.causation_id
    assert (replay.status, replay.replayed_count, replay.finished_at) == ("finished", 1, NOW)


def test_its_end_is_told_to_the_account(source: Source) -> None:
    past(source)
    replay = carried_out(running(source=source))
    activity = Activity.objects.get(kind="receipt_replay.finished")
    assert (activity.account, activity.object_id) == (source.account, str(replay.pk))
    assert activity.text == "1 of 1 planned receipts were put in line again."


def test_nothing_is_verified_anew(source: Source) -> None:
    source.secrets.all().delete()
    receipt = past(source, signed_at=NOW - timedelta(days=400), secret_id=str(uuid.uuid4()))
    carried_out(running())
    receipt.refresh_from_db()
    assert receipt.status == "processed"


def test_runs_that_had_not_ended_are_superseded(source: Source) -> None:
    receipt = past(source, status="failed", routed_at=NOW - HOUR)
    token = new_id()
    fields = {"account": source.account, "source": source, "receipt": receipt, "created_at": NOW}
    for status, more in {
        "pending": {"next_attempt_at": NOW},
        "failed": {"next_attempt_at": NOW + HOUR, "cause": "boom"},
        "running": {"lease_token": token, "leased_until": NOW + HOUR},
        "succeeded": {"finished_at": NOW - HOUR},
        "dead": {"finished_at": NOW - HOUR, "cause": "boom"},
    }.items():
        HandlerRun.objects.create(handler=status, status=status, **fields, **more)
    running()

    advance_replays(NOW)

    ended = HandlerRun.objects.order_by("handler").values_list(
        "handler", "status", "cause", "next_attempt_at", "lease_token", "leased_until",
        "finished_at",
    )  # fmt: skip
    superseded = ("dead", "superseded", None, None, None, NOW)
    assert list(ended) == [
        ("dead", "dead", "boom", None, None, None, NOW - HOUR),
        ("failed", *superseded),
        ("pending", *superseded),
        ("running", *superseded),
        ("succeeded", "succeeded", "", None, None, None, NOW - HOUR),
    ]


def test_the_oldest_come_first_in_batches_behind_a_cursor(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carrying, "BATCH_ROWS", 2)
    moment = NOW - 3 * HOUR
    receipts = [past(source, received_at=moment) for _ in range(3)]
    receipts += [past(source, ago=2 * HOUR), past(source, ago=4 * HOUR)]
    in_order = sorted(receipts, key=lambda receipt: (receipt.received_at, receipt.pk))
    replay = running()

    taken = []
    for expected in (2, 2, 1, 0):
        assert advance_replays(NOW) == expected
        replay.refresh_from_db()
        taken.append((replay.status, replay.replayed_count, replay.cursor_id))
    assert taken == [
        ("running", 2, in_order[1].pk),
        ("running", 4, in_order[3].pk),
        ("running", 5, in_order[4].pk),
        ("finished", 5, in_order[4].pk),
    ]
    assert advance_replays(NOW) == 0


def test_a_batch_that_was_cut_off_left_nothing_and_is_made_again(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carrying, "BATCH_ROWS", 2)
    for minutes in range(3):
        past(source, ago=2 * HOUR + timedelta(minutes=minutes))
    replay = running()
    advance_replays(NOW)

    def cut_off() -> None:
        with transaction.atomic():
            carrying._advance(replay.pk, 200, NOW)
            raise RuntimeError("the process is killed before its commit")

    with pytest.raises(RuntimeError):
        cut_off()
    assert Receipt.objects.filter(round=1).count() == 2

    carried_out(replay)

    assert list(Receipt.objects.values_list("round", flat=True)) == [1, 1, 1]
    replay.refresh_from_db()
    assert (replay.status, replay.replayed_count) == ("finished", 3)


def test_a_job_that_failed_says_why_and_goes_on_where_it_was(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carrying, "BATCH_ROWS", 1)
    past(source)
    past(source)
    replay = running()
    advance_replays(NOW)

    def fail(*args: Any) -> int:
        raise ValueError("no more")

    with monkeypatch.context() as broken:
        broken.setattr(carrying, "_put_in_line", fail)
        assert advance_replays(NOW) == 0
    replay.refresh_from_db()
    assert (replay.status, replay.error) == ("failed", "ValueError: no more")
    assert (replay.replayed_count, replay.finished_at) == (1, NOW)
    assert advance_replays(NOW) == 0

    carried_out(start_replay(replay))

    assert list(Receipt.objects.values_list("round", flat=True)) == [1, 1]
    replay.refresh_from_db()
    assert (replay.status, replay.error, replay.replayed_count) == ("finished", "", 2)


def test_one_job_s_failure_does_not_stop_another(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = make_source()
    past(source)
    receipt = past(other)
    bad, good = running(source=source), running(source=other)
    put_in_line = carrying._put_in_line

    def fail(rows: Any, replay: ReceiptReplay, now: datetime) -> int:
        if replay.pk == bad.pk:
            raise ValueError
        return put_in_line(rows, replay, now)

    monkeypatch.setattr(carrying, "_put_in_line", fail)
    assert advance_replays(NOW) == 1
    receipt.refresh_from_db()
    assert receipt.replay_id == good.pk


def test_a_database_that_is_away_is_not_the_job_s_fault(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    past(source)
    replay = running()

    def fail(*args: Any) -> int:
        raise OperationalError("away")

    monkeypatch.setattr(carrying, "_put_in_line", fail)
    with pytest.raises(OperationalError):
        advance_replays(NOW)
    replay.refresh_from_db()
    assert replay.status == "running"


def test_cancel_stops_it_at_the_next_batch(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(carrying, "BATCH_ROWS", 1)
    past(source)
    past(source)
    replay = running()
    advance_replays(NOW)

    cancel_replay(replay)

    assert advance_replays(NOW) == 0
    assert sorted(Receipt.objects.values_list("round", flat=True)) == [0, 1]
    replay.refresh_from_db()
    assert (replay.status, replay.replayed_count) == ("cancelled", 1)
    assert process_due_receipts() == 1  # what was in line


def test_live_receipts_go_first(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(carrying, "MAX_WAITING", 3)
    for _ in range(5):
        past(source)
    live = [make_receipt(source), make_receipt(source)]
    running()
    assert advance_replays(NOW) == 1
    assert advance_replays(NOW) == 0
    assert process_due_receipts() == 3
    assert {Receipt.objects.get(pk=receipt.pk).status for receipt in live} == {"processed"}
    assert advance_replays(NOW) == 3


def test_jobs_share_the_room_so_that_a_long_one_does_not_stop_a_short_one(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carrying, "MAX_WAITING", 4)
    for _ in range(10):
        past(source)
    other = make_source()
    past(other)
    long, short, empty = running(source=source), running(source=other), running(cause="none")

    assert advance_replays(NOW) == 3

    taken = [ReceiptReplay.objects.get(pk=job.pk).replayed_count for job in (long, short, empty)]
    assert taken == [2, 1, 0]
    assert process_due_receipts() == 3
    assert advance_replays(NOW) == 4  # alone it has all of it
    assert ReceiptReplay.objects.get(pk=short.pk).status == "finished"


def test_the_only_place_goes_round_among_the_jobs(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carrying, "MAX_WAITING", 1)
    jobs = []
    for each in (source, make_source(), make_source()):
        past(each)
        past(each)
        jobs.append(running(source=each))
    taken = []
    for _ in range(3):
        assert advance_replays(NOW) == process_due_receipts() == 1
        taken.append([ReceiptReplay.objects.get(pk=job.pk).replayed_count for job in jobs])
    assert taken == [[1, 0, 0], [1, 1, 0], [1, 1, 1]]


def test_runs_of_handlers_that_wait_hold_it_back_too(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carrying, "MAX_WAITING", 2)
    past(source)
    past(source)
    HandlerRun.objects.create(
        account=source.account, source=source, receipt=past(source, ago=9 * HOUR), handler="h",
        next_attempt_at=NOW, created_at=NOW,
    )  # fmt: skip
    running()
    assert advance_replays(NOW) == 1


@pytest.mark.parametrize("scope", ["source", "account"])
def test_runs_of_others_hold_no_job_back(
    source: Source, monkeypatch: pytest.MonkeyPatch, scope: str
) -> None:
    monkeypatch.setattr(carrying, "MAX_WAITING", 3)
    busy = make_source()
    for each in (source, busy):
        for _ in range(4):
            past(each)
    run = {"account": busy.account, "source": busy, "next_attempt_at": NOW, "created_at": NOW}
    for number in range(5):
        HandlerRun.objects.create(
            **run, receipt=past(busy, ago=9 * HOUR), handler=f"h{number}", status="pending"
        )
    # The stuck one had least so far: it does not keep the room from the other.
    stuck, free = (
        running(**{scope: each if scope == "source" else each.account}) for each in (busy, source)
    )
    counts = []
    for _ in range(4):
        counts.append(advance_replays(NOW))
        Receipt.objects.filter(next_attempt_at__isnull=False).update(next_attempt_at=None)
    stuck.refresh_from_db()
    free.refresh_from_db()
    assert (stuck.replayed_count, stuck.status) == (0, "running")
    assert (free.replayed_count, free.status) == (4, "finished")
    assert sum(counts) == 4
    HandlerRun.objects.update(next_attempt_at=None)
    assert advance_replays(NOW) == 3


def test_overlapping_jobs_do_not_take_one_receipt_at_the_same_moment(source: Source) -> None:
    receipt = past(source)
    first, second = running(), running()

    assert advance_replays(NOW) == 1

    receipt.refresh_from_db()
    assert (receipt.round, receipt.replay_id) == (1, first.pk)
    for replay in (first, second):
        carried_out(replay)
    receipt.refresh_from_db()
    assert (receipt.round, receipt.replay_id) == (1, first.pk)
    second.refresh_from_db()
    assert (second.status, second.planned_count, second.replayed_count) == ("finished", 1, 0)


def test_a_refused_call_is_known_by_its_id_once_it_is_replayed(source: Source) -> None:
    twice = [past(source, status="refused", cause="rate_limited", external_id="a") for _ in "ab"]
    nameless = past(source, status="refused", cause="rate_limited", external_id="")
    replay = carried_out(running())
    assert (replay.planned_count, replay.replayed_count) == (3, 2)
    slots = Receipt.objects.values_list("pk", "status", "dedup_slot")
    assert sorted(slots) == sorted(
        [
            (twice[0].pk, "processed", 0),
            (twice[1].pk, "refused", None),
            (nameless.pk, "processed", None),
        ]
    )


def test_with_chosen_fields_it_is_known_within_its_window() -> None:
    source = make_source(dedup_fields=["json:id"], dedup_window_seconds=3600)
    receipt = past(source, status="refused", external_id="fields:a")
    carried_out(running())
    receipt.refresh_from_db()
    assert receipt.dedup_slot == 1 + int((NOW - 2 * HOUR).timestamp()) // 3600


def test_an_idle_look_is_one_query(source: Source, django_assert_num_queries: Any) -> None:
    plan_replay(asked())
    with django_assert_num_queries(1):
        assert advance_replays(NOW) == 0


def test_a_batch_s_queries_do_not_grow_with_its_rows(source: Source) -> None:
    counts = []
    for size in (1, 20):
        for _ in range(size):
            past(source)
        replay = running()
        with CaptureQueriesContext(connection) as queries:
            assert advance_replays(NOW) == size
        counts.append(len(queries))
        cancel_replay(replay)
        Receipt.objects.all().delete()
    assert counts[0] == counts[1] == 12
