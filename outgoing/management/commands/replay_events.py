from __future__ import annotations

from argparse import ArgumentParser
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError
from django.db.models import Count
from django.utils import timezone
from rich.progress import Progress

from outgoing.replays import deliveries_to_replay, plan_replay, run_replay
from subscriptions.models import Subscription
from webhooks_project.arguments import account_named, moment
from webhooks_project.lib.actor import Actor, current_actor


class Command(BaseCommand):
    help = "Carry past events again to the subscriptions that they were for."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--since", type=moment, required=True, help="ISO 8601, inclusive.")
        parser.add_argument("--until", type=moment, help="ISO 8601, exclusive; now by default.")
        parser.add_argument("--type", default="", help="An event type, or a name ending in *.")
        parser.add_argument("--subscription", type=UUID, help="Only to this subscription.")
        parser.add_argument("--account", help="Only of the account with this slug.")
        parser.add_argument("--dry-run", action="store_true", help="Say what would be carried.")

    def handle(self, *args: Any, **options: Any) -> None:
        current_actor.set(Actor("command", label="replay_events"))
        selection = {
            "since": options["since"],
            "until": options["until"] or timezone.now(),
            "event_type": options["type"],
            "account": account_named(options["account"]),
            "subscription": _subscription(options["subscription"]),
        }
        if selection["since"] >= selection["until"]:
            raise CommandError("--until must be after --since")
        if options["dry_run"]:
            self._say_plan(deliveries_to_replay(**selection))
            return
        replay = plan_replay(**selection)
        with Progress(disable=not self.stdout.isatty()) as progress:
            task = progress.add_task("redelivering", total=replay.planned_count)
            replay = run_replay(replay, lambda count: progress.advance(task, count))
        self.stdout.write(f"{replay.redelivered_count} deliveries redelivered, replay {replay.pk}")

    def _say_plan(self, deliveries: Any) -> None:
        rows = (
            deliveries.order_by()
            .values_list("event__type", "subscription__name", "status")
            .annotate(count=Count("pk"))
            .order_by("event__type", "subscription__name", "status")
        )
        total = 0
        for event_type, subscription, status, count in rows:
            total += count
            self.stdout.write(f"{count:>8} × {event_type} to {subscription}, now {status}")
        self.stdout.write(f"{total} deliveries would be redelivered")


def _subscription(key: UUID | None) -> Subscription | None:
    if key is None:
        return None
    subscription = Subscription.objects.filter(pk=key).first()
    if subscription is None:
        raise CommandError(f"there is no subscription {key}")
    return subscription
