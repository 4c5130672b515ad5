"""What is known of endpoints, sources and queues at one moment: health and rules go by it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from monitoring.shrinking import Low

FIVE_MINUTES: Final = 300
HOUR: Final = 3_600
DAY: Final = 86_400
WINDOWS: Final = (FIVE_MINUTES, HOUR, DAY)  # seconds back from now that are counted

# Refusals of a call that could not be proved to be the sender's.
SIGNATURE_CAUSES: Final = frozenset(
    {
        "secret_missing", "key_unavailable", "signature_missing", "signature_malformed",
        "signature_mismatch", "timestamp_missing", "timestamp_malformed", "timestamp_too_old",
        "timestamp_in_future", "credentials_mismatch",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Outcome:
    """Attempts of one window. Percentiles are of the whole duration; None where nothing ended."""

    attempts: int = 0
    succeeded: int = 0
    by_cause: Mapping[str, int] = field(default_factory=dict)
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None

    @property
    def failed(self) -> int:
        return self.attempts - self.succeeded

    @property
    def success_percent(self) -> float | None:
        return 100 * self.succeeded / self.attempts if self.attempts else None

    @property
    def failed_percent(self) -> float | None:
        return 100 * self.failed / self.attempts if self.attempts else None


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Calls of one window."""

    received: int = 0
    accepted: int = 0
    refused_by_cause: Mapping[str, int] = field(default_factory=dict)

    @property
    def refused(self) -> int:
        return sum(self.refused_by_cause.values())

    @property
    def refused_percent(self) -> float | None:
        return 100 * self.refused / self.received if self.received else None

    @property
    def signature_failures(self) -> int:
        return sum(
            count for cause, count in self.refused_by_cause.items() if cause in SIGNATURE_CAUSES
        )


@dataclass(frozen=True, slots=True)
class Check:
    """The last active check. `failures` is how many have failed one after the other."""

    kind: str = ""
    checked_at: datetime | None = None
    problem: str = ""
    failures: int = 0


CERTIFICATE: Final = "certificate"  # the end of the endpoint's, as it was seen
NOTHING_TRIED: Final = Outcome()
NOTHING_CAME: Final = Arrivals()


@dataclass(frozen=True, slots=True)
class EndpointFigures:
    """One subscription's endpoint. `why_not_judged` names the state in which nothing is sent."""

    id: UUID
    name: str
    why_not_judged: str = ""
    windows: Mapping[int, Outcome] = field(default_factory=dict)
    # Windows that could not be counted, or not wholly: what they lack may have been.
    uncounted: frozenset[int] = frozenset()
    consecutive_failures: int = 0  # at least; none has succeeded since
    failing_since: datetime | None = None
    breaker: str = "closed"
    breaker_changed_at: datetime | None = None
    # What is due and waits in line. It waits rightly while its delivery window is closed.
    backlog: int = 0
    backlog_age_seconds: float = 0.0
    backlog_low: Low | None = None
    is_window_closed: bool = False
    dead_letters: Mapping[int, int] = field(default_factory=dict)  # new ones, by window
    check: Check = field(default_factory=Check)
    # What ends one day: certificate, client_certificate, secret, subscription.
    ends: Mapping[str, datetime] = field(default_factory=dict)
    # The certificate's end is left out: it was not seen for long, and may have been renewed.
    is_certificate_stale: bool = False
    # By kind of rule, what was usual in a second before an incident of it was opened that is open.
    usual_before: Mapping[str, float] = field(default_factory=dict)
    # Why it fails, by the open incident that says so: known for longer than attempts are counted.
    known_cause: str = ""

    def over(self, seconds: int) -> Outcome:
        return self.windows.get(seconds, NOTHING_TRIED)

    def as_json(self) -> dict[str, Any]:
        """As a HealthCheck keeps it and the API shows it."""
        return {
            "windows": {
                str(seconds): {
                    "attempts": window.attempts,
                    "succeeded": window.succeeded,
                    "success_percent": _round(window.success_percent),
                    "by_cause": dict(window.by_cause),
                    "p50_ms": _round(window.p50_ms),
                    "p95_ms": _round(window.p95_ms),
                    "p99_ms": _round(window.p99_ms),
                }
                for seconds, window in sorted(self.windows.items())
            },
            "consecutive_failures": self.consecutive_failures,
            "failing_since": _iso(self.failing_since),
            "breaker": self.breaker,
            "breaker_changed_at": _iso(self.breaker_changed_at),
            "backlog": self.backlog,
            "backlog_age_seconds": round(self.backlog_age_seconds),
            **_low(self.backlog_low),
            "is_window_closed": self.is_window_closed,
            "dead_letters": _by_window(self.dead_letters),
            "check": {
                "kind": self.check.kind,
                "checked_at": _iso(self.check.checked_at),
                "problem": self.check.problem,
                "failures": self.check.failures,
            },
            "ends": {name: _iso(moment) for name, moment in sorted(self.ends.items())},
        }


@dataclass(frozen=True, slots=True)
class SourceFigures:
    """One source. `usual_silence_seconds` is what its history makes usual now; None: not known."""

    id: UUID
    name: str
    why_not_judged: str = ""
    windows: Mapping[int, Arrivals] = field(default_factory=dict)
    # Windows that could not be counted, or not wholly: what they lack may have been.
    uncounted: frozenset[int] = frozenset()
    last_received_at: datetime | None = None
    silent_seconds: float | None = None
    usual_silence_seconds: float | None = None
    dead_receipts: Mapping[int, int] = field(default_factory=dict)  # new ones, by window
    # What is due and waits to be processed.
    backlog: int = 0
    backlog_age_seconds: float = 0.0
    backlog_low: Low | None = None
    ends: Mapping[str, datetime] = field(default_factory=dict)  # secret
    # By kind of rule, what was usual in a second before an incident of it was opened that is open.
    usual_before: Mapping[str, float] = field(default_factory=dict)

    def over(self, seconds: int) -> Arrivals:
        return self.windows.get(seconds, NOTHING_CAME)

    @property
    def silence_times(self) -> float | None:
        """How many times longer than usual it has been silent; None while its calls wait to be
        processed: when it was heard last is known only of those that were."""
        if self.silent_seconds is None or not self.usual_silence_seconds or self.backlog:
            return None
        return self.silent_seconds / self.usual_silence_seconds

    def as_json(self) -> dict[str, Any]:
        """As a HealthCheck keeps it and the API shows it."""
        return {
            "windows": {
                str(seconds): {
                    "received": window.received,
                    "accepted": window.accepted,
                    "refused": window.refused,
                    "refused_percent": _round(window.refused_percent),
                    "signature_failures": window.signature_failures,
                    "refused_by_cause": dict(window.refused_by_cause),
                }
                for seconds, window in sorted(self.windows.items())
            },
            "last_received_at": _iso(self.last_received_at),
            "usual_silence_seconds": _round(self.usual_silence_seconds),
            "dead_receipts": _by_window(self.dead_receipts),
            "backlog": self.backlog,
            "backlog_age_seconds": round(self.backlog_age_seconds),
            **_low(self.backlog_low),
            "ends": {name: _iso(moment) for name, moment in sorted(self.ends.items())},
        }


@dataclass(frozen=True, slots=True)
class FindingFigures:
    """What the look at how things are set up has found: of a subscription, a source, or, with
    neither, of the account."""

    kind: str
    text: str
    since: datetime
    name: str = "The account"
    subscription_id: UUID | None = None
    source_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class AccountFigures:
    """Everything that an account's rules may look at. `queues` are ages in seconds by family."""

    endpoints: tuple[EndpointFigures, ...] = ()
    sources: tuple[SourceFigures, ...] = ()
    queues: Mapping[str, float] = field(default_factory=dict)
    findings: tuple[FindingFigures, ...] = ()


# The causes of failed attempts that mean the same to whoever has to mend it.
_GROUPS: Final[dict[str, tuple[str, ...]]] = {
    "unreachable": (
        "dns", "refused", "reset", "timeout_dns", "timeout_connect", "forbidden_address",
    ),
    "tls": ("tls", "timeout_tls"),
    "too_slow": ("timeout_response", "cancelled"),
    "answers_5xx": ("status_5xx",),
    "answers_4xx": ("status_4xx",),
    "not_sendable": (
        "unsignable", "transformation", "credentials_unreadable", "token_unavailable",
        "invalid_url",
    ),
}  # fmt: skip
GROUP_OF: Final = {cause: group for group, causes in _GROUPS.items() for cause in causes}
OTHER: Final = "answers_otherwise"


def main_cause(by_cause: Mapping[str, int]) -> str:
    """The group that most of the failures are of; of equal ones the first by name; empty for none.

    Groups, so that an endpoint that now refuses and now resets has one problem and not two.
    """
    counts: dict[str, int] = {}
    for cause, count in by_cause.items():
        if cause and count:
            group = GROUP_OF.get(cause, OTHER)
            counts[group] = counts.get(group, 0) + count
    return min(counts, key=lambda group: (-counts[group], group), default="")


def _low(low: Low | None) -> dict[str, Any]:
    return {
        "backlog_low": low.count if low else 0,
        "backlog_low_since": _iso(low.since) if low else None,
    }


def _by_window(counts: Mapping[int, int]) -> dict[str, int]:
    return {str(seconds): count for seconds, count in sorted(counts.items())}


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
