"""Whether anything was written at all."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.db import connection

APPS = ("accounts", "subscriptions", "outgoing", "incoming", "monitoring", "analytics")


def everything() -> dict[str, list[Any]]:
    """Every row of the hub's own tables; what a call may always write is left out."""
    found = {}
    for label in APPS:
        for model in apps.get_app_config(label).get_models():
            columns = [
                connection.ops.quote_name(item.column)
                for item in model._meta.concrete_fields
                if item.name not in ("last_used_at", "last_login")
            ]
            table = connection.ops.quote_name(model._meta.db_table)
            with connection.cursor() as cursor:
                cursor.execute(f"SELECT {', '.join(columns)} FROM {table} ORDER BY 1")
                found[model._meta.label] = [
                    [bytes(value) if isinstance(value, memoryview) else value for value in row]
                    for row in cursor.fetchall()
                ]
    return found
