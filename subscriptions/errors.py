"""What can go wrong with a subscription; each docstring is the default message."""

from __future__ import annotations

from webhooks_project.lib.errors import DomainError


class SubscriptionError(DomainError):
    """The subscription cannot be changed like that."""

    code = "subscription_error"


class SubscriptionNotAcceptable(SubscriptionError):
    """The subscription is not acceptable."""

    code = "subscription_not_acceptable"


class EndpointNotAcceptable(SubscriptionError):
    """The URL is not acceptable as an endpoint."""

    code = "endpoint_not_acceptable"


class EventTypeMalformed(SubscriptionError):
    """An event type is a dotted name such as invoice.paid, invoice.* or *."""

    code = "event_type_malformed"


class EventTypeExists(SubscriptionError):
    """The account's catalogue has a type of that name."""

    code = "event_type_exists"
    status = 409


class SchemaNotValid(SubscriptionError):
    """That is no JSON Schema."""

    code = "schema_not_valid"


class StateNotAllowed(SubscriptionError):
    """The subscription's present status does not allow that."""

    code = "state_not_allowed"
    status = 409


class BulkNotAcceptable(SubscriptionError):
    """The bulk job cannot be done like that."""

    code = "bulk_not_acceptable"


class FileNotAcceptable(BulkNotAcceptable):
    """The file cannot be read."""

    code = "file_not_acceptable"
