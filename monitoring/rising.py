"""Whether a count rises: against what the same endpoint or source had in the day before. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from monitoring.figures import DAY
from monitoring.judging import span


@dataclass(frozen=True, slots=True)
class Rise:
    """A count of a window, what is usual in one of that length, and the count that is a rise."""

    count: int
    usual: float
    needed: float
    factor: float

    def in_words(self, seconds: int) -> str:
        """`usual are 1.5 in 1 h, by the rest of the day; 3 times as many are a rise`."""
        return (
            f"usual are {self.usual:,.1f} in {span(seconds)}, by the rest of the day; "
            f"{self.factor:g} times as many are a rise"
        )


def rise_of(
    *,
    count: int,
    of_day: int,
    seconds: int,
    least: float,
    factor: float | None,
    before: float | None = None,
) -> Rise | None:
    """How a window's count stands to the day's. None without a factor, and where the window is the
    day itself.

    `of_day` includes the window. It rises from `factor` times the mean of the day's other windows
    on, and from `least` on: where there was nothing before, that alone decides. `before` is what
    was usual in a second before an incident of it was opened: while that is open it stands, or what
    goes on would become usual.
    """
    if factor is None or seconds >= DAY:
        return None
    usual = max(0, of_day - count) * seconds / (DAY - seconds)
    if before is not None:
        usual = before * seconds
    return Rise(count, usual, max(least, factor * usual), factor)
