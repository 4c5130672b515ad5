#!/usr/bin/env python
"""Django's command line for the hub."""

import os
import sys

from webhooks_project import scratch


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webhooks_project.settings")
    if len(sys.argv) > 1 and sys.argv[1] in scratch.COMMANDS:
        scratch.enter()
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
