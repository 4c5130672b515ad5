from __future__ import annotations

import time
from argparse import ArgumentParser
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.db.models import Q

from outgoing.arguments import (
    CANCELLED,
    FAILED,
    NOT_ACCEPTABLE,
    SOME_FAILED,
    add_selection,
    add_telling,
    progress_of,
    say,
    selection_of,
)
from outgoing.errors import OutgoingError
from outgoing.models import Delivery, Replay
from outgoing.replays import Pace, plan_of, plan_replay, start_replay
from outgoing.selecting import Selection
from webhooks_project.lib import clock
from webhooks_project.lib.actor import Actor, current_actor
from webhooks_project.models import Heartbeat
from webhooks_project.pumps import STALE_SECONDS

LOOK_SECONDS: Final = 0.2  # between two looks at what others carry out

Kind, Status = Replay.Kind, Replay.Status


class Command(BaseCommand):
    help = (
        "Carry past events again: what was given up (recover), what a subscription never got and "
        "matches now (missing), or whatever has ended (replay). Exit codes: 0 all well, 1 the "
        "replay failed, 2 the arguments are not acceptable, 3 it was cancelled, 4 some of its "
        "deliveries failed again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_selection(parser, since_required=True)
        parser.add_argument("--kind", choices=Kind.values, default=Kind.REPLAY.value)
        parser.add_argument("--subscription", type=UUID, help="Only to this subscription.")
        parser.add_argument(
            "--status", action="append", default=[], choices=Delivery.Status.values,
            help="Only with this status; may be given several times.",
        )  # fmt: skip
        add_telling(parser)
        parser.add_argument(
            "--wait", action="store_true",
            help="Return when each has been attempted, and move the job on where no pump does.",
        )  # fmt: skip

    def handle(self, *args: Any, **options: Any) -> None:
        current_actor.set(Actor("command", label="replay_events"))
        selection, kind = selection_of(options), options["kind"]
        try:
            if options["dry_run"]:
                self._say_plan(selection, kind, as_json=options["json"])
                return
            with transaction.atomic():  # one that may not start is not left behind
                replay = start_replay(plan_replay(selection, kind))
        except OutgoingError as error:
            raise CommandError(str(error), returncode=NOT_ACCEPTABLE) from error
        if not options["wait"]:
            self._say_started(replay, as_json=options["json"])
            return
        self._follow(replay, quiet=options["json"])
        self._say_end(replay, as_json=options["json"])

    def _say_plan(self, selection: Selection, kind: str, *, as_json: bool) -> None:
        plan = plan_of(kind, selection)
        if as_json:
            say(self, plan)
            return
        for row in plan["deliveries"]:
            self.stdout.write(
                f"{row['count']:>8} × {row['event_type']} to {row['subscription_name']}"
            )
        for reason, count in plan["left_out"].items():
            self.stdout.write(f"{count:>8} left out: {reason}")
        if plan["oldest"]:
            self.stdout.write(f"the oldest is of {plan['oldest']}")
            self.stdout.write(f"it may take {timedelta(seconds=plan['estimated_seconds'])}")
        if not plan["is_complete"]:
            self.stdout.write("these are of the first events only: too many fit")
        self.stdout.write(f"{plan['count']} deliveries would be redelivered")

    def _say_started(self, replay: Replay, *, as_json: bool) -> None:
        if as_json:
            say(self, _shown(replay))
            return
        self.stdout.write(
            f"{replay.planned_count} deliveries to redeliver, replay {replay.pk} started"
        )

    def _say_end(self, replay: Replay, *, as_json: bool) -> None:
        failed = replay.deliveries.filter(
            Q(status=Delivery.Status.EXHAUSTED) | Q(retry__isnull=False)
        ).count()
        if as_json:
            say(self, {**_shown(replay), "failed_count": failed})
        else:
            self.stdout.write(
                f"{replay.redelivered_count} deliveries redelivered, {failed} failed, "
                f"replay {replay.pk}"
            )
        if replay.status == Status.FAILED:
            raise CommandError(f"the replay failed: {replay.error}", returncode=FAILED)
        if replay.status == Status.CANCELLED:
            raise CommandError("the replay was cancelled", returncode=CANCELLED)
        if failed:
            raise CommandError(f"{failed} deliveries failed again", returncode=SOME_FAILED)

    def _follow(self, replay: Replay, *, quiet: bool) -> None:
        """Return once the job has ended and each of its deliveries was attempted or is held."""
        pace = Pace()
        done = 0
        with progress_of(self, "redelivered", replay.planned_count, quiet=quiet) as advance:
            while True:
                replay.refresh_from_db()
                under_way = _under_way_count(replay)
                advance(max(0, replay.redelivered_count - under_way - done))
                done = max(done, replay.redelivered_count - under_way)
                if replay.status != Status.RUNNING and not under_way:
                    return
                moved = 0 if _has_pump() else pace.advance(clock.now())
                if not moved:
                    time.sleep(LOOK_SECONDS)


def _under_way_count(replay: Replay) -> int:
    # Of what waits and of what is leased there are indexes.
    waiting = replay.deliveries.filter(lane__isnull=False, replay__isnull=False).count()
    return waiting + replay.deliveries.filter(leased_until__isnull=False).count()


def _has_pump() -> bool:
    """Whether a retry pump, which moves replays on, is at work anywhere."""
    since = clock.now() - timedelta(seconds=STALE_SECONDS)
    return Heartbeat.objects.filter(family="retry", beat_at__gte=since).exists()


def _shown(replay: Replay) -> dict[str, Any]:
    return {
        "replay": str(replay.pk),
        "kind": replay.kind,
        "status": replay.status,
        "redelivered_count": replay.redelivered_count,
        "error": replay.error,
        **replay.plan,
    }
