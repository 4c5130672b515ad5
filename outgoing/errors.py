"""What can go wrong when publishing or redelivering; each docstring is the default message."""

from __future__ import annotations

from typing import Final

from webhooks_project.lib.errors import DomainError


class OutgoingError(DomainError):
    """The request cannot be carried out."""

    code = "outgoing_error"


class EventNotAcceptable(OutgoingError):
    """The event is not acceptable."""

    code = "event_not_acceptable"


class EventTypeMalformed(OutgoingError):
    """An event type is a dotted name such as invoice.paid."""

    code = "event_type_malformed"


class PayloadNotJson(OutgoingError):
    """The data is not JSON."""

    code = "payload_not_json"


class PayloadTooLarge(OutgoingError):
    """The data is larger than an event may be."""

    code = "payload_too_large"
    status = 413


class SchemaMismatch(OutgoingError):
    """The data does not fit the event type's schema."""

    code = "schema_mismatch"


class SchemaVersionUnknown(OutgoingError):
    """The event type has no such schema version."""

    code = "schema_version_unknown"


class EventTypeUnknown(OutgoingError):
    """The event type is not in the account's catalogue."""

    code = "event_type_unknown"


class EventTypeArchived(OutgoingError):
    """The event type is archived: nothing of it is published any more."""

    code = "event_type_archived"
    status = 409


# What an event is rejected with, by the code of the catalogue's judgement.
REJECTIONS: Final[dict[str, type[OutgoingError]]] = {
    error.code: error
    for error in (SchemaMismatch, SchemaVersionUnknown, EventTypeUnknown, EventTypeArchived)
}


class IdempotencyConflict(OutgoingError):
    """The idempotency key was used before, with another type or other data."""

    code = "idempotency_conflict"
    status = 409


class FirstNotRead(OutgoingError):
    """The idempotency key was used before, and for what could not be told. Nothing was stored."""

    code = "unavailable"
    status = 503


class StateNotAllowed(OutgoingError):
    """The delivery's present status does not allow that."""

    code = "state_not_allowed"
    status = 409


class EventTypeReserved(OutgoingError):
    """Events of that type are published by the hub alone."""

    code = "event_type_reserved"


class SelectionNotAcceptable(OutgoingError):
    """What is asked for is not acceptable."""

    code = "selection_not_acceptable"
