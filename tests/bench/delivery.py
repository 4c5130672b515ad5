"""Delivery: the hub's engine against two loops that send the same bytes and record nothing.

The hub is measured with a pump for each core, as it is run, and with a single one. The loops are a
single process each.
"""

from __future__ import annotations

import gc
import multiprocessing
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
import pycurl
import requests
from django.conf import settings
from django.db import connection, connections

from outgoing.deliver import DeliveryPump
from outgoing.models import Attempt, Delivery
from outgoing.payload import envelope
from outgoing.services import NewEvent, publish_many
from subscriptions.services import create_subscription
from tests.bench.report import Mark, said, say, show_ratio
from webhooks_project.accounts.models import Account
from webhooks_project.accounts.services import create_account
from webhooks_project.lib import clock
from webhooks_project.models import Heartbeat
from webhooks_project.pumps import Place, take_place

DELIVERIES: Final = 20_000
PUBLISHED_TOGETHER: Final = 500
REQUESTS: Final = 3_000
CURL_REQUESTS: Final = 20_000
CURL_HANDLES: Final = 64
WARM_UP_PART: Final = 10  # of each, before the first that counts
DATA_BYTES: Final = 1024
# As many endpoints, with a type each: a subscription's attempts are one pump's at a time only
# where it has limits, and these have none.
ENDPOINTS: Final = 8
NAMES: Final = ("delivery", "delivery_one_pump", "delivery_curl")


def measure_delivery(*, url: str, sink: str, runs: int, only: Collection[str]) -> None:
    """Print `delivery`: deliveries recorded a second, by the POSTs of a pooled requests.Session.

    `delivery_one_pump`: the same with one pump. `delivery_curl`: with a pump for each core, by the
    POSTs of a loop over libcurl's multi interface. Each run measures all, one after the other.
    """
    Heartbeat.objects.all().delete()  # a hub that was stopped here asked its pumps to stay away
    account = _account_with_endpoints(url)
    data = orjson.dumps({"text": "x" * (DATA_BYTES - 11)})
    body = envelope(type=_type(0), occurred_at=clock.now(), data=data)
    pumps = settings.WEBHOOKS_DELIVERY_PUMPS
    loops = {
        "requests": lambda part: _rate_of_requests(url, body, REQUESTS // part),
        "curl": lambda part: _rate_of_curl(url, body, CURL_REQUESTS // part),
        "hub": lambda part: _rate_of_hub(account, data, DELIVERIES // part, pumps),
        "one_pump": lambda part: _rate_of_hub(account, data, DELIVERIES // part, 1),
    }
    pairs = {
        "delivery": ("hub", "requests"),
        "delivery_one_pump": ("one_pump", "requests"),
        "delivery_curl": ("hub", "curl"),
    }
    pairs = {name: pair for name, pair in pairs.items() if name in only}
    asked = {name for pair in pairs.values() for name in pair}
    loops = {name: rate for name, rate in loops.items() if name in asked}
    for rate in loops.values():
        rate(WARM_UP_PART)
    rates: dict[str, list[float]] = {name: [] for name in loops}
    for run in range(runs):
        for name, rate in loops.items():
            rates[name].append(rate(1))
        say(f"delivery {run + 1}/{runs}: {said(rates)}")
    for name, (hub, bare) in pairs.items():
        show_ratio(
            name,
            {"hub": rates[hub], "bare": rates[bare]},
            mark=_mark(name),
            sink=sink,
            body_bytes=len(body),
            pumps=pumps if hub == "hub" else 1,
        )


def _mark(name: str) -> Mark | None:
    """On PostgreSQL the server's own processes take their part of the same cores."""
    if name == "delivery":
        return Mark(">=", 8.0 if connection.vendor == "sqlite" else 5.0)
    is_marked = name == "delivery_curl" and connection.vendor == "sqlite"
    return Mark(">=", 0.35) if is_marked else None


def _type(number: int) -> str:
    return f"bench.delivered_{number}"


def _account_with_endpoints(url: str) -> Account:
    account = create_account(name="Delivery", slug="bench-delivery")
    for number in range(ENDPOINTS):
        create_subscription(
            account=account, name=f"Sink {number}", url=url, event_types=[_type(number)]
        )
    return account


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


def seconds_of_pumps(count: int, pumps: int) -> float:
    """Have so many pumps, each a process, deliver so many. Returns how long they took."""
    if pumps == 1:
        return seconds_until(lambda pump: pump._results.recorded >= count)
    connections.close_all()  # no process uses what another opened
    fork = multiprocessing.get_context("fork")
    recorded = [fork.Value("l", 0, lock=False) for _ in range(pumps)]
    ready, results = fork.Barrier(pumps), fork.SimpleQueue()
    processes = [
        fork.Process(target=_pump, args=(count, number, recorded, ready, results))
        for number in range(pumps)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    if any(process.exitcode for process in processes):
        raise RuntimeError("a pump failed")
    spans = [results.get() for _ in processes]
    # Each sums up what all have recorded, so the first that sees them all knows the moment.
    return min(end for _, end in spans) - min(start for start, _ in spans)


def _pump(count: int, number: int, recorded: Sequence[Any], ready: Any, results: Any) -> None:
    def is_done(pump: DeliveryPump) -> bool:
        recorded[number].value = pump._results.recorded
        return sum(one.value for one in recorded) >= count

    try:
        connection.ensure_connection()
        gc.collect()  # touches what was forked, which is copied then: a pump runs for days
        ready.wait()
        start_at = time.perf_counter()  # of the machine's one clock, so processes can be compared
        seconds = seconds_until(is_done)
        results.put((start_at, start_at + seconds))
    finally:
        connections.close_all()


def _rate_of_hub(account: Account, data: bytes, count: int, pumps: int) -> float:
    """Publish so many, then have the pumps deliver them. Every one is checked to be recorded."""
    new = [
        NewEvent(account_id=account.pk, type=_type(number), data=data)
        for number in range(ENDPOINTS)
    ]
    before = _recorded(account)
    for start in range(0, count, PUBLISHED_TOGETHER):
        together = range(start, min(start + PUBLISHED_TOGETHER, count))
        publish_many([new[number % ENDPOINTS] for number in together])
    seconds = seconds_of_pumps(count, pumps)
    after = _recorded(account)
    if [now - then for now, then in zip(after, before, strict=True)] != [count, count]:
        raise RuntimeError(f"of {count} deliveries: {before} became {after}")
    return count / seconds


def _recorded(account: Account) -> tuple[int, int]:
    delivered = Delivery.objects.filter(account=account, status=Delivery.Status.DELIVERED)
    succeeded = Attempt.objects.filter(delivery__account=account, outcome=Attempt.Outcome.SUCCEEDED)
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
