"""Which subscriptions hear an event type. A type is looked up, never scanned for."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

import orjson

from subscriptions.models import SubscribedType, Subscription
from subscriptions.operational import is_operational
from subscriptions.versions import Downgrades, downgrades_of, steps_down
from webhooks_project.lib.filters import Clause, Filter, compile_filter, values_at
from webhooks_project.lib.prepared import Prepared

MAX_TYPE_LENGTH: Final = 128
MAX_ORDER_KEY_LENGTH: Final = 128
KEPT_FILTERS: Final = 20_000  # compiled, in each process
KEPT_CLAUSES: Final = 3  # of those that did not pass, with each event

_SEGMENT = r"[A-Za-z0-9_-]+"
_TYPE = re.compile(rf"{_SEGMENT}(\.{_SEGMENT})*", re.ASCII)
_PATTERN = re.compile(rf"\*|{_SEGMENT}(\.{_SEGMENT})*(\.\*)?", re.ASCII)


def is_event_type(text: str) -> bool:
    """Whether the text is a dotted name such as `invoice.paid`: letters, digits, `_` and `-`."""
    return len(text) <= MAX_TYPE_LENGTH and _TYPE.fullmatch(text) is not None


def is_pattern(text: str) -> bool:
    """Whether the text is an event type, `*`, or a name that ends in `.*`."""
    return len(text) <= MAX_TYPE_LENGTH and _PATTERN.fullmatch(text) is not None


def patterns_for(event_type: str) -> list[str]:
    """Every pattern that hears the type: itself, and each wildcard above it.

    `invoice.payment.failed` is heard by itself, `invoice.payment.*`, `invoice.*` and `*`; the hub's
    own events not by `*`, so that who hears all that the account publishes does not get them too.
    """
    steps = event_type.split(".")
    above = [".".join(steps[:end]) + ".*" for end in range(len(steps) - 1, 0, -1)]
    everything = [] if is_operational(event_type) else ["*"]
    return [event_type, *above, *everything]


@dataclass(frozen=True, slots=True)
class Facts:
    """An event as subscriptions are matched with it. `data` gives the parsed data, once."""

    type: str
    parse: Callable[[], Any]
    channels: Sequence[str] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    schema_version: str = ""
    _parsed: list[dict[str, Any]] = field(default_factory=list, repr=False)

    @property
    def document(self) -> dict[str, Any]:
        """What filters and paths are asked of: data, type, channels, headers and metadata."""
        if not self._parsed:
            self._parsed.append(
                {
                    "data": self.parse(),
                    "type": self.type,
                    "channels": list(self.channels),
                    "headers": {name.lower(): text for name, text in self.headers.items()},
                    "metadata": dict(self.metadata),
                }
            )
        return self._parsed[0]


@dataclass(frozen=True, slots=True)
class Match:
    """What one subscription that hears a type gets: a delivery, at once or held, or none and why.

    `reason` is empty where there is a delivery; `clauses` are those of the filter that did not
    pass, or all of them where all were asked for. `order_key` is None where there is no order.
    """

    subscription_id: UUID
    held: bool = False
    reason: str = ""
    clauses: Sequence[Clause] = ()
    is_limited: bool = False
    order_key: str | None = None

    def as_json(self) -> dict[str, Any]:
        """The reason as it is kept with the event: a few clauses at most."""
        kept: dict[str, Any] = {"subscription": str(self.subscription_id), "reason": self.reason}
        if self.clauses:
            kept["clauses"] = [clause.as_json() for clause in self.clauses[:KEPT_CLAUSES]]
        return kept


@dataclass(frozen=True, slots=True)
class Hearer:
    """A subscription that hears a type, and what else its events must be."""

    subscription_id: UUID
    status: str
    channels: Sequence[str]
    filter: Any
    pinned_major: int | None
    is_limited: bool
    order_path: str | None
    downgrades: Downgrades = field(default_factory=dict)

    def match(self, facts: Facts, *, explain: bool = False) -> Match:
        """What this event means for it. With `explain` the clauses that passed are told too."""
        reason, clauses = self._reason(facts, explain)
        if reason:
            return Match(self.subscription_id, reason=reason, clauses=clauses)
        return Match(
            self.subscription_id,
            held=self.status in Subscription.HOLDING,
            clauses=clauses,
            is_limited=self.is_limited,
            order_key=None if self.order_path is None else _key_at(facts, self.order_path),
        )

    def _reason(self, facts: Facts, explain: bool) -> tuple[str, Sequence[Clause]]:
        if self.status != Subscription.Status.ACTIVE and self.status not in Subscription.HOLDING:
            return f"subscription_{self.status}", ()
        if self.channels and not set(self.channels).intersection(facts.channels):
            return "channels", ()
        if not self._can_have(facts.schema_version):
            return "schema_version", ()
        if self.filter is None:
            return "", ()
        compiled = _compiled(self.subscription_id, self.filter)
        if compiled.matches(facts.document):
            return "", compiled.explain(facts.document) if explain else ()
        clauses = compiled.explain(facts.document)
        return "filter", clauses if explain else [c for c in clauses if not c.passed]

    def _can_have(self, version: str) -> bool:
        if self.pinned_major is None or not version:
            return True
        major = int(version.partition(".")[0])
        if major < self.pinned_major:
            return False
        return steps_down(self.downgrades, major=major, to=self.pinned_major) is not None


def hearers_of(types: Mapping[UUID, Collection[str]]) -> dict[tuple[UUID, str], list[Hearer]]:
    """For each (account, event type) the subscriptions that hear it, in one query.

    One more where somebody stays with an older version of a type. `types` are the event types of
    each account.
    """
    return hearers_among(types, heard.rows(*heard_by(types)) if any(types.values()) else ())


def heard_by(types: Mapping[UUID, Collection[str]]) -> tuple[list[UUID], list[str]]:
    """The accounts and the patterns that `heard` is asked for."""
    return list(types), list(
        {pattern for names in types.values() for name in names for pattern in patterns_for(name)}
    )


def hearers_among(
    types: Mapping[UUID, Collection[str]], rows: Iterable[Any]
) -> dict[tuple[UUID, str], list[Hearer]]:
    """`hearers_of` of the rows that `heard` gave."""
    wanted = {
        (account_id, event_type): patterns_for(event_type)
        for account_id, names in types.items()
        for event_type in names
    }
    by_pattern: dict[tuple[UUID, str], dict[UUID, tuple[Any, ...]]] = {}
    for account_id, pattern, subscription_id, *columns in rows:
        by_pattern.setdefault((account_id, pattern), {})[subscription_id] = tuple(columns)
    found = {
        (account_id, event_type): {
            subscription_id: columns
            for pattern in patterns
            for subscription_id, columns in by_pattern.get((account_id, pattern), {}).items()
        }
        for (account_id, event_type), patterns in wanted.items()
    }
    pinned: dict[UUID, set[str]] = {}
    for (account_id, event_type), each in found.items():
        if any(event_type in columns[_VERSIONS] for columns in each.values()):
            pinned.setdefault(account_id, set()).add(event_type)
    downgrades = downgrades_of(pinned) if pinned else {}
    return {
        (account_id, event_type): [
            _hearer(
                subscription_id,
                columns,
                event_type,
                downgrades.get((account_id, event_type), {}),
            )
            for subscription_id, columns in each.items()
        ]
        for (account_id, event_type), each in found.items()
    }


def who_would_get(*, account_id: UUID, facts: Facts) -> list[Match]:
    """Every subscription of the account that hears the type, with all clauses of its filter."""
    hearers = hearers_of({account_id: [facts.type]})[account_id, facts.type]
    return [hearer.match(facts, explain=True) for hearer in hearers]


_COLUMNS: Final = tuple(
    f"subscription__{name}"
    for name in (
        "status", "channels", "filter", "schema_versions", "is_limited", "ordering", "order_key",
    )
)  # fmt: skip
_VERSIONS: Final = 3
heard = Prepared(
    lambda accounts, patterns: SubscribedType.objects.filter(
        account_id__in=accounts, pattern__in=patterns
    ).values_list("account_id", "pattern", "subscription_id", *_COLUMNS)
)


def _hearer(
    subscription_id: UUID, columns: Sequence[Any], event_type: str, downgrades: Downgrades
) -> Hearer:
    status, channels, filter_, versions, is_limited, ordering, order_path = columns
    return Hearer(
        subscription_id=subscription_id,
        status=status,
        channels=channels,
        filter=filter_,
        pinned_major=versions.get(event_type),
        is_limited=is_limited,
        order_path=order_path if ordering == Subscription.Ordering.STRICT else None,
        downgrades=downgrades,
    )


_filters: OrderedDict[UUID, Filter] = OrderedDict()


def _compiled(subscription_id: UUID, document: Any) -> Filter:
    """The subscription's filter, compiled once and kept until the row has another."""
    kept = _filters.get(subscription_id)
    if kept is None or kept.document != document:
        kept = _filters[subscription_id] = compile_filter(document)
        while len(_filters) > KEPT_FILTERS:
            # Another thread may have taken the same one.
            with contextlib.suppress(KeyError):
                _filters.popitem(last=False)
    return kept


def _key_at(facts: Facts, path: str) -> str:
    """What stands at the path, as text; the same for all events where nothing does."""
    if not path:
        return ""
    values = values_at(facts.document, path)
    if not values:
        return ""
    text = values[0] if isinstance(values[0], str) else _as_text(values[0])
    if len(text) <= MAX_ORDER_KEY_LENGTH and "\x00" not in text:
        return text
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _as_text(value: Any) -> str:
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    except TypeError:  # nested deeper than it writes
        return repr(value)
