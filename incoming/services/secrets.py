"""The secrets of a source, and its options that are secret."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet

from incoming.errors import StateNotAllowed
from incoming.models import Source, SourceSecret
from incoming.providers import PROVIDERS
from incoming.services.changes import lock_source
from incoming.sources import forget_sources, options_of
from monitoring import journal
from webhooks_project.lib import clock
from webhooks_project.lib.keyring import CannotDecrypt
from webhooks_project.lib.signing import new_secret

ROTATION_GRACE: Final = timedelta(hours=24)


@dataclass(frozen=True)
class NewSource:
    """A source just made, and its secret, shown once."""

    source: Source
    secret: str = field(repr=False)


@transaction.atomic
def rotate_source_secret(
    *, source: Source, secret: str | None = None, grace: timedelta = ROTATION_GRACE
) -> NewSource:
    """Take calls signed with a new secret, and with the old ones too for the grace at most."""
    lock_source(source)
    ends_at = clock.now() + grace
    old = _signing(source).filter(Q(expires_at=None) | Q(expires_at__gt=ends_at))
    old.update(expires_at=ends_at)
    text = secret or new_secret()
    SourceSecret.objects.create(source=source, secret=text)
    journal.record_change(
        account_id=source.account_id,
        action="source.secret_rotated",
        subject=source,
        after={"grace_seconds": grace.total_seconds()},
    )
    transaction.on_commit(forget_sources)
    return NewSource(source, text)


@transaction.atomic
def learn_secret(*, source_id: UUID, secret: str) -> None:
    """Keep the secret that a provider told in its handshake, where the source has none."""
    source = Source.objects.select_for_update(no_key=True).get(pk=source_id)
    if _signing(source).exists():
        return
    SourceSecret.objects.create(
        source=source, secret=secret, is_showable=PROVIDERS[source.provider].shows_learned_secret
    )
    journal.record_change(
        account_id=source.account_id, action="source.secret_learned", subject=source
    )
    transaction.on_commit(forget_sources)


@transaction.atomic
def show_learned_secret(*, source: Source) -> str:
    """The secret that the provider told, for the operator to enter there: once.

    Raises StateNotAllowed where there is none, where it was shown, and where it cannot be opened.
    """
    lock_source(source)
    row = _showable(source)
    if row is None:
        raise StateNotAllowed("there is no learned secret that has not been shown")
    try:
        text = row.secret
    except CannotDecrypt as error:
        raise StateNotAllowed("the learned secret cannot be opened") from error
    row.is_showable = False
    row.save(update_fields=["is_showable"])
    journal.record_change(
        account_id=source.account_id, action="source.learned_secret_shown", subject=source
    )
    return text


def has_showable_secret(source: Source) -> bool:
    """Whether the source has a learned secret that was not shown yet. Reads `source.secrets`."""
    return _showable(source) is not None


def secrets_expire_at(source: Source) -> datetime | None:
    """When the last secret that calls may be signed with ends. Reads `source.secrets`.

    None where one of them has no end, and where there is none.
    """
    now = clock.now()
    ends = [row.expires_at for row in source.secrets.all() if not row.option and row.is_valid(now)]
    known = [moment for moment in ends if moment is not None]
    return max(known) if known and len(known) == len(ends) else None


def secret_options_set(source: Source) -> list[str]:
    """The names of the secret options that the source has. Reads `source.secrets`."""
    now = clock.now()
    return sorted({row.option for row in source.secrets.all() if row.option and row.is_valid(now)})


def shown_options(source: Source) -> dict[str, str]:
    """The source's options without the secret ones."""
    return {name: text for name, text in source.options.items() if name not in secret_names(source)}


def _signing(source: Source) -> QuerySet[SourceSecret]:
    """What calls are or were signed with."""
    return source.secrets.filter(option="")


def _showable(source: Source) -> SourceSecret | None:
    now = clock.now()
    rows = (row for row in source.secrets.all() if row.is_showable and not row.option)
    return next((row for row in rows if row.is_valid(now)), None)


def secret_names(source: Source) -> Collection[str]:
    """The names of the options that its provider holds to be secret."""
    provider = PROVIDERS.get(source.provider)
    return provider.secret_options if provider is not None else ()


def take_secret_options(source: Source, given: object) -> dict[str, Any]:
    """Move the secret options out of the source's own."""
    if not isinstance(given, Mapping):
        return {}
    source.options = {
        name: text for name, text in given.items() if name not in secret_names(source)
    }
    return {name: text for name, text in given.items() if name in secret_names(source)}


def options_with(options: Any, secret_options: Mapping[str, Any]) -> Any:
    """The options as the provider will see them: without the secret ones that are being removed."""
    if not isinstance(options, Mapping):
        return options
    return {**options, **{name: text for name, text in secret_options.items() if text != ""}}


def keep_secret_options(source: Source, given: Mapping[str, str]) -> dict[str, list[str]]:
    """Keep those that are new. One that was replaced ends now, so that it stays masked in what was
    received. Returns what the audit may tell."""
    now = clock.now()
    known = options_of(source)
    changed = {name: text for name, text in given.items() if text != known.get(name, "")}
    if not changed:
        return {}
    source.secrets.filter(option__in=changed).filter(
        Q(expires_at=None) | Q(expires_at__gt=now)
    ).update(expires_at=now)
    SourceSecret.objects.bulk_create(
        SourceSecret(source=source, option=name, secret=text)
        for name, text in changed.items()
        if text
    )
    return {"secret_options_changed": sorted(changed)}
