"""What is done with sources and receipts. Each function is one transaction and is audited."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.db import transaction
from django.db.models import Count, F, Max, Q, QuerySet

from incoming.acceptable import MAX_ROUTES, Problem, route_problems, source_problems
from incoming.errors import SourceNotAcceptable, StateNotAllowed
from incoming.models import HandlerRun, Receipt, Route, Source, SourceSecret
from incoming.providers import PROVIDERS
from incoming.runs import follow_runs, lock_receipt
from incoming.sources import forget_sources, options_of
from incoming.tokens import new_token
from monitoring import journal
from webhooks_project.accounts.models import Account
from webhooks_project.lib import clock
from webhooks_project.lib.keyring import CannotDecrypt
from webhooks_project.lib.signing import new_secret
from webhooks_project.queues import wake

ROTATION_GRACE: Final = timedelta(hours=24)
AGAIN: Final = (HandlerRun.Status.FAILED, HandlerRun.Status.DEAD)  # what a person may run again

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
ROUTE_FIELDS: Final = (
    "type_pattern",
    "condition",
    "action",
    "event_type",
    "expression",
    "handler",
    "recipients",
    "message",
    "is_last",
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
    publishes every receipt as `{provider}.{type}`. `settings` are those of CHANGEABLE; `options`
    may hold secret ones, which are kept as secrets. Raises SourceNotAcceptable, naming the fields.
    """
    _check_names(settings, CHANGEABLE)
    source = Source(account=account, name=name, provider=provider, **settings)
    given = _take_secret_options(source, settings.get("options"))
    _check(source_problems(source, _merged(source.options, given)))
    source.save(force_insert=True)
    text = secret or ("" if PROVIDERS[provider].learns_secret else new_secret())
    if text:
        SourceSecret.objects.create(source=source, secret=text)
    _keep_secret_options(source, given)
    if len(routes) > MAX_ROUTES:
        raise _too_many_routes()
    for position, route in enumerate(routes):
        _add_route(source, {"position": position, **route})
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
    _check_names(changes, CHANGEABLE)
    _lock(source)
    before = _shown(source)
    known = {name: text for name, text in options_of(source).items() if name in _secret(source)}
    for name, value in changes.items():
        setattr(source, name, value)
    given = _take_secret_options(source, changes.get("options"))
    _check(source_problems(source, _merged(source.options, known | given)))
    source.save(update_fields=list(changes))
    told = _keep_secret_options(source, given)
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


# --- secrets and URL ------------------------------------------------------------------------------


@transaction.atomic
def rotate_source_secret(
    *, source: Source, secret: str | None = None, grace: timedelta = ROTATION_GRACE
) -> NewSource:
    """Take calls signed with a new secret, and with the old ones too for the grace."""
    _lock(source)
    _signing(source).filter(expires_at=None).update(expires_at=clock.now() + grace)
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
def rotate_token(*, source: Source, grace: timedelta = ROTATION_GRACE) -> Source:
    """Give the source another ingest URL; the old one counts too for the grace.

    One old URL counts at a time: with a second rotation the first URL is unknown at once. Without
    a grace the old one is unknown from now on.
    """
    _lock(source)
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
    _lock(source)
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
    return {name: text for name, text in source.options.items() if name not in _secret(source)}


# --- receipts -------------------------------------------------------------------------------------


@transaction.atomic
def reprocess_receipt(*, receipt: Receipt) -> Receipt:
    """Process a failed or dead receipt again, by the verdict it got on arrival, as if for the
    first time.

    Where its routes were followed already, its handlers that failed or are dead run again, and
    nothing else does. Raises StateNotAllowed for a receipt that is not failed or dead, and for one
    whose body was pruned.
    """
    row = _lock_for_another_try(receipt.pk)
    if row.status not in (Receipt.Status.FAILED, Receipt.Status.DEAD):
        raise StateNotAllowed("only a failed or dead receipt can be processed again")
    now = clock.now()
    if row.routed_at is None:
        Receipt.objects.filter(pk=row.pk).update(
            status=Receipt.Status.ACCEPTED,
            attempt_count=0,
            next_attempt_at=now,
            cause="",
            detail="",
        )
    else:
        row.runs.filter(round=row.round, status__in=AGAIN).again(now)
        follow_runs(row)
    journal.record_change(
        account_id=receipt.account_id, action="receipt.reprocessed", subject=receipt
    )
    transaction.on_commit(lambda: wake("processing"))
    receipt.refresh_from_db()
    return receipt


@transaction.atomic
def rerun(*, run: HandlerRun) -> HandlerRun:
    """Put a dead or failed run back in line, with all its tries before it.

    Raises StateNotAllowed for any other, for one of an earlier round, since the replay has runs of
    its own, and where the receipt's body was pruned.
    """
    receipt = _lock_for_another_try(run.receipt_id)
    if run.round != receipt.round:
        raise StateNotAllowed("the receipt was replayed since; run the handler of that round again")
    if not HandlerRun.objects.filter(pk=run.pk, status__in=AGAIN).again(clock.now()):
        raise StateNotAllowed("only a failed or dead run can be run again")
    follow_runs(receipt)
    journal.record_change(
        account_id=run.account_id,
        action="handler.rerun",
        subject=run,
        after={"handler": run.handler, "receipt": run.receipt_id},
    )
    transaction.on_commit(lambda: wake("processing"))
    run.refresh_from_db()
    return run


def _lock_for_another_try(receipt_id: UUID) -> Receipt:
    receipt = lock_receipt(receipt_id)
    if receipt.body_pruned_at is not None:
        raise StateNotAllowed("the receipt's body was pruned")
    return receipt


@transaction.atomic
def release_quarantined(*, receipt: Receipt) -> Receipt:
    """Process a quarantined receipt after all. Raises StateNotAllowed for another."""
    _end_quarantine(receipt, "receipt.released", next_attempt_at=clock.now(), cause="")
    transaction.on_commit(lambda: wake("processing"))
    return receipt


@transaction.atomic
def drop_quarantined(*, receipt: Receipt) -> Receipt:
    """Refuse a quarantined receipt: it is kept, and nothing follows. Raises StateNotAllowed for
    another."""
    _end_quarantine(receipt, "receipt.dropped", status=Receipt.Status.REFUSED, is_counted=True)
    Source.objects.filter(pk=receipt.source_id).update(accepted_count=F("accepted_count") + 1)
    return receipt


def _end_quarantine(receipt: Receipt, action: str, **changes: Any) -> None:
    waiting = Receipt.objects.filter(
        pk=receipt.pk, status=Receipt.Status.ACCEPTED, quarantined_at__isnull=False
    )
    if not waiting.update(quarantined_at=None, **changes):
        raise StateNotAllowed("the receipt is not quarantined")
    journal.record_change(account_id=receipt.account_id, action=action, subject=receipt)
    receipt.refresh_from_db()


# --- routes ---------------------------------------------------------------------------------------


@transaction.atomic
def add_route(*, source: Source, **fields: Any) -> Route:
    """Let something follow receipts of the source: after its other routes, where no position is
    given. Raises SourceNotAcceptable."""
    _lock(source)
    routes = source.routes.aggregate(last=Max("position"), count=Count("pk"))
    if routes["count"] >= MAX_ROUTES:
        raise _too_many_routes()
    position = 0 if routes["last"] is None else routes["last"] + 1
    route = _add_route(source, {"position": position, **fields})
    journal.record_change(
        account_id=source.account_id,
        action="source.route_added",
        subject=source,
        after=_shown_route(route),
    )
    return route


@transaction.atomic
def change_route(*, route: Route, **changes: Any) -> Route:
    """Change the named fields (those of ROUTE_FIELDS, `position`, `disabled_at`), for receipts
    processed from now on. Raises SourceNotAcceptable."""
    _check_names(changes, (*ROUTE_FIELDS, "position", "disabled_at"))
    route.refresh_from_db(from_queryset=Route.objects.select_for_update(no_key=True))
    before = _shown_route(route)
    for name, value in changes.items():
        setattr(route, name, value)
    _check(route_problems(route), "the route is not acceptable")
    route.save(update_fields=list(changes))
    journal.record_change(
        account_id=route.source.account_id,
        action="source.route_changed",
        subject=route.source,
        before=before,
        after=_shown_route(route),
    )
    return route


def set_route_enabled(*, route: Route, enabled: bool) -> Route:
    """Follow the route, or pass it over."""
    return change_route(route=route, disabled_at=None if enabled else clock.now())


@transaction.atomic
def delete_route(*, route: Route) -> None:
    """Let nothing follow by it any more; what has followed stays."""
    journal.record_change(
        account_id=route.source.account_id,
        action="source.route_deleted",
        subject=route.source,
        before=_shown_route(route),
    )
    route.delete()


@transaction.atomic
def reorder_routes(*, source: Source, routes: Sequence[UUID]) -> list[Route]:
    """Follow the source's routes in this order. `routes` are the keys of all of them.

    Raises SourceNotAcceptable where one is missing, unknown or there twice.
    """
    _lock(source)
    known = {route.pk: route for route in source.routes.all()}
    if len(routes) != len(known) or set(routes) != set(known):
        problem = Problem("not_all_routes", "must name each of the routes once", field="routes")
        _check([problem], "the order is not acceptable")
    before = list(known)
    ordered = [known[key] for key in routes]
    for position, route in enumerate(ordered):
        route.position = position
    Route.objects.bulk_update(ordered, ["position"])
    journal.record_change(
        account_id=source.account_id,
        action="source.routes_reordered",
        subject=source,
        before={"routes": before},
        after={"routes": list(routes)},
    )
    return ordered


def _add_route(source: Source, fields: Mapping[str, Any]) -> Route:
    _check_names(fields, (*ROUTE_FIELDS, "position", "disabled_at"))
    route = Route(source=source, **fields)
    _check(route_problems(route), "the route is not acceptable")
    route.save(force_insert=True)
    return route


def _too_many_routes() -> SourceNotAcceptable:
    return _not_acceptable(
        [Problem("too_many", f"a source has at most {MAX_ROUTES} routes", field="routes")],
        "the source has too many routes",
    )


def _shown_route(route: Route) -> dict[str, Any]:
    return {
        "route": route.pk,
        "position": route.position,
        **{name: getattr(route, name) for name in ROUTE_FIELDS},
        "disabled_at": route.disabled_at,
    }


# --- what they share ------------------------------------------------------------------------------


def _lock(source: Source) -> None:
    """Read the source anew, and hold it: for a change only, so that receipts are still stored."""
    source.refresh_from_db(from_queryset=Source.objects.select_for_update(no_key=True))


def _check_names(given: Mapping[str, Any], known: Sequence[str]) -> None:
    if unknown := set(given) - set(known):
        raise TypeError(f"not changeable: {', '.join(sorted(unknown))}")


def _check(problems: Sequence[Problem], message: str = "") -> None:
    if problems:
        raise _not_acceptable(problems, message)


def _not_acceptable(problems: Sequence[Problem], message: str) -> SourceNotAcceptable:
    return SourceNotAcceptable(
        message,
        fields={problem.field: [problem.message] for problem in problems},
        errors=[
            {
                "path": f"/{problem.field}{problem.pointer}",
                "code": problem.code,
                "message": problem.message,
            }
            for problem in problems
        ],
    )


def _signing(source: Source) -> QuerySet[SourceSecret]:
    """What calls are or were signed with."""
    return source.secrets.filter(option="")


def _showable(source: Source) -> SourceSecret | None:
    now = clock.now()
    rows = (row for row in source.secrets.all() if row.is_showable and not row.option)
    return next((row for row in rows if row.is_valid(now)), None)


def _secret(source: Source) -> Collection[str]:
    """The names of the options that its provider holds to be secret."""
    provider = PROVIDERS.get(source.provider)
    return provider.secret_options if provider is not None else ()


def _take_secret_options(source: Source, given: object) -> dict[str, Any]:
    """Move the secret options out of the source's own."""
    if not isinstance(given, Mapping):
        return {}
    source.options = {name: text for name, text in given.items() if name not in _secret(source)}
    return {name: text for name, text in given.items() if name in _secret(source)}


def _merged(options: Any, secret_options: Mapping[str, Any]) -> Any:
    """The options as the provider will see them: without the secret ones that are being removed."""
    if not isinstance(options, Mapping):
        return options
    return {**options, **{name: text for name, text in secret_options.items() if text != ""}}


def _keep_secret_options(source: Source, given: Mapping[str, str]) -> dict[str, list[str]]:
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


def _shown(source: Source) -> dict[str, Any]:
    return {
        "provider": source.provider,
        "disabled_at": source.disabled_at,
        **{name: getattr(source, name) for name in CHANGEABLE},
        "options": shown_options(source),
        "secret_options": secret_options_set(source),
    }
