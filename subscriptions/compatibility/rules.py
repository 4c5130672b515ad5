"""The changes of what two shapes allow at their own place: types, values and rules.

What is within them, and their alternatives, are the comparison's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from subscriptions.compatibility.changes import READERS, WRITERS, Change, Kind, change
from subscriptions.compatibility.shapes import (
    LOWER_BOUNDS,
    RULES,
    TYPES,
    UPPER_BOUNDS,
    Shape,
    json_text,
)


def type_changes(old: Shape, new: Shape) -> Iterable[Change]:
    """Whether another type may come, or one no longer."""
    if old.values is not None and new.values is not None:
        return  # the values say it
    if old.types == new.types:
        return
    yield replace(retyped(old, new), breaks=READERS if new.types - old.types else WRITERS)


def retyped(old: Shape, new: Shape) -> Change:
    """The change from the one's types to the other's."""
    detail = f"{_type_names(old.types)} became {_type_names(new.types)}"
    return change(Kind.RETYPED, detail, READERS)


def value_changes(old: Shape, new: Shape) -> Iterable[Change]:
    """Which of the values that are listed came or went."""
    was, now = old.values, new.values
    if was is None and now is None:
        return
    if was is None or now is None:
        if was is None:
            detail = "only some values are allowed now"
            yield change(Kind.NARROWED_ENUM, detail, WRITERS)
        elif old.types & new.types:
            yield change(Kind.WIDENED_ENUM, "any value may come now", READERS)
        return
    if gone := [text for text in was if text not in now]:
        detail = f"{_named(gone)} not allowed now"
        yield change(Kind.NARROWED_ENUM, detail, WRITERS)
    if added := [text for text in now if text not in was]:
        yield change(Kind.WIDENED_ENUM, f"{_named(added)} may come now", READERS)


def rule_changes(old: Shape, new: Shape) -> Iterable[Change]:
    """Which bounds and other rules allow more now, or less."""
    for word in (*LOWER_BOUNDS, *UPPER_BOUNDS, *RULES):
        was, now = old.rules.get(word), new.rules.get(word)
        if was == now:
            continue
        detail = f"{word} was {_shown(was)} and is {_shown(now)}"
        if now is None:
            yield change(Kind.WIDENED, detail, READERS)
        elif was is None:
            yield change(Kind.NARROWED, detail, WRITERS)
        elif word in LOWER_BOUNDS + UPPER_BOUNDS and _are_numbers(was, now):
            is_wider = now < was if word in LOWER_BOUNDS else now > was
            kind, whom = (Kind.WIDENED, READERS) if is_wider else (Kind.NARROWED, WRITERS)
            yield change(kind, detail, whom)
        else:
            yield change(Kind.CHANGED_RULE, detail, READERS)


def _type_names(types: frozenset[str]) -> str:
    if types == TYPES:
        return "any type"
    shown = types - {"integer"} if "number" in types else types
    return " or ".join(sorted(shown)) or "nothing"


def _named(texts: list[bytes]) -> str:
    names = [text.decode()[:60] for text in texts[:5]]
    more = f" and {len(texts) - 5} more" if len(texts) > 5 else ""
    return ", ".join(names) + more


def _shown(value: Any) -> str:
    return "absent" if value is None else json_text(value).decode()[:80]


def _are_numbers(*values: Any) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
