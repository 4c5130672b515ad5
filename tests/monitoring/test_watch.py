"""The monitoring queue's short task."""

from __future__ import annotations

import time
from typing import Any

import pytest
from django.core import mail
from django.core.mail.backends import locmem

from monitoring import tasks
from monitoring.models import HealthPolicy, Notification
from outgoing import health, probes, setups
from subscriptions.models import Subscription
from tests.factories import make_account, make_subscription
from webhooks_project.lib import clock
from webhooks_project.lib.outbound import Failure, Response
from webhooks_project.models import Heartbeat

WORK = [
    "send_due_notifications",
    "keep_counting", "evaluate_health", "watch_queues", "watch_expiry", "watch_failing",
    "escalate_incidents", "send_due_notifications", "note_sign_of_life",
    "run_due_setups", "run_due_health_checks",
]  # fmt: skip


@pytest.mark.parametrize("broken", [None, *WORK])
def test_does_each_in_turn_whatever_becomes_of_the_others(
    broken: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = []

    def stand_in(name: str) -> None:
        done.append(name)
        if name == broken:
            raise RuntimeError(name)

    for name in WORK:
        monkeypatch.setattr(tasks, name, lambda *_, name=name: stand_in(name))
    if broken:
        with pytest.raises(RuntimeError, match=broken):
            tasks.watch()
    else:
        tasks.watch()
    assert done == WORK


@pytest.mark.parametrize(
    "broken", [None, "validate", "prune_incidents", "prune_activities", "give_out_anchors"]
)
def test_what_is_done_every_hour_does_not_wait_for_what_fails(
    broken: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = []

    def stand_in(name: str, **_: float) -> None:
        done.append(name)
        if name == broken:
            raise RuntimeError(name)

    names = ["give_out_anchors", "prune_activities", "prune_incidents", "validate"]
    for name in names:
        monkeypatch.setattr(tasks, name, lambda name=name, **given: stand_in(name, **given))
    if broken:
        with pytest.raises(RuntimeError, match=broken):
            tasks.look_after()
    else:
        tasks.look_after()
    assert done == names


# --- endpoints and servers that hang --------------------------------------------------------------


class Stopwatch:
    """A clock that goes on only while something hangs."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds

    def hang(self, requests: Any, *, seconds: float) -> Any:
        """In the place of `send_all`: nobody answers, and each takes all of its time."""
        self.seconds += seconds if requests else 0.0
        return {key: Response(failure=Failure.TIMEOUT_RESPONSE) for key in requests}


@pytest.fixture
def stopwatch(monkeypatch: pytest.MonkeyPatch) -> Stopwatch:
    made = Stopwatch()
    monkeypatch.setattr(time, "monotonic", made)
    for module in (probes, setups, health):
        monkeypatch.setattr(module, "send_all", made.hang)
    return made


def queue_mails(count: int) -> None:
    account, now = make_account(), clock.now()
    for _ in range(count):
        Notification.objects.create(
            account=account, kind="test", recipient="a@example.com", title="t", text="t",
            next_attempt_at=now, created_at=now,
        )  # fmt: skip


def make_hanging(*, due_setups: int, due_checks: int) -> None:
    account = make_account()
    for _ in range(due_setups):
        make_subscription(
            account, url="http://127.0.0.1:8080/", status="verifying", setup_due_at=clock.now(),
            checks_health=False,
        )  # fmt: skip
    for number in range(due_checks):
        kind = ("head", "probe")[number % 2]
        make_subscription(account, url="http://127.0.0.1:8080/", health_check_kind=kind)


@pytest.mark.django_db
def test_endpoints_that_hang_hold_up_neither_judging_nor_sending_nor_the_sign_of_life(
    stopwatch: Stopwatch, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    make_hanging(due_setups=40, due_checks=150)
    queue_mails(1)
    before: list[tuple[float, int, int, bool]] = []
    begun = stopwatch.seconds
    run = setups.run_due_setups

    def note(goes_on: Any) -> int:
        judged = HealthPolicy.objects.exclude(judged_at=None).count()
        beats = Heartbeat.objects.filter(family="monitoring").exists()
        before.append((stopwatch.seconds - begun, len(mail.outbox), judged, beats))
        return run(goes_on)

    monkeypatch.setattr(tasks, "run_due_setups", note)
    tasks.watch()
    accounts = HealthPolicy.objects.count()
    assert accounts > 0
    assert before == [(0.0, 1, accounts, True)]
    # One round of set-ups, and two of checks of two kinds each.
    taken = setups.SEND_SECONDS + 4 * health.SECONDS
    assert stopwatch.seconds - begun == taken < settings.Q_CLUSTER["timeout"] - 15
    # Some of both, and the rest with the next minutes' tasks.
    assert Subscription.objects.filter(status="verifying").count() == 40 - setups.CLAIM_ROWS
    assert Subscription.objects.exclude(health_checked_at=None).count() == 2 * health.AT_ONCE
    for _ in range(2):
        tasks.watch()
    assert not Subscription.objects.filter(status="verifying").exists()


@pytest.mark.django_db
def test_a_slow_mail_server_leaves_time_for_judging_and_for_endpoints(
    stopwatch: Stopwatch, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    make_hanging(due_setups=1, due_checks=1)
    queue_mails(30)
    send = locmem.EmailBackend.send_messages

    def take_long(self: Any, messages: Any) -> int:
        stopwatch.seconds += settings.EMAIL_TIMEOUT
        return send(self, messages)

    monkeypatch.setattr(locmem.EmailBackend, "send_messages", take_long)
    begun = stopwatch.seconds
    tasks.watch()
    assert len(mail.outbox) >= 3
    assert HealthPolicy.objects.filter(judged_at=None).count() == 0
    assert not Subscription.objects.filter(status="verifying").exists()
    assert stopwatch.seconds - begun <= settings.Q_CLUSTER["timeout"] - 15


def test_what_may_not_end_in_time_is_not_begun(stopwatch: Stopwatch) -> None:
    asked: list[bool] = []

    def work(goes_on: Any) -> None:
        asked.append(goes_on())
        stopwatch.seconds += 10
        asked.append(goes_on())

    tasks.do_for(work, seconds=10, ends_at=stopwatch.seconds + 30, takes=20)
    tasks.do_for(work, seconds=10, ends_at=stopwatch.seconds + 29.9, takes=20)
    tasks.do_for(work, seconds=9, ends_at=stopwatch.seconds + 90)
    tasks.do_for(work, seconds=10, ends_at=stopwatch.seconds - 1)
    assert asked == [True, True, True, False, True, False, False, False]
