"""What publishing reads of an account, for its generation: see accounts/generations.py.

Whatever `lookup` and `accounts/known_keys.py` read stands here. What the hub notes while it works,
such as that an endpoint fails, does not: it is written all the time and read by no publisher.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from django.db import connections

from subscriptions.models import EventSchema, EventType, SubscribedType, Subscription
from webhooks_project.accounts.generations import ACCOUNTS, TABLE, Watched, unwatch, watch
from webhooks_project.accounts.models import ApiKey

WATCHED: Final = (
    Watched(ACCOUNTS, ["unknown_event_types"], account="{row}.id"),
    Watched(
        ApiKey._meta.db_table,
        [
            "account_id", "name", "prefix", "secret_sha256", "scopes", "created_at", "expires_at",
            "revoked_at",
        ],
    ),
    Watched(
        EventType._meta.db_table,
        ["account_id", "name", "schema_mode", "deprecated_at", "successor_id", "archived_at"],
    ),
    Watched(
        EventSchema._meta.db_table,
        ["event_type_id", "version", "major", "minor", "schema", "downgrade"],
        account=f"(SELECT account_id FROM {EventType._meta.db_table} "  # noqa: S608 - our own name
        "WHERE id = {row}.event_type_id)",
    ),
    Watched(SubscribedType._meta.db_table, ["subscription_id", "account_id", "pattern"]),
    Watched(
        Subscription._meta.db_table,
        [
            "account_id", "status", "channels", "filter", "schema_versions", "is_limited",
            "ordering", "order_key",
        ],
    ),
)  # fmt: skip


def before_migrations(*, using: str, plan: Sequence[Any], **_: Any) -> None:
    """No table can be changed under triggers that name its columns."""
    if plan and _is_there(using):
        unwatch(connections[using])


def after_migrations(*, using: str, **_: Any) -> None:
    if _is_there(using):
        watch(connections[using], WATCHED)


def _is_there(using: str) -> bool:
    known = connections[using].introspection.table_names()
    return {TABLE, *(each.table for each in WATCHED)} <= set(known)
