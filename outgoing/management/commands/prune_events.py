from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from outgoing.arguments import add_telling, progress_of, say
from outgoing.dead_letters import count_prunable_dead_letters, prune_dead_letters
from outgoing.retention import count_prunable_events, prune_events
from webhooks_project.arguments import account_named


class Command(BaseCommand):
    help = "Empty and delete events, and discard dead letters, that accounts keep no longer."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--account", help="Only of the account with this slug.")
        add_telling(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        account = account_named(options["account"])
        found = count_prunable_events(account=account)
        dead = count_prunable_dead_letters(account=account)
        would = "would be " if options["dry_run"] else ""
        if not options["dry_run"]:
            total = found.total + dead
            with progress_of(self, "pruned", total, quiet=options["json"]) as advance:
                dead = prune_dead_letters(account=account, progress=advance)
                found = prune_events(account=account, seconds=None, progress=advance)
        if options["json"]:
            say(self, {"bodies": found.bodies, "events": found.events, "dead_letters": dead})
            return
        self.stdout.write(
            f"{found.bodies} events {would}emptied, {found.events} deleted, "
            f"{dead} dead letters discarded"
        )
