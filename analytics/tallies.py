"""What is counted under one key, and how the keys of coarser rows follow from it. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from typing import Any, ClassVar, NamedTuple
from uuid import UUID

from analytics.models import ReceiptRollup, Rollup, Scope
from analytics.periods import Grain
from analytics.sketches import Bins, add_bins, add_stored, stored


class AttemptKey(NamedTuple):
    account_id: UUID | None
    subscription_id: UUID | None
    event_type: str
    cause: str
    status_class: str
    source_id: UUID | None = None

    def of(self, scope: Scope) -> AttemptKey:
        """The key of the row that has it in that scope."""
        account_id, subscription_id, event_type, cause, status_class, source_id = self
        match scope:
            case Scope.HUB:
                return AttemptKey(None, None, "", cause, status_class)
            case Scope.ACCOUNT:
                return AttemptKey(account_id, None, "", cause, status_class)
            case Scope.EVENT_TYPE:
                return AttemptKey(account_id, None, event_type, cause, status_class)
            case Scope.SUBSCRIPTION:
                return AttemptKey(account_id, subscription_id, "", cause, status_class)
            case Scope.SOURCE:
                return AttemptKey(account_id, None, "", cause, status_class, source_id)
        return self


class ReceiptKey(NamedTuple):
    account_id: UUID | None
    source_id: UUID | None
    verdict: str
    cause: str
    event_type: str = ""

    def of(self, scope: Scope) -> ReceiptKey:
        """The key of the row that has it in that scope."""
        account_id, source_id, verdict, cause, event_type = self
        match scope:
            case Scope.HUB:
                return ReceiptKey(None, None, verdict, cause)
            case Scope.ACCOUNT:
                return ReceiptKey(account_id, None, verdict, cause)
            case Scope.EVENT_TYPE:
                return ReceiptKey(account_id, None, verdict, cause, event_type)
            case Scope.SOURCE:
                return ReceiptKey(account_id, source_id, verdict, cause)
        return self


@dataclass(slots=True)
class AttemptTally:
    """Attempts under one key."""

    COLUMNS: ClassVar = (
        "attempts", "first_attempts", "retries", "exhausted", "request_bytes", "response_bytes",
        "total_us_sum", "total_us_max", "queue_wait", "response", "total",
    )  # fmt: skip

    attempts: int = 0
    first_attempts: int = 0
    retries: int = 0
    exhausted: int = 0
    request_bytes: int = 0
    response_bytes: int = 0
    total_us_sum: int = 0
    total_us_max: int = 0
    queue_wait: Bins = field(default_factory=dict)
    response: Bins = field(default_factory=dict)
    total: Bins = field(default_factory=dict)

    @classmethod
    def of_columns(cls, values: tuple[Any, ...]) -> AttemptTally:
        tally = cls(*values[:8])
        add_stored(tally.queue_wait, values[8])
        add_stored(tally.response, values[9])
        add_stored(tally.total, values[10])
        return tally

    def columns(self) -> tuple[Any, ...]:
        return (
            self.attempts, self.first_attempts, self.retries, self.exhausted, self.request_bytes,
            self.response_bytes, self.total_us_sum, self.total_us_max, stored(self.queue_wait),
            stored(self.response), stored(self.total),
        )  # fmt: skip

    @property
    def size(self) -> int:
        return self.attempts

    def add(self, more: AttemptTally) -> None:
        self.attempts += more.attempts
        self.first_attempts += more.first_attempts
        self.retries += more.retries
        self.exhausted += more.exhausted
        self.request_bytes += more.request_bytes
        self.response_bytes += more.response_bytes
        self.total_us_sum += more.total_us_sum
        self.total_us_max = max(self.total_us_max, more.total_us_max)
        add_bins(self.queue_wait, more.queue_wait)
        add_bins(self.response, more.response)
        add_bins(self.total, more.total)

    def beyond(self, less: AttemptTally) -> AttemptTally:
        """What this has more than an earlier count of the same."""
        return AttemptTally(
            self.attempts - less.attempts,
            self.first_attempts - less.first_attempts,
            self.retries - less.retries,
            self.exhausted - less.exhausted,
            self.request_bytes - less.request_bytes,
            self.response_bytes - less.response_bytes,
            self.total_us_sum - less.total_us_sum,
            self.total_us_max,  # attempts are only ever added: the longest is no shorter
            _bins_beyond(self.queue_wait, less.queue_wait),
            _bins_beyond(self.response, less.response),
            _bins_beyond(self.total, less.total),
        )

    def covers(self, less: AttemptTally) -> bool:
        """Whether an earlier count can have been of a part of the same attempts."""
        return self.attempts >= less.attempts


@dataclass(slots=True)
class ReceiptTally:
    """Receipts under one key."""

    COLUMNS: ClassVar = ("receipts", "receipt_bytes")

    receipts: int = 0
    receipt_bytes: int = 0

    @classmethod
    def of_columns(cls, values: tuple[Any, ...]) -> ReceiptTally:
        return cls(*values)

    def columns(self) -> tuple[Any, ...]:
        return self.receipts, self.receipt_bytes

    @property
    def size(self) -> int:
        return self.receipts

    def add(self, more: ReceiptTally) -> None:
        self.receipts += more.receipts
        self.receipt_bytes += more.receipt_bytes

    def beyond(self, less: ReceiptTally) -> ReceiptTally:
        """What this has more than an earlier count of the same."""
        return ReceiptTally(self.receipts - less.receipts, self.receipt_bytes - less.receipt_bytes)

    def covers(self, less: ReceiptTally) -> bool:
        """Whether an earlier count can have been of a part of the same receipts; bodies that were
        emptied since have no bytes any more."""
        return self.receipts >= less.receipts and self.receipt_bytes >= less.receipt_bytes


def _bins_beyond(bins: Bins, less: Bins) -> Bins:
    if not less:
        return bins
    return {
        number: count - less.get(number, 0)
        for number, count in bins.items()
        if count != less.get(number, 0)
    }


Key = AttemptKey | ReceiptKey
Tally = AttemptTally | ReceiptTally


@dataclass(frozen=True, slots=True)
class Series:
    """A table of rollups: what its rows are keyed by, and which scopes each grain has."""

    model: type[Rollup] | type[ReceiptRollup]
    key: type[AttemptKey] | type[ReceiptKey]
    tally: type[AttemptTally] | type[ReceiptTally]
    scopes: tuple[Scope, ...]
    scopes_of_minutes: tuple[Scope, ...]  # the rest would be as many rows as the attempts

    def scopes_of(self, grain: Grain) -> tuple[Scope, ...]:
        return self.scopes_of_minutes if grain is Grain.MINUTE else self.scopes

    @staticmethod
    def has_row(scope: Scope, key: Key) -> bool:
        """Whether the key is counted in that scope: what came in through no source has no row by
        source."""
        return scope is not Scope.SOURCE or key.source_id is not None

    @property
    def columns(self) -> tuple[str, ...]:
        return ("id", "scope", "grain", "at", *self.key._fields, *self.tally.COLUMNS)


_OF_MINUTES = (Scope.HUB, Scope.ACCOUNT, Scope.FULL)
ATTEMPTS = Series(Rollup, AttemptKey, AttemptTally, tuple(Scope), _OF_MINUTES)
RECEIPTS = Series(
    ReceiptRollup,
    ReceiptKey,
    ReceiptTally,
    (Scope.HUB, Scope.ACCOUNT, Scope.EVENT_TYPE, Scope.FULL, Scope.SOURCE),
    _OF_MINUTES,
)

Place = tuple[Scope, Grain, datetime, Key]


def id_of(place: Place) -> UUID:
    """The id of the one row of that scope, grain, period and key.

    A last part that is empty does not count: keys were without it once.
    """
    scope, grain, at, key = place
    parts = key if key[-1] else key[:-1]
    text = "\0".join(map(str, (int(scope), int(grain), int(at.timestamp()), *parts)))
    return UUID(bytes=blake2b(text.encode(), digest_size=16).digest())
