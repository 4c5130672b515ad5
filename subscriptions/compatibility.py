"""Which changes of a schema break those who read the data, or those who write it.

Readers are the subscribers: they break where data may come that could not come before, or where
something that they read is gone. Writers are those who publish: they break where data is refused
that was taken before. A writer's break is a reader's too, sooner or later, since the data must
change; so both are listed, and both ask for a new major version.

What is added beside the old breaks nobody: an optional property, a description, an example.
Readers are asked to take no offence at a property that they do not know.

Pure: no database. Local references are followed; schemas are taken as draft 2020-12.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

import orjson

from webhooks_project.lib.json_schema import (
    NAMED,
    ReferenceNotFollowed,
    at_pointer,
    escaped,
    modern,
)

MAX_CHANGES: Final = 100  # listed at once; the rest would not help a reader
MAX_DEPTH: Final = 100  # schemas within each other, references followed; Python's stack ends
MAX_STEPS: Final = 100_000  # pairs of schemas compared; more is no schema that a person wrote

TYPES: Final = frozenset({"null", "boolean", "object", "array", "number", "string", "integer"})
# The rules of which one alone says how much it allows: whether more is the higher value.
LOWER_BOUNDS: Final = (
    "minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties", "minContains",
)  # fmt: skip
UPPER_BOUNDS: Final = (
    "maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties", "maxContains",
)  # fmt: skip
# Rules that allow less where they stand than where they do not, and cannot be weighed else.
RULES: Final = (
    "format", "pattern", "multipleOf", "uniqueItems", "contentEncoding", "contentMediaType",
    "contains", "not", "if", "then", "else", "dependentSchemas", "dependentRequired",
    "propertyNames", "patternProperties", "unevaluatedProperties", "unevaluatedItems",
)  # fmt: skip


ANNOTATIONS: Final = frozenset(
    {
        "title", "description", "default", "examples", "example", "deprecated", "readOnly",
        "writeOnly", "$comment", "$schema", "$id", "$anchor", "$defs", "definitions",
    }
)  # fmt: skip


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


def breaking_changes(old: Any, new: Any) -> list[Change]:
    """What in the new schema breaks readers or writers of the old one; MAX_CHANGES at most."""
    found = _Comparison(old, new).compare(old, new)
    return list(dict.fromkeys(found))[:MAX_CHANGES]


@dataclass(slots=True)
class _Shape:
    """What a schema says of a value at its place, with its references and `allOf` joined."""

    types: frozenset[str]
    values: dict[bytes, Any] | None  # of `enum` and `const`, by their JSON text
    properties: dict[str, list[Any]]
    required: frozenset[str]
    additional: list[Any]
    prefix: list[list[Any]]
    items: list[Any]
    alternatives: list[Any] | None
    rules: dict[str, Any]

    @property
    def is_nothing(self) -> bool:
        return not self.types


class _Comparison:
    def __init__(self, old_root: Any, new_root: Any) -> None:
        self.roots = (old_root, new_root)
        self.known: dict[tuple[bytes, bytes], list[Change]] = {}
        self.steps = 0
        self.depth = 0

    def compare(self, old: Any, new: Any) -> list[Change]:
        """The changes from one schema to the other, their paths from here."""
        pair = (_text(old), _text(new))
        if pair[0] == pair[1] and b'"$ref"' not in pair[0]:
            return []
        if pair in self.known:  # met before, or the schema contains itself
            return self.known[pair]
        self.steps += 1
        if self.steps > MAX_STEPS or self.depth > MAX_DEPTH:
            detail = "the schemas are too large or too deep to be compared"
            return [_change(Kind.CHANGED_RULE, detail, READERS)]
        self.known[pair] = []
        self.depth += 1
        self.known[pair] = self._compared(self._shape(old, 0), self._shape(new, 1))[:MAX_CHANGES]
        self.depth -= 1
        return self.known[pair]

    # --- one place ---

    def _compared(self, old: _Shape, new: _Shape) -> list[Change]:
        if old.is_nothing or new.is_nothing:
            return [] if old.is_nothing == new.is_nothing else [_retyped(old, new)]
        if old.alternatives is not None or new.alternatives is not None:
            return self._alternatives(old, new)
        return [
            *_types(old, new),
            *_values(old, new),
            *_rules(old, new),
            *self._rules_within(old, new),
            *self._properties(old, new),
            *self._items(old, new),
        ]

    def _properties(self, old: _Shape, new: _Shape) -> Iterable[Change]:
        if "object" not in old.types & new.types:
            return
        for name, was in old.properties.items():
            path = f"/{escaped(name)}"
            if name not in new.properties:
                yield _change(Kind.REMOVED_PROPERTY, f"{name} is gone", READERS, path)
                continue
            if name in old.required and name not in new.required:
                detail = f"{name} may be absent now"
                yield _change(Kind.NO_LONGER_REQUIRED, detail, READERS, path)
            yield from _below(path, self.compare(_joined(was), _joined(new.properties[name])))
        for name in sorted(new.required - old.required):
            path = f"/{escaped(name)}"
            yield _change(Kind.NEW_REQUIRED, f"{name} must be there now", WRITERS, path)
        for name in sorted(old.required - new.required - old.properties.keys()):
            path = f"/{escaped(name)}"
            yield _change(Kind.NO_LONGER_REQUIRED, f"{name} may be absent now", READERS, path)
        was, now = _joined(old.additional), _joined(new.additional)
        if now is False and was is not False:
            yield _change(Kind.CLOSED, "no other properties are allowed now", WRITERS)
        elif was is not False and now is not False:
            yield from _below("/*", self.compare(was, now))

    def _items(self, old: _Shape, new: _Shape) -> Iterable[Change]:
        if "array" not in old.types & new.types:
            return
        for index in range(max(len(old.prefix), len(new.prefix))):
            was = _joined(old.prefix[index] if index < len(old.prefix) else old.items)
            now = _joined(new.prefix[index] if index < len(new.prefix) else new.items)
            yield from _below(f"/{index}", self.compare(was, now))
        yield from _below("/*", self.compare(_joined(old.items), _joined(new.items)))

    def _rules_within(self, old: _Shape, new: _Shape) -> Iterable[Change]:
        """Rules that are written the same, and refer to what has changed."""
        for word in RULES:
            was = old.rules.get(word)
            if was != new.rules.get(word) or not isinstance(was, dict):
                continue
            parts = was.values() if word in NAMED else [was]
            if any(self.compare(part, part) for part in parts):
                yield _change(Kind.CHANGED_RULE, f"{word} refers to what has changed", READERS)

    # --- alternatives ---

    def _alternatives(self, old: _Shape, new: _Shape) -> list[Change]:
        """Each alternative of the one schema has its like among those of the other."""
        before, after = _choices(old), _choices(new)
        found: list[Change] = []
        for was, now in self._paired(before, after):
            if now is None:
                title = _title(was)
                found.append(
                    _change(Kind.REMOVED_ALTERNATIVE, f"{title} is not allowed now", WRITERS)
                )
            elif was is None:
                title = _title(now)
                found.append(_change(Kind.ADDED_ALTERNATIVE, f"{title} may come now", READERS))
            else:
                found.extend(self.compare(was, now))
        return found

    def _paired(self, before: list[Any], after: list[Any]) -> list[tuple[Any, Any]]:
        pairs: list[tuple[Any, Any]] = []
        rest = list(after)
        unpaired: list[Any] = []
        for was in before:
            like = next((now for now in rest if self._are_named_alike(was, now)), None)
            if like is None:
                like = next((now for now in rest if not self.compare(was, now)), None)
            if like is None:
                unpaired.append(was)
            else:
                rest.remove(like)
                pairs.append((was, like))
        # What is left over on both sides was changed, if it is of one type; else gone and new.
        for was in unpaired:
            types = self._shape(was, 0).types
            alike = [now for now in rest if self._shape(now, 1).types & types]
            like = min(alike, key=lambda now: len(self.compare(was, now)), default=None)
            if like is not None:
                rest.remove(like)
            pairs.append((was, like))
        return pairs + [(None, now) for now in rest]

    def _are_named_alike(self, was: Any, now: Any) -> bool:
        names, others = _names_of(was), _names_of(now)
        if not names.items() & others.items():
            return False
        return bool(self._shape(was, 0).types & self._shape(now, 1).types)

    # --- what a schema says ---

    def _shape(self, schema: Any, side: int) -> _Shape:
        said = [part for part in self._flat(schema, side, frozenset()) if _said(part)]
        shape = _Shape(TYPES, None, {}, frozenset(), [], [], [], _alternatives_of(said), {})
        for part in said:
            _add(shape, part)
        if shape.values is not None:
            shape.values = {
                text: value
                for text, value in shape.values.items()
                if _type_of(value) in shape.types
            }
            shape.types = frozenset(_type_of(value) for value in shape.values.values())
        return shape

    def _flat(self, schema: Any, side: int, met: frozenset[str]) -> Iterable[Any]:
        """The schema, what it refers to and what its `allOf` adds, one after the other."""
        if not isinstance(schema, dict):
            yield schema
            return
        plain = modern(schema)
        reference = plain.pop("$ref", None)
        if isinstance(reference, str) and reference not in met:
            try:
                target = at_pointer(self.roots[side], reference)
            except ReferenceNotFollowed:
                target = True
            yield from self._flat(target, side, met | {reference})
        for part in plain.pop("allOf", None) or []:
            yield from self._flat(part, side, met)
        yield plain


def _add(shape: _Shape, part: Any) -> None:
    """Join what one schema says to the shape, which fits only what fits all that is joined."""
    if part is False:
        shape.types = frozenset()
    if not isinstance(part, dict):
        return
    shape.types &= _types_of(part)
    for values in ([part["const"]] if "const" in part else None, part.get("enum")):
        if isinstance(values, list):
            texts = {_text(value): value for value in values}
            shape.values = texts if shape.values is None else {
                text: value for text, value in texts.items() if text in shape.values
            }  # fmt: skip
    for name, schema in _mapping(part.get("properties")).items():
        shape.properties.setdefault(name, []).append(schema)
    shape.required |= frozenset(name for name in _list(part.get("required")))
    if "additionalProperties" in part:
        shape.additional.append(part["additionalProperties"])
    for index, schema in enumerate(_list(part.get("prefixItems"))):
        if index < len(shape.prefix):
            shape.prefix[index].append(schema)
        else:
            shape.prefix.append([schema])
    if "items" in part:
        shape.items.append(part["items"])
    for word in (*LOWER_BOUNDS, *UPPER_BOUNDS, *RULES):
        if word in part:
            shape.rules[word] = part[word]


def _said(part: Any) -> Any:
    """What a schema says beyond words for people; empty where that is nothing."""
    if not isinstance(part, dict):
        return [False] if part is False else []
    return part.keys() - ANNOTATIONS


def _alternatives_of(parts: list[Any]) -> list[Any] | None:
    """The choices of the first `oneOf` or `anyOf`, each with all that is said beside it."""
    for index, part in enumerate(parts):
        for word in ("oneOf", "anyOf"):
            choices = part.get(word) if isinstance(part, dict) else None
            if isinstance(choices, list):
                rest = {name: value for name, value in part.items() if name != word}
                beside = [*parts[:index], *([rest] if _said(rest) else []), *parts[index + 1 :]]
                if not beside:
                    return choices
                return [{"allOf": [*beside, choice]} for choice in choices]
    return None


def _choices(shape: _Shape) -> list[Any]:
    """The alternatives; of a schema that has none, one for each type."""
    if shape.alternatives is not None:
        return shape.alternatives
    common = {
        "properties": {name: _joined(parts) for name, parts in shape.properties.items()},
        "required": sorted(shape.required),
        "additionalProperties": _joined(shape.additional),
        "prefixItems": [_joined(parts) for parts in shape.prefix],
        "items": _joined(shape.items),
        **shape.rules,
    }
    if shape.types == TYPES:
        return [common]
    if shape.values is not None:
        by_type: dict[str, list[Any]] = {}
        for value in shape.values.values():
            by_type.setdefault(_type_of(value), []).append(value)
        return [{"type": name, "enum": by_type[name], **common} for name in sorted(by_type)]
    return [{"type": name, **common} for name in sorted(shape.types)]


def _types(old: _Shape, new: _Shape) -> Iterable[Change]:
    if old.values is not None and new.values is not None:
        return  # the values say it
    if old.types == new.types:
        return
    yield replace(_retyped(old, new), breaks=READERS if new.types - old.types else WRITERS)


def _retyped(old: _Shape, new: _Shape) -> Change:
    detail = f"{_type_names(old.types)} became {_type_names(new.types)}"
    return _change(Kind.RETYPED, detail, READERS)


def _values(old: _Shape, new: _Shape) -> Iterable[Change]:
    was, now = old.values, new.values
    if was is None and now is None:
        return
    if was is None or now is None:
        if was is None:
            detail = "only some values are allowed now"
            yield _change(Kind.NARROWED_ENUM, detail, WRITERS)
        elif old.types & new.types:
            yield _change(Kind.WIDENED_ENUM, "any value may come now", READERS)
        return
    if gone := [text for text in was if text not in now]:
        detail = f"{_named(gone)} not allowed now"
        yield _change(Kind.NARROWED_ENUM, detail, WRITERS)
    if added := [text for text in now if text not in was]:
        yield _change(Kind.WIDENED_ENUM, f"{_named(added)} may come now", READERS)


def _rules(old: _Shape, new: _Shape) -> Iterable[Change]:
    for word in (*LOWER_BOUNDS, *UPPER_BOUNDS, *RULES):
        was, now = old.rules.get(word), new.rules.get(word)
        if was == now:
            continue
        detail = f"{word} was {_shown(was)} and is {_shown(now)}"
        if now is None:
            yield _change(Kind.WIDENED, detail, READERS)
        elif was is None:
            yield _change(Kind.NARROWED, detail, WRITERS)
        elif word in LOWER_BOUNDS + UPPER_BOUNDS and _are_numbers(was, now):
            is_wider = now < was if word in LOWER_BOUNDS else now > was
            kind, whom = (Kind.WIDENED, READERS) if is_wider else (Kind.NARROWED, WRITERS)
            yield _change(kind, detail, whom)
        else:
            yield _change(Kind.CHANGED_RULE, detail, READERS)


# --- small words ---


def _change(kind: Kind, detail: str, breaks: str, path: str = "") -> Change:
    return Change(path, kind, detail[:300], breaks)


def _below(path: str, changes: Iterable[Change]) -> list[Change]:
    return [replace(change, path=path + change.path) for change in changes]


def _joined(schemas: list[Any]) -> Any:
    """One schema that says all of them; True for none."""
    if not schemas:
        return True
    return schemas[0] if len(schemas) == 1 else {"allOf": schemas}


def _text(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _types_of(part: Mapping[str, Any]) -> frozenset[str]:
    given = part.get("type")
    if given is None:
        return TYPES
    names = frozenset(given if isinstance(given, list) else [given])
    return names | {"integer"} if "number" in names else names


def _type_of(value: Any) -> str:
    for kind, name in (
        (type(None), "null"), (bool, "boolean"), (dict, "object"), (list, "array"), (str, "string"),
    ):  # fmt: skip
        if isinstance(value, kind):
            return name
    return "integer" if isinstance(value, int) or float(value).is_integer() else "number"


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
    return "absent" if value is None else _text(value).decode()[:80]


def _are_numbers(*values: Any) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def _names_of(alternative: Any) -> dict[str, str]:
    """The words by which an alternative is known: what it refers to, and its title."""
    if not isinstance(alternative, dict):
        return {}
    if alternative.keys() == {"allOf"}:
        return _names_of(alternative["allOf"][-1])
    return {
        word: alternative[word]
        for word in ("$ref", "title")
        if isinstance(alternative.get(word), str)
    }


def _title(alternative: Any) -> str:
    """What an alternative is called."""
    names = _names_of(alternative)
    if "title" in names:
        return names["title"]
    if "$ref" in names:
        return names["$ref"].rsplit("/", 1)[-1]
    kind = alternative.get("type") if isinstance(alternative, dict) else None
    return str(kind or "an alternative")
