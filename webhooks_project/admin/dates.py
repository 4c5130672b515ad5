"""The way down from years to days, by two look-ups in an index.

Django's own looks for the periods that have rows, which reads the whole table at each view.
"""

from __future__ import annotations

import calendar
from collections.abc import Iterator
from datetime import date, datetime
from itertools import takewhile
from typing import Any

from django.contrib.admin.views.main import ChangeList


def date_steps(changes: ChangeList) -> dict[str, Any] | None:
    """`back` and `choices` for the date hierarchy's template; None where there is nothing to
    choose."""
    name = changes.date_hierarchy
    if not isinstance(name, str):
        return None
    rows = changes.root_queryset.values_list(name, flat=True)
    first: datetime | None = rows.order_by(name).first()
    last: datetime | None = rows.order_by(f"-{name}").first()
    if first is None or last is None:
        return None
    keys = takewhile(changes.params.__contains__, _keys(name))
    chosen = [int(changes.params[key]) for key in keys]
    shown = chosen or _narrowed(first.date(), last.date())
    choices = [
        {"title": _title(step), "link": _link(changes, name, step)}
        for step in _steps(shown, first.date(), last.date())
    ]
    back = _link(changes, name, chosen[:-1]) if chosen else ""
    title = _title(chosen[:-1]) if len(chosen) > 1 else "All dates"
    if len(chosen) == 3:
        choices = [{"title": _title(chosen), "link": ""}]
    return {"choices": choices, "back": {"link": back, "title": title} if back else None}


def _narrowed(first: date, last: date) -> list[int]:
    """Where all rows are in one year, or in one month of it, that needs no choosing."""
    if first.year != last.year:
        return []
    return [first.year] if first.month != last.month else [first.year, first.month]


def _steps(shown: list[int], first: date, last: date) -> Iterator[list[int]]:
    if not shown:
        yield from ([year] for year in range(first.year, last.year + 1))
    elif len(shown) == 1:
        for month in range(1, 13):
            if (first.year, first.month) <= (shown[0], month) <= (last.year, last.month):
                yield [*shown, month]
    elif len(shown) == 2 and 1 <= shown[1] <= 12:
        for day in range(1, calendar.monthrange(shown[0], shown[1])[1] + 1):
            if first <= date(shown[0], shown[1], day) <= last:
                yield [*shown, day]


def _title(step: list[int]) -> str:
    if len(step) < 2:
        return str(step[0])
    month = calendar.month_name[step[1]]
    return f"{month} {step[2]}" if len(step) == 3 else f"{month} {step[0]}"


def _link(changes: ChangeList, name: str, step: list[int]) -> str:
    return changes.get_query_string(dict(zip(_keys(name), step, strict=False)), [f"{name}__"])


def _keys(name: str) -> tuple[str, str, str]:
    return f"{name}__year", f"{name}__month", f"{name}__day"
