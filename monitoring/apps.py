from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.db import connections
from django.db.models.signals import post_migrate


class MonitoringConfig(AppConfig):
    name = "monitoring"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        post_migrate.connect(protect_the_audit_chain, sender=self)


def protect_the_audit_chain(*, using: str, **_: Any) -> None:
    """Make the triggers anew that a migration may have taken along with a table."""
    from monitoring.protection import TABLES, protect

    connection = connections[using]
    if set(TABLES) <= set(connection.introspection.table_names()):
        protect(connection)
