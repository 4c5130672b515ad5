"""What the receiving view needs to know of a source, kept in memory for a moment."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import structlog
from django.conf import settings

from incoming.models import Source
from incoming.providers import PROVIDERS, Provider, Secret
from webhooks_project.lib import clock
from webhooks_project.lib.keyring import CannotDecrypt
from webhooks_project.lib.ssrf import Network, parse_networks

log = structlog.get_logger(__name__)

FRESH_SECONDS: Final = 1.0  # how late the hub may notice that a source was changed
MAX_KNOWN: Final = 10_000


@dataclass(frozen=True, slots=True)
class KnownSource:
    """A source as the receiving view sees it. `secrets` are opened; each ends at its time."""

    id: UUID
    account_id: UUID
    provider: Provider
    url: str
    options: Mapping[str, str]
    secrets: tuple[tuple[Secret, datetime | None], ...]
    tolerance_seconds: int | None
    allowed_networks: tuple[Network, ...]
    max_body_bytes: int
    rate_per_minute: int
    rate_per_minute_per_address: int
    disabled: bool
    loaded_at: float

    def valid_secrets(self, now: datetime) -> list[Secret]:
        """The secrets that count at this moment, the newest first."""
        return [secret for secret, ends_at in self.secrets if ends_at is None or ends_at > now]


_known: dict[str, KnownSource] = {}
_lock = threading.Lock()


def source_by_token(token: str) -> KnownSource | None:
    """The source of an ingest URL, from memory where it was read within the last second."""
    known = _known.get(token)
    if known is not None and time.monotonic() - known.loaded_at <= FRESH_SECONDS:
        return known
    if "\x00" in token:  # PostgreSQL refuses the question itself
        return None
    source = Source.objects.prefetch_related("secrets").filter(token=token).first()
    if source is None or source.provider not in PROVIDERS:
        _known.pop(token, None)
        return None
    known = known_source(source)
    with _lock:
        if len(_known) >= MAX_KNOWN:
            _known.clear()
        _known[token] = known
    return known


def forget_sources() -> None:
    """Read every source anew on its next call."""
    _known.clear()


def public_url_of(source: Source) -> str:
    """The URL as the provider calls it: what URL-signing schemes sign."""
    return source.public_url or f"{settings.PUBLIC_URL}{source.path}"


def known_source(source: Source) -> KnownSource:
    """The source as the receiving view sees it, read off the row."""
    return KnownSource(
        id=source.pk,
        account_id=source.account_id,
        provider=PROVIDERS[source.provider],
        url=public_url_of(source),
        options=source.options,
        secrets=_open_secrets(source),
        tolerance_seconds=source.tolerance_seconds,
        allowed_networks=parse_networks(source.allowed_networks),
        max_body_bytes=source.max_body_bytes,
        rate_per_minute=source.rate_per_minute,
        rate_per_minute_per_address=source.rate_per_minute_per_address,
        disabled=source.disabled_at is not None,
        loaded_at=time.monotonic(),
    )


def _open_secrets(source: Source) -> tuple[tuple[Secret, datetime | None], ...]:
    opened = []
    now = clock.now()
    for row in source.secrets.all():
        if not row.is_valid(now):
            continue
        try:
            opened.append((Secret(str(row.pk), row.secret), row.expires_at))
        except CannotDecrypt as error:
            log.error("source secret unreadable", secret=str(row.pk), error=str(error))
    return tuple(opened)
