"""The catalogue as an OpenAPI 3.1 document: each event type is one of its `webhooks`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC
from typing import Any, Final

from django.db.models import OuterRef, Subquery

from subscriptions.models import EventSchema, EventType
from webhooks_project.accounts.models import Account
from webhooks_project.lib.json_schema import DIALECT, standalone, with_parts

HEADERS: Final = {
    "webhook-id": ("Names the event; the same on each attempt.", {"type": "string"}),
    "webhook-timestamp": ("When the attempt was made, in Unix seconds.", {"type": "integer"}),
    "webhook-signature": (
        "Signatures of webhook-id, webhook-timestamp and the body, separated by spaces.",
        {"type": "string"},
    ),
}


def catalogue_of(account: Account, *, public_only: bool = False) -> Sequence[EventType]:
    """The account's types that are not archived, by name, each with its latest schema alone."""
    types = EventType.objects.filter(account=account, archived_at=None).select_related("successor")
    if public_only:
        types = types.filter(is_public=True)
    latest = EventSchema.objects.filter(event_type=OuterRef("pk")).order_by("-version")
    found = list(types.order_by("name").annotate(latest_id=Subquery(latest.values("pk")[:1])))
    schemas = EventSchema.objects.in_bulk([row.latest_id for row in found if row.latest_id])
    for row in found:
        row.latest = schemas.get(row.latest_id)  # type: ignore[attr-defined]
    return found


def openapi_of(account: Account, *, public_only: bool = False) -> dict[str, Any]:
    """The account's catalogue, what is archived left out.

    With `public_only` it has what anybody may know: the public types, without their owners.
    """
    types = catalogue_of(account, public_only=public_only)
    latest = {row.name: schema for row in types if (schema := _latest(row)) is not None}
    newest = max((schema.created_at for schema in latest.values()), default=account.created_at)
    groups = sorted({row.group for row in types if row.group})
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"Events of {account.name}",
            "version": newest.astimezone(UTC).strftime("%Y-%m-%d"),
            **({} if public_only else {"x-account": str(account.pk)}),
        },
        "jsonSchemaDialect": DIALECT,
        "tags": [{"name": group} for group in groups],
        "webhooks": {row.name: {"post": _operation(row, public_only)} for row in types},
        "components": {
            "schemas": {name: _component(name, row.schema) for name, row in latest.items()},
            "parameters": {name: _parameter(name) for name in HEADERS},
        },
    }


def data_schema(row: EventSchema) -> Any:
    """The schema with all that it refers to in its `$defs`; as it is where that cannot be."""
    try:
        return standalone(row.schema, row.schema)
    except ValueError:
        return row.schema


def _latest(row: Any) -> EventSchema | None:
    found: EventSchema | None = row.latest
    return found


def _operation(row: EventType, public_only: bool) -> dict[str, Any]:
    latest = _latest(row)
    found: dict[str, Any] = {
        "operationId": row.name,
        "x-event-type": row.name,
        "description": row.description,
        "tags": [row.group] if row.group else [],
        "x-owner": "" if public_only else row.owner,
        "deprecated": row.deprecated_at is not None,
        "x-successor": row.successor.name if row.successor else "",
        "x-schema-version": latest.number if latest else "",
        "parameters": [{"$ref": f"#/components/parameters/{name}"} for name in HEADERS],
        "requestBody": {
            "required": True,
            "content": {"application/json": _media(row, latest)},
        },
        "responses": {
            "2XX": {"description": "Taken; anything else is tried again."},
            "410": {"description": "No more of this: the subscription is disabled."},
        },
    }
    return {name: value for name, value in found.items() if value not in ("", [], False)}


def _media(row: EventType, latest: EventSchema | None) -> dict[str, Any]:
    data = {"$ref": f"#/components/schemas/{row.name}"} if latest else {}
    schema = {
        "type": "object",
        "properties": {
            "type": {"const": row.name},
            "timestamp": {"type": "string", "format": "date-time"},
            "data": data,
        },
        "required": ["type", "timestamp", "data"],
    }
    examples: Sequence[Any] = latest.examples if latest else ()
    if latest is None or not examples:
        return {"schema": schema}
    timestamp = latest.created_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    values = {
        f"example-{number}": {"value": {"type": row.name, "timestamp": timestamp, "data": example}}
        for number, example in enumerate(examples, 1)
    }
    return {"schema": schema, "examples": values}


def _component(name: str, schema: Any) -> Any:
    """The schema with its references as they are from the document's own root."""
    try:
        whole = standalone(schema, schema)
    except ValueError:
        return schema
    return _rebased(whole, f"#/components/schemas/{name}")


def _rebased(schema: Any, root: str) -> Any:
    if not isinstance(schema, dict):
        return schema
    made = with_parts(schema, lambda part: _rebased(part, root))
    if isinstance(made.get("$ref"), str):
        made["$ref"] = root + made["$ref"].removeprefix("#")
    return made


def _parameter(name: str) -> dict[str, Any]:
    description, schema = HEADERS[name]
    return {
        "name": name, "in": "header", "required": True, "description": description,
        "schema": schema,
    }  # fmt: skip
