"""What a schema says of a value at its place: its references and `allOf` joined to one shape."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from webhooks_project.lib.json_schema import ReferenceNotFollowed, at_pointer, modern

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


@dataclass(slots=True)
class Shape:
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


def shape_of(schema: Any, root: Any) -> Shape:
    """The shape of a schema whose references lead into `root`."""
    said = [part for part in _flat(schema, root, frozenset()) if _said(part)]
    shape = Shape(TYPES, None, {}, frozenset(), [], [], [], _alternatives_of(said), {})
    for part in said:
        _add(shape, part)
    if shape.values is not None:
        shape.values = {
            text: value for text, value in shape.values.items() if _type_of(value) in shape.types
        }
        shape.types = frozenset(_type_of(value) for value in shape.values.values())
    return shape


def _flat(schema: Any, root: Any, met: frozenset[str]) -> Iterable[Any]:
    """The schema, what it refers to and what its `allOf` adds, one after the other."""
    if not isinstance(schema, dict):
        yield schema
        return
    plain = modern(schema)
    reference = plain.pop("$ref", None)
    if isinstance(reference, str) and reference not in met:
        try:
            target = at_pointer(root, reference)
        except ReferenceNotFollowed:
            target = True
        yield from _flat(target, root, met | {reference})
    for part in plain.pop("allOf", None) or []:
        yield from _flat(part, root, met)
    yield plain


def _add(shape: Shape, part: Any) -> None:
    """Join what one schema says to the shape, which fits only what fits all that is joined."""
    if part is False:
        shape.types = frozenset()
    if not isinstance(part, dict):
        return
    shape.types &= _types_of(part)
    for values in ([part["const"]] if "const" in part else None, part.get("enum")):
        if isinstance(values, list):
            texts = {json_text(value): value for value in values}
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


def choices_of(shape: Shape) -> list[Any]:
    """The alternatives; of a schema that has none, one for each type."""
    if shape.alternatives is not None:
        return shape.alternatives
    common = {
        "properties": {name: joined(parts) for name, parts in shape.properties.items()},
        "required": sorted(shape.required),
        "additionalProperties": joined(shape.additional),
        "prefixItems": [joined(parts) for parts in shape.prefix],
        "items": joined(shape.items),
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


def joined(schemas: list[Any]) -> Any:
    """One schema that says all of them; True for none."""
    if not schemas:
        return True
    return schemas[0] if len(schemas) == 1 else {"allOf": schemas}


def json_text(value: Any) -> bytes:
    """A value's JSON, the same for equal values."""
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
