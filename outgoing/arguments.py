"""What commands about events and deliveries take as arguments, and how they tell of their work."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, Final
from uuid import UUID

import orjson
from django.core.management.base import BaseCommand, CommandError
from django.db.models import Count, Q, QuerySet
from rich.progress import Progress

from outgoing.errors import SelectionNotAcceptable
from outgoing.models import Attempt, Delivery
from outgoing.selecting import Selection, pages_of_deliveries
from subscriptions.models import Subscription
from webhooks_project.arguments import account_named, moment
from webhooks_project.lib.actor import Actor, current_actor
from webhooks_project.lib.errors import DomainError

FAILED, NOT_ACCEPTABLE, CANCELLED, SOME_FAILED = 1, 2, 3, 4  # exit codes
PAGE_ROWS: Final = 50  # looked up together; each is changed in a transaction of its own


def json_filter(text: str) -> Any:
    """A filter's JSON document, which the selection checks; a type for `add_argument`."""
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ArgumentTypeError(f"{text!r} is no JSON: {error}") from error
    if found is None:  # as where the argument is left out, all events would be meant
        raise ArgumentTypeError("null is no filter")
    return found


def add_selection(parser: ArgumentParser, *, since_required: bool = False) -> None:
    """The arguments that say which events are meant."""
    parser.add_argument(
        "--since", type=moment, required=since_required, help="Events since; ISO 8601, inclusive."
    )
    parser.add_argument("--until", type=moment, help="ISO 8601, exclusive; now by default.")
    parser.add_argument("--type", default="", help="An event type, or a name ending in *.")
    parser.add_argument("--account", help="Only of the account with this slug.")
    parser.add_argument("--channel", default="", help="Only events with this channel.")
    parser.add_argument(
        "--filter", type=json_filter,
        help="Only events that pass this filter, as subscriptions have them; JSON.",
    )  # fmt: skip


def add_telling(parser: ArgumentParser) -> None:
    """The arguments that say how much is done and told."""
    parser.add_argument("--dry-run", action="store_true", help="Say what would be done.")
    parser.add_argument("--json", action="store_true", help="Say it as one JSON object.")


def selection_of(options: Mapping[str, Any]) -> Selection:
    """What the arguments ask for. Raises CommandError with NOT_ACCEPTABLE."""
    try:
        return Selection(
            since=options["since"],
            until=options["until"],
            account=account_named(options["account"]),
            event_type=options["type"],
            subscription=_subscription(options.get("subscription")),
            statuses=options.get("status") or (),
            channel=options["channel"],
            filter=options["filter"],
        ).checked()
    except SelectionNotAcceptable as error:
        raise CommandError(str(error), returncode=NOT_ACCEPTABLE) from error


def _subscription(key: UUID | None) -> Subscription | None:
    if key is None:
        return None
    subscription = Subscription.objects.filter(pk=key).first()
    if subscription is None:
        raise CommandError(f"there is no subscription {key}", returncode=NOT_ACCEPTABLE)
    return subscription


def say(command: BaseCommand, values: Mapping[str, Any]) -> None:
    """One JSON object on a line."""
    command.stdout.write(orjson.dumps(dict(values), default=str, option=orjson.OPT_UTC_Z).decode())


@contextmanager
def progress_of(
    command: BaseCommand, word: str, total: int, *, quiet: bool
) -> Iterator[Callable[[int], None]]:
    """Give a function that takes how much more is done: a bar on a terminal, plain lines else."""
    is_terminal = command.stdout.isatty() and not quiet
    done = 0
    with Progress(disable=not is_terminal) as progress:
        bar = progress.add_task(word, total=total)

        def advance(count: int) -> None:
            nonlocal done
            done += count
            progress.update(bar, completed=done)
            if count and not (is_terminal or quiet):
                command.stdout.write(f"{done} of {total} {word}")

        yield advance


class BulkCommand(BaseCommand):
    """A command that does one thing to every delivery of a selection.

    `condition` are those that it can be done to, `act` does it to one and may refuse with a
    DomainError, `done` says what it is then. Exit codes: 0, and 2 for arguments that make no sense.
    """

    condition: ClassVar[Q]
    done: ClassVar[str]

    def act(self, delivery: Delivery) -> None:
        raise NotImplementedError

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_selection(parser)
        parser.add_argument("--subscription", type=UUID, help="Only to this subscription.")
        parser.add_argument(
            "--cause",
            choices=Attempt.Cause.values,
            help="Only with this cause of the last failure.",
        )
        add_telling(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        name = type(self).__module__.rpartition(".")[2]
        current_actor.set(Actor("command", label=name))
        selection = selection_of(options)
        rows = Delivery.objects.filter(self.condition)
        if options["cause"]:
            rows = rows.filter(last_cause=options["cause"])
        keys = [key for page in pages_of_deliveries(selection, rows, limit=1_000) for key in page]
        if options["dry_run"]:
            self._say_plan(keys, as_json=options["json"])
            return
        count = 0
        with progress_of(self, self.done, len(keys), quiet=options["json"]) as advance:
            for start in range(0, len(keys), PAGE_ROWS):
                found = rows.filter(pk__in=keys[start : start + PAGE_ROWS])
                taken = self._act_on(found)
                count += taken
                advance(taken)
        if options["json"]:
            say(self, {"count": count})
        else:
            self.stdout.write(f"{count} deliveries {self.done}")

    def _act_on(self, rows: QuerySet[Delivery]) -> int:
        count = 0
        for delivery in rows.order_by("created_at", "pk"):
            try:
                self.act(delivery)
            except DomainError:  # it has changed meanwhile
                continue
            count += 1
        return count

    def _say_plan(self, keys: list[UUID], *, as_json: bool) -> None:
        counts: dict[tuple[str, str, str], int] = {}
        for start in range(0, len(keys), 1_000):
            found = Delivery.objects.filter(pk__in=keys[start : start + 1_000]).order_by()
            for *key, count in found.values_list(
                "event__type", "subscription__name", "status"
            ).annotate(count=Count("pk")):
                event_type, name, status = key
                place = (event_type, name, status)
                counts[place] = counts.get(place, 0) + count
        if as_json:
            rows = [
                {"event_type": event_type, "subscription_name": name, "status": status,
                 "count": count}
                for (event_type, name, status), count in sorted(counts.items())
            ]  # fmt: skip
            say(self, {"count": len(keys), "deliveries": rows})
            return
        for (event_type, name, status), count in sorted(counts.items()):
            self.stdout.write(f"{count:>8} × {event_type} to {name}, now {status}")
        self.stdout.write(f"{len(keys)} deliveries would be {self.done}")
