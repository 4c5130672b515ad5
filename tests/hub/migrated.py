"""A scratch hub's database, migrated, that each scenario's is a copy of.

Run as `python -m tests.hub.migrated`: prints its name, or its path, once it may be copied, and
keeps it until standard input ends.
"""

from __future__ import annotations

import os
import sys

from webhooks_project import scratch


def main() -> None:
    scratch.enter()
    os.environ["DJANGO_SETTINGS_MODULE"] = "webhooks_project.settings"
    import django
    from django.core.management import call_command
    from django.db import connection

    django.setup()
    call_command("migrate", interactive=False, verbosity=0)
    # PostgreSQL copies what nobody is connected to; SQLite's log goes into the file.
    connection.close()
    print(connection.settings_dict["NAME"], flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
