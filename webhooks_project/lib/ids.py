"""Primary keys that we make ourselves: time-ordered, so no insert waits for a RETURNING."""

from uuid import UUID

from uuid_utils.compat import uuid7


def new_id() -> UUID:
    """A fresh UUIDv7 (RFC 9562): rows made later sort later."""
    return uuid7()
