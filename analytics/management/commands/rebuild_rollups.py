from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db.models import Min

from analytics.rebuild import Rebuilt, Refused, days_of, rebuild_rollups
from incoming.models import Receipt
from outgoing.arguments import add_telling, progress_of, say
from outgoing.models import Attempt
from webhooks_project.arguments import moment
from webhooks_project.lib import clock

NOT_ACCEPTABLE = 2  # exit code


class Command(BaseCommand):
    help = (
        "Count days of attempts and receipts anew, where those are all still there. Days of an "
        "account that were pruned, in whole or in part, are left as they were counted."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--since", type=moment, help="ISO 8601; the oldest attempt or receipt by default."
        )
        parser.add_argument("--until", type=moment, help="ISO 8601; now by default.")
        parser.add_argument(
            "--verdicts-as-they-stand",
            action="store_true",
            help="Count receipts by the verdicts that can be told now, where others were counted.",
        )
        add_telling(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        until = options["until"] or clock.now()
        since = options["since"] or _oldest() or until
        if since > until:
            raise CommandError("--since is after --until", returncode=NOT_ACCEPTABLE)
        total = len(list(days_of(since, until)))
        with progress_of(self, "days", total, quiet=options["json"]) as advance:
            done = rebuild_rollups(
                since=since,
                until=until,
                is_dry_run=options["dry_run"],
                as_they_stand=options["verdicts_as_they_stand"],
                progress=lambda day: advance(1),
            )
        if options["json"]:
            say(self, _shown(done))
            return
        for refused in done.refused:
            self.stdout.write(
                f"{refused.day} of account {refused.account_id} is left alone: {_why(refused)}"
            )
        would = "would be " if options["dry_run"] else ""
        self.stdout.write(
            f"{done.counted} attempts and receipts of {done.days} days counted, "
            f"{done.changed} rows {would}changed"
        )


def _why(refused: Refused) -> str:
    if refused.of == "verdicts":
        return (
            "all receipts are there, but some under another verdict than was counted; "
            "--verdicts-as-they-stand counts them by what they are now"
        )
    return f"fewer {refused.of} are there than were counted"


def _oldest() -> Any:
    moments = [
        Attempt.objects.aggregate(oldest=Min("started_at"))["oldest"],
        Receipt.objects.aggregate(oldest=Min("received_at"))["oldest"],
    ]
    return min((moment for moment in moments if moment is not None), default=None)


def _shown(done: Rebuilt) -> dict[str, Any]:
    return {
        "days": done.days,
        "counted": done.counted,
        "changed": done.changed,
        "refused": [
            {"day": item.day, "account": item.account_id, "of": item.of} for item in done.refused
        ],
    }
