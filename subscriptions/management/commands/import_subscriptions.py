from __future__ import annotations

import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError
from rich.progress import Progress

from subscriptions.bulk.carrying import run_jobs
from subscriptions.bulk.files import FORMATS
from subscriptions.bulk.jobs import take_secrets
from subscriptions.bulk.models import BulkJob
from subscriptions.bulk.planning import plan_import
from subscriptions.errors import BulkNotAcceptable
from webhooks_project.arguments import account_named
from webhooks_project.lib.actor import Actor, current_actor

TURN_SECONDS: Final = 0.5  # of work, then the progress is shown
LOOK_SECONDS: Final = 0.2  # between two looks at what another process does
NOT_ACCEPTABLE, CANCELLED, SOME_REFUSED = 2, 3, 4  # exit codes

Status = BulkJob.Status


class Command(BaseCommand):
    help = (
        "Create and change an account's subscriptions as a JSON or CSV file says. Exit codes: 0 "
        "all well, 1 the job failed, 2 the file or the arguments are not acceptable, 3 it was "
        "cancelled, 4 some lines were refused."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help="The file.")
        parser.add_argument("--account", required=True, help="The account's slug.")
        parser.add_argument("--format", choices=FORMATS, help="By the file's ending by default.")
        parser.add_argument("--dry-run", action="store_true", help="Say what would happen.")
        parser.add_argument(
            "--all-or-nothing", action="store_true", help="Change nothing if a line is refused."
        )
        parser.add_argument(
            "--show-secrets", action="store_true",
            help="Write the new signing secrets, which are not to be had again.",
        )  # fmt: skip

    def handle(self, *args: Any, **options: Any) -> None:
        current_actor.set(Actor("command", label="import_subscriptions"))
        account = account_named(options["account"])
        assert account is not None  # noqa: S101 - the argument is required
        file_format = options["format"] or options["file"].suffix.lstrip(".").lower()
        if file_format not in FORMATS:
            raise CommandError("name the file's --format", returncode=NOT_ACCEPTABLE)
        try:
            job = plan_import(
                account=account,
                content=options["file"].read_bytes(),
                file_format=file_format,
                is_dry_run=options["dry_run"],
                is_all_or_nothing=options["all_or_nothing"],
            )
        except (OSError, BulkNotAcceptable) as error:
            raise CommandError(str(error), returncode=NOT_ACCEPTABLE) from error
        self._follow(job)
        self._say_lines(job)
        if options["show_secrets"]:
            for item in take_secrets(job):
                self.stdout.write(f"line {item.number}: {item.subscription_id} {item.secret}")
        self._say_end(job, is_dry_run=options["dry_run"])

    def _follow(self, job: BulkJob) -> None:
        """Work the job off here, together with whoever does so elsewhere."""
        with Progress(disable=not self.stdout.isatty()) as progress:
            bar = progress.add_task("importing", total=job.line_count)
            while job.status == Status.RUNNING:
                run_jobs(TURN_SECONDS, only=job.pk)
                job.refresh_from_db()
                if job.status == Status.RUNNING and job.leased_until is not None:
                    time.sleep(LOOK_SECONDS)
                progress.update(bar, completed=job.done_count)

    def _say_lines(self, job: BulkJob) -> None:
        for line in job.lines.order_by("number").iterator(chunk_size=500):
            parts = [f"line {line.number}: {line.outcome}"]
            if line.changes:
                parts.append(", ".join(sorted(line.changes)))
            parts += [f"{item['path'][1:]} {item['message']}".strip() for item in line.problems]
            self.stdout.write("; ".join(parts))

    def _say_end(self, job: BulkJob, *, is_dry_run: bool) -> None:
        said = (
            f"{job.created_count} created, {job.changed_count} changed, "
            f"{job.unchanged_count} unchanged, {job.refused_count} refused"
        )
        self.stdout.write(f"{said}{', had it been meant' if is_dry_run else ''}; job {job.pk}")
        if job.status == Status.FAILED and not job.refused_count:
            raise CommandError(f"the job failed: {job.error}")
        if job.status == Status.CANCELLED:
            raise CommandError("the job was cancelled", returncode=CANCELLED)
        if job.refused_count:
            raise CommandError(f"{job.refused_count} lines refused", returncode=SOME_REFUSED)
