from __future__ import annotations

import itertools
from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from outgoing.arguments import NOT_ACCEPTABLE, say
from outgoing.explaining import Considered, explain_event, shown, timeline_of
from outgoing.models import Event


class Command(BaseCommand):
    help = (
        "Tell what became of an event: every subscription, and the whole way of each delivery. "
        "Exit codes: 0, and 2 where there is no such event."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("event", help="The event's id, or its webhook-id (evt_…).")
        parser.add_argument("--json", action="store_true", help="Say it as one JSON object.")

    def handle(self, *args: Any, **options: Any) -> None:
        event = _event(options["event"])
        found = _all_of(event)
        if options["json"]:
            say(self, {"event": event.pk, "type": event.type,
                       "subscriptions": [_shown(item) for item in found]})  # fmt: skip
            return
        self.stdout.write(f"{event.type} {event.webhook_id}, created {event.created_at:%FT%T}Z")
        count = 0
        for count, item in enumerate(found, start=1):  # noqa: B007 - the last one is the count
            self._say(item)
        self.stdout.write(f"{count} subscriptions considered")

    def _say(self, item: Considered) -> None:
        name = f"{item.subscription.name} {item.subscription.pk}"
        if item.delivery is None:
            now = "would get it now" if item.matches_now else f"now: {item.reason_now}"
            self.stdout.write(f"  {name}: {item.outcome}, {item.reason}; {now}")
            return
        self.stdout.write(f"  {name}: {item.delivery.status}, delivery {item.delivery.pk}")
        for step in timeline_of(item.delivery):
            at = f"{step.at:%FT%T.%f}Z" if step.at else "now"
            self.stdout.write(f"    {at:<27} {step.text}")


def _all_of(event: Event) -> Iterator[Considered]:
    for page in itertools.count(1):
        found = explain_event(event, page=page)
        yield from found.rows
        if not found.has_more:
            return


def _event(text: str) -> Event:
    try:
        key = UUID(text.removeprefix("evt_"))
    except ValueError:
        key = None
    event = Event.objects.filter(pk=key).first() if key else None
    if event is None:
        raise CommandError(f"there is no event {text}", returncode=NOT_ACCEPTABLE)
    return event


def _shown(item: Considered) -> dict[str, Any]:
    steps = timeline_of(item.delivery) if item.delivery else []
    return {
        "subscription": item.subscription.pk,
        "subscription_name": item.subscription.name,
        "outcome": item.outcome,
        "reason": item.reason,
        "clauses": list(item.clauses),
        "delivery": item.delivery.pk if item.delivery else None,
        "delivery_status": item.delivery.status if item.delivery else None,
        "matches_now": item.matches_now,
        "reason_now": item.reason_now,
        "timeline": [
            {"at": step.at, "kind": step.kind, "text": step.text, "facts": shown(step.facts)}
            for step in steps
        ],
    }
