"""The event types of many files, with what shows only in the whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, Final

import orjson

from subscriptions.documents.described import Described
from subscriptions.documents.examples import example_lines
from subscriptions.documents.files import File, parse
from subscriptions.documents.json_schema import from_json_schema
from subscriptions.documents.openapi import from_openapi
from subscriptions.errors import DocumentNotAcceptable
from subscriptions.matching import is_event_type

MAX_TYPES: Final = 1_000  # in one import
MAX_SCHEMAS_BYTES: Final = 64 * 1024 * 1024  # of one import, each with all that it refers to


def read_files(files: Iterable[File]) -> list[Described]:
    """The event types of all the files, by name; what cannot be read with its problem."""
    found: list[Described] = []
    examples: dict[str, list[Any]] = {}
    room = MAX_SCHEMAS_BYTES
    for file in files:
        try:
            if file.name.lower().endswith((".jsonl", ".ndjson")):
                for name, example in example_lines(file):
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


def types_in(document: Any, name: str) -> Iterator[Described]:
    """The event types that a parsed document describes. Raises DocumentNotAcceptable."""
    if not isinstance(document, dict):
        raise DocumentNotAcceptable("it is neither a JSON Schema nor an OpenAPI document")
    if "asyncapi" in document:
        raise DocumentNotAcceptable("AsyncAPI documents are not read")
    if {"openapi", "swagger", "webhooks", "x-webhooks"} & document.keys():
        return from_openapi(document, name)
    return from_json_schema(document, name)


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
