from __future__ import annotations

from argparse import ArgumentParser
from dataclasses import asdict, replace
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from incoming.expunging import (
    PAGE_ROWS,
    Expunged,
    count_page,
    events_to_expunge,
    expunge_page,
    receipts_to_expunge,
)
from outgoing.arguments import (
    NOT_ACCEPTABLE,
    SOME_FAILED,
    add_selection,
    add_telling,
    progress_of,
    say,
    selection_of,
)
from outgoing.models import Event
from webhooks_project.lib.actor import Actor, current_actor


class Command(BaseCommand):
    help = (
        "Take a person's data out of events, attempts and receipts, and keep the history. What is "
        "still to be delivered is refused, or cancelled with --cancel. Exit codes: 0 all of it is "
        "out, 2 the arguments are not acceptable, 4 some was refused."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_selection(parser)
        parser.add_argument(
            "--event", type=UUID, action="append", default=[],
            help="Only this event, by its id; may be given several times.",
        )  # fmt: skip
        parser.add_argument(
            "--cancel", action="store_true", help="Cancel deliveries that wait or are held."
        )
        add_telling(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        current_actor.set(Actor("command", label="expunge_payloads"))
        selection = selection_of(options)
        if not (options["event"] or (selection.account and _narrows(options))):
            raise CommandError(
                "say which: --event, or --account with a filter, a type, a channel or a period",
                returncode=NOT_ACCEPTABLE,
            )
        self._check_events(options["event"])
        events = events_to_expunge(selection, options["event"])
        receipts = receipts_to_expunge(
            # Of events that are named only what these came of: not what else passes the filter.
            replace(selection, filter=None) if options["event"] else selection, events
        )  # fmt: skip
        if options["dry_run"]:
            cancel = options["cancel"]
            of_events = (count_page(page, (), cancel=cancel) for page in _pages(events))
            of_receipts = (count_page((), page) for page in _pages(receipts))
            self._say(sum((*of_events, *of_receipts), Expunged()), options, "would be ")
            return
        done = Expunged()
        total = len(events) + len(receipts)
        with progress_of(self, "expunged", total, quiet=options["json"]) as advance:
            for page in _pages(events):
                done += self._add(expunge_page(page, (), cancel=options["cancel"]), advance)
            for page in _pages(receipts):
                done += self._add(expunge_page((), page), advance)
        self._say(done, options, "")
        if done.waiting:
            raise CommandError(
                f"{done.waiting} were refused: they are still to be delivered or processed",
                returncode=SOME_FAILED,
            )

    def _check_events(self, keys: list[UUID]) -> None:
        known = set(Event.objects.filter(pk__in=keys).values_list("pk", flat=True))
        for key in keys:
            if key not in known:
                raise CommandError(f"there is no event {key}", returncode=NOT_ACCEPTABLE)

    def _add(self, page: Expunged, advance: Any) -> Expunged:
        advance(page.events + page.receipts)
        return page

    def _say(self, done: Expunged, options: dict[str, Any], would: str) -> None:
        if options["json"]:
            say(self, asdict(done))
            return
        if done.waiting and would:
            self.stdout.write(f"{done.waiting} of them wait, and would be refused")
        if done.cancelled:
            self.stdout.write(f"{done.cancelled} deliveries {would}cancelled")
        self.stdout.write(f"{done.events} events and {done.receipts} receipts {would}expunged")


def _narrows(options: dict[str, Any]) -> bool:
    return any(options[name] for name in ("filter", "type", "channel", "since", "until"))


def _pages(keys: list[UUID]) -> list[list[UUID]]:
    return [keys[start : start + PAGE_ROWS] for start in range(0, len(keys), PAGE_ROWS)]
