from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import orjson
from django.core.management.base import BaseCommand, CommandError

from webhooks_project.lib.ssrf import is_forbidden


class Command(BaseCommand):
    help = "Hold the address policy against a file of addresses that it should block or allow."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            entries = orjson.loads(options["file"].read_bytes())
        except (OSError, orjson.JSONDecodeError) as error:
            raise CommandError(f"{options['file']}: {error}") from error
        failed = 0
        for entry in entries:
            # As it is anywhere, without this node's own exceptions.
            blocked = is_forbidden(str(entry["address"]))
            if blocked != entry["should_block"]:
                failed += 1
                word = "blocked" if blocked else "allowed"
                self.stdout.write(f"{entry['address']} ({entry.get('what', '')}) is {word}")
        self.stdout.write(f"{len(entries) - failed} passed, {failed} failed")
        if failed:
            raise SystemExit(1)
