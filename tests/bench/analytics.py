"""Questions to a year of rollups, and how fast attempts are counted into them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from random import Random
from statistics import median
from typing import Any, Final
from uuid import UUID

from django.db import connection, transaction
from django.test import Client
from django.urls import reverse

from analytics.asking import figures_of
from analytics.compaction import compact_rollups
from analytics.conf import kept
from analytics.counting import count_marked
from analytics.defaults import DEFAULTS
from analytics.models import Objective, Scope
from analytics.periods import Grain, end_of, first_whole, start_of
from analytics.sketches import bin_of, stored
from analytics.spans import Period, named_period
from analytics.tallies import (
    ATTEMPTS,
    RECEIPTS,
    AttemptKey,
    AttemptTally,
    ReceiptKey,
    ReceiptTally,
    Series,
    id_of,
)
from analytics.widgets import WidgetSpec
from incoming.models import Source
from outgoing.models import Attempt, Delivery, Event
from subscriptions.models import EventType, Subscription
from tests.bench.report import Mark, say, show_value
from webhooks_project.accounts.models import Account, User
from webhooks_project.lib import clock
from webhooks_project.uncounted import Kind, mark_uncounted

YEAR: Final = "analytics_year"
COUNT: Final = "analytics_count"
NAMES: Final = (YEAR, COUNT)

ATTEMPTS_OF_YEAR: Final = 10_000_000
SMALL_ACCOUNTS: Final = 59  # beside a big one that has half of all
SUBSCRIPTIONS: Final = 200  # of the big one; of each small one 4
TYPES: Final = 30  # of the big one; each subscription hears 6 of them
HEARD: Final = 6
SOURCES: Final = 20
SENT: Final = 8  # types of each source
EVENTS: Final = 400  # of each account, kept
DEAD: Final = 100  # deliveries of each account that were given up, a few for each cause
OBJECTIVES: Final = 20  # of an account at most, beside its own
MAX_MS: Final = {"postgresql": 300, "sqlite": 1500}
# Failures are a twentieth; the causes that a row set tells apart, with their share.
CAUSES: Final = (
    ("", "2xx", 0.95), ("status_5xx", "5xx", 0.02), ("timeout_response", "", 0.012),
    ("status_4xx", "4xx", 0.007), ("connection_refused", "", 0.006), ("timeout_connect", "", 0.003),
    ("dns_failed", "", 0.002),
)  # fmt: skip
COUNTED: Final = 20_000

ZONES: Final = ("UTC", "Europe/Berlin", "Asia/Kolkata")


def measure_analytics(*, runs: int, only: Collection[str]) -> None:
    """Print those of NAMES asked for."""
    if YEAR in only:  # before what is counted, of which the hub has rows too
        measure_year(runs=runs)
    if COUNT in only:
        measure_count()


# --- a year ---------------------------------------------------------------------------------------


def measure_year(*, runs: int) -> None:
    """Print the median of each default dashboard over a year: all its widgets, as the page asks
    them, of a big account and of the whole hub, in time zones of whole hours and of halves; and of
    the console's page itself, with all that is drawn (`page_ms`)."""
    now = clock.now().replace(second=0, microsecond=0)
    big = make_history(now)
    compact_rollups()  # it finds nothing to delete, and says from when on grains are whole
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE")
    client = Client()
    client.force_login(User.objects.create_superuser("bench-year"))
    for of, account_ids in (("account", [big]), ("hub", None)):
        for zone in ZONES:
            period = named_period("1y", now=now, time_zone=zone)
            query = f"?period=1y&zone={zone}" + (f"&account={big}" if account_ids else "")
            for key, dashboard in DEFAULTS.items():
                first = _milliseconds(dashboard.widgets, account_ids, period)
                took = [_milliseconds(dashboard.widgets, account_ids, period) for _ in range(runs)]
                pages = [_page_milliseconds(client, key, query) for _ in range(runs)]
                say(f"   {of} {zone} {key}: {median(took):.0f} ms, page {median(pages):.0f} ms")
                show_value(
                    YEAR, median(took), "ms", runs=runs, of=of, time_zone=zone, dashboard=key,
                    mark=Mark("<=", MAX_MS[connection.vendor]), widgets=len(dashboard.widgets),
                    slowest_ms=round(max(took), 1), first_ms=round(first, 1),
                    page_ms=round(median(pages), 1),
                    attempts=ATTEMPTS_OF_YEAR,
                )  # fmt: skip


def _milliseconds(
    widgets: Sequence[WidgetSpec], account_ids: list[UUID] | None, period: Period
) -> float:
    started = time.perf_counter()
    answered = figures_of(widgets, account_ids=account_ids, period=period)
    took = (time.perf_counter() - started) * 1000
    if problems := [figures.problem for figures in answered if figures.problem]:
        raise AssertionError(problems)  # what is refused is no answer
    return took


def _page_milliseconds(client: Client, key: str, query: str) -> float:
    path = reverse("admin:analytics_dashboard_default_board", args=[key])
    started = time.perf_counter()
    answer = client.get(path + query, HTTP_HOST="localhost")
    took = (time.perf_counter() - started) * 1000
    if answer.status_code != 200:
        raise AssertionError(answer.status_code)
    return took


# --- rows of the shape that counting gives --------------------------------------------------------


def _make_events(
    account: Account, subscriptions: Sequence[Subscription], types: int, now: datetime
) -> None:
    """The types, with a few that nobody publishes, the events of late, and dead letters."""
    EventType.objects.bulk_create(
        EventType(account=account, name=f"type.{n}") for n in range(types + types // 5)
    )
    events = [
        Event(
            account=account, type=f"type.{n % types}", data=b"{}",
            occurred_at=now - timedelta(minutes=n), created_at=now - timedelta(minutes=n),
        )
        for n in range(EVENTS)
    ]  # fmt: skip
    Event.objects.bulk_create(events, batch_size=500)
    Delivery.objects.bulk_create(
        (
            Delivery(
                account=account, event=event, subscription=subscriptions[n % len(subscriptions)],
                status="exhausted", lane=None, next_attempt_at=event.created_at,
                created_at=event.created_at, exhausted_at=event.created_at,
                last_cause=CAUSES[1 + n % (len(CAUSES) - 1)][0], fingerprint=f"{n % 10:032x}",
            )
            for n, event in enumerate(events[:DEAD])
        ),
        batch_size=500,
    )  # fmt: skip


def make_history(now: datetime) -> UUID:
    """A year of rollups, of a big account and of small ones. Returns the big one."""
    random = Random(7)
    accounts = [
        Account(name=f"Year {number}", slug=f"bench-year-{number}")
        for number in range(SMALL_ACCOUNTS + 1)
    ]
    Account.objects.bulk_create(accounts)
    combos: list[tuple[AttemptKey, float]] = []  # with the attempts of each in a second
    sources: list[tuple[ReceiptKey, float]] = []
    second = ATTEMPTS_OF_YEAR / (365 * 86_400) / 2
    for number, account in enumerate(accounts):
        is_big = number == 0
        rate = second if is_big else second / SMALL_ACCOUNTS
        count = SUBSCRIPTIONS if is_big else 4
        made = [
            Subscription(account=account, name=f"S{n}", url="http://127.0.0.1:9/")
            for n in range(count)
        ]
        Subscription.objects.bulk_create(made)
        targets = [Objective(account=account)]
        targets += [Objective(account=account, subscription=row) for row in made[:OBJECTIVES]]
        Objective.objects.bulk_create(targets)
        senders = [
            Source(account=account, name=f"In {n}", provider="generic")
            for n in range(SOURCES if is_big else 1)
        ]
        Source.objects.bulk_create(senders)
        sources += [
            (ReceiptKey(account.pk, source.pk, "", "", f"type.{n}"), rate / len(senders) / SENT)
            for source in senders
            for n in range(SENT)
        ]
        heard, types = (HEARD, TYPES) if is_big else (2, 5)
        for subscription in made:
            for name in random.sample(range(types), heard):
                # Every other type came in through a source, each through its own.
                source = senders[name % len(senders)].pk if name % 2 else None
                key = AttemptKey(account.pk, subscription.pk, f"type.{name}", "", "", source)
                combos.append((key, rate / count / heard))
        _make_events(account, made, types, now)
    for model in (EventType, Subscription):  # what was there all along can be without use
        model.objects.update(created_at=now - timedelta(days=400))
    since = first_whole(now - timedelta(days=365), Grain.MONTH)
    say("   a year of rollups is made")
    for scope in ATTEMPTS.scopes:
        keys: dict[AttemptKey, float] = {}
        for full, rate in combos:
            if not ATTEMPTS.has_row(scope, full):
                continue
            key = full.of(scope)
            keys[key] = keys.get(key, 0) + rate
        for grain in Grain:
            if scope in ATTEMPTS.scopes_of(grain):
                start = max(since, _kept_since(now, scope, grain))
                places = _attempt_rows(random, scope, grain, start, now, keys)
                _insert(ATTEMPTS, places)
    for scope in RECEIPTS.scopes:
        senders_of: dict[ReceiptKey, float] = {}
        for sent, rate in sources:
            of = sent.of(scope)
            senders_of[of] = senders_of.get(of, 0) + rate
        for grain in Grain:
            if scope in RECEIPTS.scopes_of(grain):
                start = max(since, _kept_since(now, scope, grain))
                _insert(RECEIPTS, _receipt_rows(random, scope, grain, start, now, senders_of))
    say("   made")
    return accounts[0].pk


def _kept_since(now: datetime, scope: Scope, grain: Grain) -> datetime:
    keeps = kept(grain, is_wide=scope in (Scope.HUB, Scope.ACCOUNT))
    if keeps is None:
        return datetime(2000, 1, 1, tzinfo=UTC)
    return start_of(now - keeps, Grain(grain + 1))


def _attempt_rows(
    random: Random,
    scope: Scope,
    grain: Grain,
    start: datetime,
    end: datetime,
    keys: Mapping[AttemptKey, float],
) -> Iterator[tuple[Any, ...]]:
    shares = {
        key._replace(cause=cause, status_class=status_class): rate * share
        for key, rate in keys.items()
        for cause, status_class, share in CAUSES
    }
    for at, seconds in _periods(grain, start, end):
        for key, count in _drawn(random, shares, seconds).items():
            place = (scope, grain, at, key)
            yield id_of(place), place, _tally(random, count)


def _receipt_rows(
    random: Random,
    scope: Scope,
    grain: Grain,
    start: datetime,
    end: datetime,
    keys: Mapping[ReceiptKey, float],
) -> Iterator[tuple[Any, ...]]:
    shares = {
        key._replace(verdict=verdict, cause=cause, event_type="" if cause else key.event_type):
            rate * share
        for key, rate in keys.items()
        for verdict, cause, share in (
            ("accepted", "", 0.97), ("refused", "signature_mismatch", 0.02),
            ("duplicate", "", 0.01),
        )
    }  # fmt: skip
    for at, seconds in _periods(grain, start, end):
        for key, count in _drawn(random, shares, seconds).items():
            place = (scope, grain, at, key)
            yield id_of(place), place, ReceiptTally(count, count * 900)


def _drawn(random: Random, rates: Mapping[Any, float], seconds: float) -> Mapping[Any, int]:
    """How often each of the keys came in so many seconds; those that did."""
    total = sum(rates.values()) * seconds
    if total < len(rates):  # few come: they are drawn one by one
        return Counter(random.choices(list(rates), list(rates.values()), k=_some(random, total)))
    found = ((key, _some(random, rate * seconds)) for key, rate in rates.items())
    return {key: count for key, count in found if count}


def _periods(grain: Grain, start: datetime, end: datetime) -> Iterator[tuple[datetime, float]]:
    at = start_of(start, grain)
    while at < end:
        following = end_of(at, grain)
        # Nights and weekends are quiet.
        quiet = 0.5 if grain <= Grain.HOUR and at.hour < 6 else 1.0
        yield at, (min(following, end) - at).total_seconds() * quiet
        at = following


def _some(random: Random, expected: float) -> int:
    """About a Poisson number."""
    if expected > 20:
        return max(0, round(random.gauss(expected, expected**0.5)))
    whole = int(expected)
    return whole + (random.random() < expected - whole)


class _Tally(AttemptTally):
    """One whose sketches are made before."""

    sketches: tuple[bytes, bytes, bytes] = (b"", b"", b"")

    def columns(self) -> tuple[Any, ...]:
        return (*AttemptTally.columns(self)[:8], *self.sketches)


_SKETCHES: dict[tuple[int, int], tuple[bytes, bytes, bytes]] = {}


def _tally(random: Random, count: int) -> AttemptTally:
    """A tally with sketches of about so many log-normal durations, of eight made for its size."""
    size = 1
    while size * 1.5 < count:
        size = max(size + 1, int(size * 1.6))
    variant = (size, random.randrange(8))
    sketches = _SKETCHES.get(variant)
    if sketches is None:
        sketches = _SKETCHES[variant] = tuple(
            _sketch(random, size, mean) for mean in (2.0, 4.5, 5.0)
        )
    made = _Tally(count, count * 9 // 10, count // 20, count // 200, count * 800, count * 20,
                  count * 150_000, 3_000_000)  # fmt: skip
    made.sketches = sketches
    return made


def _sketch(random: Random, size: int, mean: float) -> bytes:
    drawn = min(size, 20_000)
    bins: dict[int, int] = {}
    for _ in range(drawn):
        number = bin_of(random.lognormvariate(mean, 0.8))
        bins[number] = bins.get(number, 0) + max(1, size // drawn)
    return stored(bins)


def _insert(series: Series, rows: Iterator[Any]) -> None:
    """By the quickest way that the database has: counting's own would take a quarter of an hour."""
    count = 0
    table = connection.ops.quote_name(series.model._meta.db_table)
    fields: list[Any] = [series.model._meta.get_field(name) for name in series.columns]
    columns = ", ".join(connection.ops.quote_name(field.column) for field in fields)
    while part := list(islice(rows, 20_000)):
        scope, grain = part[0][1][:2]
        plain = (
            (key, int(place[0]), int(place[1]), place[2], *place[3], *tally.columns())
            for key, place, tally in part
        )
        with transaction.atomic(), connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                with cursor.copy(f"COPY {table} ({columns}) FROM STDIN") as copy:
                    for row in plain:
                        copy.write_row(row)
            else:
                marks = ", ".join(["%s"] * len(fields))
                cursor.executemany(
                    f"INSERT INTO {table} ({columns}) VALUES ({marks})",
                    (list(map(_adapted, row)) for row in plain),
                )
        count += len(part)
    if count:
        say(f"   {series.model.__name__} {scope.name} {grain.name}: {count:,} rows")


def _adapted(value: Any) -> Any:
    """As SQLite keeps it."""
    if isinstance(value, UUID):
        return value.hex
    if isinstance(value, datetime):
        return connection.ops.adapt_datetimefield_value(value)
    return value


# --- counting -------------------------------------------------------------------------------------


def measure_count() -> None:
    """Print `analytics_count`: attempts counted a second, of ten minutes with 60 keys each."""
    now = clock.now().replace(second=0, microsecond=0) - timedelta(minutes=20)
    account = Account.objects.create(name="Count", slug="bench-count")
    subscriptions = [
        Subscription(account=account, name=f"C{n}", url="http://127.0.0.1:9/") for n in range(20)
    ]
    Subscription.objects.bulk_create(subscriptions)
    random = Random(3)
    events = [
        Event(account=account, type=f"type.{n % 3}", data=b"{}", created_at=now, occurred_at=now)
        for n in range(COUNTED // len(subscriptions))
    ]
    Event.objects.bulk_create(events, batch_size=500)
    deliveries = [
        Delivery(account=account, event=event, subscription=subscription, status="delivered",
                 lane=None, next_attempt_at=now, created_at=now)
        for event in events
        for subscription in subscriptions
    ]  # fmt: skip
    Delivery.objects.bulk_create(deliveries, batch_size=500)
    attempts = [
        Attempt(
            delivery=delivery, number=1, trigger="first", outcome="succeeded", status_code=200,
            started_at=now + timedelta(seconds=600 * place / len(deliveries)),
            queue_wait_ms=random.expovariate(0.1), first_byte_ms=random.lognormvariate(4.5, 0.8),
            duration_ms=random.lognormvariate(5, 0.8), request_bytes=800, response_bytes=20,
        )
        for place, delivery in enumerate(deliveries)
    ]  # fmt: skip
    Attempt.objects.bulk_create(attempts, batch_size=500)
    mark_uncounted(Kind.ATTEMPT, (attempt.started_at for attempt in attempts))
    started = time.perf_counter()
    count_marked()
    seconds = time.perf_counter() - started
    show_value(COUNT, len(attempts) / seconds, "attempts a second", runs=1, keys=60, minutes=10)
