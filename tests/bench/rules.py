"""Filters, transformations and matching: what it costs to ask."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from statistics import median
from typing import Any, Final

from subscriptions.matching import Facts, hearers_of
from subscriptions.models import SubscribedType, Subscription
from tests.bench.report import Mark, show_value
from webhooks_project.accounts.services import create_account
from webhooks_project.lib import jsonata
from webhooks_project.lib.filters import compile_filter

NAMES: Final = ("filter_match", "filter_compile", "transformation", "transformation_start")
MATCH: Final = "match"
SUBSCRIPTIONS: Final = 10_000  # of one account,
HEARING: Final = 20  # of which so many hear the event's type
RUNS: Final = 7
DOCUMENT: Final[dict[str, Any]] = {
    "type": "invoice.paid",
    "data": {
        "id": "in_1",
        "amount": 150,
        "currency": "eur",
        "live": True,
        "customer": {"name": "Zoë", "email": "zoe@example.com"},
        "items": [{"sku": f"A{n}", "price": 2.5, "qty": n} for n in range(3)],
    },
}
FILTER: Final = {
    "type": "invoice.paid",
    "data.amount": {"$gte": 100},
    "data.currency": {"$in": ["eur", "usd"]},
    "data.customer.email": {"$endsWith": "@example.com"},
    "data.live": True,
}
EXPRESSION: Final = (
    '{"id": data.id, "total": $sum(data.items.(price * qty)), "who": data.customer.name}'
)
BATCH: Final = 64


def measure_rules(*, only: Collection[str]) -> None:
    """Print those of NAMES asked for, in microseconds; the start in milliseconds."""
    if "filter_match" in only:
        compiled = compile_filter(FILTER)
        assert compiled.matches(DOCUMENT)
        value = _microseconds(lambda: compiled.matches(DOCUMENT), 20_000)
        mark = Mark("<=", 10)
        show_value("filter_match", value, "µs", runs=RUNS, mark=mark, clauses=len(FILTER))
    if "filter_compile" in only:
        value = _microseconds(lambda: compile_filter(FILTER), 2_000)
        show_value("filter_compile", value, "µs", runs=RUNS, clauses=len(FILTER))
    if "transformation" in only:
        items = [(EXPRESSION, DOCUMENT, None)] * BATCH
        single = _microseconds(lambda: jsonata.evaluate(*items[0]), 1_000)
        many = _microseconds(lambda: jsonata.evaluate_many(items), 20) / BATCH
        show_value("transformation", single, "µs", runs=RUNS, in_a_batch=round(many, 1))
    if "transformation_start" in only:
        starts = [_start_milliseconds() for _ in range(RUNS)]
        show_value("transformation_start", median(starts), "ms", runs=RUNS)


def measure_match(*, runs: int) -> None:
    """Print `match`: milliseconds to find who gets one event, among many subscriptions."""
    account = create_account(name="Match", slug="bench-match")
    rows = [
        Subscription(
            account=account,
            name=f"Receiver {number}",
            url="http://127.0.0.1:9/",
            filter=FILTER if number % (SUBSCRIPTIONS // HEARING) == 0 else None,
        )
        for number in range(SUBSCRIPTIONS)
    ]
    Subscription.objects.bulk_create(rows, batch_size=400)
    SubscribedType.objects.bulk_create(
        [
            SubscribedType(
                subscription=row,
                account=account,
                pattern="invoice.paid" if row.filter else f"other.type_{number % 500}",
            )
            for number, row in enumerate(rows)
        ],
        batch_size=400,
    )
    facts = Facts(type="invoice.paid", parse=lambda: DOCUMENT["data"])
    milliseconds = []
    for _ in range(runs * 20):
        started = time.perf_counter()
        hearers = hearers_of({account.pk: [facts.type]})[account.pk, facts.type]
        matches = [hearer.match(facts) for hearer in hearers]
        milliseconds.append((time.perf_counter() - started) * 1000)
        assert len(matches) == HEARING
        assert not any(match.reason for match in matches)
    show_value(
        MATCH,
        median(milliseconds),
        "ms",
        runs=len(milliseconds),
        mark=Mark("<=", 15),
        subscriptions=SUBSCRIPTIONS,
        hearing=HEARING,
    )


def _microseconds(call: Callable[[], object], times: int) -> float:
    """The median of RUNS runs, each the mean of that many calls."""
    runs = []
    for _ in range(RUNS):
        started = time.perf_counter()
        for _ in range(times):
            call()
        runs.append((time.perf_counter() - started) / times * 1e6)
    return median(runs)


def _start_milliseconds() -> float:
    jsonata.close()
    started = time.perf_counter()
    jsonata.check_expression("1")
    return (time.perf_counter() - started) * 1000
