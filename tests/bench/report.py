"""The answer: one JSON line on standard output for each figure; progress goes to standard error."""

from __future__ import annotations

import json
import operator
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from django.db import connection

_COMPARE: Final = {">=": operator.ge, "<=": operator.le}


@dataclass(frozen=True)
class Mark:
    """What a figure should reach, such as `>= 0.8`."""

    sign: str
    bound: float

    def __str__(self) -> str:
        return f"{self.sign} {self.bound:g}"

    def met_by(self, figure: float) -> bool:
        return bool(_COMPARE[self.sign](figure, self.bound))


def show(name: str, **fields: Any) -> None:
    """Print one line. Other programs read these, so nothing else goes to standard output."""
    print(json.dumps({"name": name, **fields}), flush=True)


def show_ratio(
    name: str,
    rates: Mapping[str, Sequence[float]],
    *,
    mark: Mark | None = None,
    **fields: Any,
) -> None:
    """The ratio of the medians of two alternating series of rates, the hub's named first.

    `paired_ratio` is the median of each run's own ratio: the steadier one where the machine was
    busy with something else meanwhile.
    """
    medians = {key: median(values) for key, values in rates.items()}
    hub, bare = medians.values()
    ratio = hub / bare
    pairs = zip(*rates.values(), strict=True)
    show(
        name,
        database=connection.vendor,
        ratio=round(ratio, 3),
        paired_ratio=round(median(one / other for one, other in pairs), 3),
        runs=len(next(iter(rates.values()))),
        **_judged(ratio, mark),
        medians={key: round(value, 1) for key, value in medians.items()},
        raw={key: [round(value, 1) for value in values] for key, values in rates.items()},
        raw_unit="per second",
        **fields,
    )


def show_value(
    name: str, value: float, unit: str, *, runs: int, mark: Mark | None = None, **fields: Any
) -> None:
    """A figure in its own unit; `runs` is how many measurements stand behind it."""
    show(
        name,
        database=connection.vendor,
        value=round(value, 2),
        unit=unit,
        runs=runs,
        **_judged(value, mark),
        **fields,
    )


def quantile(values: Sequence[float], part: float) -> float:
    """The smallest of the values that at least this part of them does not exceed."""
    ranked = sorted(values)
    return ranked[max(0, -(-int(part * 1000) * len(ranked) // 1000) - 1)]


def said(series: Mapping[str, Sequence[float]]) -> str:
    """The latest of each, for `say`."""
    return ", ".join(f"{name} {values[-1]:,.0f}/s" for name, values in series.items())


def say(text: str) -> None:
    """Progress, for a person who waits."""
    print(text, file=sys.stderr, flush=True)


def _judged(figure: float, mark: Mark | None) -> dict[str, Any]:
    return {} if mark is None else {"mark": str(mark), "met": mark.met_by(figure)}
