"""A pump that was frozen for longer than a lease sends nothing that may be another's by now."""

from __future__ import annotations

from typing import Any

import pytest

from outgoing import deliver as deliver_module
from outgoing.deliver import DeliveryPump
from outgoing.models import Attempt, Delivery
from outgoing.querysets import LEASE_SECONDS
from outgoing.querysets import deliveries as deliveries_module
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


@pytest.mark.django_db
@pytest.mark.parametrize("limits", [{}, {"rate_limit": 1, "rate_period": "second"}])
@pytest.mark.parametrize("where", ["before its claim is written", "before it sends"])
def test_sends_nothing_where_it_was_frozen_since_it_looked(
    where: str, limits: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    delivery = make_delivery(subscription=make_subscription(**limits), lane=2 if limits else 0)
    pump = DeliveryPump(Turn())  # type: ignore[arg-type]
    monotonic, frozen = deliver_module.time.monotonic, 0.0
    monkeypatch.setattr(deliver_module.time, "monotonic", lambda: monotonic() + frozen)
    under_lease = deliveries_module._under_lease

    def freeze(*args: Any) -> dict[str, Any]:
        nonlocal frozen
        frozen = LEASE_SECONDS + 1
        return under_lease(*args)

    if where == "before its claim is written":
        monkeypatch.setattr(deliveries_module, "_under_lease", freeze)
    pump._sweep()
    pump._claim()
    frozen = LEASE_SECONDS + 1
    assert pump._start() == 0

    pump._sweep()

    assert pump._lines.waiting() == []
    delivery.refresh_from_db()
    assert (delivery.status, delivery.lease_token) == ("pending", None)
    assert not Attempt.objects.exists()
