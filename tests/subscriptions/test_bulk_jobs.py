"""Bulk jobs: what they do line by line, what they show, and that no line is done twice."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
import time_machine
from django.db import OperationalError, connection
from django.utils import timezone

from monitoring.models import Activity, AuditEntry
from subscriptions import endpoints
from subscriptions.bulk import carrying, jobs, lines, planning
from subscriptions.bulk.carrying import run_jobs
from subscriptions.bulk.files import written_csv
from subscriptions.bulk.jobs import cancel_job, start_job, take_secrets
from subscriptions.bulk.lines import moved_url
from subscriptions.bulk.models import BulkJob, BulkLine
from subscriptions.bulk.planning import plan_action, plan_import
from subscriptions.bulk.selection import Selection
from subscriptions.bulk.tasks import run_bulk_jobs
from subscriptions.errors import BulkNotAcceptable, StateNotAllowed
from subscriptions.models import SigningSecret, Subscription
from tests.factories import SIGNING_SECRET, make_account, make_subscription
from webhooks_project.accounts.models import Account
from webhooks_project.lib.actor import SYSTEM, Actor, current_actor

pytestmark = pytest.mark.django_db

URL = "http://127.0.0.1:8009/hook"
NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
Action = BulkJob.Action
ALL = Selection(statuses=("active", "paused", "disabled", "draft", "archived"))


@pytest.fixture
def account() -> Account:
    return make_account()


def imported(account: Account, *documents: dict[str, Any], **options: Any) -> BulkJob:
    job = plan_import(
        account=account, content=orjson.dumps(documents), file_format="json", **options
    )
    return worked_off(job)


def acted(account: Account, action: str, selection: Selection = ALL, **options: Any) -> BulkJob:
    return worked_off(
        plan_action(account=account, action=Action(action), selection=selection, **options)
    )


def worked_off(job: BulkJob) -> BulkJob:
    assert not run_jobs(60)
    job.refresh_from_db()
    return job


def outcomes(job: BulkJob) -> list[str]:
    return list(job.lines.values_list("outcome", flat=True))


def problems(job: BulkJob) -> list[list[tuple[str, str]]]:
    return [[(item["path"], item["code"]) for item in line.problems] for line in job.lines.all()]


def counts(job: BulkJob) -> tuple[int, int, int, int]:
    return job.created_count, job.changed_count, job.unchanged_count, job.refused_count


def mixed(account: Account) -> list[dict[str, Any]]:
    """A line of each outcome."""
    changed, same = make_subscription(account, name="old"), make_subscription(account, name="same")
    return [
        {"name": "new", "url": URL, "event_types": ["a"], "labels": {"team": "x"}},
        {"id": str(changed.pk), "name": "changed", "timeout_seconds": 15},
        {"id": str(same.pk), "name": "same", "event_types": ["*"], "status": "active"},
        {"name": "bad", "url": "http://10.0.0.1/", "event_types": ["a"]},
    ]


# --- import ---------------------------------------------------------------------------------------


def test_creates_changes_leaves_and_refuses_line_by_line(account: Account) -> None:
    job = imported(account, *mixed(account))
    assert (job.status, counts(job), job.line_count) == ("finished", (1, 1, 1, 1), 4)
    created, changed, same, refused = job.lines.all()
    assert created.changes == {
        "name": [None, "new"],
        "url": [None, URL],
        "event_types": [None, ["a"]],
        "labels": [None, {"team": "x"}],
    }
    assert created.subscription is not None
    assert (created.subscription.name, created.subscription.labels) == ("new", {"team": "x"})
    assert changed.changes == {"name": ["old", "changed"]}
    assert (same.changes, same.outcome) == ({}, "unchanged")
    assert refused.problems == [
        {
            "path": "/url",
            "code": "endpoint_not_acceptable",
            "message": "the URL is refused: forbidden_address",
        }
    ]
    assert set(Subscription.objects.values_list("name", flat=True)) == {"new", "changed", "same"}


def test_a_dry_run_says_the_same_and_changes_nothing(account: Account) -> None:
    documents = mixed(account)
    before = list(Subscription.objects.order_by("pk").values())
    audit = AuditEntry.objects.count()
    job = imported(account, *documents, is_dry_run=True)
    assert (job.status, counts(job)) == ("planned", (1, 1, 1, 1))
    shown = list(job.lines.values_list("outcome", "changes", "problems"))
    assert list(Subscription.objects.order_by("pk").values()) == before
    assert SigningSecret.objects.count() == 2
    assert AuditEntry.objects.count() == audit + 1
    assert not job.lines.exclude(secret="").exists()

    worked_off(start_job(job))
    job.refresh_from_db()
    assert (job.status, job.is_dry_run, counts(job)) == ("finished", False, (1, 1, 1, 1))
    assert list(job.lines.values_list("outcome", "changes", "problems")) == shown
    assert Subscription.objects.count() == 3


def test_all_or_nothing_changes_nothing_where_a_line_is_refused(account: Account) -> None:
    documents = mixed(account)
    before = list(Subscription.objects.order_by("pk").values())
    job = imported(account, *documents, is_all_or_nothing=True)
    assert (job.status, job.error) == ("failed", "1 refused; nothing was changed")
    assert outcomes(job) == ["pending", "pending", "pending", "refused"]
    assert list(Subscription.objects.order_by("pk").values()) == before
    assert not job.lines.exclude(secret="").exists()


def test_all_or_nothing_does_all(account: Account) -> None:
    job = imported(account, *mixed(account)[:3], is_all_or_nothing=True)
    assert (job.status, counts(job)) == ("finished", (1, 1, 1, 0))
    assert Subscription.objects.count() == 3


def test_an_all_or_nothing_dry_run_shows_every_line(account: Account) -> None:
    documents = mixed(account)
    job = imported(account, *documents, is_all_or_nothing=True, is_dry_run=True)
    assert (job.status, outcomes(job)) == (
        "planned", ["created", "changed", "unchanged", "refused"],
    )  # fmt: skip
    assert Subscription.objects.count() == 2


def test_all_or_nothing_takes_not_too_many(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "MAX_TOGETHER", 1)
    with pytest.raises(BulkNotAcceptable):
        imported(account, {"name": "a"}, {"name": "b"}, is_all_or_nothing=True)
    assert BulkJob.objects.count() == BulkLine.objects.count() == 0


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"url": URL, "event_types": ["a"]}, ("/name", "required")),
        ({"name": "a", "event_types": ["a"]}, ("/url", "required")),
        ({"name": "a", "url": URL}, ("/event_types", "required")),
        ({"name": "a", "url": URL, "event_types": []}, ("/event_types", "required")),
        (
            {"name": "a", "url": URL, "event_types": [f"t{n}" for n in range(201)]},
            ("/event_types", "too_many"),
        ),
        (
            {"name": "a", "url": URL, "event_types": ["a..b"]},
            ("/event_types", "event_type_malformed"),
        ),
        (
            {"name": "a", "url": URL, "event_types": ["a"], "timeout_seconds": 61},
            ("/timeout_seconds", "out_of_range"),
        ),
        (
            {"name": "a", "url": URL, "event_types": ["a"], "status": "archived"},
            ("/status", "invalid_choice"),
        ),
        ({"name": 5, "url": URL, "event_types": ["a"]}, ("/name", "invalid_type")),
        ({"id": "01a2187d-2a29-7e88-b54d-6a36f4b5e111"}, ("/id", "does_not_exist")),
    ],
)
def test_refuses_a_line(
    account: Account, document: dict[str, Any], expected: tuple[str, str]
) -> None:
    job = imported(account, document)
    assert problems(job) == [[expected]]
    assert Subscription.objects.count() == 0


def test_another_accounts_subscription_is_none(account: Account) -> None:
    other = make_subscription(name="theirs")
    job = imported(account, {"id": str(other.pk), "name": "mine"})
    assert problems(job) == [[("/id", "does_not_exist")]]
    other.refresh_from_db()
    assert other.name == "theirs"


def test_a_status_is_not_changed_by_a_file_but_kept_for_a_new_one(account: Account) -> None:
    present = make_subscription(account)
    job = imported(
        account,
        {"id": str(present.pk), "status": "paused"},
        {"name": "a", "url": URL, "event_types": ["a"], "status": "paused"},
    )
    assert problems(job) == [[("/status", "read_only")], []]
    assert list(Subscription.objects.order_by("created_at").values_list("status", flat=True)) == [
        "active", "paused",
    ]  # fmt: skip


def test_true_and_1_are_two_things_in_a_filter(account: Account) -> None:
    present = make_subscription(account, filter={"data.a": 1})
    job = imported(account, {"id": str(present.pk), "filter": {"data.a": True}})
    assert outcomes(job) == ["changed"]


def test_what_is_exported_changes_nothing_when_it_is_imported(account: Account) -> None:
    make_subscription(account, description="=1", labels={"a": "b"}, rate_limit=5, status="paused")
    make_subscription(account, expires_at=NOW, filter={"type": "a"}, event_types=("a", "b"))
    content = b"".join(written_csv(Subscription.objects.prefetch_related("patterns")))
    job = worked_off(plan_import(account=account, content=content, file_format="csv"))
    assert (problems(job), outcomes(job)) == ([[], []], ["unchanged", "unchanged"])


# --- by filter ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("selection", "found"),
    [
        ({"statuses": ["active"]}, "a"),
        ({"statuses": ["paused", "archived"]}, "bc"),
        ({"labels": {"team": "x"}}, "ab"),
        ({"labels": {"team": "x", "tier": "1"}}, "b"),
        ({"labels": {"it's": "x"}}, ""),
        ({"metadata": {"owner": "ann"}}, "a"),
        ({"event_type": "invoice.*"}, "b"),
        ({"url_contains": "/SHOP"}, "a"),
        ({"url_contains": "127"}, "ab"),
        ({"statuses": ["active"], "labels": {"team": "y"}}, ""),
    ],
)
def test_selects(account: Account, selection: dict[str, Any], found: str) -> None:
    rows = [
        make_subscription(account, name="a", url="http://127.0.0.1/SHOP", labels={"team": "x"},
                          metadata={"owner": "ann"}),
        make_subscription(account, name="b", url="http://127.0.0.1/shop", status="paused",
                          labels={"team": "x", "tier": "1"}, event_types=("invoice.*",)),
        make_subscription(account, name="c", status="archived"),
    ]  # fmt: skip
    make_subscription(name="a", labels={"team": "x", "tier": "1"})
    wanted = [row.pk for row in rows if row.name in found]
    assert Selection.of(selection).ids_in(account, 10) == wanted


def test_selects_by_ids_of_the_account_alone(account: Account) -> None:
    mine, other = make_subscription(account), make_subscription()
    selection = Selection.of({"ids": [mine.pk, other.pk, mine.pk]})
    assert selection.ids_in(account, 10) == [mine.pk]


def test_an_empty_filter_selects_nothing(account: Account) -> None:
    make_subscription(account)
    with pytest.raises(BulkNotAcceptable):
        plan_action(account=account, action=Action.ARCHIVE, selection=Selection.of({"labels": {}}))
    assert BulkJob.objects.count() == 0


def test_too_many_are_refused(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "MAX_LINES", 1)
    make_subscription(account)
    assert acted(account, "pause").line_count == 1
    make_subscription(account)
    with pytest.raises(BulkNotAcceptable, match="more than 1 subscriptions"):
        acted(account, "pause")


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ("pause", {"active": "paused", "paused": "", "disabled": None, "draft": None,
                   "archived": None}),
        ("resume", {"active": "", "paused": "active", "disabled": "active", "draft": None,
                    "archived": None}),
        ("disable", {"active": "disabled", "paused": "disabled", "disabled": "", "draft": None,
                     "archived": None}),
        ("archive", {"active": "archived", "paused": "archived", "disabled": "archived",
                     "draft": "archived", "archived": ""}),
    ],
)  # fmt: skip
def test_turns_statuses(account: Account, action: str, expected: dict[str, str | None]) -> None:
    """To which status; empty for unchanged, None for refused."""
    rows = {status: make_subscription(account, status=status) for status in expected}
    job = acted(account, action, settings={"reason": "maintenance"})
    found = dict(zip(rows, job.lines.all(), strict=True))
    for before, after in expected.items():
        rows[before].refresh_from_db()
        line = found[before]
        assert rows[before].status == (after or before)
        if after:
            assert (line.outcome, line.changes) == ("changed", {"status": [before, after]})
            assert rows[before].status_reason == "maintenance"
        else:
            assert line.outcome == ("refused" if after is None else "unchanged")


def test_rotates(account: Account) -> None:
    subscription, archived = make_subscription(account), make_subscription(account)
    Subscription.objects.filter(pk=archived.pk).update(status="archived")
    with time_machine.travel(NOW, tick=False):
        job = acted(account, "rotate", settings={"grace_seconds": 60})
    assert outcomes(job) == ["changed", "refused"]
    new = SigningSecret.objects.get(subscription=subscription, expires_at=None)
    old = SigningSecret.objects.get(
        subscription=subscription, expires_at=NOW + timedelta(seconds=60)
    )
    assert (old.secret, new.secret != old.secret) == (SIGNING_SECRET, True)
    assert [(item.number, item.subscription_id, item.secret) for item in take_secrets(job)] == [
        (1, subscription.pk, new.secret)
    ]


def test_moves_urls_labels_and_channels(account: Account) -> None:
    moved = make_subscription(
        account, url="http://127.0.0.1:8001/a?b", labels={"old": "1", "kept": "2"},
        channels=["eu", "us"],
    )  # fmt: skip
    job = acted(
        account,
        "move",
        settings={
            "url_from": "http://127.0.0.1:8001",
            "url_to": "http://127.0.0.1:8002/x",
            "labels": {"old": None, "team": "y"},
            "channels_add": ["ap", "us"],
            "channels_remove": ["eu"],
        },
    )
    assert outcomes(job) == ["changed"]
    moved.refresh_from_db()
    assert moved.url == "http://127.0.0.1:8002/x/a?b"
    assert moved.labels == {"kept": "2", "team": "y"}
    assert moved.channels == ["us", "ap"]


def test_a_move_to_another_host_takes_credentials_along_only_where_that_is_said(
    account: Account,
) -> None:
    moved = make_subscription(
        account, url="http://127.0.0.1:8001/a", custom_headers='{"X-Key": "s3cr3t"}'
    )
    urls = {"url_from": "http://127.0.0.1:8001", "url_to": "http://127.0.0.2:8001"}
    job = acted(account, "move", settings=urls)
    assert outcomes(job) == ["refused"]
    (line,) = job.lines.all()
    assert [item["code"] for item in line.problems] == ["credentials_not_confirmed"]
    job = acted(account, "move", settings={**urls, "keep_credentials": True})
    assert outcomes(job) == ["changed"]
    moved.refresh_from_db()
    assert moved.url == "http://127.0.0.2:8001/a"


@pytest.mark.parametrize(
    ("url", "before", "after"),
    [
        ("https://a.example/x", "https://a.example", "https://b.example/x"),
        ("https://a.example", "https://a.example", "https://b.example"),
        ("https://a.example?x", "https://a.example", "https://b.example?x"),
        ("https://a.example.net/x", "https://a.example", "https://a.example.net/x"),
        ("https://a.example:8443/x", "https://a.example", "https://a.example:8443/x"),
        ("https://a.example/xy", "https://a.example/x", "https://a.example/xy"),
        ("https://a.example/x", "", "https://a.example/x"),
    ],
)
def test_a_beginning_is_taken_as_a_whole(url: str, before: str, after: str) -> None:
    assert moved_url(url, before, "https://b.example") == after


def test_no_move_makes_a_subscription_hear_every_channel(account: Account) -> None:
    make_subscription(account, channels=["eu"])
    job = acted(account, "move", settings={"channels_remove": ["eu"]})
    assert problems(job) == [[("/channels", "required")]]


def test_a_move_to_a_forbidden_address_is_refused(account: Account) -> None:
    row = make_subscription(account, url="http://127.0.0.1:9/hook")
    job = acted(
        account, "move",
        settings={"url_from": "http://127.0.0.1:9/", "url_to": "http://10.0.0.1/"},
    )  # fmt: skip
    assert problems(job) == [[("/url", "endpoint_not_acceptable")]]
    row.refresh_from_db()
    assert row.url == "http://127.0.0.1:9/hook"


# --- as a job -------------------------------------------------------------------------------------


def test_the_audit_names_who_asked(account: Account) -> None:
    make_subscription(account)
    token = current_actor.set(Actor("user", "7", "ann", "192.0.2.1"))
    try:
        job = plan_action(account=account, action=Action.PAUSE, selection=ALL)
    finally:
        current_actor.reset(token)
    worked_off(job)
    assert current_actor.get() == SYSTEM
    assert list(AuditEntry.objects.order_by("sequence").values_list("action", "actor_label")) == [
        ("bulk_job.started", "ann"),
        ("subscription.paused", "ann"),
    ]
    assert job.requested_by == "ann"
    assert Activity.objects.get(kind="bulk_job.finished").text == (
        "pause: 0 created, 1 changed, 0 unchanged, 0 refused."
    )


def test_planning_calls_the_task(
    account: Account, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    called: list[str] = []
    monkeypatch.setattr(jobs, "call_task", called.append)
    with django_capture_on_commit_callbacks(execute=True):
        plan_action(account=account, action=Action.PAUSE, selection=ALL)
    assert called == ["subscriptions.bulk.tasks.run_bulk_jobs"]


def test_the_task_works_jobs_off(account: Account) -> None:
    make_subscription(account)
    job = plan_action(account=account, action=Action.PAUSE, selection=ALL)
    run_bulk_jobs()
    job.refresh_from_db()
    assert (job.status, Subscription.objects.get().status) == ("finished", "paused")


def test_jobs_take_turns(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(carrying, "BATCH_LINES", 1)
    for _ in range(2):
        make_subscription(account)
    other = make_account()
    make_subscription(other)
    first = plan_action(account=account, action=Action.PAUSE, selection=ALL)
    second = plan_action(account=other, action=Action.PAUSE, selection=ALL)
    done: list[Any] = []
    carry_out = lines.carry_out
    monkeypatch.setattr(
        carrying, "carry_out", lambda job, line: (done.append(job.pk), carry_out(job, line))[1]
    )
    assert not run_jobs(60)
    assert done == [first.pk, second.pk, first.pk]


def test_a_turn_ends_and_the_next_goes_on(account: Account) -> None:
    make_subscription(account)
    plan_action(account=account, action=Action.PAUSE, selection=ALL)
    assert run_jobs(0)
    assert Subscription.objects.get().status == "active"
    assert not run_jobs(60)
    assert Subscription.objects.get().status == "paused"


def test_a_job_that_was_cut_off_goes_on_and_does_no_line_twice(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        make_subscription(account)
    job = plan_action(account=account, action=Action.ROTATE, selection=ALL)
    count = 0
    carry_out = lines.carry_out

    def cut_off(job: BulkJob, line: BulkLine) -> Any:
        nonlocal count
        count += 1
        result = carry_out(job, line)
        if count == 2:
            raise OperationalError("the machine is gone")
        return result

    monkeypatch.setattr(carrying, "carry_out", cut_off)
    with pytest.raises(OperationalError):
        run_jobs(60)
    job.refresh_from_db()
    assert (job.status, outcomes(job)) == ("running", ["changed", "pending", "pending"])
    assert SigningSecret.objects.count() == 4
    assert worked_off(job).status == "finished"
    assert SigningSecret.objects.count() == 6
    assert len(take_secrets(job)) == 3


def test_a_lease_keeps_others_away_until_it_ends(account: Account) -> None:
    make_subscription(account)
    job = plan_action(account=account, action=Action.PAUSE, selection=ALL)
    with time_machine.travel(NOW, tick=False) as clock:
        BulkJob.objects.update(lease_token=job.pk, leased_until=NOW + carrying.LEASE)
        assert not run_jobs(60)
        assert outcomes(job) == ["pending"]
        clock.shift(carrying.LEASE)
        assert worked_off(job).status == "finished"


def test_who_lost_the_job_changes_nothing(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that comes back late finds its line done, or its lease gone, and takes it back."""
    make_subscription(account)
    job = plan_action(account=account, action=Action.ROTATE, selection=ALL)
    carry_out = lines.carry_out

    def lose(job: BulkJob, line: BulkLine) -> Any:
        result = carry_out(job, line)
        BulkJob.objects.filter(pk=job.pk).update(
            lease_token=line.pk, leased_until=timezone.now() + carrying.LEASE
        )
        return result

    monkeypatch.setattr(carrying, "carry_out", lose)
    assert (
        carrying._advance(job.pk) is True
    )  # it had the job, and would try again until its time is up
    assert outcomes(job) == ["pending"]
    assert SigningSecret.objects.count() == 1


def test_cancelling_keeps_what_is_done(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        make_subscription(account)
    job = plan_action(account=account, action=Action.ROTATE, selection=ALL)
    cancelled = BulkJob.objects.filter(pk=job.pk)
    monkeypatch.setattr(
        carrying, "_look_up",
        lambda job, line: cancel_job(cancelled.get()) if line.number == 2 else None,
    )  # fmt: skip
    worked_off(job)
    assert (job.status, outcomes(job)) == ("cancelled", ["changed", "pending", "pending"])
    assert (counts(job), SigningSecret.objects.count()) == ((0, 1, 0, 0), 4)
    assert job.finished_at is not None
    with pytest.raises(StateNotAllowed):
        start_job(job)
    with pytest.raises(StateNotAllowed):
        cancel_job(job)


def test_one_that_fails_says_why_and_can_go_on(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        make_subscription(account)
    job = plan_action(account=account, action=Action.ROTATE, selection=ALL)
    carry_out = lines.carry_out

    def break_at_second(job: BulkJob, line: BulkLine) -> Any:
        if line.number == 2:
            raise RuntimeError("broken")
        return carry_out(job, line)

    monkeypatch.setattr(carrying, "carry_out", break_at_second)
    worked_off(job)
    assert (job.status, job.error) == ("failed", "RuntimeError: broken")
    assert outcomes(job) == ["changed", "pending"]
    monkeypatch.setattr(carrying, "carry_out", carry_out)
    start_job(job)
    assert worked_off(job).status == "finished"
    assert (counts(job), SigningSecret.objects.count()) == ((0, 2, 0, 0), 4)


def test_a_url_is_looked_up_once_and_outside_of_any_transaction(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up: list[tuple[str, int]] = []

    def check_endpoint(url: str, policy: object) -> None:
        looked_up.append((url, len(connection.savepoint_ids)))

    monkeypatch.setattr(endpoints, "check_endpoint", check_endpoint)
    outside = len(connection.savepoint_ids)
    documents = [{"name": f"{n}", "url": URL, "event_types": ["a"]} for n in range(3)]
    job = imported(account, *documents)
    assert outcomes(job) == ["created"] * 3
    assert looked_up == [(URL, outside)]


# --- secrets --------------------------------------------------------------------------------------


def test_new_secrets_are_given_once(account: Account) -> None:
    job = imported(account, {"name": "a", "url": URL, "event_types": ["a"]})
    [sealed] = BulkLine.objects.values_list("secret", flat=True)
    secret = SigningSecret.objects.get().secret
    assert secret not in sealed
    assert [item.secret for item in take_secrets(job)] == [secret]
    assert take_secrets(job) == []
    assert BulkLine.objects.get().secret == ""
    assert AuditEntry.objects.latest("sequence").action == "bulk_job.secrets_fetched"


def test_secrets_that_nobody_fetches_are_forgotten_after_a_day(account: Account) -> None:
    with time_machine.travel(NOW, tick=False) as clock:
        job = imported(account, {"name": "a", "url": URL, "event_types": ["a"]})
        assert job.secrets_until == NOW + timedelta(hours=24)
        clock.shift(timedelta(hours=24, seconds=-1))
        run_bulk_jobs()
        assert BulkLine.objects.exclude(secret="").count() == 1
        clock.shift(1)
        run_bulk_jobs()
        assert BulkLine.objects.exclude(secret="").count() == 0
        assert take_secrets(job) == []


def test_jobs_that_ended_long_ago_are_forgotten(account: Account) -> None:
    make_subscription(account)
    with time_machine.travel(NOW, tick=False) as clock:
        acted(account, "pause")
        clock.shift(timedelta(days=90))
        run_bulk_jobs()
        assert BulkJob.objects.count() == 1
        clock.shift(1)
        run_bulk_jobs()
        assert BulkJob.objects.count() == BulkLine.objects.count() == 0
    assert Subscription.objects.count() == 1


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer at a time")
@pytest.mark.django_db(transaction=True)
def test_two_workers_do_each_line_once() -> None:
    account = make_account()
    for _ in range(6):
        make_subscription(account)
    job = plan_action(account=account, action=Action.ROTATE, selection=ALL)

    def work() -> None:
        try:
            run_jobs(30)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert worked_off(job).status == "finished"
    assert SigningSecret.objects.count() == 12
