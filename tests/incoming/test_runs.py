"""Running handlers: each in its own transaction, at least once, until it succeeds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
import time_machine
from django.conf import settings
from django.db import OperationalError, connection, connections, transaction
from django.test import TestCase

from incoming.errors import StateNotAllowed
from incoming.handlers import GiveUp, Webhook
from incoming.models import HandlerRun, Receipt, Source, SourceSecret
from incoming.processing import process_due_receipts
from incoming.runs import (
    LEASE_GRACE_SECONDS,
    MAX_ERROR_LENGTH,
    Line,
    fail_lost_runs,
    run_handler_pump,
    run_next,
    try_run,
)
from incoming.services import reprocess_receipt, rerun
from monitoring.models import Activity, AuditEntry
from outgoing.models import Event
from outgoing.services import publish
from tests.factories import SOURCE_SECRET, make_receipt, make_source
from tests.incoming.handlers import (
    Place,
    add_handler,
    make_routed,
    no_handlers,  # noqa: F401 - a fixture
    run_due,
    runs,
)
from webhooks_project.lib import clock
from webhooks_project.lib.ids import new_id

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 14, 15, 9, 26, 535_897, tzinfo=UTC)


@pytest.fixture
def traveller() -> Iterator[Any]:
    with time_machine.travel(NOW, tick=False) as moving:
        yield moving


def fail(webhook: Webhook) -> None:
    raise ValueError(f"no luck with {webhook.data}")


def note(name: str) -> Callable[[Webhook], None]:
    """A handler with an effect in the database."""

    def publish_note(webhook: Webhook) -> None:
        publish(account=webhook.account_id, type=name, data={"round": webhook.round})

    return publish_note


def noted() -> list[str]:
    """The effects that are there."""
    return sorted(Event.objects.filter(type__startswith="did.").values_list("type", flat=True))


def state_of(receipt: Receipt) -> tuple[str, str, str]:
    receipt.refresh_from_db()
    return (receipt.status, receipt.cause, receipt.detail)


# --- what a handler is told -----------------------------------------------------------------------


def test_a_handler_is_told_what_came(traveller: Any) -> None:
    told = add_handler("a")
    source = make_source(name="Our GitHub", transformation='{"n": number + 1}')
    receipt = make_routed(
        source=source,
        body=b'{"number": 1}',
        headers={"content-type": "application/json", "x-a": "b"},
        type="push",
        external_id="e-1",
        received_at=NOW - timedelta(minutes=2),
        signed_at=NOW - timedelta(minutes=3),
        is_verified=True,
    )
    assert run_due() == 1
    (webhook,) = told
    assert webhook == Webhook(
        receipt_id=receipt.pk,
        account_id=receipt.account_id,
        source_id=source.pk,
        source_name="Our GitHub",
        provider="github",
        type="push",
        external_id="e-1",
        data={"n": 2},
        body=b'{"number": 1}',
        headers={"content-type": "application/json", "x-a": "b"},
        received_at=NOW - timedelta(minutes=2),
        signed_at=NOW - timedelta(minutes=3),
        is_verified=True,
        idempotency_key=webhook.idempotency_key,
        attempt=1,
        round=0,
    )
    assert not webhook.is_replay
    assert "number" not in repr(webhook)


def test_the_idempotency_key_is_the_same_on_every_try_and_replay(traveller: Any) -> None:
    first, other = add_handler("a", fail), add_handler("b")
    receipt = make_routed()
    run_due()
    traveller.shift(10)
    run_due()
    Receipt.objects.update(status="accepted", round=1, routed_at=None, next_attempt_at=NOW)
    process_due_receipts()
    run_due()
    assert [(told.attempt, told.round, told.is_replay) for told in first] == [
        (1, 0, False),
        (2, 0, False),
        (1, 1, True),
    ]
    assert len({told.idempotency_key for told in first}) == 1
    assert {told.idempotency_key for told in other} != {first[0].idempotency_key}
    make_routed(source=receipt.source)
    run_due()
    assert len({told.idempotency_key for told in first}) == 2


# --- the end of a run -----------------------------------------------------------------------------


def test_a_run_that_succeeds_is_done(traveller: Any) -> None:
    add_handler("a", note("did.a"))
    receipt = make_routed()
    assert state_of(receipt) == ("processing", "", "")
    place = Place()
    assert run_due(place) == 1
    run = HandlerRun.objects.get()
    assert (run.status, run.attempt_count, run.cause, run.error) == ("succeeded", 1, "", "")
    assert (run.lease_token, run.leased_until, run.next_attempt_at) == (None, None, None)
    assert (run.started_at, run.finished_at) == (NOW, NOW)
    assert run.worker == "node/processing/1"
    assert run.duration_ms is not None
    assert run.duration_ms < 1_000
    assert noted() == ["did.a"]
    assert state_of(receipt) == ("processed", "", "")
    assert receipt.processed_at == NOW
    assert place.kept_for == [45]
    assert run_due() == 0


def test_one_handler_s_failure_stops_no_other_and_leaves_nothing(traveller: Any) -> None:
    def note_and_fail(webhook: Webhook) -> None:
        note("did.b")(webhook)
        fail(webhook)

    done = add_handler("a", note("did.a"))
    tried = add_handler("b", note_and_fail)
    last = add_handler("c", note("did.c"))
    receipt = make_routed(body=b'{"n": 1}')
    assert run_due() == 3
    assert runs("handler", "status", "attempt_count", "cause") == [
        ("a", "succeeded", 1, ""),
        ("b", "failed", 1, "ValueError"),
        ("c", "succeeded", 1, ""),
    ]
    assert noted() == ["did.a", "did.c"]
    detail = "b: ValueError: no luck with {'n': 1}"
    assert state_of(receipt) == ("failed", "ValueError", detail)
    source = Source.objects.get()
    assert (source.last_error, source.last_error_at) == (detail, NOW)
    run = HandlerRun.objects.get(handler="b")
    assert run.next_attempt_at == NOW + timedelta(seconds=10)
    assert run.error.startswith("Traceback (most recent call last):\n")
    assert "in note_and_fail\n" in run.error
    assert "incoming/runs.py" not in run.error.replace("tests/incoming/test_runs.py", "")
    assert run.error.endswith("ValueError: no luck with {'n': 1}\n")
    traveller.shift(10)
    assert run_due() == 1
    assert (len(done), len(tried), len(last)) == (1, 2, 1)


def test_is_tried_again_at_its_times_and_then_dead(traveller: Any) -> None:
    told = add_handler("a", fail, retry_seconds=(10, 60))
    receipt = make_routed(body=b"1")
    for seconds in (10, 60):
        assert run_due() == 1
        assert runs("status") == [("failed",)]
        traveller.shift(seconds - 0.001)
        assert run_due() == 0
        traveller.shift(0.001)
    assert Activity.objects.count() == 0
    with TestCase.captureOnCommitCallbacks(execute=True):
        assert run_due() == 1
    assert runs("status", "attempt_count", "next_attempt_at", "finished_at") == [
        ("dead", 3, None, clock.now())
    ]
    assert state_of(receipt) == ("dead", "ValueError", "a: ValueError: no luck with 1")
    activity = Activity.objects.get()
    assert (activity.account_id, activity.kind) == (receipt.account_id, "handler.dead")
    assert activity.object_id == str(receipt.source_id)
    assert activity.text == (
        f"Handler a was given up for receipt {receipt.pk} after 3 tries: ValueError: no luck with 1"
    )
    traveller.shift(1_000_000)
    assert run_due() == 0
    assert len(told) == 3


def test_giving_up_is_the_end_at_once() -> None:
    def give_up(webhook: Webhook) -> None:
        raise GiveUp("no such customer")

    add_handler("a", give_up)
    receipt = make_routed()
    with TestCase.captureOnCommitCallbacks(execute=True):
        run_due()
    assert runs("status", "attempt_count", "cause") == [("dead", 1, "GiveUp")]
    assert state_of(receipt)[0] == "dead"
    assert Activity.objects.count() == 1


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (SystemExit(1), "SystemExit"),
        (RecursionError(), "RecursionError"),
        (StateNotAllowed("not now"), "state_not_allowed"),
        (OperationalError("database is locked"), "OperationalError"),
        (type("X" * 100, (Exception,), {})("\x00 \ud800"), "X" * 64),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_whatever_a_handler_raises_is_its_failure(error: BaseException, cause: str) -> None:
    def raise_it(webhook: Webhook) -> None:
        raise error

    add_handler("a", raise_it)
    make_routed()
    run_due()
    assert runs("status", "cause") == [("failed", cause)]


def test_a_broken_transaction_is_a_failure_and_leaves_nothing() -> None:
    def go_on_after_an_error(webhook: Webhook) -> None:
        note("did.a")(webhook)
        try:
            with transaction.atomic(savepoint=False):
                raise KeyError
        except KeyError:
            pass

    add_handler("a", go_on_after_an_error)
    make_routed()
    run_due()
    assert runs("status", "cause") == [("failed", "TransactionManagementError")]
    assert noted() == []


def test_a_traceback_is_bounded_and_without_the_source_s_secrets() -> None:
    source = make_source()
    SourceSecret.objects.create(source=source, option="token", secret="option-secret-1")

    def tell_secrets(webhook: Webhook) -> None:
        raise ValueError("x" * MAX_ERROR_LENGTH + SOURCE_SECRET + " option-secret-1")

    add_handler("a", tell_secrets)
    receipt = make_routed(source=source)
    run_due()
    (error,) = HandlerRun.objects.values_list("error", flat=True)
    assert len(error) == MAX_ERROR_LENGTH
    assert error.endswith("x[redacted] [redacted]\n")
    source.refresh_from_db()
    for text in (error, source.last_error, state_of(receipt)[2]):
        assert SOURCE_SECRET not in text
        assert "option-secret-1" not in text


@pytest.mark.parametrize("name", ["sleep", "busy"])
def test_a_run_has_a_time_limit(name: str) -> None:
    def sleep() -> None:
        time.sleep(10)

    def busy() -> None:
        ends_at = time.monotonic() + 10
        while time.monotonic() < ends_at:
            pass

    def too_long(webhook: Webhook) -> None:
        note("did.a")(webhook)
        with suppress(Exception):  # which the limit is none of
            {"sleep": sleep, "busy": busy}[name]()

    add_handler("a", too_long, time_limit=0.2)
    add_handler("b", note("did.b"))
    receipt = make_routed()
    started_at = time.monotonic()
    assert run_due() == 2
    assert time.monotonic() - started_at < 2
    assert runs("handler", "status", "cause") == [
        ("a", "failed", "timed_out"),
        ("b", "succeeded", ""),
    ]
    run = HandlerRun.objects.get(handler="a")
    assert run.error.endswith("TimeLimitExceeded: it took longer than 0.2 s\n")
    assert f"in {name}\n" in run.error
    assert run.duration_ms is not None
    assert 200 <= run.duration_ms < 1_000
    assert noted() == ["did.b"]
    assert state_of(receipt)[:2] == ("failed", "timed_out")


def test_a_handler_that_is_gone_fails_until_it_is_back(traveller: Any) -> None:
    route = {"action": "handle", "handler": "gone"}
    receipt = make_routed(source=make_source(routes=(route,)))
    run_due()
    assert runs("status", "cause", "error") == [
        ("failed", "handler_unknown", "no handler is named gone")
    ]
    assert state_of(receipt) == ("failed", "handler_unknown", "gone: no handler is named gone")
    told = add_handler("gone", routed=True)
    traveller.shift(10)
    assert run_due() == 1
    assert len(told) == 1
    assert state_of(receipt) == ("processed", "", "")


def test_what_cannot_be_transformed_now_is_a_failure() -> None:
    told = add_handler("a")
    make_routed()
    Source.objects.update(transformation="$error('no')")
    run_due()
    assert runs("status", "cause") == [("failed", "evaluation_failed")]
    assert told == []


def test_a_pruned_body_is_the_end() -> None:
    told = add_handler("a")
    make_routed()
    Receipt.objects.update(body=b"", body_pruned_at=NOW)
    run_due()
    assert runs("status", "cause") == [("dead", "body_pruned")]
    assert told == []


# --- the receipt's status -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        (("succeeded", "succeeded"), "processed"),
        (("succeeded", "pending"), "processing"),
        (("succeeded", "running"), "processing"),
        (("failed", "pending"), "failed"),
        (("dead", "pending"), "dead"),
        (("failed", "dead"), "dead"),
    ],
)
def test_a_receipt_s_status_follows_its_runs(statuses: tuple[str, str], expected: str) -> None:
    for name in ("a", "b", "c"):
        add_handler(name)
    receipt = make_routed()
    for name, status in zip(("a", "b"), statuses, strict=True):
        HandlerRun.objects.filter(handler=name).update(status=status, next_attempt_at=None)
    run_due()
    assert state_of(receipt)[0] == expected


def test_a_run_of_an_earlier_round_says_nothing_of_the_receipt() -> None:
    add_handler("a", fail)
    receipt = make_routed()
    Receipt.objects.update(status="processed", round=1)
    run_due()
    assert runs("round", "status") == [(0, "failed")]
    assert state_of(receipt) == ("processed", "", "")


# --- again ----------------------------------------------------------------------------------------


def make_dead(*handlers: str, **fields: Any) -> Receipt:
    """A receipt of which these handlers gave up."""
    for name in handlers:
        add_handler(name, fail, retry_seconds=())
    receipt = make_routed(**fields)
    run_due()
    assert state_of(receipt)[0] == "dead"
    return receipt


def mend(name: str) -> list[Webhook]:
    from incoming.handlers import HANDLERS

    del HANDLERS[name]
    return add_handler(name)


def test_a_dead_run_can_be_run_again_after_the_fix(traveller: Any) -> None:
    succeeded = add_handler("b")
    receipt = make_dead("a")
    told = mend("a")
    run = rerun(run=HandlerRun.objects.get(handler="a"))
    assert (run.status, run.attempt_count, run.next_attempt_at) == ("pending", 0, NOW)
    assert run.finished_at is None
    assert state_of(receipt) == ("processing", "", "")
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.object_id) == ("handler.rerun", str(run.pk))
    assert orjson.loads(entry.after) == {"handler": "a", "receipt": str(receipt.pk)}
    assert run_due() == 1
    assert (len(told), len(succeeded)) == (1, 1)
    assert runs("status", "cause", "error") == [("succeeded", "", "")] * 2
    assert state_of(receipt) == ("processed", "", "")


def test_a_run_that_is_run_again_has_all_its_tries_before_it(traveller: Any) -> None:
    add_handler("a", fail, retry_seconds=(10, 60))
    make_routed()
    for _ in range(2):
        run_due()
        traveller.shift(10)
    rerun(run=HandlerRun.objects.get())
    run_due()
    assert runs("status", "attempt_count", "next_attempt_at") == [
        ("failed", 1, clock.now() + timedelta(seconds=10))
    ]


@pytest.mark.parametrize("status", ["pending", "running", "succeeded"])
def test_no_other_run_can_be_run_again(status: str) -> None:
    add_handler("a")
    make_routed()
    HandlerRun.objects.update(status=status)
    with pytest.raises(StateNotAllowed, match="only a failed or dead run can be run again"):
        rerun(run=HandlerRun.objects.get())
    assert runs("status") == [(status,)]
    assert AuditEntry.objects.count() == 0


def test_a_run_of_an_earlier_round_or_without_a_body_is_not_run_again() -> None:
    make_dead("a")
    run = HandlerRun.objects.get()
    Receipt.objects.update(body_pruned_at=NOW)
    with pytest.raises(StateNotAllowed, match="the receipt's body was pruned"):
        rerun(run=run)
    Receipt.objects.update(body_pruned_at=None, round=1)
    with pytest.raises(StateNotAllowed, match="the receipt was replayed since"):
        rerun(run=run)
    assert runs("status") == [("dead",)]
    assert AuditEntry.objects.count() == 0


def test_a_routed_receipt_that_is_processed_again_runs_what_failed_and_nothing_else(
    traveller: Any,
) -> None:
    succeeded = add_handler("c")
    add_handler("b", fail)
    receipt = make_dead("a")
    assert runs("status") == [("dead",), ("failed",), ("succeeded",)]
    events = Event.objects.count()
    told = mend("a"), mend("b")
    reprocess_receipt(receipt=receipt)
    assert receipt.status == "processing"
    assert AuditEntry.objects.get().action == "receipt.reprocessed"
    assert process_due_receipts() == 0
    assert run_due() == 2
    assert [len(each) for each in told] == [1, 1]
    assert (len(succeeded), Event.objects.count()) == (1, events)
    assert state_of(receipt) == ("processed", "", "")


# --- claims and lost workers ----------------------------------------------------------------------


def claim(name: str = "a") -> tuple[Any, Any]:
    claimed = HandlerRun.objects.claim(
        handler=name, now=clock.now(), lease=timedelta(seconds=30), worker="w"
    )
    assert claimed is not None
    return claimed


def test_a_claim_counts_the_try_and_holds_the_lease(traveller: Any) -> None:
    add_handler("a")
    make_routed()
    run_id, token = claim()
    assert runs("pk", "status", "attempt_count", "lease_token", "leased_until", "worker") == [
        (run_id, "running", 1, token, NOW + timedelta(seconds=30), "w")
    ]
    assert run_due() == 0


def test_a_lost_worker_s_try_counts_as_failed(traveller: Any) -> None:
    told = add_handler("a")
    receipt = make_routed()
    claim()
    traveller.shift(30)
    assert fail_lost_runs(clock.now()) == 0
    traveller.shift(0.001)
    assert fail_lost_runs(clock.now()) == 1
    assert runs("status", "attempt_count", "cause", "lease_token", "duration_ms") == [
        ("failed", 1, "worker_lost", None, None)
    ]
    assert state_of(receipt)[:2] == ("failed", "worker_lost")
    traveller.shift(10)
    assert run_due() == 1
    assert [webhook.attempt for webhook in told] == [2]
    assert state_of(receipt)[0] == "processed"


def test_a_handler_that_loses_every_worker_is_dead_in_the_end(traveller: Any) -> None:
    add_handler("a", retry_seconds=(10,))
    receipt = make_routed()
    for _ in range(2):
        claim()
        traveller.shift(31)
        assert fail_lost_runs(clock.now()) == 1
        traveller.shift(10)
    assert runs("status", "attempt_count", "cause") == [("dead", 2, "worker_lost")]
    assert state_of(receipt)[0] == "dead"


@pytest.mark.parametrize("ending", ["succeeds", "fails"])
def test_a_worker_that_lost_its_claim_takes_back_what_it_did(ending: str) -> None:
    other = new_id()

    def lose_the_claim(webhook: Webhook) -> None:
        note("did.a")(webhook)
        HandlerRun.objects.update(lease_token=other)
        if ending == "fails":
            fail(webhook)

    add_handler("a", lose_the_claim)
    receipt = make_routed()
    run_id, token = claim()
    try_run(run_id, token)
    assert noted() == []
    # What the handler did was taken back, its own stand-in for the other worker too.
    assert state_of(receipt)[0] in ("processing", "failed")
    HandlerRun.objects.update(status="running", lease_token=other)
    try_run(run_id, token)
    assert runs("status", "lease_token") == [("running", other)]
    assert noted() == []


# --- turns ----------------------------------------------------------------------------------------


def test_a_long_backlog_of_one_handler_does_not_starve_another() -> None:
    order: list[str] = []

    def append(name: str) -> Callable[[Webhook], None]:
        return lambda webhook: order.append(name)

    add_handler("busy", append("busy"))
    source = make_source(routes=())
    for _ in range(20):
        make_receipt(source, type="push")
    process_due_receipts()
    line, place = Line(), Place()
    for _ in range(3):
        assert run_next(line, place)  # type: ignore[arg-type]
    add_handler("rare", append("rare"))
    HandlerRun.objects.filter(handler="busy", status="pending").update(next_attempt_at=NOW)
    make_receipt(source)
    process_due_receipts()
    line._look_after = 0.0
    while run_next(line, place):  # type: ignore[arg-type]
        pass
    assert order.count("busy") == 21
    assert order.index("rare") in (3, 4)


def test_a_handler_that_another_worker_runs_waits_while_others_are_waited_for() -> None:
    order: list[str] = []
    for name in ("slow", "quick"):
        add_handler(name, lambda webhook, name=name: order.append(name))  # type: ignore[misc]
    source = make_source(routes=())
    for _ in range(3):
        make_receipt(source)
    process_due_receipts()
    claim("slow")
    run_due()
    assert order == ["quick"] * 3 + ["slow"] * 2


def test_an_idle_look_is_one_read(django_assert_num_queries: Any) -> None:
    add_handler("a")
    make_routed()
    run_due()
    line, place = Line(), Place()
    with django_assert_num_queries(1):
        assert not run_next(line, place)  # type: ignore[arg-type]


def test_the_pump_counts_lost_runs_and_works_its_line_off(traveller: Any) -> None:
    told = add_handler("a")
    source = make_source()
    make_routed(source=source)
    claim()
    HandlerRun.objects.update(leased_until=NOW - timedelta(seconds=1))
    make_routed(source=source)
    assert run_handler_pump(Place(2)) == 1  # type: ignore[arg-type]
    assert len(told) == 1
    assert sorted(runs("status")) == [("failed",), ("succeeded",)]


def test_the_pump_waits_for_a_database_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    told = add_handler("a")
    make_routed()
    calls: list[int] = []

    def fail_once(now: datetime) -> int:
        calls.append(1)
        if len(calls) == 1:
            raise OperationalError("the server is gone")
        return 0

    monkeypatch.setattr("incoming.runs.fail_lost_runs", fail_once)
    monkeypatch.setattr("incoming.runs.SWEEP_SECONDS", 0)
    monkeypatch.setattr("incoming.runs.DATABASE_PAUSE_SECONDS", 0)
    monkeypatch.setattr("incoming.runs.db.close_old_connections", lambda: None)
    assert run_handler_pump(Place(2)) == 1  # type: ignore[arg-type]
    assert len(told) == 1


# --- transactions that are really committed -------------------------------------------------------


def other_connection_writes() -> float:
    """Seconds that another connection needs to write a row."""
    seconds: list[float] = []

    def write() -> None:
        started_at = time.monotonic()
        try:
            Source.objects.update(last_error="written meanwhile")
        finally:
            seconds.append(time.monotonic() - started_at)
            connections.close_all()

    thread = threading.Thread(target=write)
    thread.start()
    thread.join()
    return seconds[0]


@pytest.mark.django_db(transaction=True)
def test_a_handler_that_has_written_nothing_yet_keeps_nobody_from_writing() -> None:
    seconds: list[float] = []

    def wait_and_write(webhook: Webhook) -> None:
        seconds.append(other_connection_writes())
        note("did.a")(webhook)

    add_handler("a", wait_and_write)
    receipt = make_routed()
    assert run_due() == 1
    assert seconds[0] < 5
    assert noted() == ["did.a"]
    assert state_of(receipt)[0] == "processed"
    assert not connection.in_atomic_block
    assert connection.get_autocommit()


@pytest.mark.django_db(transaction=True)
def test_what_a_failed_handler_wrote_is_rolled_back() -> None:
    def write_and_fail(webhook: Webhook) -> None:
        note("did.a")(webhook)
        with transaction.atomic():
            note("did.b")(webhook)
        fail(webhook)

    add_handler("a", write_and_fail)
    make_routed()
    run_due()
    assert noted() == []
    assert runs("status") == [("failed",)]


@pytest.mark.django_db(transaction=True)
def test_a_time_limit_in_the_middle_of_writing_leaves_nothing() -> None:
    def write_for_ever(webhook: Webhook) -> None:
        while True:
            note("did.a")(webhook)

    add_handler("a", write_for_ever, time_limit=0.3)
    add_handler("b", note("did.b"))
    make_routed()
    assert run_due() == 2
    assert runs("status", "cause") == [("failed", "timed_out"), ("succeeded", "")]
    assert noted() == ["did.b"]


@pytest.mark.django_db(transaction=True)
def test_what_waits_for_the_commit_is_called_after_the_end_is_written() -> None:
    seen: list[Any] = []

    def wait_for_commit(webhook: Webhook) -> None:
        transaction.on_commit(lambda: seen.append(runs("status")))

    add_handler("a", wait_for_commit)
    make_routed()
    run_due()
    assert seen == [[("succeeded",)]]


# The tests' SQLite is in memory and has no two writers; tests/hub has them on a file.
with_two_writers = pytest.mark.skipif(
    settings.DATABASES["default"]["ENGINE"].endswith("sqlite"), reason="needs two writers"
)


@with_two_writers
@pytest.mark.django_db(transaction=True)
def test_two_runs_that_end_at_once_leave_the_receipt_processed() -> None:
    """Each has its end before it when the other comes; neither overlooks the other."""
    barrier = threading.Barrier(2, timeout=20)
    names = ("a", "b")
    for name in names:
        add_handler(name)
    receipts = [make_routed() for _ in range(5)]

    def end_each(name: str) -> None:
        from incoming.runs import _succeed

        try:
            for receipt in receipts:
                run = HandlerRun.objects.get(receipt=receipt, handler=name)
                claimed = new_id()
                HandlerRun.objects.filter(pk=run.pk).update(
                    status="running", next_attempt_at=None, lease_token=claimed
                )
                barrier.wait()
                with transaction.atomic():
                    _succeed(run, claimed, 1)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=end_each, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {state_of(receipt)[0] for receipt in receipts} == {"processed"}


@with_two_writers
@pytest.mark.django_db(transaction=True)
def test_two_workers_never_have_one_run_at_once() -> None:
    add_handler("a")
    source = make_source(routes=())
    for _ in range(10):
        make_receipt(source)
    process_due_receipts()
    barrier = threading.Barrier(2, timeout=20)
    taken: list[tuple[Any, Any]] = []

    def take() -> None:
        try:
            barrier.wait()
            while claimed := HandlerRun.objects.claim(
                handler="a", now=clock.now(), lease=timedelta(seconds=30), worker="w"
            ):
                taken.append(claimed)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=take) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == 10
    assert len({run_id for run_id, _ in taken}) == 10
    assert runs("attempt_count") == [(1,)] * 10


def test_a_lease_outlives_what_a_living_worker_may_take() -> None:
    from incoming.runs import GRACE_SECONDS

    assert LEASE_GRACE_SECONDS > GRACE_SECONDS + 5
