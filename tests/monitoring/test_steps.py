"""From signals to incidents and back: single steps, recorded sequences, and any sequence."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from monitoring.rules import Signal
from monitoring.steps import BREAK, PEACE, WAVERS_WITHIN, Facts, Step, Timing, next_step, patience
from tests.monitoring.figures import NOW

MINUTE = timedelta(minutes=1)
TIMING = Timing(opens_after=2 * MINUTE, resolves_after=5 * MINUTE)
OVER = Signal(key="k", cause="", is_over=True, value=60, title="t", text="")
EASING = replace(OVER, is_over=False, value=45)


def ago(minutes: float) -> datetime:
    return NOW - minutes * MINUTE


@pytest.mark.parametrize(
    ("facts", "signal", "step"),
    [
        (Facts(), None, Step.NOTHING),
        (Facts(), OVER, Step.WATCH),
        (Facts(), EASING, Step.NOTHING),  # what never was over opens nothing
        (Facts(seen_since=ago(1), last_seen_at=ago(1)), OVER, Step.WATCH),
        (Facts(seen_since=ago(2), last_seen_at=ago(1)), OVER, Step.OPEN),
        (Facts(seen_since=ago(2), last_seen_at=ago(1)), EASING, Step.FORGET),
        (Facts(seen_since=ago(2), last_seen_at=ago(1)), None, Step.FORGET),
        # Nobody looked for a while: it was not seen all the time.
        (Facts(seen_since=ago(60), last_seen_at=ago(6)), OVER, Step.WATCH),
        (Facts(seen_since=ago(60), last_seen_at=NOW - BREAK), OVER, Step.OPEN),
        # A person wants no more of it, until it has gone, or for an hour.
        (Facts(quiet_until=NOW + MINUTE), OVER, Step.NOTHING),
        (Facts(quiet_until=NOW + MINUTE), EASING, Step.NOTHING),
        (Facts(quiet_until=NOW + MINUTE), None, Step.FORGET),
        (Facts(quiet_until=NOW), OVER, Step.WATCH),
        # It recovered lately.
        (Facts(seen_since=ago(2), last_seen_at=ago(1), recovered_at=NOW - WAVERS_WITHIN), OVER,
         Step.OPEN_AGAIN),
        (Facts(seen_since=ago(2), last_seen_at=ago(1), recovered_at=ago(61)), OVER, Step.OPEN),
        (Facts(recovered_at=ago(3)), None, Step.NOTHING),
        # It is open.
        (Facts(is_open=True), OVER, Step.STAY),
        (Facts(is_open=True), EASING, Step.STAY),  # not clearly better yet
        (Facts(is_open=True), None, Step.RECOVER),
        (Facts(is_open=True, well_since=ago(4)), None, Step.WAIT),
        (Facts(is_open=True, well_since=ago(5)), None, Step.RESOLVE),
        (Facts(is_open=True, well_since=ago(4)), OVER, Step.RELAPSE),
        # Near its threshold it is no worse, and being well begins anew.
        (Facts(is_open=True, well_since=ago(4)), EASING, Step.HOVER),
        (Facts(is_open=True, well_since=ago(5)), EASING, Step.HOVER),
        # It came back before: it must stay away for longer.
        (Facts(is_open=True, well_since=ago(9), relapses=1), None, Step.WAIT),
        (Facts(is_open=True, well_since=ago(10), relapses=1), None, Step.RESOLVE),
        (Facts(is_open=True, well_since=ago(39), relapses=99), None, Step.WAIT),
        (Facts(is_open=True, well_since=ago(40), relapses=99), None, Step.RESOLVE),
    ],
)  # fmt: skip
def test_a_step(facts: Facts, signal: Signal | None, step: Step) -> None:
    assert next_step(facts, signal, TIMING, NOW) == step


@pytest.mark.parametrize(
    ("facts", "signal", "step"),
    [(Facts(), OVER, Step.OPEN), (Facts(is_open=True), None, Step.RESOLVE)],
)
def test_without_patience_it_goes_at_once(facts: Facts, signal: Signal | None, step: Step) -> None:
    assert next_step(facts, signal, Timing(timedelta(), timedelta()), NOW) == step


@dataclass
class Life:
    """A problem looked at once a minute, as the services apply the steps to their rows."""

    timing: Timing = TIMING
    now: datetime = NOW
    facts: Facts = field(default_factory=Facts)
    opened: list[int] = field(default_factory=list)  # the minutes
    resolved: list[int] = field(default_factory=list)
    minute: int = 0

    def look(self, signal: Signal | None) -> Step:
        self.now = NOW + self.minute * MINUTE
        step = next_step(self.facts, signal, self.timing, self.now)
        facts, now = self.facts, self.now
        match step:
            case Step.WATCH:
                since = facts.seen_since
                if since is None or facts.last_seen_at is None or now - facts.last_seen_at > BREAK:
                    since = now
                facts = replace(facts, seen_since=since, last_seen_at=now, quiet_until=None)
            case Step.FORGET:
                facts = Facts(recovered_at=facts.recovered_at)
            case Step.OPEN | Step.OPEN_AGAIN:
                relapses = facts.relapses + 1 if step == Step.OPEN_AGAIN else 0
                facts = Facts(is_open=True, relapses=relapses)
                self.opened.append(self.minute)
            case Step.RELAPSE:
                facts = replace(facts, well_since=None, relapses=facts.relapses + 1)
            case Step.RECOVER | Step.HOVER:
                facts = replace(facts, well_since=now)
            case Step.RESOLVE:
                facts = Facts(recovered_at=now, relapses=facts.relapses)
                self.resolved.append(self.minute)
            case Step.NOTHING | Step.STAY | Step.WAIT:
                pass
        self.facts = facts
        self.minute += 1
        return step

    def resolve_by_person(self) -> None:
        self.facts = Facts(quiet_until=self.now + PEACE)


def run(sequence: str, timing: Timing = TIMING) -> Life:
    """`#`: over the threshold. `+`: not clearly below it. `.`: well."""
    life = Life(timing)
    for mark in sequence:
        life.look({"#": OVER, "+": EASING, ".": None}[mark])
    return life


@pytest.mark.parametrize(
    ("sequence", "opened", "resolved"),
    [
        ("." * 60, [], []),
        ("#" * 60, [2], []),
        ("##." * 20, [], []),  # never two minutes
        ("##......", [], []),
        ("###.....", [2], []),
        ("###......", [2], [8]),
        ("###" + "+" * 30, [2], []),  # it hovers below the threshold
        # It was recovering, and hovers: that is no relapse, and it is not over.
        ("###..." + "+" * 30, [2], []),
        ("###...+++.", [2], []),
        ("###...+++....", [2], []),
        ("###...+++.....", [2], [13]),  # five minutes after it was near its threshold last
        ("###" + "....+" * 30, [2], []),
        # On and off every two minutes for two hours: one incident.
        ("##.." * 30, [], []),
        ("###" + "..##" * 30, [2], []),
        # Four bad minutes and four good ones.
        ("####...." * 12, [2], []),
        # Bad for four, good for seven, for two hours: the first recovery is believed, the second
        # time it must hold for ten minutes, which it never does.
        ("####......." * 12, [2, 13], [9]),
        # An outage, its end, and a new one much later.
        ("#" * 30 + "." * 90 + "#" * 5, [2, 122], [35]),
    ],
)
def test_recorded_sequences(sequence: str, opened: list[int], resolved: list[int]) -> None:
    life = run(sequence)
    assert (life.opened, life.resolved) == (opened, resolved)


def test_after_a_long_quiet_its_past_is_forgotten() -> None:
    life = run("###" + "..##" * 5 + "." * 60)
    assert (life.opened, len(life.resolved)) == ([2], 1)
    assert life.facts.recovered_at is not None
    later = run("###......" + "." * 70 + "###......")
    assert later.resolved == [8, 87]  # five minutes each


def test_what_a_person_resolved_stays_so_until_it_goes_and_comes() -> None:
    life = run("#####")
    life.resolve_by_person()
    for _ in range(59):
        life.look(OVER)
    assert life.opened == [2]
    for _ in range(4):
        life.look(OVER)
    assert len(life.opened) == 2  # an hour is over
    other = run("#####")
    other.resolve_by_person()
    for signal in (OVER, None, OVER, OVER, OVER):
        other.look(signal)
    assert other.opened == [2, 9]


class AnySequence(RuleBasedStateMachine):
    """Whatever is seen, in whatever order, with pauses of the monitoring and people's words."""

    def __init__(self) -> None:
        super().__init__()
        self.life = Life()
        self.over_since: datetime | None = None  # at each look since then, and without a break
        self.last_at: datetime | None = None

    @rule(signal=st.sampled_from([OVER, OVER, EASING, None, None]))
    def look(self, signal: Signal | None) -> None:
        before = self.life.facts
        step = self.life.look(signal)
        now = self.life.now
        is_late = self.last_at is not None and now - self.last_at > BREAK
        is_over = signal is not None and signal.is_over
        if not is_over:
            self.over_since = None
        elif is_late or self.over_since is None:
            self.over_since = now
        self.last_at = now
        if step in (Step.OPEN, Step.OPEN_AGAIN):
            assert not before.is_open
            assert self.over_since is not None
            assert now - self.over_since >= TIMING.opens_after
        if step == Step.RESOLVE:
            assert before.is_open
            assert signal is None
            assert before.well_since is not None
            assert now - before.well_since >= patience(TIMING, before.relapses)
        if before.is_open and is_over:
            assert step in (Step.STAY, Step.RELAPSE)
        if before.quiet_until is not None and now < before.quiet_until and signal is not None:
            assert step == Step.NOTHING

    @rule(minutes=st.integers(1, 90))
    def nobody_looks(self, minutes: int) -> None:
        self.life.minute += minutes

    @precondition(lambda self: self.life.facts.is_open)
    @rule()
    def a_person_resolves(self) -> None:
        self.life.resolve_by_person()

    @invariant()
    def openings_and_ends_alternate(self) -> None:
        life = self.life
        assert life.opened == sorted(set(life.opened))
        assert len(life.resolved) <= len(life.opened)

    @invariant()
    def what_is_open_is_not_watched(self) -> None:
        facts = self.life.facts
        assert not (facts.is_open and (facts.seen_since or facts.quiet_until))


TestAnySequence = AnySequence.TestCase
TestAnySequence.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
