"""What event types a document describes: JSON Schema files, bundles of them, and OpenAPI.

Pure: no database and no network. A reference that leads out of its document is refused with the
type that has it. Read are:

- an OpenAPI document's `webhooks` (3.1) or `x-webhooks` (3.0): one type for each;
- a JSON Schema with `definitions` or `$defs` of events: those that its `oneOf` or `anyOf` lists,
  else those named so (`push$event`, `issues_event`), else those that no other refers to;
- a JSON Schema of one event, named by its file: `invoice.paid.json`;
- lines of examples: `{"event": "push", "payload": {…}}` in a `.jsonl` file.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import orjson
import yaml

from subscriptions.errors import DocumentNotAcceptable
from subscriptions.matching import is_event_type
from webhooks_project.lib.json_schema import (
    MAX_DEPTH,
    at_pointer,
    escaped,
    modern,
    standalone,
    walk,
)

if TYPE_CHECKING:
    from yaml import SafeLoader
else:
    from yaml import CSafeLoader as SafeLoader

MAX_DOCUMENT_BYTES: Final = 16 * 1024 * 1024
MAX_YAML_BYTES: Final = 4 * 1024 * 1024  # its parser is a hundred times slower than that of JSON
MAX_VALUES: Final = 3_000_000  # in one document, each alias of YAML written out
MAX_LEVELS: Final = 200  # of nested objects and arrays
MAX_TYPES: Final = 1_000  # in one import
MAX_SCHEMAS_BYTES: Final = 64 * 1024 * 1024  # of one import, each with all that it refers to

METHODS: Final = ("post", "put", "patch", "get", "delete")
ENVELOPE: Final = frozenset({"type", "timestamp", "data"})

_EVENT_SUFFIX = re.compile(r"[$_.-]event$")
_EXTENSIONS = re.compile(r"(\.schema)?\.(json|ya?ml)$", re.IGNORECASE)


@dataclass(frozen=True)
class File:
    """A document as it was given; `name` may be a path."""

    name: str
    content: bytes


@dataclass(frozen=True)
class Described:
    """An event type as a document describes it; `where` is the file and the place in it.

    Where `problem` is not empty, it cannot be read and the rest counts for nothing. A `successor`
    is another's name.
    """

    name: str
    where: str
    schema: Any = True
    description: str = ""
    group: str = ""
    owner: str = ""
    is_deprecated: bool = False
    successor: str = ""
    examples: Sequence[Any] = field(default_factory=tuple)
    problem: str = ""


def read_files(files: Iterable[File]) -> list[Described]:
    """The event types of all the files, by name; what cannot be read with its problem."""
    found: list[Described] = []
    examples: dict[str, list[Any]] = {}
    room = MAX_SCHEMAS_BYTES
    for file in files:
        try:
            if file.name.lower().endswith((".jsonl", ".ndjson")):
                for name, example in _example_lines(file):
                    examples.setdefault(name, []).append(example)
                continue
            for item in types_in(parse(file), file.name):
                found.append(item)
                room -= len(orjson.dumps(item.schema))
                if room < 0 or len(found) > MAX_TYPES:
                    break
        except (DocumentNotAcceptable, ValueError) as error:
            found.append(Described(file.name, file.name, problem=str(error)))
        if room < 0:
            raise DocumentNotAcceptable(f"the schemas have more than {MAX_SCHEMAS_BYTES:,} bytes")
        if len(found) > MAX_TYPES:
            raise DocumentNotAcceptable(f"at most {MAX_TYPES} types are read at once")
    return sorted(_checked(found, examples), key=lambda item: item.name)


def parse(file: File) -> Any:
    """The document's value. Raises DocumentNotAcceptable."""
    content = file.content.removeprefix(b"\xef\xbb\xbf")
    if len(content) > MAX_DOCUMENT_BYTES:
        raise DocumentNotAcceptable(f"it has more than {MAX_DOCUMENT_BYTES:,} bytes")
    is_yaml = file.name.lower().endswith((".yaml", ".yml"))
    if not is_yaml:
        try:
            return _Plain().made_of(orjson.loads(content), 0)
        except orjson.JSONDecodeError as error:
            if file.name.lower().endswith(".json") or content.lstrip()[:1] in (b"{", b"["):
                raise DocumentNotAcceptable(f"it is no JSON: {error}") from error
    return _from_yaml(content)


def types_in(document: Any, name: str) -> Iterator[Described]:
    """The event types that a parsed document describes. Raises DocumentNotAcceptable."""
    if not isinstance(document, dict):
        raise DocumentNotAcceptable("it is neither a JSON Schema nor an OpenAPI document")
    if "asyncapi" in document:
        raise DocumentNotAcceptable("AsyncAPI documents are not read")
    if {"openapi", "swagger", "webhooks", "x-webhooks"} & document.keys():
        return _from_openapi(document, name)
    return _from_json_schema(document, name)


# --- JSON Schema ---


def _from_json_schema(document: dict[str, Any], name: str) -> Iterator[Described]:
    word = "$defs" if isinstance(document.get("$defs"), dict) else "definitions"
    definitions = document.get(word)
    events = _events_among(document, word, definitions) if isinstance(definitions, dict) else None
    if events is None:
        given = document.get("x-event-type")
        own = given if isinstance(given, str) else _name_of_file(name)
        yield _described(document, document, own, name)
        return
    for key in events:
        path = f"#/{word}/{escaped(key)}"
        schema = definitions[key] if isinstance(definitions, dict) else True
        yield _described(document, schema, _name_of_definition(key), f"{name}{path}")


def _events_among(
    document: dict[str, Any], word: str, definitions: dict[str, Any]
) -> list[str] | None:
    """The names of the definitions that are events; None where the document itself is one."""
    before = f"#/{word}/"
    for choice in (document.get("oneOf"), document.get("anyOf")):
        listed = [
            item["$ref"].removeprefix(before).replace("~1", "/").replace("~0", "~")
            for item in (choice if isinstance(choice, list) else [])
            if isinstance(item, dict) and str(item.get("$ref", "")).startswith(before)
        ]
        is_whole = isinstance(choice, list) and len(listed) == len(choice)
        if listed and is_whole and all(_is_like_event(key) for key in listed):
            return [key for key in listed if key in definitions]
    said = document.keys() - {
        "$schema", "$id", "$defs", "definitions", "title", "description", "$comment",
    }  # fmt: skip
    if said:
        return None
    named = [key for key in definitions if _EVENT_SUFFIX.search(key)]
    if named:
        heads = {_EVENT_SUFFIX.sub("", key) for key in named}
        alone = [key for key in definitions if "$" in key and key.partition("$")[0] not in heads]
        return [key for key in definitions if key in {*named, *alone}]
    referred = {
        schema["$ref"].removeprefix(before)
        for schema in walk(document)
        if isinstance(schema.get("$ref"), str)
    }
    return [key for key in definitions if escaped(key) not in referred]


def _is_like_event(name: str) -> bool:
    return bool(_EVENT_SUFFIX.search(name) or re.search(r"[$./:]|Event$", name))


def _described(document: Any, schema: Any, name: str, where: str, **fields: Any) -> Described:
    try:
        whole = standalone(document, schema)
    except ValueError as error:
        return Described(name, where, problem=str(error))
    said = schema if isinstance(schema, dict) else {}
    given = {
        "description": _text(said.get("description")) or _text(said.get("title")),
        "is_deprecated": said.get("deprecated") is True,
        **fields,
    }
    examples = given.pop("examples", None)
    if not examples:
        examples = whole.get("examples", ()) if isinstance(whole, dict) else ()
    if isinstance(whole, dict):
        whole.pop("examples", None)  # they are kept beside it
        whole.pop("x-event-type", None)
    return Described(name, where, schema=whole, examples=tuple(_list(examples)), **given)


def _name_of_definition(key: str) -> str:
    return re.sub(r"[$/:]", ".", _EVENT_SUFFIX.sub("", key))


def _name_of_file(path: str) -> str:
    return _EXTENSIONS.sub("", path.replace("\\", "/")).strip("/").replace("/", ".")


# --- OpenAPI ---


def _from_openapi(document: dict[str, Any], name: str) -> Iterator[Described]:
    webhooks = document.get("webhooks") or document.get("x-webhooks")
    if not isinstance(webhooks, dict):
        raise DocumentNotAcceptable("the OpenAPI document has no webhooks")
    word = "webhooks" if document.get("webhooks") else "x-webhooks"
    for key, given in webhooks.items():
        where = f"{name}#/{word}/{escaped(key)}"
        try:
            item = _resolved(document, given)
            operation = next(
                (_resolved(document, item[method]) for method in METHODS if method in item), {}
            )
            yield _webhook(document, key, where, item, operation)
        except (DocumentNotAcceptable, ValueError) as error:
            yield Described(key, where, problem=str(error))


def _webhook(
    document: Any, key: str, where: str, item: dict[str, Any], operation: dict[str, Any]
) -> Described:
    content = _resolved(document, _resolved(document, operation.get("requestBody")).get("content"))
    kinds = sorted(content, key=_is_no_json)
    media = _resolved(document, content[kinds[0]]) if kinds else {}
    if "schema" not in media:
        raise DocumentNotAcceptable("its request has no schema")
    schema, examples = media["schema"], _examples_of(document, media)
    name = _text(operation.get("x-event-type")) or _text(item.get("x-event-type"))
    inside = _resolved(document, schema) if isinstance(schema, dict) else {}
    properties = _mapping(inside.get("properties"))
    if properties.keys() == ENVELOPE:
        name = name or _only_value(properties["type"])
        schema = properties["data"]
        examples = [value["data"] if _is_envelope(value) else value for value in examples]
    tags = [tag for tag in _list(operation.get("tags")) if isinstance(tag, str)]
    return _described(
        document,
        schema,
        name or key,
        where,
        description=_text(operation.get("description"))
        or _text(operation.get("summary"))
        or _text(item.get("description")),
        group=tags[0][:64] if tags else "",
        owner=_text(operation.get("x-owner"))[:200],
        is_deprecated=operation.get("deprecated") is True,
        successor=_text(operation.get("x-successor")),
        examples=examples,
    )


def _resolved(document: Any, value: Any) -> dict[str, Any]:
    for _ in range(MAX_DEPTH):
        if not isinstance(value, dict):
            return {}
        if not isinstance(value.get("$ref"), str):
            return value
        value = at_pointer(document, value["$ref"])
    raise DocumentNotAcceptable("a reference leads back to itself")


def _is_no_json(kind: str) -> int:
    """The order in which media types are asked for."""
    plain = kind.partition(";")[0].strip().lower()
    return 0 if plain == "application/json" else 1 if plain.endswith("+json") else 2


def _examples_of(document: Any, media: Mapping[str, Any]) -> list[Any]:
    named = [_resolved(document, value) for value in _mapping(media.get("examples")).values()]
    found = [value["value"] for value in named if "value" in value]
    return [media["example"], *found] if "example" in media else found


def _only_value(schema: Any) -> str:
    plain = modern(_mapping(schema))
    values = [plain["const"]] if "const" in plain else _list(plain.get("enum"))
    return _text(values[0]) if len(values) == 1 else ""


def _is_envelope(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == ENVELOPE


# --- examples and texts ---


def _example_lines(file: File) -> Iterator[tuple[str, Any]]:
    if len(file.content) > MAX_DOCUMENT_BYTES:
        raise DocumentNotAcceptable(f"it has more than {MAX_DOCUMENT_BYTES:,} bytes")
    for number, line in enumerate(file.content.splitlines(), 1):
        if not line.strip():
            continue
        try:
            value = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise DocumentNotAcceptable(f"line {number} is no JSON: {error}") from error
        said = _mapping(value)
        name = next((said[word] for word in ("event", "type", "name") if word in said), None)
        payload = next((word for word in ("payload", "data", "example") if word in said), None)
        if not isinstance(name, str) or payload is None:
            raise DocumentNotAcceptable(f"line {number} has no event with a payload")
        yield name, said[payload]


def _checked(found: list[Described], examples: dict[str, list[Any]]) -> Iterator[Described]:
    """What was found, with its examples, and with the problems that show only in the whole."""
    met: set[str] = set()
    for item in found:
        if item.problem:
            yield item
        elif not is_event_type(item.name):
            yield replace(item, problem="its name is no event type; such are dotted names")
        elif item.name in met:
            yield replace(item, problem="the name comes twice")
        else:
            met.add(item.name)
            more = [value for value in examples.get(item.name, []) if value not in item.examples]
            yield replace(item, examples=(*item.examples, *more))
    for name in examples.keys() - met:
        yield Described(name, "", problem="there are examples of it, and no schema")


class _Loader(SafeLoader):
    """YAML 1.2's core types: no dates, and `on` and `no` are texts."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - as its base class declares it


for _tag, _form, _first in (
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", list("tTfF")),
    ("int", r"^[-+]?[0-9]+$", list("-+0123456789")),
    ("float", r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$",
     list("-+.0123456789")),
):  # fmt: skip
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_form), _first)


def _from_yaml(content: bytes) -> Any:
    if len(content) > MAX_YAML_BYTES:
        raise DocumentNotAcceptable(f"as YAML it has more than {MAX_YAML_BYTES:,} bytes")
    try:
        value = yaml.load(content, Loader=_Loader)  # noqa: S506 - a safe loader with fewer types
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise DocumentNotAcceptable(f"it is no YAML: {str(error)[:300]}") from error
    return _Plain().made_of(value, 0)


class _Plain:
    """Values as JSON has them, each alias of YAML written out, in bounds."""

    def __init__(self) -> None:
        self.count = 0

    def made_of(self, value: Any, depth: int) -> Any:
        self.count += 1
        if self.count > MAX_VALUES:
            raise DocumentNotAcceptable(f"it has more than {MAX_VALUES:,} values")
        if depth > MAX_LEVELS:
            raise DocumentNotAcceptable(f"it is nested in more than {MAX_LEVELS} levels")
        if isinstance(value, dict):
            return {
                key if isinstance(key, str) else _key(key): self.made_of(item, depth + 1)
                for key, item in value.items()
            }
        if isinstance(value, list):
            return [self.made_of(item, depth + 1) for item in value]
        if isinstance(value, float) and not math.isfinite(value):
            raise DocumentNotAcceptable("it has a number that JSON has not")
        if value is None or isinstance(value, str | bool | float):
            return value
        if isinstance(value, int) and abs(value) < 2**63:
            return value
        raise DocumentNotAcceptable(f"it has a value that JSON has not: {str(value)[:50]}")


def _key(value: Any) -> str:
    """A key that is no text, such as a status code."""
    if isinstance(value, int | float | bool) or value is None:
        return orjson.dumps(value).decode()
    raise DocumentNotAcceptable(f"it has a key that JSON has not: {str(value)[:50]}")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
