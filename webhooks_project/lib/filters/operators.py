"""What may be asked of a value."""

from __future__ import annotations

import operator as operators
from collections.abc import Callable, Hashable, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple

import re2

from webhooks_project.lib.filters.errors import FilterNotAcceptable
from webhooks_project.lib.filters.paths import ELEMENTS

LIST_ITEMS: Final = 500  # of $in and $nin
OPERAND_LEVELS: Final = 16
REGEX_LENGTH: Final = 500  # characters
REGEX_MEMORY_BYTES: Final = 2**20
REGEX_STEPS: Final = 2_500  # of the compiled pattern; its time is at worst steps × text
REGEX_TEXT_LENGTH: Final = 65_536  # characters; a longer string fits no pattern
_NUMBERS: Final = frozenset({int, float})
Holds = Callable[[Any], bool]


class Test(NamedTuple):
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


def _equals(operand: Any, pointer: str) -> Test:
    _refuse_deep_operand(operand, pointer)
    return Test(_holds_equal(operand))


def _is_in(operand: Any, pointer: str) -> Test:
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

    return Test(holds)


def _compares(operator: str, compare: Callable[[Any, Any], bool]) -> Callable[[Any, str], Test]:
    def make_test(operand: Any, pointer: str) -> Test:
        if isinstance(operand, str):
            return Test(lambda value: isinstance(value, str) and compare(value, operand))
        if _is_number(operand):
            return Test(lambda value: value.__class__ in _NUMBERS and compare(value, operand))
        message = f"{operator} takes a number or a string."
        raise FilterNotAcceptable(message, reason="wrong_operand", path=pointer)

    return make_test


def _exists(operand: Any, pointer: str) -> Test:
    if isinstance(operand, bool):
        return Test(lambda value: True, negated=not operand)
    message = "$exists takes true or false."
    raise FilterNotAcceptable(message, reason="wrong_operand", path=pointer)


def _text_operand(operator: str, operand: Any, pointer: str) -> str:
    if not isinstance(operand, str):
        message = f"{operator} takes a string."
        raise FilterNotAcceptable(message, reason="wrong_operand", path=pointer)
    return operand


def _starts_with(operand: Any, pointer: str) -> Test:
    text = _text_operand("$startsWith", operand, pointer)
    return Test(lambda value: isinstance(value, str) and value.startswith(text))


def _ends_with(operand: Any, pointer: str) -> Test:
    text = _text_operand("$endsWith", operand, pointer)
    return Test(lambda value: isinstance(value, str) and value.endswith(text))


def _fits_regex(operand: Any, pointer: str) -> Test:
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

    return Test(holds)


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


OPERATORS: Final[dict[str, Callable[[Any, str], Test]]] = {
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
