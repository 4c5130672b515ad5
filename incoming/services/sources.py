"""What is done with a source. Each function is one transaction and is audited."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from django.db import transaction

from incoming.acceptable import MAX_ROUTES, source_problems
from incoming.models import Source, SourceSecret
from incoming.providers import PROVIDERS
from incoming.services.changes import check, check_names, lock_source
from incoming.services.routes import make_route, too_many_routes
from incoming.services.secrets import (
    ROTATION_GRACE,
    NewSource,
    keep_secret_options,
    options_with,
    secret_names,
    secret_options_set,
    shown_options,
    take_secret_options,
)
from incoming.sources import forget_sources, options_of
from incoming.tokens import new_token
from monitoring import journal
from webhooks_project.accounts.models import Account
from webhooks_project.lib import clock
from webhooks_project.lib.signing import new_secret

CHANGEABLE: Final = (
    "name",
    "options",
    "public_url",
    "tolerance_seconds",
    "allowed_networks",
    "methods",
    "content_types",
    "max_body_bytes",
    "rate_per_minute",
    "rate_per_minute_per_address",
    "answer_status",
    "answer_headers",
    "answer_body",
    "schema",
    "schema_mode",
    "dedup_fields",
    "dedup_window_seconds",
    "transformation",
)


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
    publishes every receipt as `{provider}.{type}`. `settings` are those of CHANGEABLE; `options`
    may hold secret ones, which are kept as secrets. Raises SourceNotAcceptable, naming the fields.
    """
    check_names(settings, CHANGEABLE)
    source = Source(account=account, name=name, provider=provider, **settings)
    given = take_secret_options(source, settings.get("options"))
    check(source_problems(source, options_with(source.options, given)))
    source.save(force_insert=True)
    text = secret or ("" if PROVIDERS[provider].learns_secret else new_secret())
    if text:
        SourceSecret.objects.create(source=source, secret=text)
    keep_secret_options(source, given)
    if len(routes) > MAX_ROUTES:
        raise too_many_routes()
    for position, route in enumerate(routes):
        make_route(source, {"position": position, **route})
    journal.record_change(
        account_id=account.pk, action="source.created", subject=source, after=_shown(source)
    )
    return NewSource(source, text)


@transaction.atomic
def change_source(*, source: Source, **changes: Any) -> Source:
    """Change the named fields (those of CHANGEABLE). Raises SourceNotAcceptable.

    Secret options among `options` are kept as secrets: an empty text removes one, and one that is
    left out stays. The other options become exactly those given.
    """
    check_names(changes, CHANGEABLE)
    lock_source(source)
    before = _shown(source)
    known = {
        name: text for name, text in options_of(source).items() if name in secret_names(source)
    }
    for name, value in changes.items():
        setattr(source, name, value)
    given = take_secret_options(source, changes.get("options"))
    check(source_problems(source, options_with(source.options, known | given)))
    source.save(update_fields=list(changes))
    told = keep_secret_options(source, given)
    after = _shown(source)
    journal.record_change(
        account_id=source.account_id,
        action="source.changed",
        subject=source,
        before={name: value for name, value in before.items() if value != after[name]},
        after={name: value for name, value in after.items() if value != before[name]} | told,
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
def rotate_token(*, source: Source, grace: timedelta = ROTATION_GRACE) -> Source:
    """Give the source another ingest URL; the old one counts too for the grace.

    One old URL counts at a time: with a second rotation the first URL is unknown at once. Without
    a grace the old one is unknown from now on.
    """
    lock_source(source)
    source.previous_token = source.token if grace else None
    source.previous_token_expires_at = clock.now() + grace if grace else None
    source.token = new_token()
    source.save(update_fields=["token", "previous_token", "previous_token_expires_at"])
    journal.record_change(
        account_id=source.account_id,
        action="source.token_rotated",
        subject=source,
        after={"grace_seconds": grace.total_seconds()},
    )
    transaction.on_commit(forget_sources)
    return source


def _shown(source: Source) -> dict[str, Any]:
    return {
        "provider": source.provider,
        "disabled_at": source.disabled_at,
        **{name: getattr(source, name) for name in CHANGEABLE},
        "options": shown_options(source),
        "secret_options": secret_options_set(source),
    }
