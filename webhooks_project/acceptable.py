"""What a row may be: the checks that several apps' rows have in common.

A service asks them of the row as it would be stored. Every problem names its field and has a code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import orjson
from django.core.exceptions import ValidationError
from django.db import models

from webhooks_project.lib.errors import DomainError
from webhooks_project.lib.filters import FilterNotAcceptable, compile_filter
from webhooks_project.lib.headers import FIELD_VALUE, TOKEN, is_ours
from webhooks_project.lib.json_schema import escaped
from webhooks_project.lib.jsonata import ExpressionNotAcceptable, check_expression


@dataclass(frozen=True, slots=True)
class Problem:
    """Why something cannot be so. `pointer` is a JSON Pointer into the field's value."""

    code: str
    message: str
    pointer: str = ""
    field: str = ""


Refusal = TypeVar("Refusal", bound=DomainError)
Check = Callable[[], Iterable[Problem]]
Checks = Mapping[str, Check]


def problems_of(row: models.Model, checks: Checks, *, unjudged: Iterable[str]) -> list[Problem]:
    """The first problem of each field: what the columns themselves say, then the checks."""
    problems: dict[str, Problem] = {}
    for problem in _column_problems(row, set(unjudged)):
        problems.setdefault(problem.field, problem)
    for name, check in checks.items():
        if name not in problems and (first := next(iter(check()), None)):
            problems[name] = replace(first, field=name)
    return list(problems.values())


def refuse(problems: Sequence[Problem], error: type[DomainError], message: str = "") -> None:
    """Raise the error where there are problems, with all of them as `fields` and `errors`."""
    if problems:
        raise refusal(problems, error, message)


def refusal(problems: Sequence[Problem], error: type[Refusal], message: str = "") -> Refusal:
    """The error that says all of the problems, as `fields` and `errors`."""
    return error(
        message,
        fields={problem.field: [problem.message] for problem in problems},
        errors=[
            {
                "path": f"/{problem.field}{problem.pointer}",
                "code": problem.code,
                "message": problem.message,
            }
            for problem in problems
        ],
    )


def _column_problems(row: models.Model, unjudged: set[str]) -> Iterator[Problem]:
    """What the columns themselves say, and what no database would take."""
    try:
        row.full_clean(exclude=unjudged, validate_unique=False, validate_constraints=False)
    except ValidationError as error:
        for name, errors in error.error_dict.items():
            yield Problem(errors[0].code or "invalid", errors[0].messages[0], field=name)
    for column in row._meta.concrete_fields:
        if column.name in unjudged:
            continue
        value = getattr(row, column.attname)
        limit = getattr(column, "max_length", None)
        if has_nul(value):
            yield Problem("null_characters_not_allowed", "holds a NUL", field=column.name)
        elif isinstance(value, str) and limit is not None and len(value) > limit:
            yield Problem("max_length", f"has more than {limit:,} characters", field=column.name)


def has_nul(value: object) -> bool:
    """Whether a text anywhere in the value has a character that PostgreSQL does not store."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            if "\x00" in item:
                return True
        elif isinstance(item, Mapping):
            waiting.extend((*item.keys(), *item.values()))
        elif isinstance(item, list | tuple):
            waiting.extend(item)
    return False


def is_text(value: object, limit: int) -> bool:
    """Whether it is a text of at most so many characters that every database stores: no NUL, and
    no half of a pair that stands for one character."""
    if not isinstance(value, str) or len(value) > limit or "\0" in value:
        return False
    return value.isascii() or not any("\ud800" <= character <= "\udfff" for character in value)


# --- what several fields have in common -----------------------------------------------------------


def needed(text: str) -> list[Problem]:
    return [] if text.strip() else [Problem("required", "is needed for this action")]


def listed(value: object, limit: int, judge: Callable[[str], Problem | None]) -> Iterator[Problem]:
    """The problems of a list of texts, and of each of them."""
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        yield Problem("not_a_list", "must be a list of texts")
        return
    if len(value) > limit:
        yield Problem("too_many", f"at most {limit} are taken")
    if len(set(value)) < len(value):
        yield Problem("repeated", "has something twice")
    for index, item in enumerate(value):
        if problem := judge(item):
            yield replace(problem, pointer=f"/{index}")


def texts_by_name(
    value: object, *, limit: int, name_length: int, text_length: int
) -> Iterator[Problem]:
    """The problems of a mapping of names to texts."""
    if not isinstance(value, dict):
        yield Problem("not_a_mapping", "must be a mapping of names to texts")
        return
    if len(value) > limit:
        yield Problem("too_many", f"at most {limit} are taken")
    for name, text in value.items():
        if not name or not is_text(name, name_length):
            message = f"a name has 1 to {name_length} characters, none of them NUL"
            yield Problem("invalid_name", message, pointer=f"/{escaped(str(name)[:64])}")
        elif not is_text(text, text_length):
            message = f"must be a text of at most {text_length:,} characters, none of them NUL"
            yield Problem("invalid_text", message, pointer=f"/{escaped(name)}")


def size(value: object, limit: int) -> Iterator[Problem]:
    try:
        count = len(orjson.dumps(value))
    except (TypeError, ValueError) as error:
        yield Problem("not_json", f"cannot be written as JSON: {error}")
        return
    if count > limit:
        yield Problem("too_large", f"has more than {limit:,} bytes")


def expression(text: str) -> Iterator[Problem]:
    if not text:
        return
    try:
        check_expression(text)
    except ExpressionNotAcceptable as error:
        where = error.extra.get("position")
        yield Problem(
            str(error.extra["reason"]),
            str(error) if where is None else f"{error} (at character {where})",
        )


def condition(document: object, *, roots: Iterable[str] = ()) -> Iterator[Problem]:
    """The problems of a filter; with `roots`, its paths must start at one of them."""
    if document is None:
        return
    try:
        compiled = compile_filter(document)
    except FilterNotAcceptable as error:
        yield Problem(error.reason, str(error), pointer=error.path)
        return
    allowed = tuple(roots)
    for clause in compiled.explain({}) if allowed else ():
        if clause.path and clause.path.split(".", 1)[0] not in allowed:
            message = f"a path starts with one of {', '.join(allowed)}"
            yield Problem("unknown_root", message, pointer=clause.pointer)
            return


def headers(
    value: object,
    *,
    limit: int,
    length: int,
    is_reserved: Callable[[str], bool] = is_ours,
    whose: str = "the hub's own",
) -> Iterator[Problem]:
    """The problems of headers that are sent: tokens, visible ASCII, none reserved, none twice."""
    if not isinstance(value, dict):
        yield Problem("not_a_mapping", "must be a mapping of names to texts")
        return
    if len(value) > limit:
        yield Problem("too_many", f"at most {limit} are taken")
    if len({str(name).lower() for name in value}) < len(value):
        yield Problem("repeated", "has a header twice")
    for name, text in value.items():
        pointer = f"/{escaped(str(name)[:64])}"
        if not isinstance(name, str) or not TOKEN.fullmatch(name):
            message = f"{str(name)[:64]!r} is no header name"
            yield Problem("invalid_header_name", message, pointer=pointer)
        elif is_reserved(name):
            yield Problem("reserved_header", f"{name} is {whose}", pointer=pointer)
        elif not isinstance(text, str) or len(text) > length or not FIELD_VALUE.fullmatch(text):
            message = f"the value of {name} must be visible ASCII of at most {length:,} characters"
            yield Problem("invalid_header_value", message, pointer=pointer)
