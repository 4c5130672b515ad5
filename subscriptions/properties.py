"""A JSON Schema as rows that people read, and a made-up value that fits it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from subscriptions.schemas import check_payload
from webhooks_project.lib.json_schema import ReferenceNotFollowed, at_pointer

MAX_ROWS: Final = 400  # of one table; the schema itself stands beside it
MAX_LEVELS: Final = 8
SHOWN_VALUES: Final = 12

FORMATS: Final = {
    "date-time": "2026-01-31T15:04:05Z",
    "date": "2026-01-31",
    "time": "15:04:05Z",
    "uuid": "0192a4c0-0000-7000-8000-000000000000",
    "email": "ann@example.com",
    "uri": "https://example.com/",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
}
LIMITS: Final = {
    "minimum": "at least {}",
    "exclusiveMinimum": "more than {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "less than {}",
    "multipleOf": "a multiple of {}",
    "minLength": "{} characters at least",
    "maxLength": "{} characters at most",
    "pattern": "pattern {}",
    "minItems": "{} items at least",
    "maxItems": "{} items at most",
    "uniqueItems": "no item twice",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One property, or one of several alternatives, which has a title and no type.

    `path` is dotted, with `[]` for any item of an array; `like` names what was shown in full
    further up.
    """

    path: str
    level: int
    type: str = ""
    is_required: bool = False
    is_deprecated: bool = False
    description: str = ""
    values: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    like: str = ""
    title: str = ""


def property_rows(schema: Any) -> list[Row]:
    """The schema's properties from the top down, MAX_ROWS at most."""
    rows: list[Row] = []
    for row in _Table(schema).rows(schema, "", 0):
        rows.append(row)
        if len(rows) == MAX_ROWS:
            break
    return rows


def sample_of(schema: Any) -> Any:
    """A made-up value that fits the schema; an empty object where none is found."""
    made = _Sampler(schema).value(schema, 0)
    try:
        return {} if check_payload(schema, made) else made
    except ValueError:
        return {}


class _Reader:
    """Follows the references of a schema."""

    def __init__(self, root: Any) -> None:
        self.root = root

    def flat(self, schema: Any, met: frozenset[str] = frozenset()) -> Iterator[dict[str, Any]]:
        """The schema, what it refers to and the branches of its `allOf`."""
        if not isinstance(schema, dict):
            return
        yield schema
        reference = schema.get("$ref")
        if isinstance(reference, str) and reference not in met:
            try:
                target = at_pointer(self.root, reference)
            except ReferenceNotFollowed:
                target = None
            yield from self.flat(target, met | {reference})
        for part in _list(schema.get("allOf")):
            yield from self.flat(part, met)

    def first(self, schema: Any, word: str) -> Any:
        """The first that is said under a word."""
        return next((part[word] for part in self.flat(schema) if word in part), None)


class _Table(_Reader):
    def __init__(self, root: Any) -> None:
        super().__init__(root)
        self.shown: set[str] = set()

    def rows(self, schema: Any, path: str, level: int) -> Iterator[Row]:
        if level > MAX_LEVELS:
            return
        parts = list(self.flat(schema))
        required = {name for part in parts for name in _list(part.get("required"))}
        for part in parts:
            for name, below in _mapping(part.get("properties")).items():
                yield from self.property(
                    below, f"{path}.{name}" if path else name, level, name in required
                )
            if isinstance(extra := part.get("additionalProperties"), dict) and extra:
                yield from self.property(extra, f"{path}.*" if path else "*", level, False)
            if isinstance(items := part.get("items"), dict):
                yield from self.rows(items, f"{path}[]", level)
            for number, item in enumerate(_list(part.get("prefixItems"))):
                yield from self.property(item, f"{path}[{number}]", level, False)
            for word in ("oneOf", "anyOf"):
                yield from self.choices(_list(part.get(word)), path, level)

    def choices(self, choices: list[Any], path: str, level: int) -> Iterator[Row]:
        told = [item for item in choices if any(_has_shape(part) for part in self.flat(item))]
        for number, choice in enumerate(told, 1):
            if len(told) > 1:
                yield Row(path, level, title=self.name_of(choice) or f"Alternative {number}")
            reference = choice.get("$ref")
            if isinstance(reference, str) and reference in self.shown:
                continue
            if isinstance(reference, str):
                self.shown.add(reference)
            yield from self.rows(choice, path, level)

    def property(self, schema: Any, path: str, level: int, is_required: bool) -> Iterator[Row]:
        reference = _reference_of(schema)
        like = reference.rsplit("/", 1)[-1] if reference in self.shown else ""
        if reference:
            self.shown.add(reference)
        yield Row(
            path=path,
            level=level,
            type=self.type_of(schema),
            is_required=is_required,
            is_deprecated=self.first(schema, "deprecated") is True,
            description=str(self.first(schema, "description") or ""),
            values=self.values_of(schema),
            limits=self.limits_of(schema),
            like=like,
        )
        if not like:
            yield from self.rows(schema, path, level + 1)

    def type_of(self, schema: Any, level: int = 0) -> str:
        given = self.first(schema, "type")
        names = [str(name) for name in (given if isinstance(given, list) else [given]) if name]
        if not names:
            choices = _list(self.first(schema, "oneOf")) or _list(self.first(schema, "anyOf"))
            if choices and level < MAX_LEVELS:
                names = list(dict.fromkeys(self.type_of(item, level + 1) for item in choices))
            elif values := self.values_of(schema):
                return "string" if all(value.startswith('"') for value in values) else "value"
            else:
                return "object" if self.first(schema, "properties") else "any"
        items = self.first(schema, "items")
        if "array" in names and isinstance(items, dict) and items and level < MAX_LEVELS:
            inner = self.type_of(items, level + 1)
            names = [f"array of {inner}" if name == "array" else name for name in names]
        kind = self.first(schema, "format")
        if isinstance(kind, str) and names[0] != "object":
            names[0] = f"{names[0]} ({kind})"
        return " or ".join(names)

    def values_of(self, schema: Any) -> tuple[str, ...]:
        constant = next((part["const"] for part in self.flat(schema) if "const" in part), schema)
        if constant is not schema:
            return (_shown(constant),)
        values = [_shown(value) for value in _list(self.first(schema, "enum"))]
        more = len(values) - SHOWN_VALUES
        return tuple([*values[:SHOWN_VALUES], f"and {more} more"] if more > 0 else values)

    def limits_of(self, schema: Any) -> tuple[str, ...]:
        found = {word: self.first(schema, word) for word in LIMITS}
        return tuple(
            LIMITS[word].format(_shown(value).strip('"'))
            for word, value in found.items()
            if value is not None and value is not False
        )

    def name_of(self, schema: Any) -> str:
        title = self.first(schema, "title")
        if isinstance(title, str):
            return title
        return _reference_of(schema).rsplit("/", 1)[-1]


class _Sampler(_Reader):
    def value(self, schema: Any, level: int) -> Any:
        for part in self.flat(schema):
            if "const" in part:
                return part["const"]
            for word in ("examples", "enum"):
                if _list(part.get(word)):
                    return part[word][0]
            if "default" in part:
                return part["default"]
        for word in ("oneOf", "anyOf"):
            choices = _list(self.first(schema, word))
            if choices and self.first(schema, "properties") is None:
                return self.value(choices[0], level)
        given = self.first(schema, "type")
        kind = given[0] if isinstance(given, list) and given else given
        if kind is None and self.first(schema, "properties") is not None:
            kind = "object"
        return self.of_kind(kind, schema, level)

    def of_kind(self, kind: Any, schema: Any, level: int) -> Any:
        if kind == "object":
            return self.object(schema, level)
        if kind == "array":
            items = self.first(schema, "items")
            return [self.value(items, level + 1)] if items and level < MAX_LEVELS else []
        if kind == "string":
            return FORMATS.get(str(self.first(schema, "format")), "text")
        if kind in ("integer", "number"):
            least = self.first(schema, "minimum")
            return least if isinstance(least, int | float) else 1
        return {"boolean": True, "null": None}.get(str(kind), {})

    def object(self, schema: Any, level: int) -> Any:
        parts = list(self.flat(schema))
        required = {name for part in parts for name in _list(part.get("required"))}
        return {
            name: self.value(below, level + 1)
            for part in parts
            for name, below in _mapping(part.get("properties")).items()
            if level < MAX_LEVELS and (name in required or level < 2)
        }


def _has_shape(part: Mapping[str, Any]) -> bool:
    return bool(part.keys() & {"properties", "oneOf", "anyOf", "items", "prefixItems"})


def _reference_of(schema: Any) -> str:
    """What a property's schema, or that of its items, refers to."""
    if not isinstance(schema, dict):
        return ""
    if isinstance(schema.get("$ref"), str):
        return str(schema["$ref"])
    return _reference_of(schema.get("items"))


def _shown(value: Any) -> str:
    return orjson.dumps(value).decode()[:200]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
