from __future__ import annotations

from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand

from incoming.retention import count_prunable, prune_receipts
from outgoing.arguments import add_telling, progress_of, say
from webhooks_project.arguments import account_named


class Command(BaseCommand):
    help = "Empty and delete receipts that are older than their accounts keep them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--account", help="Only of the account with this slug.")
        add_telling(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        account = account_named(options["account"])
        pruned = count_prunable(account=account)
        would = "would be " if options["dry_run"] else ""
        if not options["dry_run"]:
            with progress_of(self, "pruned", pruned.total, quiet=options["json"]) as advance:
                pruned = prune_receipts(account=account, seconds=None, progress=advance)
        if options["json"]:
            say(self, asdict(pruned))
            return
        self.stdout.write(
            f"{pruned.bodies} bodies {would}emptied, {pruned.receipts} receipts and "
            f"{pruned.refusal_counts} counts of refusals {would}deleted, {pruned.dead_letters} "
            f"dead receipts {would}discarded"
        )
