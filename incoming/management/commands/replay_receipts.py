from __future__ import annotations

import time
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import orjson
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.db.models import Q
from rich.progress import Progress

from incoming.errors import IncomingError, ReplayNotAcceptable
from incoming.models import HandlerRun, Receipt, ReceiptReplay, Source
from incoming.processing import process_due_receipts
from incoming.replays import Selection, advance_replays, plan_of, plan_replay, start_replay
from incoming.runs import Line, fail_lost_runs, run_next
from webhooks_project.arguments import account_named, moment
from webhooks_project.lib import clock
from webhooks_project.lib.actor import Actor, current_actor
from webhooks_project.models import Heartbeat
from webhooks_project.pumps import POLL_SECONDS, STALE_SECONDS, Place, take_place

LOOK_SECONDS: Final = 0.2  # between two looks at what others carry out
NOT_ACCEPTABLE, CANCELLED, SOME_FAILED = 2, 3, 4  # exit codes

Status = ReceiptReplay.Status


class Command(BaseCommand):
    help = (
        "Process past receipts again, by the verdict that they got on arrival. Exit codes: 0 all "
        "well, 1 the replay failed, 2 the arguments are not acceptable, 3 it was cancelled, 4 some "
        "of its receipts failed again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--since", type=moment, required=True, help="ISO 8601, inclusive.")
        parser.add_argument("--until", type=moment, help="ISO 8601, exclusive; now by default.")
        parser.add_argument("--source", type=UUID, help="Only of this source.")
        parser.add_argument("--account", help="Only of the account with this slug.")
        parser.add_argument("--type", default="", help="A type, or a name ending in *.")
        parser.add_argument(
            "--status", action="append", default=[], choices=Receipt.Status.values,
            help="Only with this status; may be given several times.",
        )  # fmt: skip
        parser.add_argument("--cause", default="", help="Only with this cause.")
        parser.add_argument("--dry-run", action="store_true", help="Say what would be replayed.")
        parser.add_argument("--json", action="store_true", help="Say it as one JSON object.")
        parser.add_argument(
            "--wait", action="store_true", help="Return when all of it has been processed."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        current_actor.set(Actor("command", label="replay_receipts"))
        try:
            selection = Selection(
                since=options["since"],
                until=options["until"] or clock.now(),
                account=account_named(options["account"]),
                source=_source(options["source"]),
                type_pattern=options["type"],
                statuses=options["status"],
                cause=options["cause"],
            ).checked()
        except ReplayNotAcceptable as error:
            raise CommandError(str(error), returncode=NOT_ACCEPTABLE) from error
        if options["dry_run"]:
            self._say(plan_of(selection)) if options["json"] else self._say_plan(selection)
            return
        try:
            with transaction.atomic():  # one that may not start is not left behind
                replay = start_replay(plan_replay(selection))
        except IncomingError as error:
            raise CommandError(str(error), returncode=NOT_ACCEPTABLE) from error
        if _has_pump() and not options["wait"]:
            self._say_started(replay, as_json=options["json"])
            return
        self._follow(replay, quiet=options["json"])
        self._say_end(replay, as_json=options["json"])

    # --- words ---

    def _say(self, values: dict[str, Any]) -> None:
        self.stdout.write(orjson.dumps(values).decode())

    def _say_plan(self, selection: Selection) -> None:
        plan = plan_of(selection)
        for row in plan["receipts"]:
            self.stdout.write(
                f"{row['count']:>8} × {row['type'] or 'no type'} of {row['source_name']}, "
                f"now {row['status']}"
            )
        for reason, count in plan["left_out"].items():
            self.stdout.write(f"{count:>8} left out: {reason}")
        if plan["oldest"]:
            self.stdout.write(f"the oldest is of {plan['oldest']}")
        self.stdout.write(f"{plan['count']} receipts would be replayed")

    def _say_started(self, replay: ReceiptReplay, *, as_json: bool) -> None:
        if as_json:
            self._say(_shown(replay))
            return
        self.stdout.write(f"{replay.planned_count} receipts to replay, replay {replay.pk} started")

    def _say_end(self, replay: ReceiptReplay, *, as_json: bool) -> None:
        failed = replay.receipts.filter(
            status__in=(Receipt.Status.FAILED, Receipt.Status.DEAD)
        ).count()
        if as_json:
            self._say({**_shown(replay), "failed_count": failed})
        else:
            self.stdout.write(
                f"{replay.replayed_count} receipts replayed, {failed} failed, replay {replay.pk}"
            )
        if replay.status == Status.FAILED:
            raise CommandError(f"the replay failed: {replay.error}")
        if replay.status == Status.CANCELLED:
            raise CommandError("the replay was cancelled", returncode=CANCELLED)
        if failed:
            raise CommandError(f"{failed} receipts failed again", returncode=SOME_FAILED)

    # --- work ---

    def _follow(self, replay: ReceiptReplay, *, quiet: bool) -> None:
        """Return once the job has ended and its receipts are processed.

        While no pump is at work anywhere, this process is one.
        """
        is_terminal = self.stdout.isatty() and not quiet
        said = 0
        with Progress(disable=not is_terminal) as progress:
            bar = progress.add_task("processing", total=replay.planned_count)
            for done in _work_off(replay):
                progress.update(bar, completed=done)
                if not (is_terminal or quiet) and done > said:
                    said = done
                    self.stdout.write(f"{done} of {replay.planned_count} processed")


def _work_off(replay: ReceiptReplay) -> Iterator[int]:
    """Give how many receipts are processed, again and again, until the job is done."""
    while not _is_done(replay):
        with nullcontext() if _has_pump() else take_place("processing") as place:
            line = Line()
            while place is not None and place.goes_on() and not _is_done(replay):
                _work(line, place)
                yield _processed_count(replay)
        if place is None:
            time.sleep(LOOK_SECONDS)
            yield _processed_count(replay)
    yield _processed_count(replay)


def _work(line: Line, place: Place) -> None:
    """One round of what the processing pumps do."""
    now = clock.now()
    moved = advance_replays(now) + process_due_receipts() + run_next(line, place)
    if not moved:
        Receipt.objects.all().release_expired(now)
        fail_lost_runs(now)
        time.sleep(POLL_SECONDS)


def _is_done(replay: ReceiptReplay) -> bool:
    replay.refresh_from_db()
    return replay.status != Status.RUNNING and not _under_way_count(replay)


def _processed_count(replay: ReceiptReplay) -> int:
    return replay.replayed_count - _under_way_count(replay)


def _under_way_count(replay: ReceiptReplay) -> int:
    # By what waits and what is leased: of these there are indexes, and few of them at a time.
    waiting = replay.receipts.filter(
        status=Receipt.Status.ACCEPTED, next_attempt_at__isnull=False
    ).count()
    claimed = replay.receipts.filter(leased_until__isnull=False).count()
    runs = HandlerRun.objects.filter(
        Q(status=HandlerRun.Status.PENDING, next_attempt_at__isnull=False)
        | Q(leased_until__isnull=False),
        receipt__replay=replay,
    )
    return waiting + claimed + runs.order_by().values("receipt").distinct().count()


def _has_pump() -> bool:
    """Whether a processing pump is at work anywhere."""
    since = clock.now() - timedelta(seconds=STALE_SECONDS)
    return Heartbeat.objects.filter(family="processing", beat_at__gte=since).exists()


def _source(key: UUID | None) -> Source | None:
    if key is None:
        return None
    source = Source.objects.filter(pk=key).first()
    if source is None:
        raise CommandError(f"there is no source {key}", returncode=NOT_ACCEPTABLE)
    return source


def _shown(replay: ReceiptReplay) -> dict[str, Any]:
    return {
        "replay": str(replay.pk),
        "status": replay.status,
        "replayed_count": replay.replayed_count,
        "error": replay.error,
        **replay.plan,
    }
