from __future__ import annotations

import os
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.table import Table

from incoming import conformance
from webhooks_project.lib.signing import new_secret
from webhooks_project.running import free_port, running_hub


class Command(BaseCommand):
    help = "Send a file of GitHub webhooks through a whole scratch hub to a verifying receiver."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            lines = conformance.read_corpus(options["file"])
        except (OSError, ValueError) as error:
            raise CommandError(f"{options['file']}: {error}") from error
        port = free_port()
        settings.PUBLIC_URL = os.environ["PUBLIC_URL"] = f"http://127.0.0.1:{port}"
        call_command("migrate", interactive=False, verbosity=0)
        secret = new_secret()
        with (
            conformance.verifying_receiver(secret) as (url, arrived),
            running_hub(port=port),
        ):
            source = conformance.prepare(url, secret)
            outcome = conformance.send_lines(source, lines, arrived)
        table = Table(title=f"{len(lines)} webhooks of {options['file'].name}")
        table.add_column("what")
        table.add_column("count", justify="right")
        for name, count in outcome.counts.items():
            table.add_row(name, str(count))
        Console().print(table)
        for failure in outcome.failures:
            self.stdout.write(failure)
        self.stdout.write(f"{outcome.passed} passed, {len(outcome.failures)} failed")
        if outcome.failures:
            raise SystemExit(1)
