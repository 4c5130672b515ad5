"""The delivery engine where it has it hard: slow and hanging endpoints, TLS, backlogs, history."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any, Final

import certifi
import orjson
from django.db import connection
from django.db.models import Model

from outgoing import breakers
from outgoing.deliver import CLAIM_ROWS, DeliveryPump
from outgoing.models import Attempt, Breaker, Delivery, Event, Replay
from outgoing.payload import envelope, signed_headers
from outgoing.replays import cancel_replay, plan_replay, start_replay
from outgoing.selecting import Selection
from subscriptions.conf import address_policy
from subscriptions.models import Subscription
from subscriptions.services import create_subscription
from tests.bench.delivery import CURL_HANDLES, DATA_BYTES, rate_of_curl, seconds_until
from tests.bench.moving import moving_on
from tests.bench.report import Mark, quantile, said, say, show_ratio, show_value
from tests.bench.sink import running_sink
from webhooks_project.accounts.models import Account
from webhooks_project.accounts.services import create_account
from webhooks_project.lib import clock
from webhooks_project.lib.ids import new_id
from webhooks_project.lib.outbound import Outbound, Request
from webhooks_project.lib.signing import key_of, new_secret
from webhooks_project.models import Heartbeat

NAMES: Final = (
    "delivery_50ms", "outbound_tls_kept", "outbound_tls_new", "delivery_fair",
    "delivery_fair_p99", "delivery_under_replay", "delivery_backlog", "claim_history",
)  # fmt: skip
EVENT_TYPE: Final = "bench.engine"
DATA: Final = orjson.dumps({"text": "x" * (DATA_BYTES - 11)})
LATE_MS: Final = 50
LATE_DELIVERIES: Final = 4_000
TLS_DELIVERIES: Final = 6_000
TLS_NAMES: Final = 400  # endpoints; more than connections are kept
TLS_NEW_DELIVERIES: Final = 1_600
KEPT_CONNECTIONS: Final = 128
FAIR_DELIVERIES: Final = 20_000
FAIR_BACKLOG: Final = 2_000
FAIR_SECONDS: Final = 8
LEAD_SECONDS: Final = 4
FAIR_PER_SECOND: Final = 200
SLOW_MS: Final = 500
SLOW_PER_SECOND: Final = 320  # ten times what sixteen at once and half a second each let through
HANGING_PER_SECOND: Final = 20
HANGING_MS: Final = 3_600_000
REPLAY_LIVE: Final = 20_000
REPLAY_PAST: Final = 10_000
FEW: Final = 1_000
MANY: Final = 100_000
ROWS_TOGETHER: Final = 2_000
LITTLE_HISTORY: Final = 10_000
LONG_HISTORY: Final = 1_000_000
HISTORY_SUBSCRIPTIONS: Final = 100
CLAIMS: Final = 30
LOOK_SECONDS: Final = 0.5


def measure_engine(*, url: str, runs: int, only: Collection[str]) -> None:
    """Print those of NAMES asked for. Each run measures both sides, one after the other."""
    Heartbeat.objects.all().delete()  # a hub that was stopped here asked its pumps to stay away
    account = create_account(name="Engine", slug="bench-engine")
    if "delivery_50ms" in only:
        _measure_late(account, runs)
    if {"outbound_tls_kept", "outbound_tls_new"} & set(only):
        _measure_tls(runs, only)
    if {"delivery_fair", "delivery_fair_p99"} & set(only):
        _measure_fair(account, url, runs, only)
    if "delivery_under_replay" in only:
        _measure_under_replay(account, url, runs)
    if "delivery_backlog" in only:
        _measure_backlog(account, url, runs)
    if "claim_history" in only:
        _measure_history(account, url)


# --- what is delivered ----------------------------------------------------------------------------


def _subscription(
    account: Account, url: str, *, in_flight: int | None = None, timeout_seconds: int = 15
) -> Subscription:
    return create_subscription(
        account=account,
        name="Sink",
        url=url,
        event_types=["bench.none"],
        max_in_flight=in_flight,
        timeout_seconds=timeout_seconds,
    ).subscription


def _queue(
    subscriptions: Sequence[Subscription], moments: Iterable[datetime], **facts: Any
) -> None:
    """One delivery for each moment that it is due at, to the subscriptions in turn; `facts`: what
    else is to be said of each."""
    rows: list[tuple[Event, Delivery]] = []
    for number, moment in enumerate(moments):
        subscription = subscriptions[number % len(subscriptions)]
        lane = Delivery.Lane.LIMITED if subscription.is_limited else Delivery.Lane.FIRST
        event = Event(
            account_id=subscription.account_id,
            type=EVENT_TYPE,
            data=DATA,
            occurred_at=moment,
            created_at=moment,
        )
        delivery = Delivery(
            account_id=subscription.account_id,
            event=event,
            subscription=subscription,
            next_attempt_at=moment,
            created_at=moment,
            **{"lane": lane, **facts},
        )
        rows.append((event, delivery))
    for start in range(0, len(rows), ROWS_TOGETHER):
        part = rows[start : start + ROWS_TOGETHER]
        Event.objects.bulk_create([event for event, _ in part])
        Delivery.objects.bulk_create([delivery for _, delivery in part])


def _now(count: int) -> list[datetime]:
    return [clock.now()] * count


def _spread(per_second: int, seconds: int) -> Iterator[datetime]:
    """As many moments, evenly, from when they are stored and a pump has begun."""
    first = clock.now() + timedelta(seconds=LEAD_SECONDS)
    return (first + timedelta(seconds=n / per_second) for n in range(per_second * seconds))


def _rate(subscriptions: Sequence[Subscription], count: int) -> float:
    _queue(subscriptions, _now(count))
    seconds = seconds_until(lambda pump: pump._results.recorded >= count)
    left = Delivery.objects.filter(subscription__in=subscriptions).exclude(status="delivered")
    if left.exists():
        raise RuntimeError("not every one was delivered")
    return count / seconds


def _body() -> bytes:
    return envelope(type=EVENT_TYPE, occurred_at=clock.now(), data=DATA)


# --- endpoints that take their time, and TLS ------------------------------------------------------


def _measure_late(account: Account, runs: int) -> None:
    with running_sink(delay_ms=LATE_MS) as sink:
        subscription = _subscription(account, sink.url, in_flight=CURL_HANDLES)
        rates: dict[str, list[float]] = {"hub": [], "bare": []}
        for run in range(runs):
            rates["hub"].append(_rate([subscription], LATE_DELIVERIES))
            rates["bare"].append(rate_of_curl([sink.url], _body(), LATE_DELIVERIES))
            say(f"delivery_50ms {run + 1}/{runs}: {said(rates)}")
        mark = Mark(">=", 0.75)
        show_ratio("delivery_50ms", rates, mark=mark, sink=sink.kind, in_flight=CURL_HANDLES)


@contextmanager
def _trusting(certificate: Path) -> Iterator[str]:
    """All that is trusted everywhere, and this one too."""
    bundle = certificate.with_name("bundle.pem")
    bundle.write_bytes(Path(certifi.where()).read_bytes() + certificate.read_bytes())
    before = os.environ.get("SSL_CERT_FILE")
    os.environ["SSL_CERT_FILE"] = str(bundle)
    try:
        yield str(bundle)
    finally:
        del os.environ["SSL_CERT_FILE"]
        if before is not None:
            os.environ["SSL_CERT_FILE"] = before


def _measure_tls(runs: int, only: Collection[str]) -> None:
    with running_sink(tls_ports=TLS_NAMES) as sink:
        assert sink.certificate is not None
        with _trusting(sink.certificate) as bundle:
            for name, urls, count in (
                ("outbound_tls_kept", sink.urls[:1], TLS_DELIVERIES),
                ("outbound_tls_new", sink.urls, TLS_NEW_DELIVERIES),
            ):
                if name not in only:
                    continue
                rates: dict[str, list[float]] = {"hub": [], "bare": []}
                for run in range(runs):
                    rates["hub"].append(_rate_of_engine(urls, _body(), count))
                    rates["bare"].append(
                        rate_of_curl(
                            urls, _body(), count, certificates=bundle, kept=KEPT_CONNECTIONS
                        )
                    )
                    say(f"{name} {run + 1}/{runs}: {said(rates)}")
                mark = Mark(">=", 0.5)
                show_ratio(name, rates, mark=mark, sink=sink.kind, endpoints=len(urls))


def _rate_of_engine(urls: Sequence[str], body: bytes, count: int) -> float:
    """Through the hub's way out, signed, with everything that it watches over; not recorded."""
    outbound = Outbound(policy=address_policy(), max_in_flight=CURL_HANDLES, user_agent="bench")
    keys = [key_of(new_secret())]
    to_start = to_end = count
    start_at = time.perf_counter()
    while to_end:
        while to_start and outbound.free:
            to_start -= 1
            headers = signed_headers(
                message_id=f"evt_{to_start}", timestamp=int(time.time()), body=body, keys=keys
            )
            outbound.start(Request(urls[to_start % len(urls)], headers, body, 15), None)
        for _, response in outbound.wait(1.0):
            to_end -= 1
            if response.status != 200:
                raise RuntimeError(f"the sink did not answer 200: {response.detail}")
    seconds = time.perf_counter() - start_at
    outbound.close()
    return count / seconds


# --- fairness -------------------------------------------------------------------------------------


def _measure_fair(account: Account, url: str, runs: int, only: Collection[str]) -> None:
    """A healthy endpoint alone, and beside one that hangs and one ten times slower than its load.

    `delivery_fair`: its throughput; `delivery_fair_p99`: its latency, in a steady load.
    """
    with running_sink(delay_ms=SLOW_MS) as slow, running_sink(delay_ms=HANGING_MS) as hanging:
        rates: dict[str, list[float]] = {"beside": [], "alone": []}
        latencies: dict[str, list[float]] = {"beside": [], "alone": []}
        for run in range(runs):
            for kind in ("alone", "beside"):
                others = (slow.url, hanging.url) if kind == "beside" else None
                if "delivery_fair" in only:
                    rates[kind].append(_fair_rate(account, url, others))
                if "delivery_fair_p99" in only:
                    latencies[kind].append(_fair_p99(account, url, others))
            say(f"delivery_fair {run + 1}/{runs}: {rates} per second, p99 {latencies} ms")
    if "delivery_fair" in only:
        show_ratio("delivery_fair", rates, mark=Mark(">=", 0.9))
    if "delivery_fair_p99" in only:
        # As rates, so that 0.9 means the same: the reciprocal of the time.
        reciprocals = {kind: [1000 / ms for ms in values] for kind, values in latencies.items()}
        milliseconds = {kind: round(median(values), 1) for kind, values in latencies.items()}
        mark = Mark(">=", 0.9)
        show_ratio("delivery_fair_p99", reciprocals, mark=mark, milliseconds=milliseconds)


def _others(account: Account, urls: tuple[str, str]) -> tuple[Subscription, Subscription]:
    slow = _subscription(account, urls[0])
    return slow, _subscription(account, urls[1], timeout_seconds=5)


def _until_all_of(subscription: Subscription, count: int) -> float:
    """Work until so many of one subscription are delivered, however many others are. Returns how
    long it took until the last of them was answered: its record is written sooner where nothing
    else is under way.

    To count them takes the database some milliseconds, so that it is seldom asked.
    """
    look_after = 0.0
    started_at = clock.now()
    delivered = subscription.deliveries.filter(status="delivered")

    def is_done(_: DeliveryPump) -> bool:
        nonlocal look_after
        if time.monotonic() < look_after:
            return False
        look_after = time.monotonic() + LOOK_SECONDS
        return delivered.count() >= count

    seconds_until(is_done)
    attempts = Attempt.objects.filter(delivery__subscription=subscription)
    last = attempts.latest("started_at")
    answered_at = last.started_at + timedelta(milliseconds=last.duration_ms)
    return (answered_at - started_at).total_seconds()


def _forget(*subscriptions: Subscription) -> None:
    for subscription in subscriptions:
        waiting = subscription.deliveries.exclude(status="delivered")
        waiting.update(status="cancelled", lane=None)
        Breaker.objects.filter(pk=subscription.pk).delete()
    breakers._SUCCESSES.clear()


def _fair_rate(account: Account, url: str, others: tuple[str, str] | None) -> float:
    healthy = _subscription(account, url)
    beside = _others(account, others) if others else ()
    for subscription in beside:
        _queue([subscription], _now(FAIR_BACKLOG))
    _queue([healthy], _now(FAIR_DELIVERIES))
    seconds = _until_all_of(healthy, FAIR_DELIVERIES)
    _forget(*beside)
    return FAIR_DELIVERIES / seconds


def _fair_p99(account: Account, url: str, others: tuple[str, str] | None) -> float:
    """From when a delivery was due to when its answer was there, in milliseconds."""
    healthy = _subscription(account, url)
    beside = _others(account, others) if others else ()
    for subscription, per_second in zip(
        beside, (SLOW_PER_SECOND, HANGING_PER_SECOND), strict=False
    ):
        _queue([subscription], _spread(per_second, FAIR_SECONDS))
    count = FAIR_PER_SECOND * FAIR_SECONDS
    _queue([healthy], _spread(FAIR_PER_SECOND, FAIR_SECONDS))
    _until_all_of(healthy, count)
    _forget(*beside)
    times = Attempt.objects.filter(delivery__subscription=healthy)
    return quantile(
        [wait + ms for wait, ms in times.values_list("queue_wait_ms", "duration_ms")], 0.99
    )


# --- a replay -------------------------------------------------------------------------------------


def _measure_under_replay(account: Account, url: str, runs: int) -> None:
    """The throughput of live traffic while a replay job runs, by what it is without."""
    rates: dict[str, list[float]] = {"under_replay": [], "alone": []}
    replayed: list[int] = []
    for run in range(runs):
        # In turns, since the machine's own pace changes.
        for kind in sorted(rates, reverse=bool(run % 2)):
            if kind == "alone":
                rates[kind].append(_rate_of_live(_live(account, url)))
            else:
                rate, count = _rate_under_replay(account, url)
                rates[kind].append(rate)
                replayed.append(count)
        say(f"delivery_under_replay {run + 1}/{runs}: {said(rates)}, {replayed[-1]} replayed")
    show_ratio("delivery_under_replay", rates, mark=Mark(">=", 0.9), replayed=replayed)


def _rate_under_replay(account: Account, url: str) -> tuple[float, int]:
    """That of live traffic, and how many were replayed meanwhile."""
    replay = _started_replay(account, url)
    live = _live(account, url)
    with moving_on():
        rate = _rate_of_live(live)
    replay = cancel_replay(replay)
    _forget(*Subscription.objects.filter(pk=replay.subscription_id))
    return rate, replay.redelivered_count


def _live(account: Account, url: str) -> Subscription:
    live = _subscription(account, url)
    _queue([live], _now(REPLAY_LIVE))
    return live


def _rate_of_live(live: Subscription) -> float:
    return REPLAY_LIVE / _until_all_of(live, REPLAY_LIVE)


def _started_replay(account: Account, url: str) -> Replay:
    """A job over an endpoint's past."""
    past = _subscription(account, url)
    moment = clock.now() - timedelta(days=2)
    _queue(
        [past], [moment + timedelta(milliseconds=n) for n in range(REPLAY_PAST)],
        status="delivered", lane=None, attempt_count=1, delivered_at=moment,
    )  # fmt: skip
    selection = Selection(
        since=moment, until=moment + timedelta(days=1), account=account, subscription=past
    )
    return start_replay(plan_replay(selection))


# --- backlogs and history -------------------------------------------------------------------------


def _measure_backlog(account: Account, url: str, runs: int) -> None:
    """How fast 100,000 that wait are delivered, by how fast 1,000 are."""
    subscription = _subscription(account, url, in_flight=CURL_HANDLES)
    rates: dict[str, list[float]] = {"many": [], "few": []}
    for run in range(min(runs, 3)):
        rates["few"].append(median(_rate([subscription], FEW) for _ in range(5)))
        rates["many"].append(_rate([subscription], MANY))
        say(f"delivery_backlog {run + 1}: {said(rates)}")
    show_ratio("delivery_backlog", rates, mark=Mark(">=", 0.85))


def _measure_history(account: Account, url: str) -> None:
    """How long a claim takes beside a million deliveries that have ended, by beside 10,000."""
    subscription = _subscription(account, url)
    times: dict[int, list[float]] = {}
    for size in (LITTLE_HISTORY, LONG_HISTORY):
        _make_history(account, url, size)
        _queue([subscription], _now(CLAIM_ROWS * 2))
        times[size] = [_claim_seconds() * 1000 for _ in range(CLAIMS)]
        _forget(subscription)
    show_value(
        "claim_history",
        median(times[LONG_HISTORY]) / median(times[LITTLE_HISTORY]),
        "times",
        runs=CLAIMS,
        mark=Mark("<=", 1.3),
        milliseconds={str(size): round(median(values), 2) for size, values in times.items()},
        # The steadier one where the machine was busy with something else meanwhile.
        fastest_milliseconds={str(size): round(min(values), 2) for size, values in times.items()},
    )


def _claim_seconds() -> float:
    start_at = time.perf_counter()
    claims = Delivery.objects.claim(now=clock.now(), lane=0, limit=CLAIM_ROWS)
    seconds = time.perf_counter() - start_at
    if len(claims) != CLAIM_ROWS:
        raise RuntimeError(f"{len(claims)} were claimed")
    Delivery.objects.release([claim.delivery_id for claim in claims], claims[0].token, 0)
    return seconds


def _make_history(account: Account, url: str, size: int) -> None:
    """Fill up to so many deliveries that have ended: every event for a hundred subscriptions."""
    there = [_subscription(account, url) for _ in range(HISTORY_SUBSCRIPTIONS)]
    moment = clock.now() - timedelta(days=1)
    missing = size - Delivery.objects.filter(status="delivered").count()
    each = max(0, missing) // len(there)
    events = new_id().hex[:16]
    event = Event(
        account=account, type=EVENT_TYPE, data=b"{}", occurred_at=moment, created_at=moment
    )
    _insert_numbered(event, each, id=events)
    for number, one in enumerate(there):
        delivery = Delivery(
            account=account, event=event, subscription=one, status="delivered", lane=None,
            attempt_count=1, next_attempt_at=moment, created_at=moment, delivered_at=moment,
        )  # fmt: skip
        # A millisecond's ids begin alike.
        _insert_numbered(delivery, each, id=f"{new_id().hex[:12]}{number:04x}", event=events)
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute('VACUUM ANALYZE "webhooks.outgoing"')


def _insert_numbered(row: Model, count: int, **beginnings: str) -> None:
    """Insert so many rows like this one, in the database itself.

    The columns named are ids: the sixteen hexadecimal digits given, and the row's number.
    """
    postgresql = connection.vendor == "postgresql"
    number = "lpad(to_hex(i), 16, '0')" if postgresql else "printf('%%016x', i)"
    columns, values, params = [], [], []
    for field in row._meta.concrete_fields:
        columns.append(connection.ops.quote_name(field.column))
        kind = field.rel_db_type(connection) if field.is_relation else field.db_type(connection)
        if field.name in beginnings:
            values.append(f"CAST(%s || {number} AS {kind})")
            params.append(beginnings[field.name])
        else:
            values.append(f"CAST(%s AS {kind})" if postgresql else "%s")
            value = field.value_from_object(row)
            params.append(field.get_db_prep_save(value, connection))
    table = connection.ops.quote_name(row._meta.db_table)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} ({', '.join(columns)}) "
            f"WITH RECURSIVE numbers(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM numbers "
            f"WHERE i < {count}) SELECT {', '.join(values)} FROM numbers",
            params,
        )
