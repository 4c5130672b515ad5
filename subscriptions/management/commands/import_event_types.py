from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError

from subscriptions.documents import File, read_files
from subscriptions.errors import DocumentNotAcceptable, ImportNotAcceptable
from subscriptions.imports import NOT_ACCEPTABLE, Import, import_event_types, plan_import
from webhooks_project.accounts.models import Account
from webhooks_project.arguments import account_named
from webhooks_project.lib.actor import Actor, current_actor

SUFFIXES: Final = frozenset({".json", ".yaml", ".yml", ".jsonl", ".ndjson"})
SHOWN_CHANGES: Final = 5  # of one type


class Command(BaseCommand):
    help = (
        "Import event types from JSON Schema files, folders of them, and OpenAPI documents with "
        "webhooks; .jsonl files hold examples."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("files", nargs="+", metavar="FILE", type=Path)
        parser.add_argument("--account", help="The account's slug; needed if there are several.")
        parser.add_argument("--dry-run", action="store_true", help="Say what would be done.")
        parser.add_argument(
            "--major", action="store_true", help="A schema that breaks readers is a major version."
        )
        parser.add_argument(
            "--allow-breaking", action="store_true", help="A minor version may break readers."
        )
        parser.add_argument(
            "--best-effort", action="store_true", help="Leave out what cannot be imported."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        current_actor.set(Actor("command", label="import_event_types"))
        account = account_named(options["account"]) or _only_account()
        words = {name: options[name] for name in ("major", "allow_breaking")}
        try:
            described = read_files(_files(options["files"]))
            plan = plan_import(account=account, described=described, **words)
            self._say(plan)
            if not options["dry_run"]:
                import_event_types(
                    account=account,
                    described=described,
                    best_effort=options["best_effort"],
                    **words,
                )
        except (DocumentNotAcceptable, ImportNotAcceptable) as error:
            raise CommandError(str(error)) from error
        counts = ", ".join(f"{count} {outcome}" for outcome, count in plan.counts.items() if count)
        verb = "would be imported" if options["dry_run"] else "imported"
        done = sum(line.outcome not in NOT_ACCEPTABLE for line in plan.lines)
        self.stdout.write(f"{done} of {len(plan.lines)} event types {verb}: {counts or 'none'}")

    def _say(self, plan: Import) -> None:
        for line in plan.lines:
            parts = [f"v{line.version}"] if line.version else []
            parts += line.changed_fields
            parts += [f"{line.example_count} examples"] if line.example_count else []
            about = line.problem or ", ".join(parts)
            self.stdout.write(f"{line.outcome:>9}  {line.name}  {about}".rstrip())
            for change in line.changes[:SHOWN_CHANGES]:
                self.stdout.write(f"           {change.path or 'the whole'}: {change.detail}")
            if len(line.changes) > SHOWN_CHANGES:
                self.stdout.write(f"           and {len(line.changes) - SHOWN_CHANGES} more")
            for problem in line.example_problems:
                self.stdout.write(f"           left out: {problem}")


def _files(paths: list[Path]) -> Iterator[File]:
    """The files, and those in the folders; in a folder a file's path there is its name."""
    for path in paths:
        if path.is_dir():
            for found in sorted(path.rglob("*")):
                if found.suffix.lower() in SUFFIXES and found.is_file():
                    yield _file(found, found.relative_to(path).as_posix())
        else:
            yield _file(path, path.name)


def _file(path: Path, name: str) -> File:
    try:
        return File(name, path.read_bytes())
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}") from error


def _only_account() -> Account:
    accounts = list(Account.objects.all()[:2])
    if len(accounts) != 1:
        raise CommandError("name the account with --account")
    return accounts[0]
