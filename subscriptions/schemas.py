"""Checking a payload against an event type's JSON Schema."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

import jsonschema_rs
import orjson

from subscriptions.models import EventSchema, EventType

MAX_ERRORS: Final = 20  # reported at once; the rest would not help a reader


@dataclass(frozen=True, slots=True)
class SchemaError:
    """One place where a payload does not fit. `path` is a JSON Pointer, empty for the whole."""

    path: str
    message: str


def check_payload(schema: Any, payload: Any) -> list[SchemaError]:
    """The errors of a payload under a JSON Schema (draft 2020-12 unless it says otherwise).

    Raises ValueError where the schema itself is not one.
    """
    validator = _validator(orjson.dumps(schema))
    return [
        SchemaError(
            path="".join(f"/{_escaped(step)}" for step in error.instance_path),
            message=error.message[:500],
        )
        for error, _ in zip(validator.iter_errors(payload), range(MAX_ERRORS), strict=False)
    ]


def schemas_in_force(types: Mapping[UUID, Iterable[str]]) -> dict[tuple[UUID, str], EventSchema]:
    """For each (account, event type) the latest schema, where the type's mode is to reject."""
    rows = (
        EventSchema.objects.filter(
            event_type__account_id__in=list(types),
            event_type__name__in={name for names in types.values() for name in names},
            event_type__schema_mode=EventType.SchemaMode.REJECT,
        )
        .select_related("event_type")
        .order_by("version")
    )
    return {(row.event_type.account_id, row.event_type.name): row for row in rows}


def _escaped(step: str | int) -> str:
    """A step of a JSON Pointer (RFC 6901, 3)."""
    return str(step).replace("~", "~0").replace("/", "~1")


@lru_cache(maxsize=512)
def _validator(schema: bytes) -> Any:
    try:
        return jsonschema_rs.validator_for(
            orjson.loads(schema),
            pattern_options=jsonschema_rs.RegexOptions(),  # linear time, whatever the pattern
            retriever=_no_retrieval,
        )
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        raise ValueError(f"this is no JSON Schema: {error}") from error


def _no_retrieval(uri: str) -> Any:
    # A schema comes from a customer: fetching what it points to would be a way into our network.
    raise ValueError(f"a schema may not refer to another document ({uri[:100]})")
