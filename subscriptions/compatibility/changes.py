"""A change that breaks somebody: where, what, and whom."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    REMOVED_PROPERTY = "removed_property"
    RETYPED = "retyped"
    NEW_REQUIRED = "new_required"
    NO_LONGER_REQUIRED = "no_longer_required"
    NARROWED_ENUM = "narrowed_enum"
    WIDENED_ENUM = "widened_enum"
    NARROWED = "narrowed"
    WIDENED = "widened"
    CHANGED_RULE = "changed_rule"
    CLOSED = "closed"
    REMOVED_ALTERNATIVE = "removed_alternative"
    ADDED_ALTERNATIVE = "added_alternative"


READERS: Final = "readers"
WRITERS: Final = "writers"


@dataclass(frozen=True, slots=True)
class Change:
    """One change that breaks somebody.

    `path` is a pointer into the shape of the data, in which `*` is any item or any name:
    `/lines/*/amount`; empty for the whole. `breaks` is whom first: readers or writers.
    """

    path: str
    kind: Kind
    detail: str
    breaks: str


def change(kind: Kind, detail: str, breaks: str, path: str = "") -> Change:
    """A change, its words cut to what a reader takes in."""
    return Change(path, kind, detail[:300], breaks)


def below(path: str, changes: Iterable[Change]) -> list[Change]:
    """The changes, seen from above the place that they were found at."""
    return [replace(change, path=path + change.path) for change in changes]
