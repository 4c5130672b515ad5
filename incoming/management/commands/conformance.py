from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any, Final

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

PIECES: Final = (
    ("vectors/signatures.json", "check_vectors"),
    ("vectors/derived.json", "check_vectors"),
    ("vectors/handshakes.json", "check_vectors"),
    ("vectors/addresses.json", "check_addresses"),
    ("corpus/github.jsonl", "send_corpus"),
)


class Command(BaseCommand):
    help = "Hold the hub against a directory of real webhooks, vectors and addresses."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("directory", type=Path)

    def handle(self, *args: Any, **options: Any) -> None:
        failed = []
        directory = options["directory"]
        found = [(path, name) for path, name in PIECES if (directory / path).is_file()]
        if not found:
            raise CommandError(f"{directory} has none of: {', '.join(dict(PIECES))}")
        for path, command in found:
            self.stdout.write(f"== {path}")
            try:
                call_command(command, str(directory / path))
            except (SystemExit, CommandError) as error:
                if isinstance(error, CommandError):
                    self.stdout.write(str(error))
                failed.append(path)
        if failed:
            self.stdout.write(f"failed: {', '.join(failed)}")
            raise SystemExit(1)
        self.stdout.write(f"all {len(found)} parts are as they should be")
