"""What is asked of a document, and what became of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from webhooks_project.lib.filters.operators import Test
from webhooks_project.lib.filters.paths import ABSENT, Segment, values_from

SHOWN_VALUES: Final = 10
SHOWN_LENGTH: Final = 200
Matches = Callable[[object], bool]


@dataclass(frozen=True, slots=True)
class Clause:
    """What became of one clause.

    `found` has the values at the path, an array's elements not taken apart, SHOWN_VALUES at most
    and long ones cut; it is empty where the path is absent, and for $and, $or and $not, whose
    `expected` is the number of branches.
    """

    pointer: str
    path: str
    operator: str
    expected: Any
    found: tuple[Any, ...]
    passed: bool

    def as_json(self) -> dict[str, Any]:
        return {
            "pointer": self.pointer,
            "path": self.path,
            "operator": self.operator,
            "expected": self.expected,
            "found": list(self.found),
            "absent": not self.found,
            "passed": self.passed,
        }


class Leaf:
    """One operator at one path."""

    def __init__(
        self,
        pointer: str,
        path: str,
        operator: str,
        expected: Any,
        segments: Sequence[Segment],
        test: Test,
    ) -> None:
        self.pointer, self.path, self.operator, self.expected = pointer, path, operator, expected
        self.segments, self.test = segments, test
        self.matches: Matches = _leaf_matches(segments, test)

    def explain(self, document: object) -> Iterator[Clause]:
        values = values_from(document, self.segments)
        found = tuple(_shown(value) for value in values[:SHOWN_VALUES])
        passed = self.test.passes(values)
        yield Clause(self.pointer, self.path, self.operator, self.expected, found, passed)


def _leaf_matches(segments: Sequence[Segment], test: Test) -> Matches:
    """`test.passes` of the values at the path, in one step where no array is on the way."""
    holds, negated = test
    names = [(n, segment.name) for n, segment in enumerate(segments)]

    def matches(document: object) -> bool:
        value = document
        for n, name in names:
            if isinstance(value, dict):
                value = value.get(name, ABSENT)
                if value is ABSENT:
                    return negated
            elif isinstance(value, list):
                return test.passes(values_from(value, segments, n))
            else:
                return negated
        if isinstance(value, list):
            return test.passes((value,))
        return holds(value) is not negated

    return matches


class Branches:
    """Several clauses as one. Without an operator of its own it is not shown."""

    def __init__(
        self, pointer: str, path: str, operator: str, branches: Sequence[Leaf | Branches]
    ) -> None:
        self.pointer, self.path, self.operator, self.branches = pointer, path, operator, branches
        self.matches: Matches = _joined(operator, [branch.matches for branch in branches])

    def explain(self, document: object) -> Iterator[Clause]:
        if self.operator:
            count, passed = len(self.branches), self.matches(document)
            yield Clause(self.pointer, self.path, self.operator, count, (), passed)
        for branch in self.branches:
            yield from branch.explain(document)


def _joined(operator: str, branches: list[Matches]) -> Matches:
    if operator == "$not":
        [inner] = branches
        return lambda document: not inner(document)
    if len(branches) == 1:
        return branches[0]
    if operator == "$or":

        def any_of(document: object) -> bool:
            for matches in branches:  # noqa: SIM110 a generator costs as much as a clause
                if matches(document):
                    return True
            return False

        return any_of

    def all_of(document: object) -> bool:
        for matches in branches:  # noqa: SIM110
            if not matches(document):
                return False
        return True

    return all_of


def _shown(value: Any, level: int = 0) -> Any:
    """The value cut to what a person wants to read."""
    if isinstance(value, str):
        return value if len(value) <= SHOWN_LENGTH else value[:SHOWN_LENGTH] + "…"
    if isinstance(value, dict):
        if level:
            return "{…}"
        names = list(value)[:SHOWN_VALUES]
        return {str(name)[:SHOWN_LENGTH]: _shown(value[name], 1) for name in names}
    if isinstance(value, list):
        return "[…]" if level else [_shown(inner, 1) for inner in value[:SHOWN_VALUES]]
    return value
