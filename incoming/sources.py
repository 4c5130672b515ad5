"""What the receiving view needs to know of a source, kept in memory for a moment."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import structlog
from django.conf import settings
from django.db.models import Q

from incoming.masking import forms_of
from incoming.models import SchemaMode, Source
from incoming.providers import PROVIDERS, Answer, Provider, Secret
from webhooks_project.lib import clock
from webhooks_project.lib.keyring import CannotDecrypt
from webhooks_project.lib.ssrf import Network, parse_networks

log = structlog.get_logger(__name__)

FRESH_SECONDS: Final = 1.0  # how late the hub may notice that a source was changed
MAX_KNOWN: Final = 10_000


@dataclass(frozen=True, slots=True)
class KnownSource:
    """A source as the receiving view sees it. `secrets` are opened; each ends at its time.

    `options` has the secret ones too. `methods` are those of real calls; a handshake may come by
    others. `content_types` is empty for all that can be read. `schema` is None where its mode is
    off. `answer` is the source's own, None for the provider's. `never_kept` are the secrets that
    calls hold in clear, in every way they may be written.
    """

    id: UUID
    account_id: UUID
    provider: Provider
    url: str
    options: Mapping[str, str]
    secrets: tuple[tuple[Secret, datetime | None], ...]
    tolerance_seconds: int | None
    allowed_networks: tuple[Network, ...]
    methods: frozenset[str]
    content_types: frozenset[str]
    max_body_bytes: int
    rate_per_minute: int
    rate_per_minute_per_address: int
    answer: Answer | None
    schema: Any
    schema_mode: str
    dedup_fields: tuple[str, ...]
    dedup_window_seconds: int
    never_kept: tuple[bytes, ...]
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
    previous = Q(previous_token=token, previous_token_expires_at__gt=clock.now())
    source = Source.objects.prefetch_related("secrets").filter(Q(token=token) | previous).first()
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
    provider = PROVIDERS[source.provider]
    secrets, secret_options = _open_secrets(source)
    return KnownSource(
        id=source.pk,
        account_id=source.account_id,
        provider=provider,
        url=public_url_of(source),
        options={**source.options, **secret_options},
        secrets=secrets,
        tolerance_seconds=source.tolerance_seconds,
        allowed_networks=parse_networks(source.allowed_networks),
        methods=frozenset(source.methods) or provider.methods,
        content_types=frozenset(source.content_types),
        max_body_bytes=source.max_body_bytes,
        rate_per_minute=source.rate_per_minute,
        rate_per_minute_per_address=source.rate_per_minute_per_address,
        answer=_answer(source),
        schema=None if source.schema_mode == SchemaMode.OFF else source.schema,
        schema_mode=source.schema_mode,
        dedup_fields=tuple(source.dedup_fields),
        dedup_window_seconds=source.dedup_window_seconds,
        never_kept=_never_kept(provider, secrets, secret_options),
        disabled=source.disabled_at is not None,
        loaded_at=time.monotonic(),
    )


def options_of(source: Source) -> dict[str, str]:
    """The source's options, the secret ones too."""
    return {**source.options, **_open_secrets(source)[1]}


def _never_kept(
    provider: Provider,
    secrets: Iterable[tuple[Secret, datetime | None]],
    secret_options: Mapping[str, str],
) -> tuple[bytes, ...]:
    sent = [secret.value for secret, _ in secrets] if provider.sends_secret else []
    forms = forms_of([*sent, *secret_options.values()])
    return tuple(form.encode("utf-8", "surrogatepass") for form in forms)


def _answer(source: Source) -> Answer | None:
    if not (source.answer_status or source.answer_headers or source.answer_body):
        return None
    headers = {name: str(text) for name, text in source.answer_headers.items()}
    content_type = next(
        (headers.pop(name) for name in list(headers) if name.lower() == "content-type"),
        "text/plain; charset=utf-8",
    )
    return Answer(
        status=source.answer_status or 200,
        body=source.answer_body.encode(),
        content_type=content_type,
        headers=headers,
    )


def _open_secrets(
    source: Source,
) -> tuple[tuple[tuple[Secret, datetime | None], ...], dict[str, str]]:
    """What calls are signed with, and the options that are secret."""
    opened = []
    options = {}
    now = clock.now()
    for row in source.secrets.all():
        if not row.is_valid(now):
            continue
        try:
            if row.option:
                options[row.option] = row.secret
            else:
                opened.append((Secret(str(row.pk), row.secret), row.expires_at))
        except CannotDecrypt as error:
            log.error("source secret unreadable", secret=str(row.pk), error=str(error))
    return tuple(opened), options
