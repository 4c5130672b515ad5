"""An order per key holds, whatever happens between."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from outgoing.errors import StateNotAllowed
from outgoing.judge import next_step
from outgoing.models import Attempt, Delivery, Retry
from outgoing.querysets import Claim
from outgoing.record import Result, record_results
from outgoing.retries import release_due_retries
from outgoing.services import cancel_delivery, publish, redeliver
from subscriptions.models import Subscription
from tests.factories import make_subscription
from webhooks_project.lib import clock
from webhooks_project.lib.outbound import Response

pytestmark = pytest.mark.django_db(transaction=True)

KEYS = ("x", "y", "z")
ACTS = ("publish", "claim", "succeed", "fail", "crash", "cancel", "redeliver", "pause", "resume",
        "release")  # fmt: skip


class Hub:
    """One subscription in strict order, moved on by hand; every claim is the flow's owner's."""

    def __init__(self) -> None:
        self.subscription = make_subscription(ordering="strict", order_key="data.key")
        self.claims: list[Claim] = []
        self.cancelled: set[UUID] = set()
        self.now = clock.now()

    def act(self, name: str, pick: int) -> None:
        getattr(self, name)(pick)

    def publish(self, pick: int) -> None:
        publish(account=self.subscription.account, type="a", data={"key": KEYS[pick % len(KEYS)]})

    def claim(self, pick: int) -> None:
        key = self.subscription.pk
        if not Subscription.objects.filter(pk=key, status="active").exists():
            Delivery.objects.set_aside(key, "held", 100)
            return
        later = self.now + timedelta(days=1)
        self.claims += Delivery.objects.claim_limited(
            key, now=later, limit=1 + pick % 3, in_order=True
        )

    def succeed(self, pick: int) -> None:
        self.end(pick, 200)

    def fail(self, pick: int) -> None:
        self.end(pick, 500)

    def end(self, pick: int, status: int) -> None:
        if not self.claims:
            return
        claim = self.claims.pop(pick % len(self.claims))
        response = Response(status=status)
        number = claim.attempt_count - claim.attempts_before + 1
        result = Result(
            claim=claim, account_id=self.subscription.account_id, correlation_id="",
            response=response, step=next_step(response, number=number, now=self.now),
            started_at=clock.now(), request_headers={}, request_bytes=0,
        )  # fmt: skip
        record_results([result], worker="here")

    def crash(self, pick: int) -> None:
        """The worker dies; its claims run out and come back by the lines of all."""
        self.claims.clear()
        Delivery.objects.release_expired(self.now + timedelta(days=2))
        Delivery.objects.filter(lane__in=[0, 1]).update(lane=2)  # as the pump gives them back

    def cancel(self, pick: int) -> None:
        self.choose(pick, cancel=True)

    def redeliver(self, pick: int) -> None:
        self.choose(pick, cancel=False)

    def choose(self, pick: int, *, cancel: bool) -> None:
        rows = list(Delivery.objects.exclude(pk__in=self.cancelled).order_by("pk"))
        if not rows:
            return
        row = rows[pick % len(rows)]
        if not cancel:
            redeliver(deliveries=[row.pk])
            return
        try:
            cancel_delivery(delivery=row)
        except StateNotAllowed:
            return
        self.cancelled.add(row.pk)

    def pause(self, pick: int) -> None:
        Subscription.objects.update(status="paused")

    def resume(self, pick: int) -> None:
        Subscription.objects.update(status="active")
        Delivery.objects.restore_held(clock.now(), 100)

    def release(self, pick: int) -> None:
        release_due_retries(self.now + timedelta(days=30))

    def finish(self) -> None:
        """Nothing fails any more: all that can be delivered is."""
        self.resume(0)
        Delivery.objects.unpark(self.subscription.pk)
        for _ in range(200):
            self.release(0)
            self.claim(2)
            while self.claims:
                self.succeed(0)
            if not Delivery.objects.exclude(status__in=["delivered", "cancelled"]).exists():
                return
            redeliver(
                deliveries=Delivery.objects.filter(status="exhausted").values_list("pk", flat=True)
            )
        raise AssertionError(list(Delivery.objects.values_list("pk", "status", "lane")))


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(st.tuples(st.sampled_from(ACTS), st.integers(0, 9)), max_size=40))
def test_first_successes_of_a_key_come_in_order_and_all_come(acts: list[tuple[str, int]]) -> None:
    Delivery.objects.all().delete()
    Subscription.objects.all().delete()
    hub = Hub()
    for name, pick in acts:
        hub.act(name, pick)
    hub.finish()
    kept = Delivery.objects.exclude(pk__in=hub.cancelled)
    assert set(kept.values_list("status", flat=True)) <= {"delivered"}
    for key in KEYS:
        first: dict[UUID, None] = {}
        done = Attempt.objects.filter(outcome="succeeded", delivery__order_key=key)
        for delivery_id in done.order_by("started_at", "pk").values_list("delivery", flat=True):
            first.setdefault(delivery_id)
        assert list(first) == sorted(first)
    assert not Retry.objects.exists()
