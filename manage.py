#!/usr/bin/env python
"""Django's command line for the hub."""

import os
import sys

from webhooks_project import scratch


def is_garbled(argument: str) -> bool:
    """Whether the bytes on the command line were no text: Python has surrogates in their place."""
    return any("\ud800" <= character <= "\udfff" for character in argument)


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webhooks_project.settings")
    if any(map(is_garbled, sys.argv)):
        sys.stderr.write("an argument is no UTF-8\n")
        sys.exit(2)  # as of what argparse refuses
    if len(sys.argv) > 1 and sys.argv[1] in scratch.COMMANDS:
        scratch.enter()
    from django.core.management import execute_from_command_line

    try:
        execute_from_command_line(sys.argv)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(130)  # as shells say it of SIGINT
    except BrokenPipeError:  # such as `explain … | head`
        # The interpreter flushes once more as it ends, and would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.stderr.write("nobody reads the output any more\n")
        sys.exit(141)  # as shells say it of SIGPIPE


if __name__ == "__main__":
    main()
