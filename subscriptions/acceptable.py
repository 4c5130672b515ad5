"""What a subscription may be. Every problem names its field and has a code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from subscriptions.matching import is_event_type
from subscriptions.models import Subscription
from subscriptions.security import FIELDS as SECURITY
from webhooks_project import acceptable
from webhooks_project.acceptable import Checks, Problem, condition, expression, listed, problems_of
from webhooks_project.lib.backoff import parse_schedule
from webhooks_project.lib.faults import Fault
from webhooks_project.lib.filters import FilterNotAcceptable, values_at
from webhooks_project.lib.json_schema import escaped
from webhooks_project.lib.statuses import parse_statuses
from webhooks_project.lib.windows import parse_window

FILTER_ROOTS: Final = ("data", "type", "channels", "headers", "metadata")
MAX_CHANNELS: Final = 50
MAX_FACTS: Final = 50  # of metadata, of labels and of variables
MAX_VARIABLE_LENGTH: Final = 1_000  # characters
MAX_PINNED_TYPES: Final = 200
MAX_RATE: Final = 100_000  # attempts in a period
MAX_IN_FLIGHT: Final = 1_000
MAX_BATCH: Final = 1_000  # events in one POST
MAX_BATCH_SECONDS: Final = 3_600
MAX_RETRY_AGE_SECONDS: Final = 90 * 24 * 3600
MAX_CHECK_MINUTES: Final = 1_440

_CHANNEL = re.compile(r"[A-Za-z0-9_.:/-]{1,128}", re.ASCII)


def is_channel(text: str) -> bool:
    """Whether the text names a channel: 1 to 128 letters, digits, `_`, `.`, `:`, `/` and `-`."""
    return _CHANNEL.fullmatch(text) is not None


def subscription_problems(row: Subscription) -> list[Problem]:
    """What is wrong with a subscription, save its URL, which is looked up, and its secrets."""
    checks: Checks = {
        "metadata": lambda: _facts(row.metadata, 500),
        "labels": lambda: _facts(row.labels, 128),
        "channels": lambda: listed(row.channels, MAX_CHANNELS, _channel),
        "filter": lambda: condition(row.filter, roots=FILTER_ROOTS),
        "transformation": lambda: expression(row.transformation),
        "variables": lambda: _facts(row.variables, MAX_VARIABLE_LENGTH),
        "schema_versions": lambda: _schema_versions(row.schema_versions),
        "timeout_seconds": lambda: _between(row.timeout_seconds, 1, 60),
        "max_in_flight": lambda: _between(row.max_in_flight, 1, MAX_IN_FLIGHT),
        "rate_limit": lambda: _between(row.rate_limit, 1, MAX_RATE),
        "order_key": lambda: _order_key(row),
        "batch_size": lambda: _batch_size(row),
        "batch_seconds": lambda: _between(row.batch_seconds, 0, MAX_BATCH_SECONDS),
        "retry_schedule": lambda: _retry_schedule(row),
        "retry_max_age_seconds": lambda: _between(
            row.retry_max_age_seconds, 1, MAX_RETRY_AGE_SECONDS
        ),
        "retry_statuses": lambda: _retry_statuses(row.retry_statuses),
        "delivery_window": lambda: _delivery_window(row.delivery_window),
        "health_check_minutes": lambda: _between(row.health_check_minutes, 1, MAX_CHECK_MINUTES),
    }
    return problems_of(row, checks, unjudged={"account", "url", *SECURITY})


def _facts(value: object, text_length: int) -> Iterator[Problem]:
    return acceptable.texts_by_name(value, limit=MAX_FACTS, name_length=64, text_length=text_length)


def _channel(text: str) -> Problem | None:
    if is_channel(text):
        return None
    return Problem("invalid_channel", f"{text[:64]!r} is no channel: letters, digits and _.:/-")


def _between(value: int | None, lowest: int, highest: int) -> Iterator[Problem]:
    if value is not None and not lowest <= value <= highest:
        yield Problem("out_of_range", f"must be from {lowest} to {highest:,}")


def _schema_versions(value: object) -> Iterator[Problem]:
    if not isinstance(value, dict):
        yield Problem("not_a_mapping", "must be a mapping of event types to major versions")
        return
    if len(value) > MAX_PINNED_TYPES:
        yield Problem("too_many", f"at most {MAX_PINNED_TYPES} are taken")
    for name, major in value.items():
        pointer = f"/{escaped(str(name)[:130])}"
        if not is_event_type(str(name)):
            yield Problem("event_type_malformed", "is no event type", pointer=pointer)
        elif type(major) is not int or not 1 <= major <= 10_000:
            yield Problem("out_of_range", "must be a major version, from 1", pointer=pointer)


def _order_key(row: Subscription) -> Iterator[Problem]:
    if not row.order_key:
        return
    if row.ordering == Subscription.Ordering.NONE:
        yield Problem("not_ordered", "has a meaning only where the ordering is strict")
        return
    try:
        values_at({}, row.order_key)
    except FilterNotAcceptable as error:
        yield Problem(error.reason, str(error))
        return
    if row.order_key.split(".", 1)[0] not in FILTER_ROOTS:
        yield Problem("unknown_root", f"a path starts with one of {', '.join(FILTER_ROOTS)}")


def _batch_size(row: Subscription) -> Iterator[Problem]:
    yield from _between(row.batch_size, 1, MAX_BATCH)
    if row.batch_size > 1 and row.payload_form == Subscription.PayloadForm.CLOUDEVENTS_BINARY:
        yield Problem("no_batches", "CloudEvents in the binary form cannot be sent in batches")


def _retry_schedule(row: Subscription) -> Iterator[Problem]:
    schedule: Any = row.retry_schedule
    is_custom = row.retry_policy == Subscription.RetryPolicy.CUSTOM
    try:
        parse_schedule(schedule)
    except Fault as fault:
        yield Problem(fault.code, fault.message, pointer=fault.path)
        return
    if is_custom and not schedule:
        yield Problem("required", "is needed for a custom policy")
    elif schedule and not is_custom:
        yield Problem("not_custom", "has a meaning only with the custom policy")


def _retry_statuses(text: str) -> Iterator[Problem]:
    if not text:
        return
    try:
        parse_statuses(text)
    except ValueError as error:
        yield Problem("invalid_statuses", str(error))


def _delivery_window(document: object) -> Iterator[Problem]:
    if document is None:
        return
    try:
        parse_window(document)
    except (ValueError, TypeError) as error:
        yield Problem("invalid_window", str(error))
