from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

import orjson
from django.core.management.base import BaseCommand
from rich.progress import Progress

from incoming.models import Source
from monitoring.models import Finding
from monitoring.validation import validate
from subscriptions.models import Subscription
from webhooks_project.accounts.models import Account
from webhooks_project.arguments import account_named
from webhooks_project.lib.actor import Actor, current_actor


class Command(BaseCommand):
    help = "Look for subscriptions and sources that cannot do their work, and say which and why."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--account", help="Say only what is of the account with this slug.")
        parser.add_argument("--json", action="store_true", help="Say it as one JSON object a line.")

    def handle(self, *args: Any, **options: Any) -> None:
        current_actor.set(Actor("command", label="validate_subscriptions"))
        account = account_named(options["account"])
        total = sum(model.objects.count() for model in (Account, Subscription, Source))
        with Progress(disable=not self.stdout.isatty()) as progress:
            bar = progress.add_task("looked at", total=total)
            done = validate(progress=lambda count: progress.advance(bar, count))
        rows = Finding.objects.filter(resolved_at=None).select_related("account")
        if account is not None:
            rows = rows.filter(account=account)
        for finding in rows.order_by("account_id", "first_seen_at", "pk").iterator():
            self._say(finding, as_json=options["json"])
        if options["json"]:
            values = {"rows": done.rows, "open": done.open, "opened": done.opened,
                      "resolved": done.resolved}  # fmt: skip
            self.stdout.write(orjson.dumps(values).decode())
        else:
            self.stdout.write(
                f"{done.rows} looked at: {done.open} findings, {done.opened} of them new, "
                f"{done.resolved} resolved"
            )

    def _say(self, finding: Finding, *, as_json: bool) -> None:
        about = (
            ("subscription", finding.subscription_id)
            if finding.subscription_id
            else ("source", finding.source_id)
            if finding.source_id
            else ("account", finding.account_id)
        )
        if as_json:
            values = {
                "account": finding.account.slug, "about": about[0], "id": str(about[1]),
                "kind": finding.kind, "text": finding.text,
                "first_seen_at": finding.first_seen_at,
            }  # fmt: skip
            self.stdout.write(orjson.dumps(values, option=orjson.OPT_UTC_Z).decode())
            return
        self.stdout.write(
            f"{finding.account.slug} {about[0]} {about[1]}: {finding.kind}: {finding.text}"
        )
