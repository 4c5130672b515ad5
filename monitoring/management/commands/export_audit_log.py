from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from monitoring.audit_files import FORMATS, export_audit_log
from webhooks_project.arguments import account_named, moment
from webhooks_project.lib.actor import Actor, current_actor


class Command(BaseCommand):
    help = "Write an account's audit log of a period, with its proof, as verify_audit_log reads."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", nargs="?", type=Path, help="Where to; standard output if none.")
        parser.add_argument("--account", required=True, help="The account's slug.")
        parser.add_argument("--since", type=moment, help="ISO 8601, inclusive; all by default.")
        parser.add_argument("--until", type=moment, help="ISO 8601, exclusive; all by default.")
        parser.add_argument("--format", choices=FORMATS, help="By the file's ending by default.")

    def handle(self, *args: Any, **options: Any) -> None:
        path: Path | None = options["file"]
        file_format = options["format"] or (path.suffix.lstrip(".").lower() if path else "jsonl")
        if file_format not in FORMATS:
            raise CommandError("name the file's --format", returncode=2)
        account = account_named(options["account"])
        assert account is not None  # noqa: S101 - the argument is required
        current_actor.set(Actor("command", label="export_audit_log"))
        written = export_audit_log(
            account=account,
            since=options["since"],
            until=options["until"],
            file_format=file_format,
        ).content
        if path is None:
            for piece in written:
                self.stdout.write(piece.decode(), ending="")
            return
        pieces = 0
        with path.open("wb") as target:
            for piece in written:
                target.write(piece)
                pieces += 1
        # Head and end are no entries, nor is the first line of a CSV file.
        count = pieces - (3 if file_format == "csv" else 2)
        self.stdout.write(f"{count} audit entries written")
