"""Questions to the rollups and their answers. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from uuid import UUID

Value = float | int | None


class Dimension(StrEnum):
    """What figures are told apart by. An empty value's name is in EMPTY."""

    ACCOUNT = "account"
    SUBSCRIPTION = "subscription"
    EVENT_TYPE = "event_type"  # of a receipt, what its sender calls it
    CAUSE = "cause"  # why an attempt failed, or a receipt was refused
    STATUS_CLASS = "status_class"
    SOURCE = "source"  # of an attempt, the one that its event came in through
    VERDICT = "verdict"


class Granularity(StrEnum):
    """Periods of the time zone; `hour_of_week` is 0 (Monday, midnight) to 167."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    HOUR_OF_WEEK = "hour_of_week"


class Measure(StrEnum):
    """Of attempts by their start, of receipts by their arrival. Rates are 0 to 1."""

    ATTEMPTS = "attempts"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SUCCESS_RATE = "success_rate"
    FIRST_ATTEMPTS = "first_attempts"
    FIRST_SUCCEEDED = "first_succeeded"
    FIRST_SUCCESS_RATE = "first_success_rate"
    RETRIES = "retries"
    RETRIES_PER_DELIVERY = "retries_per_delivery"  # by deliveries first attempted meanwhile
    EXHAUSTED = "exhausted"  # attempts after which the delivery was given up
    DELIVERY_SUCCESS_RATE = "delivery_success_rate"  # of deliveries that ended meanwhile
    REQUEST_BYTES = "request_bytes"
    RESPONSE_BYTES = "response_bytes"
    QUEUE_WAIT_P50_MS = "queue_wait_p50_ms"
    QUEUE_WAIT_P95_MS = "queue_wait_p95_ms"
    QUEUE_WAIT_P99_MS = "queue_wait_p99_ms"
    RESPONSE_P50_MS = "response_p50_ms"  # to the first byte, of those that had one
    RESPONSE_P95_MS = "response_p95_ms"
    RESPONSE_P99_MS = "response_p99_ms"
    TOTAL_P50_MS = "total_p50_ms"
    TOTAL_P95_MS = "total_p95_ms"
    TOTAL_P99_MS = "total_p99_ms"
    TOTAL_MEAN_MS = "total_mean_ms"
    TOTAL_MAX_MS = "total_max_ms"
    RECEIPTS = "receipts"
    ACCEPTED = "accepted"
    REFUSED = "refused"
    DUPLICATES = "duplicates"
    ACCEPTED_RATE = "accepted_rate"
    RECEIPT_BYTES = "receipt_bytes"


@dataclass(frozen=True, kw_only=True)
class Query:
    """What is asked.

    `account_ids` is None for the whole hub, which is for its operators alone. Filters give the
    values that are counted, as rows' keys have them. `since` and `until` are taken to whole
    minutes, outward. `compare` asks for the period before, too, as long or of as many days; with a
    granularity, each of its periods stands beside the one in the same place. `limit` leaves the
    keys with the most of `order_by` (by default the first measure). An answer that is not
    `is_bounded` has as many rows as there are: for the hub itself, which shows them to nobody.
    """

    measures: Sequence[Measure]
    since: datetime
    until: datetime
    account_ids: Sequence[UUID] | None = None
    dimensions: Sequence[Dimension] = ()
    granularity: Granularity | None = None
    filters: Mapping[Dimension, Sequence[str]] = field(default_factory=lambda: MappingProxyType({}))
    time_zone: str = "UTC"
    compare: bool = False
    order_by: Measure | None = None
    limit: int | None = None
    is_bounded: bool = True

    @property
    def told(self) -> set[Dimension]:
        """What the rows that answer it have to tell apart."""
        return {*self.dimensions, *self.filters}


@dataclass(frozen=True, slots=True)
class Row:
    """Figures of one period (`at` is its start; None for all of it) and one combination of keys."""

    at: datetime | None
    keys: dict[Dimension, str]
    values: dict[Measure, Value]
    before: dict[Measure, Value] | None = None
    hour_of_week: int | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """Rows in order: by time and keys, or by the measure asked for.

    Without dimensions each period has its row, also where nothing happened; with them only those
    in which something did. `is_exact` is false where the periods' edges lie within an hour or a day
    that is kept as a whole only: it counts for the period in which it starts.
    """

    rows: list[Row]
    since: datetime
    until: datetime
    since_before: datetime | None = None
    is_exact: bool = True
