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


class ExampleDoesNotFit(SubscriptionError):
    """An example does not fit the schema."""

    code = "example_does_not_fit"


class SchemaBreaksReaders(SubscriptionError):
    """The schema breaks those who read or write the data; it needs a new major version."""

    code = "schema_breaks_readers"
    status = 409


class EventTypeArchived(SubscriptionError):
    """The event type is archived."""

    code = "event_type_archived"
    status = 409


class SuccessorNotAcceptable(SubscriptionError):
    """The successor is another event type of the same account that is not archived."""

    code = "successor_not_acceptable"


class DocumentNotAcceptable(SubscriptionError):
    """The document is none that event types can be read from."""

    code = "document_not_acceptable"


class ImportNotAcceptable(SubscriptionError):
    """Some of the event types cannot be imported, so none was."""

    code = "import_not_acceptable"
    status = 409


class StateNotAllowed(SubscriptionError):
    """The subscription's present status does not allow that."""

    code = "state_not_allowed"
    status = 409


class ExpiryNotAcceptable(SubscriptionError):
    """A subscription ends in the future, or never."""

    code = "expiry_not_acceptable"


class GraceNotAcceptable(SubscriptionError):
    """An old secret may sign for 0 to 7 days more."""

    code = "grace_not_acceptable"


class BulkNotAcceptable(SubscriptionError):
    """The bulk job cannot be done like that."""

    code = "bulk_not_acceptable"


class FileNotAcceptable(BulkNotAcceptable):
    """The file cannot be read."""

    code = "file_not_acceptable"
