"""A scratch hub: settings, keys and a database of its own, gone when the command ends.

For commands that show or measure the hub and must never touch anybody's data.
"""

from __future__ import annotations

import atexit
import os
import secrets
import shutil
import tempfile
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from webhooks_project import local_env

COMMANDS: Final = frozenset(
    {"demo", "bench", "conformance", "check_vectors", "check_addresses", "send_corpus"}
)


def enter(*, copy_of: str | None = None) -> None:
    """Point this process, and those it starts, at a scratch directory and database.

    Where DATABASE_URL names a PostgreSQL server, the scratch database is made there; without it,
    it is an SQLite file. It is empty, or a copy of another scratch hub's that nobody works on any
    more: of the database of that name, or of the file. Everything is removed at exit.
    """
    directory = Path(tempfile.mkdtemp(prefix="hub-"))
    owner = os.getpid()
    local_env.ensure(directory)
    os.environ |= {
        "HUB_ENV": "local",
        "HUB_VAR_DIR": str(directory),
        "HUB_NODE": f"scratch-{directory.name}",
        "REDIS_PREFIX": directory.name,
    }
    drop = None
    url = os.environ.get("DATABASE_URL", "")
    if url.startswith(("postgres://", "postgresql://")):
        os.environ["DATABASE_URL"], drop = _scratch_postgres(url, copy_of)
    else:
        path = directory / "hub.sqlite3"
        if copy_of is not None:
            shutil.copyfile(copy_of, path)
        os.environ["DATABASE_URL"] = f"sqlite:///{path}"

    def leave() -> None:
        if os.getpid() == owner:  # not in a forked child
            shutil.rmtree(directory, ignore_errors=True)
            if drop is not None:
                drop()

    atexit.register(leave)


def _scratch_postgres(url: str, copy_of: str | None):  # type: ignore[no-untyped-def]
    import psycopg

    name = f"hub_scratch_{secrets.token_hex(6)}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{copy_of or "template1"}"')

    def drop() -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=f"/{name}")), drop
