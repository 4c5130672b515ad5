"""What is done with sources and receipts. Each function is one transaction and is audited."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import transaction

from incoming.errors import SourceNotAcceptable, StateNotAllowed
from incoming.models import Receipt, Route, Source, SourceSecret
from incoming.process import event_type_of
from incoming.providers import PROVIDERS
from incoming.sources import forget_sources
from incoming.tokens import new_token
from monitoring import journal
from subscriptions.matching import is_event_type
from webhooks_project.accounts.models import Account
from webhooks_project.lib import clock
from webhooks_project.lib.signing import new_secret
from webhooks_project.queues import wake

ROTATION_GRACE: Final = timedelta(hours=24)

CHANGEABLE: Final = (
    "name",
    "options",
    "public_url",
    "tolerance_seconds",
    "allowed_networks",
    "max_body_bytes",
    "rate_per_minute",
    "rate_per_minute_per_address",
)


@dataclass(frozen=True)
class NewSource:
    """A source just made, and its secret, shown once."""

    source: Source
    secret: str = field(repr=False)


@transaction.atomic
def create_source(
    *,
    account: Account,
    name: str,
    provider: str,
    secret: str | None = None,
    routes: Sequence[Mapping[str, Any]] = ({},),
    **settings: Any,
) -> NewSource:
    """Make a source with a fresh ingest URL, a secret (its own or the one given) and its routes.

    No secret is made for a provider that tells its own when it first calls. By default one route
    publishes every receipt as `{provider}.{type}`. Raises SourceNotAcceptable, naming the fields.
    """
    source = Source(account=account, name=name, provider=provider, **settings)
    _check(source)
    source.save(force_insert=True)
    text = secret or ("" if PROVIDERS[provider].learns_secret else new_secret())
    if text:
        SourceSecret.objects.create(source=source, secret=text)
    for position, route in enumerate(routes):
        made = Route(source=source, position=position, **route)
        _check_route(made)
        made.save(force_insert=True)
    journal.record_change(
        account_id=account.pk, action="source.created", subject=source, after=_shown(source)
    )
    return NewSource(source, text)


@transaction.atomic
def change_source(*, source: Source, **changes: Any) -> Source:
    """Change the named fields (those of CHANGEABLE). Raises SourceNotAcceptable."""
    before = _shown(source)
    for name, value in changes.items():
        setattr(source, name, value)
    _check(source)
    source.save(update_fields=list(changes))
    journal.record_change(
        account_id=source.account_id,
        action="source.changed",
        subject=source,
        before=before,
        after=_shown(source),
    )
    transaction.on_commit(forget_sources)
    return source


@transaction.atomic
def set_source_enabled(*, source: Source, enabled: bool) -> Source:
    """Take calls, or refuse them all with `source_disabled`."""
    source.disabled_at = None if enabled else clock.now()
    source.save(update_fields=["disabled_at"])
    journal.record_change(
        account_id=source.account_id,
        action="source.enabled" if enabled else "source.disabled",
        subject=source,
    )
    transaction.on_commit(forget_sources)
    return source


@transaction.atomic
def rotate_source_secret(
    *, source: Source, secret: str | None = None, grace: timedelta = ROTATION_GRACE
) -> NewSource:
    """Take calls signed with a new secret, and with the old ones too for the grace."""
    now = clock.now()
    source.secrets.filter(expires_at=None).update(expires_at=now + grace)
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
def rotate_token(*, source: Source) -> Source:
    """Give the source another ingest URL; the old one is unknown from now on."""
    source.token = new_token()
    source.save(update_fields=["token"])
    journal.record_change(
        account_id=source.account_id, action="source.token_rotated", subject=source
    )
    transaction.on_commit(forget_sources)
    return source


@transaction.atomic
def learn_secret(*, source_id: UUID, secret: str) -> None:
    """Keep the secret that a provider told in its handshake, where the source has none."""
    source = Source.objects.select_for_update().get(pk=source_id)
    if source.secrets.exists():
        return
    SourceSecret.objects.create(source=source, secret=secret)
    journal.record_change(
        account_id=source.account_id, action="source.secret_learned", subject=source
    )
    transaction.on_commit(forget_sources)


@transaction.atomic
def reprocess_receipt(*, receipt: Receipt) -> Receipt:
    """Process a failed or dead receipt again, by the verdict it got on arrival.

    Raises StateNotAllowed for a receipt that is not failed or dead.
    """
    again = [Receipt.Status.FAILED, Receipt.Status.DEAD]
    if not Receipt.objects.filter(pk=receipt.pk, status__in=again).update(
        status=Receipt.Status.ACCEPTED, attempt_count=0, next_attempt_at=clock.now(), detail=""
    ):
        raise StateNotAllowed("only a failed or dead receipt can be processed again")
    journal.record_change(
        account_id=receipt.account_id, action="receipt.reprocessed", subject=receipt
    )
    transaction.on_commit(lambda: wake("processing"))
    receipt.refresh_from_db()
    return receipt


@transaction.atomic
def add_route(*, source: Source, **fields: Any) -> Route:
    """Let receipts of the source become events. Raises SourceNotAcceptable."""
    route = Route(source=source, **fields)
    _check_route(route)
    route.save(force_insert=True)
    journal.record_change(
        account_id=source.account_id,
        action="source.route_added",
        subject=source,
        after=_shown_route(route),
    )
    return route


@transaction.atomic
def change_route(*, route: Route, **changes: Any) -> Route:
    """Change the named fields, for receipts processed from now on. Raises SourceNotAcceptable."""
    before = _shown_route(route)
    for name, value in changes.items():
        setattr(route, name, value)
    _check_route(route)
    route.save(update_fields=list(changes))
    journal.record_change(
        account_id=route.source.account_id,
        action="source.route_changed",
        subject=route.source,
        before=before,
        after=_shown_route(route),
    )
    return route


@transaction.atomic
def delete_route(*, route: Route) -> None:
    """Publish no more events by it; those it has published stay."""
    journal.record_change(
        account_id=route.source.account_id,
        action="source.route_deleted",
        subject=route.source,
        before=_shown_route(route),
    )
    route.delete()


def _check_route(route: Route) -> None:
    filled = event_type_of(route.event_type, provider=route.source.provider, type_="type")
    if not is_event_type(filled):
        raise SourceNotAcceptable(
            f"{route.event_type!r} makes no event type",
            fields={"event_type": [f"{filled!r} is no event type; such are dotted names"]},
        )


def _shown_route(route: Route) -> dict[str, Any]:
    return {
        "route": route.pk,
        "position": route.position,
        "type_pattern": route.type_pattern,
        "event_type": route.event_type,
        "disabled_at": route.disabled_at,
    }


def _check(source: Source) -> None:
    try:
        source.full_clean(exclude=["account"])
    except ValidationError as error:
        raise SourceNotAcceptable(
            "the source is not acceptable", fields=error.message_dict
        ) from error


def _shown(source: Source) -> dict[str, Any]:
    return {
        "provider": source.provider,
        "disabled_at": source.disabled_at,
        **{name: getattr(source, name) for name in CHANGEABLE},
    }
