"""The webhooks of OpenAPI documents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from subscriptions.documents.described import Described, described
from subscriptions.documents.values import list_of, mapping_of, text_of
from subscriptions.errors import DocumentNotAcceptable
from webhooks_project.lib.json_schema import MAX_DEPTH, at_pointer, escaped, modern

METHODS: Final = ("post", "put", "patch", "get", "delete")
ENVELOPE: Final = frozenset({"type", "timestamp", "data"})


def from_openapi(document: dict[str, Any], name: str) -> Iterator[Described]:
    """The event types of an OpenAPI document: one for each webhook."""
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
    name = text_of(operation.get("x-event-type")) or text_of(item.get("x-event-type"))
    inside = _resolved(document, schema) if isinstance(schema, dict) else {}
    properties = mapping_of(inside.get("properties"))
    if properties.keys() == ENVELOPE:
        name = name or _only_value(properties["type"])
        schema = properties["data"]
        examples = [value["data"] if _is_envelope(value) else value for value in examples]
    tags = [tag for tag in list_of(operation.get("tags")) if isinstance(tag, str)]
    return described(
        document,
        schema,
        name or key,
        where,
        description=text_of(operation.get("description"))
        or text_of(operation.get("summary"))
        or text_of(item.get("description")),
        group=tags[0][:64] if tags else "",
        owner=text_of(operation.get("x-owner"))[:200],
        is_deprecated=operation.get("deprecated") is True,
        successor=text_of(operation.get("x-successor")),
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
    named = [_resolved(document, value) for value in mapping_of(media.get("examples")).values()]
    found = [value["value"] for value in named if "value" in value]
    return [media["example"], *found] if "example" in media else found


def _only_value(schema: Any) -> str:
    plain = modern(mapping_of(schema))
    values = [plain["const"]] if "const" in plain else list_of(plain.get("enum"))
    return text_of(values[0]) if len(values) == 1 else ""


def _is_envelope(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == ENVELOPE
