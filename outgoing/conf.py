"""The settings that this app reads."""

from __future__ import annotations

from typing import Final

from django.conf import settings

MAX_EVENT_BYTES: Final = 25 * 1024 * 1024  # as large as the largest webhook that is received


def in_flight() -> int:
    """How many attempts one delivery pump has under way at once."""
    return int(settings.WEBHOOKS_DELIVERY_IN_FLIGHT)
