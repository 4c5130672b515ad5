"""A pump that was frozen for longer than a lease sends nothing that may be another's by now."""

from __future__ import annotations

import pytest

from outgoing import deliver as deliver_module
from outgoing.deliver import DeliveryPump
from outgoing.models import Attempt, Delivery
from outgoing.querysets import LEASE_SECONDS
from tests.factories import make_delivery, make_subscription
from tests.outgoing.pump import Turn
from webhooks_project.lib.ids import new_id


@pytest.mark.django_db
def test_gives_back_what_is_still_its_own_and_leaves_the_rest_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    subscription = make_subscription()
    ours = make_delivery(subscription=subscription)
    taken = make_delivery(subscription=subscription)
    pump = DeliveryPump(Turn())  # type: ignore[arg-type]
    pump._sweep()
    pump._claim()
    other = new_id()
    Delivery.objects.filter(pk=taken.pk).update(lease_token=other)
    now = deliver_module.time.monotonic()
    monkeypatch.setattr(deliver_module.time, "monotonic", lambda: now + LEASE_SECONDS + 1)

    pump._sweep()

    assert pump._lines.take() is None
    ours.refresh_from_db()
    assert (ours.status, ours.lane, ours.lease_token) == ("pending", Delivery.Lane.FIRST, None)
    taken.refresh_from_db()
    assert (taken.status, taken.lease_token) == ("delivering", other)
    assert not Attempt.objects.exists()
