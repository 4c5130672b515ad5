from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import orjson
from django.core.management.base import BaseCommand, CommandError

from subscriptions.exports import openapi_of
from webhooks_project.arguments import account_named


class Command(BaseCommand):
    help = "Export an account's event types as an OpenAPI 3.1 document with webhooks."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--account", required=True, help="The account's slug.")
        parser.add_argument("--public", action="store_true", help="Only what anybody may know.")
        parser.add_argument("--out", type=Path, help="The file; by default it is printed.")

    def handle(self, *args: Any, **options: Any) -> None:
        account = account_named(options["account"])
        if account is None:
            raise CommandError("name the account with --account")
        document = openapi_of(account, public_only=options["public"])
        text = orjson.dumps(document, option=orjson.OPT_INDENT_2)
        if options["out"] is None:
            self.stdout.write(text.decode())
            return
        try:
            options["out"].write_bytes(text + b"\n")
        except OSError as error:
            raise CommandError(f"{options['out']} cannot be written: {error.strerror}") from error
        self.stdout.write(f"{len(document['webhooks'])} event types exported")
