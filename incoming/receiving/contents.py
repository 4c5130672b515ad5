"""Whether what a proved call holds is of a type, readable, and fits the source's schema."""

from __future__ import annotations

from typing import Final

from incoming.models import SchemaMode
from incoming.payload import is_json, is_readable, media_type, parse
from incoming.providers import Cause, Refused
from incoming.receiving.arrival import Arrival
from incoming.receiving.receipt import storable
from subscriptions.schemas import check_payload

MAX_SCHEMA_ERRORS: Final = 10  # kept with a receipt


def check_contents(arrival: Arrival) -> Refused | None:
    """Refuse what the source does not take; note where it does not fit the schema."""
    call, source = arrival.call, arrival.source
    kind = media_type(call.headers)
    if source.content_types:
        if kind not in source.content_types:
            taken = ", ".join(sorted(source.content_types))
            return Refused(Cause.UNSUPPORTED_MEDIA_TYPE, f"this source takes {taken}")
    elif not is_readable(kind):
        return Refused(Cause.UNSUPPORTED_MEDIA_TYPE)
    bodiless = call.method in ("GET", "DELETE") and not call.body
    if is_json(kind) and not bodiless and call.json is None and call.body.strip() != b"null":
        return Refused(Cause.PAYLOAD_UNPARSABLE, "the body is not JSON")
    if source.schema is None:
        return None
    errors = check_payload(source.schema, parse(call.body, call.headers.get("content-type", "")))
    arrival.schema_errors = [
        {"path": storable(error.path), "message": storable(error.message)}
        for error in errors[:MAX_SCHEMA_ERRORS]
    ]
    if errors and source.schema_mode == SchemaMode.REJECT:
        return Refused(Cause.SCHEMA_MISMATCH, f"at {errors[0].path or 'the root'}: it does not fit")
    return None
