"""How a delivery stands at present, and what it waits for."""

from __future__ import annotations

from datetime import datetime, timedelta

from outgoing.breakers import OPEN_SECONDS
from outgoing.endpoints import PERIODS
from outgoing.explaining.steps import Step
from outgoing.models import Delivery, Flow
from subscriptions.models import Subscription
from webhooks_project.lib import clock
from webhooks_project.lib.rates import RateLimit
from webhooks_project.lib.windows import parse_window


def steps_at_present(delivery: Delivery) -> list[Step]:
    """What is so now: its end, or what it waits for."""
    match delivery.status:
        case Delivery.Status.DELIVERED:
            return [Step("delivered", "it was delivered", delivery.delivered_at)]
        case Delivery.Status.EXHAUSTED:
            return [Step("exhausted", f"it was given up: {delivery.last_cause}",
                         delivery.exhausted_at, facts={"cause": delivery.last_cause})]  # fmt: skip
        case Delivery.Status.CANCELLED:
            why = delivery.discard_reason or delivery.last_cause
            return [Step("cancelled", f"it is cancelled: {why}" if why else "it is cancelled",
                         facts={"cause": delivery.last_cause,
                                "reason": delivery.discard_reason})]  # fmt: skip
        case Delivery.Status.HELD:
            return [_held(delivery)]
        case Delivery.Status.DELIVERING:
            return [Step("claimed", "a worker has it", facts={"until": delivery.leased_until})]
    retry = getattr(delivery, "retry", None)
    if retry is not None:
        return [Step("retry", f"attempt {retry.number} is due, after {retry.cause}",
                     facts={"number": retry.number, "cause": retry.cause,
                            "due_at": retry.due_at})]  # fmt: skip
    return [_waiting(delivery)]


def _held(delivery: Delivery) -> Step:
    subscription = delivery.subscription
    since = subscription.paused_at or subscription.disabled_at
    since = max(delivery.created_at, since) if since else delivery.created_at
    return Step("held", f"it is held: the subscription is {subscription.status}",
                facts={"since": since, "reason": subscription.status_reason})  # fmt: skip


def _waiting(delivery: Delivery) -> Step:
    """Why one that is pending is not under way."""
    subscription = delivery.subscription
    if delivery.order_key is not None and delivery.lane in (None, Delivery.Lane.LIMITED):
        before = (
            Delivery.objects.filter(
                subscription=subscription, order_key=delivery.order_key, pk__lt=delivery.pk
            )
            .exclude(status__in=(Delivery.Status.DELIVERED, Delivery.Status.CANCELLED))
            .order_by("pk")
            .first()
        )
        if before is not None:
            return Step(
                "parked", f"it waits for delivery {before.pk} of its order key, which is "
                f"{before.status}",
                facts={"delivery": before.pk, "order_key": delivery.order_key},
            )  # fmt: skip
    now = clock.now()
    if delivery.next_attempt_at > now:
        return Step(
            "scheduled", "its time has not come", facts={"due_at": delivery.next_attempt_at}
        )
    is_limited = delivery.lane == Delivery.Lane.LIMITED
    is_limited = is_limited or subscription.breaker != Subscription.Breaker.CLOSED
    limit = _limit_before(subscription, now) if is_limited else None
    return limit or Step("in_line", "it stands in line", facts={"since": delivery.next_attempt_at})


def _limit_before(subscription: Subscription, now: datetime) -> Step | None:
    """Which limit of its subscription it waits for, as far as that can be seen."""
    if subscription.breaker != Subscription.Breaker.CLOSED:
        since = subscription.breaker_changed_at
        until = since + timedelta(seconds=OPEN_SECONDS) if since else None
        if subscription.breaker == Subscription.Breaker.HALF_OPEN:
            return Step("waits_for_breaker", "the subscription's breaker is half open: one attempt "
                        "tries at a time", facts={"since": since})  # fmt: skip
        return Step("waits_for_breaker", "the subscription's breaker is open: it failed too much",
                    facts={"since": since, "until": until})  # fmt: skip
    if subscription.delivery_window is not None:
        window = parse_window(subscription.delivery_window)
        if not window.is_open(now):
            return Step("waits_for_window", "the delivery window is closed",
                        facts={"until": window.next_opening(now)})  # fmt: skip
    if subscription.rate_limit is not None:
        rate = RateLimit(subscription.rate_limit, PERIODS[subscription.rate_period])
        flow = Flow.objects.filter(pk=subscription.pk).first()
        rate.restore(flow.starts if flow else [])
        if not rate.available(now.timestamp()):
            until = clock.from_unix(rate.next_at(now.timestamp()))
            return Step("waits_for_rate", "the subscription's rate is used up",
                        facts={"until": until})  # fmt: skip
    if subscription.batch_size > 1:
        return Step("waits_for_batch", "it waits for its batch to be full",
                    facts={"batch_size": subscription.batch_size,
                           "batch_seconds": subscription.batch_seconds})  # fmt: skip
    return None
