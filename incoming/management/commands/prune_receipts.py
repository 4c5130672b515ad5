from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from rich.progress import Progress

from incoming.retention import count_prunable, prune_receipts
from webhooks_project.arguments import account_named


class Command(BaseCommand):
    help = "Empty and delete receipts that are older than their accounts keep them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--account", help="Only of the account with this slug.")
        parser.add_argument("--dry-run", action="store_true", help="Only count.")

    def handle(self, *args: Any, **options: Any) -> None:
        account = account_named(options["account"])
        counted = count_prunable(account=account)
        if options["dry_run"]:
            self.stdout.write(
                f"{counted.bodies} bodies would be emptied, {counted.receipts} receipts and "
                f"{counted.refusal_counts} counts of refusals deleted, {counted.dead_letters} "
                "dead receipts discarded"
            )
            return
        with Progress(disable=not self.stdout.isatty()) as progress:
            bar = progress.add_task("pruning", total=counted.total)
            pruned = prune_receipts(
                account=account, seconds=None, progress=lambda count: progress.advance(bar, count)
            )
        self.stdout.write(
            f"{pruned.bodies} bodies emptied, {pruned.receipts} receipts and "
            f"{pruned.refusal_counts} counts of refusals deleted, {pruned.dead_letters} dead "
            "receipts discarded"
        )
