"""JSON Schema documents: their parts, their references, and older drafts as draft 2020-12.

Sources: JSON Schema draft 2020-12, with the migration notes of drafts 6 to 2020-12; OpenAPI 3.0.3,
"Schema Object"; RFC 6901.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import unquote

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
MAX_DEPTH: Final = 64  # levels of a schema; deeper ones are nobody's, and Python's stack ends

# Keywords whose value is a schema, a list of schemas, or schemas by name.
ONE: Final = (
    "items", "additionalItems", "contains", "additionalProperties", "propertyNames", "not", "if",
    "then", "else", "unevaluatedItems", "unevaluatedProperties", "contentSchema",
)  # fmt: skip
MANY: Final = ("allOf", "anyOf", "oneOf", "prefixItems", "items")
NAMED: Final = (
    "properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies",
)  # fmt: skip
# What drafts before 2019-09 may say beside a reference; all else beside one is ignored there.
ANNOTATIONS: Final = ("title", "description", "deprecated", "examples")


class ReferenceNotFollowed(ValueError):
    """A reference leads out of the document, or to nothing in it."""


def escaped(step: str | int) -> str:
    """A step of a JSON Pointer (RFC 6901, 3)."""
    return str(step).replace("~", "~0").replace("/", "~1")


def at_pointer(document: Any, reference: str) -> Any:
    """What a reference such as `#/$defs/id` or `#anchor` means in the document.

    Raises ReferenceNotFollowed where it leads out of the document or to nothing.
    """
    base = document.get("$id") if isinstance(document, Mapping) else None
    if isinstance(base, str) and base and reference.split("#")[0] == base.split("#")[0]:
        reference = "#" + reference.partition("#")[2]
    if not reference.startswith("#"):
        raise ReferenceNotFollowed(f"{reference[:200]} leads out of the document")
    pointer = unquote(reference[1:])
    if pointer and not pointer.startswith("/"):
        return _anchored(document, pointer)
    found = document
    for step in pointer.split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        try:
            found = found[int(name)] if isinstance(found, list) else found[name]
        except (KeyError, IndexError, ValueError, TypeError):
            raise ReferenceNotFollowed(f"{reference[:200]} leads to nothing") from None
    return found


def _anchored(document: Any, name: str) -> Any:
    for schema in walk(document):
        if schema.get("$anchor") == name or schema.get("$id") == f"#{name}":
            return schema
    raise ReferenceNotFollowed(f"#{name[:200]} leads to nothing")


def walk(schema: Any, depth: int = 0) -> Iterator[dict[str, Any]]:
    """The schema and every schema in it that is an object; references are not followed.

    Raises ValueError where it is nested too deeply.
    """
    if not isinstance(schema, dict):
        return
    if depth > MAX_DEPTH:
        raise ValueError(f"it is nested in more than {MAX_DEPTH} levels")
    yield schema
    for part in parts(schema):
        yield from walk(part, depth + 1)


def parts(schema: Mapping[str, Any]) -> Iterator[Any]:
    """The schemas directly in a schema."""
    for name, value in schema.items():
        if name in NAMED and isinstance(value, dict):
            yield from value.values()
        elif name in MANY and isinstance(value, list):
            yield from value
        elif name in ONE:
            yield value


def with_parts(schema: Mapping[str, Any], change: Callable[[Any], Any]) -> dict[str, Any]:
    """The schema with each schema directly in it changed."""

    def changed(name: str, value: Any) -> Any:
        if name in NAMED and isinstance(value, dict):
            return {key: change(part) for key, part in value.items()}
        if name in MANY and isinstance(value, list):
            return [change(part) for part in value]
        return change(value) if name in ONE else value

    return {name: changed(name, value) for name, value in schema.items()}


def standalone(document: Any, schema: Any) -> Any:
    """A schema of a document, with what it refers to in its own `$defs`, as draft 2020-12.

    Raises ReferenceNotFollowed, and ValueError where it is nested too deeply.
    """
    return _Bundle(document).made_of(schema)


class _Bundle:
    """What a schema refers to, gathered under names of its own."""

    def __init__(self, document: Any) -> None:
        self.document = document
        self.is_openapi_3_0 = isinstance(document, dict) and str(
            document.get("openapi", "")
        ).startswith("3.0")
        dialect = str(document.get("$schema", "")) if isinstance(document, dict) else ""
        self.ignores_siblings = self.is_openapi_3_0 or "/draft-0" in dialect
        self.names: dict[str, str] = {}
        self.definitions: dict[str, Any] = {}
        self.waiting: list[tuple[str, Any]] = []

    def made_of(self, schema: Any) -> Any:
        for _ in range(MAX_DEPTH):
            if not isinstance(schema, dict) or schema.keys() != {"$ref"}:
                break
            schema = at_pointer(self.document, str(schema["$ref"]))
        made = self._changed(schema, 0)
        while self.waiting:  # one after the other: a chain of references may be long
            name, target = self.waiting.pop()
            self.definitions[name] = self._changed(target, 0)
        if not self.definitions:
            return made
        return {**made, "$defs": dict(sorted(self.definitions.items()))}

    def _changed(self, schema: Any, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise ValueError(f"it is nested in more than {MAX_DEPTH} levels")
        if not isinstance(schema, dict):
            return schema
        for word in ("$dynamicRef", "$recursiveRef"):
            if word in schema:
                raise ReferenceNotFollowed(f"{word} is not followed")
        plain = modern(schema, nullable=self.is_openapi_3_0)
        for word in ("$schema", "$id", "$anchor", "$defs", "definitions"):
            plain.pop(word, None)
        reference = plain.pop("$ref", None)
        if isinstance(reference, str) and self.ignores_siblings:
            plain = {word: plain[word] for word in ANNOTATIONS if word in plain}
        made = with_parts(plain, lambda part: self._changed(part, depth + 1))
        if isinstance(reference, str):
            made = {"$ref": f"#/$defs/{escaped(self._name_of(reference))}", **made}
        return made

    def _name_of(self, reference: str) -> str:
        if reference in self.names:
            return self.names[reference]
        target = at_pointer(self.document, reference)
        wanted = unquote(reference).rsplit("/", 1)[-1].lstrip("#") or "document"
        wanted = wanted.replace("~1", "/").replace("~0", "~")
        name, number = wanted, 2
        while name in self.names.values():
            name, number = f"{wanted}-{number}", number + 1
        self.names[reference] = name
        self.waiting.append((name, target))
        return name


def modern(schema: Mapping[str, Any], *, nullable: bool = False) -> dict[str, Any]:
    """One schema, without those in it, in the words of draft 2020-12.

    `nullable`: whether OpenAPI 3.0's word of that name counts.
    """
    made = dict(schema)
    if isinstance(made.get("items"), list):
        made["prefixItems"] = made.pop("items")
        if "additionalItems" in made:
            made["items"] = made.pop("additionalItems")
    made.pop("additionalItems", None)
    for bound, limit in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        is_flag = isinstance(made.get(bound), bool)  # as in draft 4 and OpenAPI 3.0
        if is_flag and made.pop(bound) and limit in made:
            made[bound] = made.pop(limit)
    for name, value in dict(made.pop("dependencies", None) or {}).items():
        word = "dependentRequired" if isinstance(value, list) else "dependentSchemas"
        made[word] = {**made.get(word, {}), name: value}
    if nullable:
        made = _nullable(made)
    return made


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    made = dict(schema)
    if "example" in made:
        made["examples"] = [made.pop("example")]
    if made.pop("nullable", False) is not True:
        return made
    if isinstance(made.get("type"), str):
        made["type"] = [made["type"], "null"]
        if isinstance(made.get("enum"), list) and None not in made["enum"]:
            made["enum"] = [*made["enum"], None]
        return made
    return {"anyOf": [made, {"type": "null"}]} if made else made
