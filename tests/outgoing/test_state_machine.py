"""A delivery's life as a state machine: whatever happens in whatever order, the promises hold."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import time_machine
from django.db import transaction
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from outgoing import breakers
from outgoing.cancelled import cancel_archived
from outgoing.errors import StateNotAllowed as DeliveryStateNotAllowed
from outgoing.judge import Delivered, Disable, GiveUp, RetryAt, next_step
from outgoing.models import Attempt, Delivery, Retry
from outgoing.policies import policy_of
from outgoing.querysets import LEASE_SECONDS, Claim
from outgoing.record import Result, record_results
from outgoing.retries import release_due_retries
from outgoing.services import cancel_delivery, publish, redeliver
from subscriptions.errors import StateNotAllowed
from subscriptions.models import Subscription
from subscriptions.services import set_status
from tests.factories import make_account, make_subscription
from webhooks_project.lib import clock
from webhooks_project.lib.outbound import Failure, Response

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
ANSWERS = st.one_of(
    st.sampled_from([200, 204, 299]).map(lambda code: Response(status=code)),
    st.sampled_from([301, 400, 404, 410, 429, 500, 503]).map(lambda code: Response(status=code)),
    st.sampled_from([Failure.REFUSED, Failure.TIMEOUT_RESPONSE, Failure.CANCELLED]).map(
        lambda failure: Response(failure=failure)
    ),
)


class DeliveryLife(RuleBasedStateMachine):
    """What is expected stands in `status` and `attempts`; `held_by` are the claims that count."""

    claims = Bundle("claims")

    def __init__(self) -> None:
        super().__init__()
        self.time = time_machine.travel(NOW, tick=False)
        self.clock = self.time.start()
        self.example = transaction.atomic()
        self.example.__enter__()
        self.account = make_account()
        self.subscriptions = [
            make_subscription(self.account, retry_policy="custom", retry_schedule=[5, 60]),
            make_subscription(self.account, retry_policy="none"),
            make_subscription(
                self.account, retry_policy="custom", retry_schedule=[30], max_in_flight=2
            ),
        ]
        self.status: dict[UUID, str] = {}
        self.attempts: dict[UUID, int] = {}
        self.successes: dict[UUID, int] = {}
        self.given_up: dict[UUID, int] = {}
        self.held_by: dict[UUID, UUID] = {}
        self.published = 0
        self.expected_rows = 0

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self.example.__exit__(None, None, None)
        self.time.stop()

    def status_of(self, key: UUID) -> str:
        return str(Subscription.objects.values_list("status", flat=True).get(pk=key))

    # --- what happens -----------------------------------------------------------------------------

    @rule()
    def publish(self) -> None:
        holding = {one.pk: self.status_of(one.pk) for one in self.subscriptions}
        event = publish(account=self.account, type="a", data={"n": self.published}).event
        self.published += 1
        rows = {row.subscription_id: row for row in event.deliveries.all()}
        assert set(rows) == {key for key, status in holding.items() if status != "archived"}
        for key, row in rows.items():
            self.status[row.pk] = "pending" if holding[key] == "active" else "held"
            self.attempts[row.pk] = self.successes[row.pk] = self.given_up[row.pk] = 0
        self.expected_rows += len(rows)

    @rule()
    def publish_and_roll_back(self) -> None:
        with transaction.atomic():
            publish(account=self.account, type="a", data={"n": "never"})
            transaction.set_rollback(True)

    @rule(target=claims, limit=st.integers(1, 3), lane=st.sampled_from([0, 1, 2]))
    def claim(self, limit: int, lane: int) -> Any:
        now = clock.now()
        found: list[Claim] = []
        if lane < 2:
            found = Delivery.objects.claim(now=now, lane=lane, limit=limit)
        else:
            for one in self.subscriptions:
                found += Delivery.objects.claim_limited(one.pk, now=now, limit=limit)
        kept = []
        for claim in found:
            assert self.status[claim.delivery_id] == "pending"
            subscription = self.status_of(claim.subscription_id)
            if subscription == "active":
                self.status[claim.delivery_id] = "delivering"
                self.held_by[claim.delivery_id] = claim.token
                kept.append(claim)
                continue
            ending = "cancelled" if subscription == "archived" else "held"
            Delivery.objects.all().finish([claim.delivery_id], claim.token, {"status": ending})
            self.status[claim.delivery_id] = ending
        return multiple(*kept)

    @rule(claim=consumes(claims), response=ANSWERS)
    def attempt(self, claim: Claim, response: Response) -> None:
        """Also by a worker that lost the claim, or comes back after it was made again."""
        subscription = Subscription.objects.get(pk=claim.subscription_id)
        step = next_step(
            response,
            number=claim.attempt_count - claim.attempts_before + 1,
            now=clock.now(),
            policy=policy_of(subscription),
        )
        result = Result(
            claim=claim,
            account_id=self.account.pk,
            correlation_id="",
            response=response,
            step=step,
            started_at=clock.now(),
            request_headers={},
            request_bytes=2,
        )
        stored = record_results([result], worker="here")
        breakers.note_results([result])
        is_ours = self.held_by.get(claim.delivery_id) == claim.token
        assert stored == int(is_ours)
        if not is_ours:
            return
        del self.held_by[claim.delivery_id]
        self.attempts[claim.delivery_id] += 1
        self.successes[claim.delivery_id] += isinstance(step, Delivered)
        self.given_up[claim.delivery_id] += isinstance(step, GiveUp)
        self.status[claim.delivery_id] = {
            Delivered: "delivered",
            RetryAt: "pending",
            GiveUp: "exhausted",
            Disable: "held",
        }[type(step)]

    @rule(claim=consumes(claims))
    def crash(self, claim: Claim) -> None:
        """The worker is gone; its claim stays until the lease ends."""

    @rule(claim=consumes(claims))
    def give_back(self, claim: Claim) -> None:
        lane = 0 if claim.trigger == "first" else 1
        Delivery.objects.release([claim.delivery_id], claim.token, lane)
        if self.held_by.get(claim.delivery_id) == claim.token:
            del self.held_by[claim.delivery_id]
            self.status[claim.delivery_id] = "pending"

    @rule(seconds=st.sampled_from([1, LEASE_SECONDS - 1, LEASE_SECONDS + 1, 61, 3600]))
    def time_passes(self, seconds: int) -> None:
        self.clock.shift(timedelta(seconds=seconds))

    @rule()
    def leases_end(self) -> None:
        over = set(
            Delivery.objects.filter(leased_until__lt=clock.now()).values_list("pk", flat=True)
        )
        assert Delivery.objects.release_expired(clock.now()) == len(over)
        for key in over:
            assert self.status[key] == "delivering"
            self.status[key] = "pending"
            self.held_by.pop(key, None)

    @rule()
    def renew(self) -> None:
        Delivery.objects.renew_leases(list(self.held_by.values()), clock.now())

    @rule()
    def retries_are_released(self) -> None:
        due = Retry.objects.filter(due_at__lte=clock.now()).count()
        assert release_due_retries(clock.now()) == due

    @rule(
        which=st.integers(0, 2),
        status=st.sampled_from(["active", "paused", "disabled", "active", "archived"]),
    )
    def status_changes(self, which: int, status: str) -> None:
        if status == "archived" and which:  # one of three, so that the others live on
            return
        before = self.status_of(self.subscriptions[which].pk)
        try:
            set_status(subscription=self.subscriptions[which], status=Subscription.Status(status))
        except StateNotAllowed:
            status = before
        assert self.status_of(self.subscriptions[which].pk) == status

    @rule()
    def held_ones_are_looked_at(self) -> None:
        Delivery.objects.restore_held(clock.now(), 400)
        cancel_archived(400)
        rows = Delivery.objects.filter(pk__in=[k for k, s in self.status.items() if s == "held"])
        after = {"active": "pending", "archived": "cancelled"}
        for key, subscription in rows.values_list("pk", "subscription__status"):
            self.status[key] = after.get(subscription, "held")

    @precondition(lambda self: self.status)
    @rule(data=st.data(), trigger=st.sampled_from(["redeliver", "replay"]))
    def carry_again(self, data: Any, trigger: str) -> None:
        """On a person's word, or a replay's."""
        keys = data.draw(st.lists(st.sampled_from(sorted(self.status)), max_size=3, unique=True))
        taken = set(redeliver(deliveries=keys, trigger=Delivery.Trigger(trigger)))
        rows = Delivery.objects.filter(pk__in=keys).values_list("pk", "subscription__status")
        for key, subscription in rows:
            is_free = self.status[key] != "delivering" and subscription != "archived"
            assert (key in taken) == is_free
            if is_free:
                self.status[key] = "pending" if subscription == "active" else "held"

    @precondition(lambda self: self.status)
    @rule(data=st.data())
    def cancel(self, data: Any) -> None:
        key = data.draw(st.sampled_from(sorted(self.status)))
        if self.status[key] in ("pending", "held", "exhausted"):
            cancel_delivery(delivery=Delivery.objects.get(pk=key))
            self.status[key] = "cancelled"
            return
        with pytest.raises(DeliveryStateNotAllowed):
            cancel_delivery(delivery=Delivery.objects.get(pk=key))

    # --- what holds -------------------------------------------------------------------------------

    @invariant()
    def nothing_vanishes_and_nothing_is_there_twice(self) -> None:
        rows = dict(Delivery.objects.filter(account=self.account).values_list("pk", "status"))
        assert rows == self.status
        assert len(rows) == self.expected_rows

    @invariant()
    def each_stands_where_its_status_says(self) -> None:
        retries = set(Retry.objects.values_list("pk", flat=True))
        for row in Delivery.objects.filter(account=self.account):
            where = (row.lane is not None, row.lease_token is not None, row.pk in retries)
            if row.status == "pending":
                assert where in ((True, False, False), (False, False, True))
            else:
                assert where == (False, row.status == "delivering", False)
            assert (row.lease_token is None) == (row.leased_until is None)

    @invariant()
    def one_claim_is_one_attempt(self) -> None:
        numbers: dict[UUID, list[int]] = {key: [] for key in self.status}
        succeeded = dict.fromkeys(self.status, 0)
        given_up = dict.fromkeys(self.status, 0)
        for attempt in Attempt.objects.filter(delivery__account=self.account).order_by("number"):
            numbers[attempt.delivery_id].append(attempt.number)
            succeeded[attempt.delivery_id] += attempt.outcome == "succeeded"
            given_up[attempt.delivery_id] += attempt.gave_up
        assert numbers == {key: list(range(1, n + 1)) for key, n in self.attempts.items()}
        assert (succeeded, given_up) == (self.successes, self.given_up)
        counts = Delivery.objects.filter(account=self.account).values_list("pk", "attempt_count")
        assert dict(counts) == self.attempts

    @invariant()
    def what_is_delivered_was_taken(self) -> None:
        for key, status in self.status.items():
            assert status != "delivered" or self.successes[key]

    @invariant()
    def what_is_under_way_has_a_claim(self) -> None:
        leases = dict(
            Delivery.objects.filter(lease_token__isnull=False).values_list("pk", "lease_token")
        )
        for key, token in self.held_by.items():
            assert leases[key] == token


@pytest.mark.django_db
def test_the_promises_hold_in_any_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breakers, "_SUCCESSES", {})
    run_state_machine_as_test(
        DeliveryLife,
        settings=settings(
            max_examples=25,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
