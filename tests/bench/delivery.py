"""Delivery: the hub's engine against two loops that send the same bytes and record nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final

import orjson
import pycurl
import requests
from django.db import connection

from outgoing.deliver import DeliveryPump
from outgoing.models import Attempt, Delivery
from outgoing.payload import envelope
from outgoing.services import NewEvent, publish_many
from subscriptions.models import Subscription
from subscriptions.services import create_subscription
from tests.bench.report import Mark, said, say, show_ratio
from webhooks_project.accounts.services import create_account
from webhooks_project.lib import clock
from webhooks_project.models import Heartbeat
from webhooks_project.pumps import Place, take_place

DELIVERIES: Final = 8_000
PUBLISHED_TOGETHER: Final = 500
REQUESTS: Final = 3_000
CURL_REQUESTS: Final = 20_000
CURL_HANDLES: Final = 64
WARM_UP_PART: Final = 10  # of each, before the first that counts
DATA_BYTES: Final = 1024
EVENT_TYPE: Final = "bench.delivered"
NAMES: Final = ("delivery", "delivery_curl")


def measure_delivery(*, url: str, sink: str, runs: int, only: Collection[str]) -> None:
    """Print `delivery`: deliveries recorded a second, by the POSTs of a pooled requests.Session.

    And `delivery_curl`: the same by the POSTs of a loop over libcurl's multi interface. Each run
    measures all of them, one after the other.
    """
    Heartbeat.objects.all().delete()  # a hub that was stopped here asked its pumps to stay away
    subscription = _subscription(url)
    data = orjson.dumps({"text": "x" * (DATA_BYTES - 11)})
    body = envelope(type=EVENT_TYPE, occurred_at=clock.now(), data=data)
    _rate_of_hub(subscription, data, DELIVERIES // WARM_UP_PART)
    bare = {
        "delivery": lambda part: _rate_of_requests(url, body, REQUESTS // part),
        "delivery_curl": lambda part: _rate_of_curl(url, body, CURL_REQUESTS // part),
    }
    bare = {name: rate for name, rate in bare.items() if name in only}
    for rate in bare.values():
        rate(WARM_UP_PART)
    rates: dict[str, list[float]] = {name: [] for name in ("hub", *bare)}
    for run in range(runs):
        rates["hub"].append(_rate_of_hub(subscription, data, DELIVERIES))
        for name, rate in bare.items():
            rates[name].append(rate(1))
        say(f"delivery {run + 1}/{runs}: {said(rates)}")
    for name in bare:
        show_ratio(
            name,
            {"hub": rates["hub"], "bare": rates[name]},
            mark=_mark(name),
            sink=sink,
            body_bytes=len(body),
        )


def _mark(name: str) -> Mark | None:
    """On PostgreSQL the server's own process takes its part of the same two cores."""
    if name == "delivery":
        return Mark(">=", 8.0 if connection.vendor == "sqlite" else 5.0)
    return Mark(">=", 0.35) if connection.vendor == "sqlite" else None


def _subscription(url: str) -> Subscription:
    return create_subscription(
        account=create_account(name="Delivery", slug="bench-delivery"),
        name="Sink",
        url=url,
        event_types=[EVENT_TYPE],
        max_in_flight=64,
    ).subscription


@dataclass
class Until:
    """A pump's place, given up once something has come about."""

    place: Place
    is_done: Callable[[DeliveryPump], bool]
    pump: DeliveryPump | None = None
    done_at: float = 0.0

    @property
    def name(self) -> str:
        return self.place.name

    def goes_on(self) -> bool:
        if self.pump is None or not self.is_done(self.pump):
            return self.place.goes_on()
        self.done_at = time.perf_counter()
        return False

    def leave(self) -> None:
        self.place.leave(call_next=False)


def seconds_until(is_done: Callable[[DeliveryPump], bool]) -> float:
    """Have one pump work until then. Returns how long that took."""
    with take_place("delivery") as place:
        if place is None:
            raise RuntimeError("another pump is delivering")
        until = Until(place, is_done)
        start_at = time.perf_counter()
        until.pump = DeliveryPump(until)  # type: ignore[arg-type]
        until.pump.run()
        if not until.done_at:
            raise RuntimeError("the pump's turn was over before")
        return until.done_at - start_at


def _rate_of_hub(subscription: Subscription, data: bytes, count: int) -> float:
    """Publish so many, then have one pump deliver them. Every one is checked to be recorded."""
    new = NewEvent(account_id=subscription.account_id, type=EVENT_TYPE, data=data)
    before = _recorded(subscription)
    for start in range(0, count, PUBLISHED_TOGETHER):
        publish_many([new] * min(PUBLISHED_TOGETHER, count - start))
    seconds = seconds_until(lambda pump: pump._recorded >= count)
    after = _recorded(subscription)
    if [now - then for now, then in zip(after, before, strict=True)] != [count, count]:
        raise RuntimeError(f"of {count} deliveries: {before} became {after}")
    return count / seconds


def _recorded(subscription: Subscription) -> tuple[int, int]:
    delivered = subscription.deliveries.filter(status=Delivery.Status.DELIVERED)
    succeeded = Attempt.objects.filter(
        delivery__subscription=subscription, outcome=Attempt.Outcome.SUCCEEDED
    )
    return delivered.count(), succeeded.count()


def _rate_of_requests(url: str, body: bytes, count: int) -> float:
    headers = {"Content-Type": "application/json"}
    with requests.Session() as session:
        start_at = time.perf_counter()
        for _ in range(count):
            session.post(url, data=body, headers=headers, timeout=15).raise_for_status()
        return count / (time.perf_counter() - start_at)


def _rate_of_curl(url: str, body: bytes, count: int) -> float:
    return rate_of_curl([url], body, count)


def rate_of_curl(
    urls: Sequence[str], body: bytes, count: int, *, certificates: str = "", kept: int = 0
) -> float:
    """As fast as libcurl goes from one thread of Python, to these URLs in turn.

    With one URL nothing is set anew between requests. `kept`: how many connections at most.
    """
    multi = pycurl.CurlMulti()
    if kept:
        multi.setopt(pycurl.M_MAXCONNECTS, kept)
    handles = [_handle(urls[n % len(urls)], body, certificates) for n in range(CURL_HANDLES)]
    start_at = time.perf_counter()
    for handle in handles:
        multi.add_handle(handle)
    to_start, to_end = count - len(handles), count
    while to_end:
        multi.perform()
        left, ended, failed = multi.info_read()
        if failed:
            raise RuntimeError(f"the sink failed: {failed[0][2]}")
        if not ended and not left:
            multi.select(1.0)
        for handle in ended:
            if handle.getinfo(pycurl.RESPONSE_CODE) != 200:
                raise RuntimeError("the sink did not answer 200")
            multi.remove_handle(handle)
            to_end -= 1
            if to_start:
                if len(urls) > 1:
                    handle.setopt(pycurl.URL, urls[to_start % len(urls)])
                to_start -= 1
                multi.add_handle(handle)
    seconds = time.perf_counter() - start_at
    for handle in handles:
        handle.close()
    multi.close()
    return count / seconds


def _handle(url: str, body: bytes, certificates: str) -> pycurl.Curl:
    handle = pycurl.Curl()
    if certificates:
        handle.setopt(pycurl.CAINFO, certificates)
    handle.setopt(pycurl.URL, url)
    handle.setopt(pycurl.POST, 1)
    handle.setopt(pycurl.POSTFIELDS, body)
    handle.setopt(pycurl.HTTPHEADER, ["Content-Type: application/json", "Expect:"])
    handle.setopt(pycurl.NOSIGNAL, 1)
    handle.setopt(pycurl.PROXY, "")
    return handle
