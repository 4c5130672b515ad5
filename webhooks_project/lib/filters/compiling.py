"""A JSON document made into a filter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from webhooks_project.lib.filters.clauses import Branches, Clause, Leaf, Matches
from webhooks_project.lib.filters.errors import FilterNotAcceptable
from webhooks_project.lib.filters.operators import OPERATORS
from webhooks_project.lib.filters.paths import Segment, segments_of

FILTER_BYTES: Final = 16_384
CLAUSES: Final = 100
LEVELS: Final = 10  # of $and, $or and $not within each other


@dataclass(frozen=True, slots=True)
class Filter:
    """A compiled filter. Neither method raises, whatever the document holds."""

    document: Mapping[str, Any]
    matches: Matches
    _root: Branches

    def explain(self, document: object) -> list[Clause]:
        """Every clause in the filter's order, also those that `matches` would not look at."""
        return list(self._root.explain(document))


def compile_filter(document: object) -> Filter:
    """The filter of a parsed JSON document; `{}` matches everything.

    Raises FilterNotAcceptable.
    """
    if not isinstance(document, dict):
        raise FilterNotAcceptable("A filter is a JSON object.", reason="not_an_object")
    try:
        size = len(orjson.dumps(document))
    except orjson.JSONEncodeError as error:
        reason = "too_deep" if "Recursion limit" in str(error) else "not_json"
        raise FilterNotAcceptable("The filter is not JSON.", reason=reason) from None
    if size > FILTER_BYTES:
        message = f"A filter has at most {FILTER_BYTES} bytes."
        raise FilterNotAcceptable(message, reason="too_large")
    root = _Compiler().compile_object(document, "", 0)
    return Filter(document, root.matches, root)


class _Compiler:
    def __init__(self) -> None:
        self.clauses = 0

    def compile_object(self, document: Any, pointer: str, level: int) -> Branches:
        """The clauses of `{path or $and, $or, $not: …}`; all must pass."""
        if not isinstance(document, dict):
            raise FilterNotAcceptable(
                "An object is meant here.", reason="wrong_operand", path=pointer
            )
        self.refuse_too_deep(pointer, level)
        branches: list[Leaf | Branches] = []
        for name, operand in document.items():
            here = pointer + _pointer_part(name)
            if name in ("$and", "$or", "$not"):
                branches.append(self.compile_joined(name, operand, here, level, None))
            elif name.startswith("$"):
                raise _unknown_operator(name, here)
            else:
                branches.append(self.compile_field(name, operand, here, level))
        return Branches(pointer, "", "", branches)

    def compile_joined(
        self, operator: str, operand: Any, pointer: str, level: int, field: str | None
    ) -> Branches:
        """`$and`, `$or` and `$not`, of filters or, with a field, of what is asked of it."""
        self.count(pointer)

        def compile_one(inner: Any, at: str) -> Branches:
            if field is None:
                return self.compile_object(inner, at, level + 1)
            return self.compile_field(field, inner, at, level + 1)

        if operator == "$not":
            return Branches(pointer, field or "", operator, [compile_one(operand, pointer)])
        if not isinstance(operand, list) or not operand:
            message = f"{operator} takes a list of at least one."
            raise FilterNotAcceptable(message, reason="wrong_operand", path=pointer)
        branches = [compile_one(inner, f"{pointer}/{n}") for n, inner in enumerate(operand)]
        return Branches(pointer, field or "", operator, branches)

    def compile_field(self, path: str, operand: Any, pointer: str, level: int) -> Branches:
        """What is asked of the values at a path: operators, or a bare value to be equal to."""
        self.refuse_too_deep(pointer, level)
        segments = segments_of(path, pointer)
        if not isinstance(operand, dict):
            leaf = self.compile_leaf(path, "$eq", operand, pointer, segments)
            return Branches(pointer, path, "", [leaf])
        if not operand:
            message = 'An empty object asks for nothing; {} as a value is {"$eq": {}}.'
            raise FilterNotAcceptable(message, reason="wrong_operand", path=pointer)
        branches: list[Leaf | Branches] = []
        for operator, value in operand.items():
            here = pointer + _pointer_part(operator)
            if operator in ("$and", "$or", "$not"):
                branches.append(self.compile_joined(operator, value, here, level, path))
            else:
                branches.append(self.compile_leaf(path, operator, value, here, segments))
        return Branches(pointer, path, "", branches)

    def compile_leaf(
        self, path: str, operator: str, operand: Any, pointer: str, segments: Sequence[Segment]
    ) -> Leaf:
        self.count(pointer)
        make_test = OPERATORS.get(operator)
        if make_test is None:
            raise _unknown_operator(operator, pointer)
        return Leaf(pointer, path, operator, operand, segments, make_test(operand, pointer))

    def count(self, pointer: str) -> None:
        self.clauses += 1
        if self.clauses > CLAUSES:
            message = f"A filter has at most {CLAUSES} clauses."
            raise FilterNotAcceptable(message, reason="too_many_clauses", path=pointer)

    def refuse_too_deep(self, pointer: str, level: int) -> None:
        if level > LEVELS:
            message = f"$and, $or and $not stand at most {LEVELS} deep."
            raise FilterNotAcceptable(message, reason="too_deep", path=pointer)


def _unknown_operator(name: str, pointer: str) -> FilterNotAcceptable:
    message = (
        f"{name[:40]!r} is no operator here; there are {', '.join(OPERATORS)}, $and, $or, $not."
    )
    if not name.startswith("$"):
        message += " A field within a field is written with a dot."
    return FilterNotAcceptable(message, reason="unknown_operator", path=pointer)


def _pointer_part(name: str) -> str:
    return "/" + name.replace("~", "~0").replace("/", "~1")
