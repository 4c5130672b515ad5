"""The unguessable part of an ingest URL."""

import secrets


def new_token() -> str:
    """192 random bits as 32 characters that need no escaping in a URL."""
    return secrets.token_urlsafe(24)
