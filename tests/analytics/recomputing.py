"""Random histories, and the figures of attempts and receipts recomputed from them plainly."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from math import ceil
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pytest
from hypothesis import Phase
from hypothesis import strategies as st

from analytics.counting import count_marked
from analytics.models import Horizon, ReceiptRollup, ReceiptType, Rollup
from analytics.query import Answer, Dimension, Granularity, Measure, Query
from incoming.models import Receipt, RefusalMinute, Source
from outgoing.models import Attempt, Delivery
from tests.factories import (
    make_delivery,
    make_event,
    make_receipt,
    make_source,
    make_subscription,
)
from webhooks_project.models import Uncounted
from webhooks_project.uncounted import Kind, mark_uncounted

# Around the end of summer time in Europe.
START = datetime(2026, 10, 23, tzinfo=UTC)
SPAN = 5 * 24 * 60  # minutes
CODES = {"": 200, "status_5xx": 502, "dns": None}
SUMS = (
    Measure.ATTEMPTS, Measure.SUCCEEDED, Measure.FAILED, Measure.FIRST_ATTEMPTS,
    Measure.FIRST_SUCCEEDED, Measure.RETRIES, Measure.EXHAUSTED, Measure.REQUEST_BYTES,
    Measure.RESPONSE_BYTES,
)  # fmt: skip
RATES = (
    Measure.SUCCESS_RATE, Measure.FIRST_SUCCESS_RATE, Measure.DELIVERY_SUCCESS_RATE,
    Measure.RETRIES_PER_DELIVERY,
    Measure.TOTAL_MEAN_MS, Measure.TOTAL_MAX_MS,
)  # fmt: skip
PERCENTILES = {
    Measure.TOTAL_P50_MS: ("duration_ms", 50),
    Measure.TOTAL_P95_MS: ("duration_ms", 95),
    Measure.RESPONSE_P99_MS: ("first_byte_ms", 99),
    Measure.QUEUE_WAIT_P95_MS: ("queue_wait_ms", 95),
}
MEASURES = (*SUMS, *RATES, *PERCENTILES)
RECEIPT_MEASURES = (
    Measure.RECEIPTS, Measure.ACCEPTED, Measure.REFUSED, Measure.DUPLICATES,
    Measure.RECEIPT_BYTES, Measure.ACCEPTED_RATE,
)  # fmt: skip
ZONES = ("UTC", "Europe/Berlin", "Asia/Kathmandu", "America/St_Johns", "Australia/Lord_Howe")


def make_deliveries() -> list[Delivery]:
    """Of two accounts. The events of the first and the second came in through a source each."""
    shared = make_subscription()
    sent = make_event(shared.account, source_id=make_source(shared.account).pk)
    other = make_event(
        shared.account, type="invoice.void", source_id=make_source(shared.account).pk
    )
    return [
        make_delivery(sent, shared),
        make_delivery(other, shared),
        make_delivery(make_event(shared.account), make_subscription(shared.account)),
        make_delivery(),
    ]


def make_history(
    deliveries: list[Delivery], history: Iterable[Any], start: datetime = START
) -> list[Attempt]:
    """Attempts of (delivery, seconds after the start, cause, milliseconds), counted; every third
    of a delivery is the last where it failed."""
    numbers: dict[int, int] = defaultdict(int)
    made = []
    for which, seconds, cause, duration_ms in history:
        numbers[which] += 1
        made.append(
            Attempt(
                delivery=deliveries[which], number=numbers[which],
                trigger="first" if numbers[which] == 1 else "retry",
                outcome="failed" if cause else "succeeded", cause=cause, status_code=CODES[cause],
                started_at=start + timedelta(seconds=seconds), queue_wait_ms=duration_ms / 7,
                first_byte_ms=None if cause == "dns" else duration_ms / 2, duration_ms=duration_ms,
                request_bytes=10 + which, response_bytes=numbers[which],
                gave_up=bool(cause) and numbers[which] % 3 == 0,
            )
        )  # fmt: skip
    Attempt.objects.bulk_create(made)
    mark_uncounted(Kind.ATTEMPT, (attempt.started_at for attempt in made))
    count_marked()
    return made


def forget() -> None:
    for model in (
        Rollup, ReceiptRollup, ReceiptType, Attempt, Receipt, RefusalMinute, Uncounted, Horizon,
    ):  # fmt: skip
        model.objects.all().delete()


QUICK = (Phase.explicit, Phase.generate)  # to make one smaller takes minutes here


def histories(
    *, minutes: int = SPAN, deliveries: int = 4, max_size: int = 25
) -> st.SearchStrategy[list[Any]]:
    attempt = st.tuples(
        st.integers(0, deliveries - 1),
        st.integers(0, minutes * 60),
        st.sampled_from(list(CODES)),
        st.floats(0.01, 90_000),
    )
    return st.lists(attempt, max_size=max_size)


HISTORIES = histories()
DIMENSIONS = st.lists(
    st.sampled_from(
        [Dimension.ACCOUNT, Dimension.SUBSCRIPTION, Dimension.EVENT_TYPE, Dimension.CAUSE,
         Dimension.STATUS_CLASS, Dimension.SOURCE]
    ),
    unique=True, max_size=4,
)  # fmt: skip


# --- calls ----------------------------------------------------------------------------------------


class Arrival(NamedTuple):
    """How a call comes to be stored, and the verdict and cause that it has got on arrival."""

    verdict: str
    cause: str = ""
    fields: dict[str, Any] | None = None  # None: no receipt of it is kept


ARRIVALS = (
    Arrival("accepted", fields={"status": "processed"}),
    Arrival("accepted", fields={"status": "dead", "cause": "handler_failed"}),
    Arrival("accepted", fields={"status": "accepted", "body": b"", "pruned_bytes": 77}),
    # Dropped from quarantine.
    Arrival("accepted", fields={"status": "refused", "cause": "schema_mismatch", "refusal": ""}),
    Arrival("duplicate", fields={"status": "duplicate"}),
    Arrival("handshake", fields={"status": "handshake"}),
    Arrival("refused", "signature_mismatch", {"status": "refused", "cause": "signature_mismatch"}),
    Arrival("refused", "schema_mismatch", {"status": "refused", "cause": "schema_mismatch"}),
    # Refused, and replayed since.
    Arrival(
        "refused", "timestamp_too_old", {"status": "processed", "refusal": "timestamp_too_old"}
    ),
    Arrival("refused", "rate_limited"),
    Arrival("refused", "signature_mismatch"),
)


TYPES = ("", "order.paid", "Заказ оплачен", "order.paid ")


@dataclass(frozen=True)
class Call:
    source: Source
    at: datetime
    verdict: str
    cause: str
    size_bytes: int
    type: str


def make_sources() -> list[Source]:
    shared = make_source()
    return [shared, make_source(shared.account), make_source()]


def calls(*, minutes: int = SPAN, sources: int = 3, max_size: int = 20) -> st.SearchStrategy[Any]:
    call = st.tuples(
        st.integers(0, sources - 1), st.integers(0, minutes * 60), st.sampled_from(ARRIVALS),
        st.integers(0, 50), st.sampled_from(TYPES),
    )  # fmt: skip
    return st.lists(call, max_size=max_size)


def make_calls(
    sources: list[Source], history: Iterable[Any], start: datetime = START
) -> list[Call]:
    """Receipts, and refusals without one, of (source, seconds after the start, arrival, bytes,
    type), counted."""
    made = []
    for which, seconds, arrival, size, type_ in history:
        source, at = sources[which], start + timedelta(seconds=seconds)
        if arrival.fields is None:
            size = _refuse_without_a_receipt(source, at, arrival.cause)
        else:
            fields = {"body": b"x" * size, "type": type_, **arrival.fields}
            make_receipt(source, received_at=at, next_attempt_at=None, **fields)
            size = fields.get("pruned_bytes", len(fields["body"]))
        made.append(Call(source, at, arrival.verdict, arrival.cause, size, type_))
    count_marked()
    return made


def _refuse_without_a_receipt(source: Source, at: datetime, cause: str) -> int:
    """No bytes of it are counted."""
    row, _ = RefusalMinute.objects.get_or_create(
        source=source, minute=at.replace(second=0), cause=cause,
        defaults={"account": source.account, "count": 0},
    )  # fmt: skip
    row.count += 1
    row.save()
    mark_uncounted(Kind.RECEIPT, [at])
    return 0


# --- the same from what happened ------------------------------------------------------------------

Figures = dict[Measure, Any]
Group = Sequence[Any]


class Plain(NamedTuple):
    """How attempts, or calls, are recomputed."""

    moment_of: Callable[[Any], datetime]
    key_of: Callable[[Any, Dimension], str]
    figures: Callable[[Group], Figures]

    def grouped(
        self, query: Query, happened: Iterable[Any], since: datetime, until: datetime
    ) -> dict[Any, list[Any]]:
        groups: dict[Any, list[Any]] = defaultdict(list)
        accounts = None if query.account_ids is None else set(map(str, query.account_ids))
        for row in happened:
            moment = self.moment_of(row)
            if not since <= moment < until:
                continue
            if accounts is not None and self.key_of(row, Dimension.ACCOUNT) not in accounts:
                continue
            if Dimension.SOURCE in query.told and not self.key_of(row, Dimension.SOURCE):
                continue  # published, by no source
            if all(self.key_of(row, name) in values for name, values in query.filters.items()):
                keys = tuple(self.key_of(row, name) for name in query.dimensions)
                groups[local_period(moment, query), keys].append(row)
        return groups


def key_of_attempt(attempt: Attempt, dimension: Dimension) -> str:
    code = attempt.status_code
    return {
        Dimension.ACCOUNT: str(attempt.delivery.account_id),
        Dimension.SUBSCRIPTION: str(attempt.delivery.subscription_id),
        Dimension.EVENT_TYPE: attempt.delivery.event.type,
        Dimension.CAUSE: attempt.cause or "succeeded",
        Dimension.STATUS_CLASS: f"{code // 100}xx" if code else "none",
        Dimension.SOURCE: str(attempt.delivery.event.source_id or ""),
    }[dimension]


def key_of_call(call: Call, dimension: Dimension) -> str:
    has_type = call.type and call.verdict in ("accepted", "duplicate")
    return {
        Dimension.EVENT_TYPE: call.type if has_type else "(none)",
        Dimension.ACCOUNT: str(call.source.account_id),
        Dimension.SOURCE: str(call.source.pk),
        Dimension.VERDICT: call.verdict,
        Dimension.CAUSE: call.cause or "succeeded",
    }[dimension]


def local_period(moment: datetime, query: Query) -> Any:
    """What the clock shows, with its offset; so that hours that come twice are two."""
    local = moment.astimezone(ZoneInfo(query.time_zone))
    match query.granularity:
        case None:
            return None
        case Granularity.HOUR_OF_WEEK:
            return local.weekday() * 24 + local.hour
        case Granularity.MINUTE:
            return (f"{local:%Y-%m-%d %H:%M}", local.utcoffset())
        case Granularity.HOUR:
            return (f"{local:%Y-%m-%d %H}", local.utcoffset())
        case Granularity.DAY:
            return f"{local:%Y-%m-%d}"
        case Granularity.WEEK:
            return f"{local - timedelta(days=local.weekday()):%Y-%m-%d}"
        case Granularity.MONTH:
            return f"{local:%Y-%m}-01"
    raise AssertionError(query.granularity)


def figures_of_attempts(group: Group) -> Figures:
    succeeded = [attempt for attempt in group if not attempt.cause]
    first = [attempt for attempt in group if attempt.number == 1]
    first_succeeded = [attempt for attempt in first if not attempt.cause]
    ended = [attempt for attempt in group if attempt.gave_up or not attempt.cause]
    retries = [attempt for attempt in group if attempt.trigger == "retry"]
    found: Figures = {
        Measure.ATTEMPTS: len(group),
        Measure.SUCCEEDED: len(succeeded),
        Measure.FAILED: len(group) - len(succeeded),
        Measure.FIRST_ATTEMPTS: len(first),
        Measure.FIRST_SUCCEEDED: len(first_succeeded),
        Measure.RETRIES: len(retries),
        Measure.EXHAUSTED: len(ended) - len(succeeded),
        Measure.DELIVERY_SUCCESS_RATE: len(succeeded) / len(ended) if ended else None,
        Measure.REQUEST_BYTES: sum(attempt.request_bytes for attempt in group),
        Measure.RESPONSE_BYTES: sum(attempt.response_bytes for attempt in group),
        Measure.SUCCESS_RATE: len(succeeded) / len(group) if group else None,
        Measure.FIRST_SUCCESS_RATE: len(first_succeeded) / len(first) if first else None,
        Measure.RETRIES_PER_DELIVERY: len(retries) / len(first) if first else None,
        Measure.TOTAL_MEAN_MS: (
            sum(attempt.duration_ms for attempt in group) / len(group) if group else None
        ),
        Measure.TOTAL_MAX_MS: max((attempt.duration_ms for attempt in group), default=None),
    }
    for measure, (column, percent) in PERCENTILES.items():
        values = [ms for row in group if (ms := getattr(row, column)) is not None]
        found[measure] = percentile(values, percent)
    return found


def percentile(values: Iterable[float], percent: int) -> float | None:
    """By the nearest rank."""
    ranked = sorted(values)
    return ranked[max(0, ceil(len(ranked) * percent / 100) - 1)] if ranked else None


def figures_of_calls(group: Group) -> Figures:
    verdicts = [call.verdict for call in group]
    return {
        Measure.RECEIPTS: len(group),
        Measure.ACCEPTED: verdicts.count("accepted"),
        Measure.REFUSED: verdicts.count("refused"),
        Measure.DUPLICATES: verdicts.count("duplicate"),
        Measure.RECEIPT_BYTES: sum(call.size_bytes for call in group),
        Measure.ACCEPTED_RATE: verdicts.count("accepted") / len(group) if group else None,
    }


OF_ATTEMPTS = Plain(lambda attempt: attempt.started_at, key_of_attempt, figures_of_attempts)
OF_CALLS = Plain(lambda call: call.at, key_of_call, figures_of_calls)


def check(query: Query, found: Answer, happened: Iterable[Any], plain: Plain = OF_ATTEMPTS) -> None:
    expected = plain.grouped(query, happened, query.since, query.until)
    seen = {}
    for row in found.rows:
        place = row.hour_of_week
        if row.at is not None:
            place = local_period(row.at, query)
        keys = tuple(row.keys[name] for name in query.dimensions)
        assert (place, keys) not in seen
        seen[place, keys] = row.values
    for place, values in seen.items():
        check_values(values, plain.figures(expected.get(place, [])))
    assert set(expected) <= set(seen)
    if query.dimensions:  # no rows of nothing
        assert set(expected) == set(seen)


def check_values(values: Figures, expected: Figures) -> None:
    """Counts are equal, quotients and times as kept; percentiles are within 1 %."""
    assert values
    for measure, value in values.items():
        exact = expected[measure]
        if exact is None or isinstance(exact, int):
            assert value == exact, measure
        elif measure in PERCENTILES:
            assert value == pytest.approx(exact, rel=0.01), measure
        else:
            assert value == pytest.approx(exact, abs=0.001), measure


def midnight(day: date, zone: str) -> datetime:
    return datetime.combine(day, time(), ZoneInfo(zone)).astimezone(UTC)
