"""What /metrics costs beside a million deliveries."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from datetime import timedelta
from statistics import median
from typing import Final

from django.conf import settings
from django.db import connection
from django.test import Client

from monitoring.metrics import readings
from monitoring.metrics.counting import SETTLED_AFTER
from monitoring.models import MetricsReading
from outgoing.models import Attempt, Delivery, Event
from subscriptions.models import Subscription
from tests.bench.report import Mark, show_value
from webhooks_project.accounts.services import create_account
from webhooks_project.lib import clock
from webhooks_project.lib.ids import new_id
from webhooks_project.lib.sql import insert_rows

NAMES: Final = ("metrics_scrape", "metrics_reading", "metrics_count")
EVENTS: Final = 1_000
SUBSCRIPTIONS: Final = 1_000  # that all of them go to
COUNTED: Final = 20_000  # attempts, since the last reading
RUNS: Final = 7
# Of a hundred deliveries: one given up, one held, two in line, the others delivered.
MADE: Final = """
    INSERT INTO "webhooks.outgoing" (
        id, account_id, event_id, subscription_id, status, lane, trigger, attempt_count,
        attempts_before, next_attempt_at, last_cause, created_at, delivered_at, exhausted_at,
        fingerprint, discard_reason)
    SELECT {id}, e.account_id, e.id, s.id,
        CASE WHEN n.n = 0 THEN 'exhausted' WHEN n.n = 1 THEN 'held' WHEN n.n < 4 THEN 'pending'
            ELSE 'delivered' END,
        CASE WHEN n.n IN (2, 3) THEN 1 END, 'first', 1, 0, e.created_at, '', e.created_at,
        CASE WHEN n.n > 3 THEN e.created_at END, CASE WHEN n.n = 0 THEN e.created_at END, '', ''
    FROM "events.log" e
    CROSS JOIN (SELECT id, row_number() OVER (ORDER BY id) %% 100 AS n FROM {subscriptions}) n
    JOIN {subscriptions} s ON s.id = n.id
    WHERE e.account_id = %s
"""


def measure_metrics(*, only: Collection[str]) -> None:
    """Print those of NAMES asked for."""
    _make_history()
    settings.WEBHOOKS_METRICS_PUBLIC = True
    client = Client(SERVER_NAME="127.0.0.1")
    readings.current_reading()
    if "metrics_reading" in only:
        value = _milliseconds(_read_anew)
        deliveries = Delivery.objects.count()
        show_value("metrics_reading", value, "ms", runs=RUNS, mark=Mark("<=", 500),
                   deliveries=deliveries)  # fmt: skip
    if "metrics_scrape" in only:
        _read_anew()
        MetricsReading.objects.update(seconds=3600)  # given out for the while
        assert client.get("/metrics").status_code == 200
        value = _milliseconds(lambda: client.get("/metrics"))
        show_value("metrics_scrape", value, "ms", runs=RUNS, mark=Mark("<=", 50))
    if "metrics_count" in only:
        values = [_count() / COUNTED * 1e6 for _ in range(RUNS)]
        show_value("metrics_count", median(values), "µs", runs=RUNS, mark=Mark("<=", 20),
                   attempts=COUNTED)  # fmt: skip


def _read_anew() -> None:
    MetricsReading.objects.update(taken_at=None)
    readings.current_reading()


def _milliseconds(call: Callable[[], object]) -> float:
    times = []
    for _ in range(RUNS):
        started = time.perf_counter()
        call()
        times.append((time.perf_counter() - started) * 1000)
    return median(times)


def _count() -> float:
    """Seconds to count attempts that were written since the last reading."""
    now = clock.now()
    while int(clock.now().timestamp() * 1000) == int(now.timestamp() * 1000):
        pass
    readings._count(clock.now() + SETTLED_AFTER, 0)
    keys = list(Delivery.objects.order_by().values_list("pk", flat=True)[:COUNTED])
    number = Attempt.objects.count() // COUNTED + 1
    columns = ("id", "delivery", "number", "trigger", "outcome", "cause", "detail", "started_at",
               "queue_wait_ms", "first_byte_ms", "duration_ms", "request_headers",
               "request_bytes", "request_sha256", "response_headers", "response_body",
               "response_bytes", "address", "protocol", "worker")  # fmt: skip
    for start in range(0, COUNTED, 1_000):
        rows = [
            (new_id(), key, number, "first", "failed" if index % 9 == 0 else "succeeded",
             "status_5xx" if index % 9 == 0 else "", "", now, index % 700 / 1, index % 900 / 1,
             index % 1_000 / 1, {}, 1, b"", {}, b"", 1, "", "", "")
            for index, key in enumerate(keys[start : start + 1_000])
        ]  # fmt: skip
        insert_rows(Attempt, columns, rows)
    time.sleep(0.002)
    started = time.perf_counter()
    readings._count(clock.now() + SETTLED_AFTER, 0)
    return time.perf_counter() - started


def _make_history() -> None:
    account = create_account(name="Metrics", slug="bench-metrics")
    moment = clock.now() - timedelta(days=1)
    Subscription.objects.bulk_create(
        [
            Subscription(account=account, name=f"Receiver {number}", url="http://127.0.0.1:9/")
            for number in range(SUBSCRIPTIONS)
        ],
        batch_size=400,
    )
    Event.objects.bulk_create(
        [
            Event(account=account, type="a.b", data=b"{}", occurred_at=moment, created_at=moment)
            for _ in range(EVENTS)
        ],
        batch_size=400,
    )
    is_postgres = connection.vendor == "postgresql"
    made = MADE.format(
        id="gen_random_uuid()" if is_postgres else "lower(hex(randomblob(16)))",
        subscriptions=f'"{Subscription._meta.db_table}"',
    )
    key = account.pk if is_postgres else account.pk.hex
    with connection.cursor() as cursor:
        cursor.execute(made, [key])
        if is_postgres:
            cursor.execute('VACUUM ANALYZE "webhooks.outgoing"')
