"""How the hub connects to each kind of database."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ImproperlyConfigured


def with_options(database: dict[str, Any], *, synchronous: str) -> dict[str, Any]:
    """A database as its URL says, as Django's settings have it, with what the hub needs of it.

    `synchronous` is SQLite's, and counts for nothing else.
    """
    # A connection made anew for each request or task costs more than the work itself.
    database["CONN_MAX_AGE"] = None
    if database["ENGINE"].endswith("sqlite3"):
        database["ENGINE"] = "webhooks_project.sqlite"
        # As it is by itself; but the runner of tests knows Django's own backend alone by name.
        database["TEST"] = {"NAME": ":memory:"}
        # FULL: a 2xx means committed, also through a power cut. IMMEDIATE: a transaction that will
        # write waits for its turn at the start instead of failing in the middle.
        if synchronous not in ("FULL", "NORMAL", "EXTRA"):
            raise ImproperlyConfigured("SQLITE_SYNCHRONOUS is FULL, NORMAL or EXTRA")
        database["OPTIONS"] = {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": f"PRAGMA journal_mode=WAL; PRAGMA synchronous={synchronous};"
            " PRAGMA temp_store=MEMORY; PRAGMA mmap_size=134217728;",
        }
    else:
        database["ENGINE"] = "webhooks_project.postgresql"
        database["CONN_HEALTH_CHECKS"] = True
    return database
