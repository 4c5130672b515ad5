"""Filters: JSON documents that say which JSON documents match.

The language is described in docs/glossary.md. A filter is compiled once, to closures; a clause
costs about a microsecond.
"""

from __future__ import annotations

import operator as operators
import re
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any, ClassVar, Final, NamedTuple

import orjson
import re2

from webhooks_project.lib.errors import DomainError

FILTER_BYTES: Final = 16_384
CLAUSES: Final = 100
LEVELS: Final = 10  # of $and, $or and $not within each other
PATH_LENGTH: Final = 256  # characters
PATH_SEGMENTS: Final = 32
LIST_ITEMS: Final = 500  # of $in and $nin
OPERAND_LEVELS: Final = 16
ELEMENTS: Final = 10_000  # of arrays that a clause looks at, on the way and at the end of its path
REGEX_LENGTH: Final = 500  # characters
REGEX_MEMORY_BYTES: Final = 2**20
REGEX_STEPS: Final = 2_500  # of the compiled pattern; its time is at worst steps × text
REGEX_TEXT_LENGTH: Final = 65_536  # characters; a longer string fits no pattern
SHOWN_VALUES: Final = 10
SHOWN_LENGTH: Final = 200

_SEGMENT_PARTS = re.compile(r"\\(.?)|(\.)|([^\\.]+)", re.DOTALL)
_ARRAY_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")

Holds = Callable[[Any], bool]
Matches = Callable[[object], bool]


class FilterNotAcceptable(DomainError):
    """The filter is not one that can be matched.

    `path` is a JSON Pointer to the wrong place in the filter document. `reason` is not_an_object,
    not_json, bad_path, path_too_long, unknown_operator, wrong_operand, bad_regex, regex_too_long,
    too_many_clauses, too_deep or too_large.
    """

    code: ClassVar[str] = "filter_not_acceptable"

    def __init__(self, message: str = "", *, reason: str, path: str = "") -> None:
        super().__init__(message, reason=reason, path=path)
        self.reason = reason
        self.path = path


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


@dataclass(frozen=True, slots=True)
class Filter:
    """A compiled filter. Neither method raises, whatever the document holds."""

    document: Mapping[str, Any]
    matches: Matches
    _root: _Branches

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


# -- clauses --------------------------------------------------------------------------------------


class _Test(NamedTuple):
    """Passed where it holds for a value at the path or, of an array, for an element.

    Negated: where it holds for none, which is so where the path is absent.
    """

    holds: Holds
    negated: bool = False

    def passes(self, values: Sequence[Any]) -> bool:
        holds = self.holds
        for value in values:
            if holds(value) or (
                isinstance(value, list) and any(map(holds, islice(value, ELEMENTS)))
            ):
                return not self.negated
        return self.negated


class _Leaf:
    """One operator at one path."""

    def __init__(
        self,
        pointer: str,
        path: str,
        operator: str,
        expected: Any,
        segments: Sequence[_Segment],
        test: _Test,
    ) -> None:
        self.pointer, self.path, self.operator, self.expected = pointer, path, operator, expected
        self.segments, self.test = segments, test
        self.matches: Matches = _leaf_matches(segments, test)

    def explain(self, document: object) -> Iterator[Clause]:
        values = _values_at(document, self.segments)
        found = tuple(_shown(value) for value in values[:SHOWN_VALUES])
        passed = self.test.passes(values)
        yield Clause(self.pointer, self.path, self.operator, self.expected, found, passed)


def _leaf_matches(segments: Sequence[_Segment], test: _Test) -> Matches:
    """`test.passes` of the values at the path, in one step where no array is on the way."""
    holds, negated = test
    names = [(n, segment.name) for n, segment in enumerate(segments)]

    def matches(document: object) -> bool:
        value = document
        for n, name in names:
            if isinstance(value, dict):
                value = value.get(name, _ABSENT)
                if value is _ABSENT:
                    return negated
            elif isinstance(value, list):
                return test.passes(_values_at(value, segments, n))
            else:
                return negated
        if isinstance(value, list):
            return test.passes((value,))
        return holds(value) is not negated

    return matches


class _Branches:
    """Several clauses as one. Without an operator of its own it is not shown."""

    def __init__(
        self, pointer: str, path: str, operator: str, branches: Sequence[_Leaf | _Branches]
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


class _Compiler:
    def __init__(self) -> None:
        self.clauses = 0

    def compile_object(self, document: Any, pointer: str, level: int) -> _Branches:
        """The clauses of `{path or $and, $or, $not: …}`; all must pass."""
        if not isinstance(document, dict):
            raise FilterNotAcceptable(
                "An object is meant here.", reason="wrong_operand", path=pointer
            )
        self.refuse_too_deep(pointer, level)
        branches: list[_Leaf | _Branches] = []
        for name, operand in document.items():
            here = pointer + _pointer_part(name)
            if name in ("$and", "$or", "$not"):
                branches.append(self.compile_joined(name, operand, here, level, None))
            elif name.startswith("$"):
                raise _unknown_operator(name, here)
            else:
                branches.append(self.compile_field(name, operand, here, level))
        return _Branches(pointer, "", "", branches)

    def compile_joined(
        self, operator: str, operand: Any, pointer: str, level: int, field: str | None
    ) -> _Branches:
        """`$and`, `$or` and `$not`, of filters or, with a field, of what is asked of it."""
        self.count(pointer)

        def compile_one(inner: Any, at: str) -> _Branches:
            if field is None:
                return self.compile_object(inner, at, level + 1)
            return self.compile_field(field, inner, at, level + 1)

        if operator == "$not":
            return _Branches(pointer, field or "", operator, [compile_one(operand, pointer)])
        if not isinstance(operand, list) or not operand:
            message = f"{operator} takes a list of at least one."
            raise FilterNotAcceptable(message, reason="wrong_operand", path=pointer)
        branches = [compile_one(inner, f"{pointer}/{n}") for n, inner in enumerate(operand)]
        return _Branches(pointer, field or "", operator, branches)

    def compile_field(self, path: str, operand: Any, pointer: str, level: int) -> _Branches:
        """What is asked of the values at a path: operators, or a bare value to be equal to."""
        self.refuse_too_deep(pointer, level)
        segments = _segments_of(path, pointer)
        if not isinstance(operand, dict):
            leaf = self.compile_leaf(path, "$eq", operand, pointer, segments)
            return _Branches(pointer, path, "", [leaf])
        if not operand:
            message = 'An empty object asks for nothing; {} as a value is {"$eq": {}}.'
            raise FilterNotAcceptable(message, reason="wrong_operand", path=pointer)
        branches: list[_Leaf | _Branches] = []
        for operator, value in operand.items():
            here = pointer + _pointer_part(operator)
            if operator in ("$and", "$or", "$not"):
                branches.append(self.compile_joined(operator, value, here, level, path))
            else:
                branches.append(self.compile_leaf(path, operator, value, here, segments))
        return _Branches(pointer, path, "", branches)

    def compile_leaf(
        self, path: str, operator: str, operand: Any, pointer: str, segments: Sequence[_Segment]
    ) -> _Leaf:
        self.count(pointer)
        make_test = _OPERATORS.get(operator)
        if make_test is None:
            raise _unknown_operator(operator, pointer)
        return _Leaf(pointer, path, operator, operand, segments, make_test(operand, pointer))

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
        f"{name[:40]!r} is no operator here; there are {', '.join(_OPERATORS)}, $and, $or, $not."
    )
    if not name.startswith("$"):
        message += " A field within a field is written with a dot."
    return FilterNotAcceptable(message, reason="unknown_operator", path=pointer)


def _pointer_part(name: str) -> str:
    return "/" + name.replace("~", "~0").replace("/", "~1")


# -- paths ----------------------------------------------------------------------------------------


def _segments_of(path: str, pointer: str) -> list[_Segment]:
    """`a.b\\.c` as a and b.c: a backslash takes the next dot, dollar or backslash as it is."""
    if len(path) > PATH_LENGTH:
        message = f"A path has at most {PATH_LENGTH} characters."
        raise FilterNotAcceptable(message, reason="path_too_long", path=pointer)
    names = [""]
    for escaped, dot, text in _SEGMENT_PARTS.findall(path):
        if dot:
            names.append("")
        elif text or (escaped and escaped in ".$\\"):
            names[-1] += text or escaped
        else:
            message = "A backslash in a path stands before a dot, a dollar or a backslash."
            raise FilterNotAcceptable(message, reason="bad_path", path=pointer)
    if not all(names):
        message = "A path has a name on each side of each dot."
        raise FilterNotAcceptable(message, reason="bad_path", path=pointer)
    if len(names) > PATH_SEGMENTS:
        message = f"A path has at most {PATH_SEGMENTS} names."
        raise FilterNotAcceptable(message, reason="path_too_long", path=pointer)
    return [_Segment(n, int(n) if _ARRAY_INDEX.fullmatch(n) else None) for n in names]


class _Segment(NamedTuple):
    name: str
    element_number: int | None  # what it selects in an array, where it can


_ABSENT: Final[Any] = object()


def _values_at(value: Any, path: Sequence[_Segment], n: int = 0) -> list[Any]:
    """The values that the segments from `n` on select: none, one or, through arrays, several.

    In an array a number selects the element; any other name is looked up in each element that is
    an object. Of all arrays together, ELEMENTS are looked at.
    """
    found: list[Any] = []
    _collect(value, path, n, found, ELEMENTS)
    return found


def _collect(value: Any, path: Sequence[_Segment], n: int, found: list[Any], left: int) -> int:
    """Add the values to `found`. Returns how many elements may still be looked at."""
    while n < len(path):
        name, element_number = path[n]
        if isinstance(value, dict):
            if name not in value:
                return left
            value = value[name]
        elif not isinstance(value, list):
            return left
        elif element_number is not None:
            if element_number >= len(value):
                return left
            value = value[element_number]
        else:
            for element in islice(value, left):
                left -= 1
                if isinstance(element, dict) and name in element:
                    left = _collect(element[name], path, n + 1, found, left)
                if left <= 0:
                    break
            return left
        n += 1
    found.append(value)
    return left


def values_at(document: object, path: str) -> list[Any]:
    """The values at a filter's path: none, one or, through arrays, several.

    Raises FilterNotAcceptable where the path is none.
    """
    return _values_at(document, _kept_segments(path))


@lru_cache(maxsize=4096)
def _kept_segments(path: str) -> list[_Segment]:
    return _segments_of(path, "")


# -- operators ------------------------------------------------------------------------------------


_NUMBERS: Final = frozenset({int, float})


def _is_number(value: Any) -> bool:
    return value.__class__ in _NUMBERS  # so that true is none


def _equal(left: Any, right: Any) -> bool:
    """JSON's equality: 1 is 1.0, true is not 1. As deep as the shallower of the two."""
    if isinstance(left, bool) or isinstance(right, bool) or left is None or right is None:
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_equal(left[k], right[k]) for k in right)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_equal, left, right))
    if isinstance(left, str) != isinstance(right, str) or _is_number(left) != _is_number(right):
        return False
    return bool(left == right)


def _key(value: Any, level: int = 0) -> Hashable:
    """The same for values that are equal as `_equal` has it, so that many are compared at once.

    What is deeper than an operand may be is equal to nothing.
    """
    if isinstance(value, str) or _is_number(value):
        return value  # type: ignore[no-any-return]
    if isinstance(value, bool) or value is None:
        return (bool, value)  # so that true is not 1
    if level > OPERAND_LEVELS:
        return object()
    if isinstance(value, list):
        return (list, *(_key(inner, level + 1) for inner in value))
    if isinstance(value, dict):
        return (dict, frozenset((name, _key(inner, level + 1)) for name, inner in value.items()))
    return object()  # nothing of JSON


def _holds_equal(operand: Any) -> Callable[[Any], bool]:
    if isinstance(operand, str):
        return lambda value: isinstance(value, str) and value == operand
    return lambda value: _equal(value, operand)


def _equals(operand: Any, pointer: str) -> _Test:
    _refuse_deep_operand(operand, pointer)
    return _Test(_holds_equal(operand))


def _is_in(operand: Any, pointer: str) -> _Test:
    if not isinstance(operand, list) or len(operand) > LIST_ITEMS:
        message = f"$in and $nin take a list of at most {LIST_ITEMS} values."
        raise FilterNotAcceptable(message, reason="wrong_operand", path=pointer)
    _refuse_deep_operand(operand, pointer)
    texts = frozenset(value for value in operand if isinstance(value, str))
    numbers = frozenset(value for value in operand if _is_number(value))
    others = frozenset(
        _key(value) for value in operand if not isinstance(value, str) and not _is_number(value)
    )

    def holds(value: Any) -> bool:
        if isinstance(value, str):
            return value in texts
        if _is_number(value):
            return value in numbers
        return bool(others) and _key(value) in others

    return _Test(holds)


def _compares(operator: str, compare: Callable[[Any, Any], bool]) -> Callable[[Any, str], _Test]:
    def make_test(operand: Any, pointer: str) -> _Test:
        if isinstance(operand, str):
            return _Test(lambda value: isinstance(value, str) and compare(value, operand))
        if _is_number(operand):
            return _Test(lambda value: value.__class__ in _NUMBERS and compare(value, operand))
        message = f"{operator} takes a number or a string."
        raise FilterNotAcceptable(message, reason="wrong_operand", path=pointer)

    return make_test


def _exists(operand: Any, pointer: str) -> _Test:
    if isinstance(operand, bool):
        return _Test(lambda value: True, negated=not operand)
    message = "$exists takes true or false."
    raise FilterNotAcceptable(message, reason="wrong_operand", path=pointer)


def _text_operand(operator: str, operand: Any, pointer: str) -> str:
    if not isinstance(operand, str):
        message = f"{operator} takes a string."
        raise FilterNotAcceptable(message, reason="wrong_operand", path=pointer)
    return operand


def _starts_with(operand: Any, pointer: str) -> _Test:
    text = _text_operand("$startsWith", operand, pointer)
    return _Test(lambda value: isinstance(value, str) and value.startswith(text))


def _ends_with(operand: Any, pointer: str) -> _Test:
    text = _text_operand("$endsWith", operand, pointer)
    return _Test(lambda value: isinstance(value, str) and value.endswith(text))


def _fits_regex(operand: Any, pointer: str) -> _Test:
    text = _text_operand("$regex", operand, pointer)
    if len(text) > REGEX_LENGTH:
        message = f"A regular expression has at most {REGEX_LENGTH} characters."
        raise FilterNotAcceptable(message, reason="regex_too_long", path=pointer)
    options = re2.Options()
    options.max_mem = REGEX_MEMORY_BYTES
    options.log_errors = False
    options.never_capture = True
    # The bare engine: the package's own `search` costs five times as much.
    engine = re2._re2.RE2(text.encode(), options)
    if not engine.ok():
        cause = engine.error().decode(errors="replace")
        message = f"The regular expression is not one of RE2's: {cause}."
        raise FilterNotAcceptable(message, reason="bad_regex", path=pointer)
    if engine.ProgramSize() > REGEX_STEPS:
        message = "The regular expression is too large: mind repetitions such as {1,100}."
        raise FilterNotAcceptable(message, reason="bad_regex", path=pointer)
    anywhere = re2._re2.RE2.Anchor.UNANCHORED
    nowhere = (-1, -1)

    def holds(value: Any) -> bool:
        if not isinstance(value, str) or len(value) > REGEX_TEXT_LENGTH:
            return False
        encoded = value.encode(errors="replace")
        return bool(engine.Match(anywhere, encoded, 0, len(encoded))[0] != nowhere)

    return _Test(holds)


def _refuse_deep_operand(operand: Any, pointer: str) -> None:
    found = [operand]
    for _ in range(OPERAND_LEVELS + 1):
        found = [
            inner
            for value in found
            if isinstance(value, dict | list)
            for inner in (value.values() if isinstance(value, dict) else value)
        ]
        if not found:
            return
    message = f"A value in a filter is nested at most {OPERAND_LEVELS} deep."
    raise FilterNotAcceptable(message, reason="too_deep", path=pointer)


_OPERATORS: Final[dict[str, Callable[[Any, str], _Test]]] = {
    "$eq": _equals,
    "$ne": lambda operand, pointer: _equals(operand, pointer)._replace(negated=True),
    "$gt": _compares("$gt", operators.gt),
    "$gte": _compares("$gte", operators.ge),
    "$lt": _compares("$lt", operators.lt),
    "$lte": _compares("$lte", operators.le),
    "$in": _is_in,
    "$nin": lambda operand, pointer: _is_in(operand, pointer)._replace(negated=True),
    "$exists": _exists,
    "$regex": _fits_regex,
    "$startsWith": _starts_with,
    "$endsWith": _ends_with,
}


# -- what is shown --------------------------------------------------------------------------------


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
