"""What one line of a job does, by the services that the API and the console call too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, NoReturn

import orjson
from django.db import models
from django.utils.dateparse import parse_datetime

from subscriptions import services
from subscriptions.bulk.files import FIELDS
from subscriptions.bulk.models import BulkJob, BulkLine
from subscriptions.errors import (
    EndpointNotAcceptable,
    EventTypeMalformed,
    StateNotAllowed,
    SubscriptionNotAcceptable,
)
from subscriptions.models import Subscription
from subscriptions.renewal import renew_subscription
from webhooks_project.lib.errors import DomainError

Action = BulkJob.Action
Outcome = BulkLine.Outcome
Status = Subscription.Status

MAX_EVENT_TYPES: Final = 200  # of one subscription
# Statuses that a new subscription of a file may have; active is what it gets by itself.
NEW_STATUSES: Final = (Status.ACTIVE, Status.PAUSED, Status.DISABLED)
# What each action makes of a status, and from which.
TURNS: Final[Mapping[str, tuple[Status, frozenset[Status]]]] = {
    Action.PAUSE: (Status.PAUSED, frozenset({Status.ACTIVE})),
    Action.RESUME: (Status.ACTIVE, Subscription.HOLDING),
    Action.DISABLE: (Status.DISABLED, frozenset({Status.ACTIVE, Status.PAUSED})),
    Action.ARCHIVE: (Status.ARCHIVED, frozenset(Status) - {Status.ARCHIVED}),
}


@dataclass(frozen=True)
class Result:
    """What became of a line. `changes` are {field: [before, after]}."""

    outcome: BulkLine.Outcome
    subscription: Subscription | None = None
    changes: dict[str, list[Any]] = field(default_factory=dict)
    secret: str = field(default="", repr=False)


def carry_out(job: BulkJob, line: BulkLine) -> Result:
    """Do the line. Raises DomainError where it is refused; then nothing was changed."""
    if job.action == Action.IMPORT:
        return _import(job, line)
    subscription = line.subscription
    if subscription is None:
        raise StateNotAllowed("the subscription is no more")
    subscription = Subscription.objects.get(pk=subscription.pk)
    if job.action == Action.ROTATE:
        return _rotate(subscription, job.settings)
    if job.action == Action.MOVE:
        keeps = bool(job.settings.get("keep_credentials"))
        return _change(subscription, _moved(subscription, job.settings), keep_credentials=keeps)
    return _turn(subscription, job)


def url_to_judge(job: BulkJob, line: BulkLine) -> str | None:
    """The URL that the line gives its subscription, where that is a new one."""
    present = line.subscription.url if line.subscription else ""
    if job.action == Action.IMPORT:
        url = line.document.get("url")
    elif job.action == Action.MOVE:
        url = moved_url(present, job.settings.get("url_from", ""), job.settings.get("url_to", ""))
    else:
        return None
    return url if isinstance(url, str) and url != present else None


def problems_of(error: DomainError) -> list[dict[str, str]]:
    """A refusal as {path, code, message} of each problem."""
    errors = error.extra.get("errors")
    if isinstance(errors, list):
        return [{name: str(item[name]) for name in ("path", "code", "message")} for item in errors]
    match error:
        case EndpointNotAcceptable():
            path = "/url"
        case EventTypeMalformed():
            path = "/event_types"
        case _:
            path = ""
    return [{"path": path, "code": error.code, "message": str(error)}]


# --- what a file says -----------------------------------------------------------------------------


def _import(job: BulkJob, line: BulkLine) -> Result:
    if line.unreadable:
        raise SubscriptionNotAcceptable(errors=line.unreadable)
    values = {name: _python_value(name, value) for name, value in line.document.items()}
    key, status = values.pop("id", None), values.pop("status", None)
    event_types = values.get("event_types")
    if event_types is not None and len(event_types) > MAX_EVENT_TYPES:
        _refuse("/event_types", "too_many", f"at most {MAX_EVENT_TYPES} are taken")
    if event_types == []:
        _refuse("/event_types", "required", "must have at least one")
    if key is None:
        return _create(job, values, status)
    if line.subscription is None:
        _refuse("/id", "does_not_exist", "the account has no such subscription")
    found = Subscription.objects.get(pk=line.subscription.pk)
    if status not in (None, found.status):
        _refuse("/status", "read_only", "is changed by pausing, resuming and the like")
    return _change(found, values)


def _create(job: BulkJob, values: dict[str, Any], status: str | None) -> Result:
    for name in ("name", "url", "event_types"):
        if name not in values:
            _refuse(f"/{name}", "required", "is needed for a new subscription")
    if status is not None and status not in NEW_STATUSES:
        _refuse("/status", "invalid_choice", f"a new one is {', '.join(NEW_STATUSES)}")
    made = services.create_subscription(account=job.account, **values)
    subscription = made.subscription
    if status not in (None, Status.ACTIVE):
        services.set_status(subscription=subscription, status=Status(status))
    changes = {name: [None, value] for name, value in values.items()}
    return Result(Outcome.CREATED, subscription, _as_json(changes), made.secret)


def _python_value(name: str, value: Any) -> Any:
    if isinstance(FIELDS.get(name), models.DateTimeField) and value is not None:
        return parse_datetime(value)
    return value


# --- what is done to those that are there ---------------------------------------------------------


def _change(
    subscription: Subscription, values: Mapping[str, Any], *, keep_credentials: bool = False
) -> Result:
    changes = {}
    for name, value in values.items():
        before = getattr(subscription, name)
        if not _is_same(name, before, value):
            changes[name] = [before, value]
    if not changes:
        return Result(Outcome.UNCHANGED, subscription)
    if subscription.status == Status.ARCHIVED:
        raise StateNotAllowed("an archived subscription stays as it is")
    values = {name: after for name, (_, after) in changes.items()}
    if "expires_at" in values:
        renew_subscription(subscription=subscription, expires_at=values.pop("expires_at"))
    if values:
        services.change_subscription(
            subscription=subscription, keep_credentials=keep_credentials, **values
        )
    return Result(Outcome.CHANGED, subscription, _as_json(changes))


def _is_same(name: str, before: Any, after: Any) -> bool:
    if name == "event_types":
        return set(before) == set(after)
    if isinstance(FIELDS[name], models.JSONField):  # where true and 1 are two things
        options = orjson.OPT_SORT_KEYS
        return orjson.dumps(before, option=options) == orjson.dumps(after, option=options)
    return bool(before == after)


def _rotate(subscription: Subscription, settings: Mapping[str, Any]) -> Result:
    if subscription.status == Status.ARCHIVED:
        raise StateNotAllowed("an archived subscription signs nothing")
    grace = timedelta(
        seconds=settings.get("grace_seconds", services.ROTATION_GRACE.total_seconds())
    )
    made = services.rotate_secret(subscription=subscription, grace=grace)
    return Result(Outcome.CHANGED, subscription, {}, made.secret)


def _turn(subscription: Subscription, job: BulkJob) -> Result:
    after, possible = TURNS[job.action]
    before = subscription.status
    if before == after:
        return Result(Outcome.UNCHANGED, subscription)
    if before not in possible:
        raise StateNotAllowed(f"cannot {job.action} a subscription that is {before}")
    services.set_status(
        subscription=subscription, status=after, reason=str(job.settings.get("reason", ""))
    )
    return Result(Outcome.CHANGED, subscription, {"status": [str(before), str(after)]})


def _moved(subscription: Subscription, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that a move sets, as they will be."""
    values: dict[str, Any] = {}
    url = moved_url(subscription.url, settings.get("url_from", ""), settings.get("url_to", ""))
    if url != subscription.url:
        values["url"] = url
    if settings.get("labels"):
        labels = {**subscription.labels, **settings["labels"]}
        values["labels"] = {name: text for name, text in labels.items() if text is not None}
    gone, added = settings.get("channels_remove", []), settings.get("channels_add", [])
    if gone or added:
        kept = [name for name in subscription.channels if name not in gone]
        values["channels"] = [*kept, *(name for name in added if name not in kept)]
        if subscription.channels and not values["channels"]:
            _refuse("/channels", "required", "none would be left, and none is all events")
    return values


def moved_url(url: str, before: str, after: str) -> str:
    """The URL with another beginning, where it has the one given: as a whole, so that
    `https://a.example` is no beginning of `https://a.example.net`."""
    if not before or not url.startswith(before):
        return url
    rest = url.removeprefix(before)
    if rest and rest[0] not in "/?" and before[-1] not in "/?=":
        return url
    return after + rest


def _as_json(changes: Mapping[str, list[Any]]) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(orjson.dumps(changes))
    return found


def _refuse(path: str, code: str, message: str) -> NoReturn:
    raise SubscriptionNotAcceptable(errors=[{"path": path, "code": code, "message": message}])
