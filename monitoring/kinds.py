"""The kinds of alert rules: what each looks at, what its threshold means, and where it starts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from monitoring.figures import DAY, FIVE_MINUTES, HOUR
from monitoring.models import AlertRule
from monitoring.models.incidents import Severity

Kind = AlertRule.Kind

SUBSCRIPTION: Final = "subscription"
SOURCE: Final = "source"
HUB: Final = "hub"

MIN_ATTEMPTS: Final = 5  # a window with fewer says nothing about rates and latency
RISE_FACTOR: Final = 3.0  # times what is usual: less comes by chance
SUCCESS_TARGET_PERCENT: Final = 99.0  # the objective of what has no other


@dataclass(frozen=True, slots=True)
class KindFacts:
    """One kind. `windows` are the seconds that a rule may look back, the first by default; empty
    where it looks at the present.

    `eases` is the part of the threshold that the figure must fall below before a problem counts as
    gone: a figure that wavers about its threshold opens one incident and not many.
    """

    title: str
    text: str
    unit: str
    default: float
    lowest: float
    highest: float
    about: frozenset[str]
    windows: tuple[int, ...] = ()
    severity: Severity = Severity.WARNING
    eases: float = 0.8
    opens_after_seconds: int = 60
    resolves_after_seconds: int = 300
    # What further default rules of the kind differ in: threshold and severity.
    more_defaults: tuple[tuple[float, Severity], ...] = field(default=())
    # Where a count may be held against what is usual: how many times that it has to be.
    rise_factor: float | None = None
    # Whether people are told again where a further rule of the kind sees the same.
    reminds: bool = False

    @property
    def is_hub_wide(self) -> bool:
        return HUB in self.about


KINDS: Final[dict[Kind, KindFacts]] = {
    Kind.ENDPOINT_FAILING: KindFacts(
        title="Endpoint failing",
        text="At least so many percent of the window's attempts fail, of five or more; or five in "
        "a row failed; or its breaker is open; or its last three active checks failed.",
        unit="percent",
        default=50,
        lowest=1,
        highest=100,
        about=frozenset({SUBSCRIPTION}),
        windows=(FIVE_MINUTES, HOUR, DAY),
        severity=Severity.CRITICAL,
        opens_after_seconds=120,
    ),
    Kind.DEAD_LETTERS_RISING: KindFacts(
        title="Dead letters rising",
        text="At least so many deliveries to a subscription were given up, or receipts of a source "
        "died, within the window; where the rule asks for a rise, also so many times as many as "
        "in a window of that length of the rest of the day.",
        unit="dead letters",
        default=1,
        lowest=1,
        highest=1_000_000,
        about=frozenset({SUBSCRIPTION, SOURCE}),
        windows=(HOUR, FIVE_MINUTES, DAY),
        rise_factor=RISE_FACTOR,
        opens_after_seconds=0,
        resolves_after_seconds=900,
    ),
    Kind.BACKLOG_OLD: KindFacts(
        title="Backlog old",
        text="Due deliveries to a subscription, or receipts of a source that are to be processed, "
        "have waited for so many seconds. What waits for its delivery window does not count.",
        unit="seconds",
        default=900,
        lowest=30,
        highest=604_800,
        about=frozenset({SUBSCRIPTION, SOURCE}),
    ),
    Kind.BACKLOG_NOT_SHRINKING: KindFacts(
        title="Backlog not shrinking",
        text="Of due deliveries to a subscription, or receipts of a source that are to be "
        "processed, there were never fewer for so many seconds, and the oldest has waited for as "
        "long. What waits for its delivery window does not count.",
        unit="seconds",
        default=1_800,
        lowest=60,
        highest=604_800,
        about=frozenset({SUBSCRIPTION, SOURCE}),
        severity=Severity.CRITICAL,
    ),
    Kind.LATENCY_ABOVE: KindFacts(
        title="Latency above",
        text="One in twenty of the window's attempts (95th percentile, of five or more) takes at "
        "least so many milliseconds from its start to the last byte of the answer.",
        unit="milliseconds",
        default=10_000,
        lowest=10,
        highest=60_000,
        about=frozenset({SUBSCRIPTION}),
        windows=(FIVE_MINUTES, HOUR, DAY),
        opens_after_seconds=300,
    ),
    Kind.OBJECTIVE_MISSED: KindFacts(
        title="Objective missed",
        text="The error budget burns at least so many times as fast as it may, over the window and "
        "over a twelfth of it (for a day: over an hour) too, so that what is long over opens "
        "nothing. At 1 the budget is just used up; 14.4 for an hour uses 2 % of a month's. The "
        "objective is the subscription's, else the account's, else 99 % of attempts.",
        unit="times",
        default=14.4,
        lowest=0.5,
        highest=1_000,
        about=frozenset({SUBSCRIPTION}),
        windows=(HOUR, DAY),
    ),
    Kind.SOURCE_SILENT: KindFacts(
        title="Source silent",
        text="Nothing has come from a source for so many times as long as is usual for it at this "
        "hour of the week, by its last four weeks. A source that was heard too seldom to say what "
        "is usual opens nothing.",
        unit="times",
        default=2,
        lowest=1,
        highest=100,
        about=frozenset({SOURCE}),
        eases=1.0,
        opens_after_seconds=0,
        resolves_after_seconds=60,
    ),
    Kind.SIGNATURE_FAILURES_RISING: KindFacts(
        title="Signature failures rising",
        text="At least so many of a source's calls within the window could not be proved to be the "
        "sender's: no signature, a wrong one, a wrong time, or no secret to check it by; where the "
        "rule asks for a rise, also so many times as many as in a window of that length of the "
        "rest of the day.",
        unit="calls",
        default=20,
        lowest=1,
        highest=1_000_000,
        about=frozenset({SOURCE}),
        windows=(HOUR, FIVE_MINUTES, DAY),
        rise_factor=RISE_FACTOR,
        opens_after_seconds=0,
        resolves_after_seconds=900,
    ),
    Kind.EXPIRING: KindFacts(
        title="Ending soon",
        text="A subscription, its endpoint's or its client certificate, its last signing secret, "
        "or the last secret of a source ends within so many days.",
        unit="days",
        default=30,
        lowest=1,
        highest=365,
        about=frozenset({SUBSCRIPTION, SOURCE}),
        eases=1.0,
        opens_after_seconds=0,
        resolves_after_seconds=0,
        more_defaults=((7, Severity.WARNING), (1, Severity.CRITICAL)),
        reminds=True,
    ),
    Kind.SETUP_WRONG: KindFacts(
        title="Set-up wrong",
        text="The look at subscriptions, sources and accounts, once an hour, has found something "
        "that keeps one from its work, so many hours ago or longer: it cannot be verified, has no "
        "secret that is valid, was never delivered to, leads to nobody. Of a subscription that has "
        "ended people are told in any case.",
        unit="hours",
        default=0,
        lowest=0,
        highest=8_760,
        about=frozenset({SUBSCRIPTION, SOURCE}),
        eases=1.0,
        opens_after_seconds=0,
        resolves_after_seconds=0,
    ),
    Kind.QUEUE_NOT_DRAINED: KindFacts(
        title="Queue not drained",
        text="The oldest due work of one of the hub's queues has waited for so many seconds, "
        "whichever account it is of. Only the platform's staff may make such a rule; the "
        "platform's own account is given one.",
        unit="seconds",
        default=300,
        lowest=10,
        highest=86_400,
        about=frozenset({HUB}),
        severity=Severity.CRITICAL,
    ),
}
# The window over which a burn must go on still, by the window of the rule.
SHORT_WINDOW: Final = {HOUR: FIVE_MINUTES, DAY: HOUR}
