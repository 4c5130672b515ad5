from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from outgoing.arguments import add_telling, progress_of, say
from outgoing.retention import count_prunable_events, prune_events
from webhooks_project.arguments import account_named


class Command(BaseCommand):
    help = "Empty and delete events that are older than their accounts keep them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--account", help="Only of the account with this slug.")
        add_telling(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        account = account_named(options["account"])
        found = count_prunable_events(account=account)
        if options["dry_run"]:
            words = f"{found.bodies} events would be emptied, {found.events} deleted"
        else:
            with progress_of(self, "pruned", found.total, quiet=options["json"]) as advance:
                found = prune_events(account=account, seconds=None, progress=advance)
            words = f"{found.bodies} events emptied, {found.events} deleted"
        if options["json"]:
            say(self, {"bodies": found.bodies, "events": found.events})
        else:
            self.stdout.write(words)
