from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from subscriptions.bulk.files import FORMATS, written_csv, written_json
from subscriptions.models import Subscription
from webhooks_project.arguments import account_named


class Command(BaseCommand):
    help = "Write an account's subscriptions, without their secrets, as import_subscriptions reads."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", nargs="?", type=Path, help="Where to; standard output if none.")
        parser.add_argument("--account", required=True, help="The account's slug.")
        parser.add_argument("--format", choices=FORMATS, help="By the file's ending by default.")
        parser.add_argument(
            "--status", action="append", default=[], choices=Subscription.Status.values,
            help="Only with this status, several times for several; all but archived by default.",
        )  # fmt: skip

    def handle(self, *args: Any, **options: Any) -> None:
        path: Path | None = options["file"]
        file_format = options["format"] or (path.suffix.lstrip(".").lower() if path else "json")
        if file_format not in FORMATS:
            raise CommandError("name the file's --format", returncode=2)
        rows = Subscription.objects.filter(account=account_named(options["account"]))
        if options["status"]:
            rows = rows.filter(status__in=options["status"])
        else:
            rows = rows.exclude(status=Subscription.Status.ARCHIVED)
        found = rows.prefetch_related("patterns").order_by("created_at", "pk")
        written = (written_csv if file_format == "csv" else written_json)(
            found.iterator(chunk_size=500)
        )
        if path is None:
            for piece in written:
                self.stdout.write(piece.decode(), ending="")
            return
        with path.open("wb") as target:
            target.writelines(written)
        self.stdout.write(f"{found.count()} subscriptions written")
