"""JSON Schemas: of one event, or of several as definitions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from subscriptions.documents.described import Described, described
from webhooks_project.lib.json_schema import escaped, walk

_EVENT_SUFFIX = re.compile(r"[$_.-]event$")
_EXTENSIONS = re.compile(r"(\.schema)?\.(json|ya?ml)$", re.IGNORECASE)


def from_json_schema(document: dict[str, Any], name: str) -> Iterator[Described]:
    """The event types of a JSON Schema."""
    word = "$defs" if isinstance(document.get("$defs"), dict) else "definitions"
    definitions = document.get(word)
    events = _events_among(document, word, definitions) if isinstance(definitions, dict) else None
    if events is None:
        given = document.get("x-event-type")
        own = given if isinstance(given, str) else _name_of_file(name)
        yield described(document, document, own, name)
        return
    for key in events:
        path = f"#/{word}/{escaped(key)}"
        schema = definitions[key] if isinstance(definitions, dict) else True
        yield described(document, schema, _name_of_definition(key), f"{name}{path}")


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


def _name_of_definition(key: str) -> str:
    return re.sub(r"[$/:]", ".", _EVENT_SUFFIX.sub("", key))


def _name_of_file(path: str) -> str:
    return _EXTENSIONS.sub("", path.replace("\\", "/")).strip("/").replace("/", ".")
