from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from pathlib import Path
from typing import Any

import orjson
from django.core.management.base import BaseCommand, CommandError

from monitoring.anchors import Known, NotAnAnchor, find_anchors, head_of_anchors, read_anchor
from monitoring.audit_files import NotReadable, check_file
from monitoring.chain import Breach
from monitoring.verifying import strangers, verify_account, verify_all, verify_hub
from webhooks_project.arguments import account_named

BROKEN, NOT_ACCEPTABLE = 1, 2  # exit codes


def anchor(text: str) -> Known:
    """A type for `add_argument`."""
    try:
        return read_anchor(text)
    except NotAnAnchor as error:
        raise ArgumentTypeError(str(error)) from error


class Command(BaseCommand):
    help = "Say which audit entries were changed, removed or reordered; exit code 1 where any was."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--account", help="Only of the account with this slug.")
        parser.add_argument(
            "--anchor", type=anchor, action="append", default=[],
            help="A head that was kept: account:sequence:hash, or hub:number:hash; several times.",
        )  # fmt: skip
        parser.add_argument(
            "--anchors", type=Path, help="A file with anchors anywhere in it: a log, or mails."
        )
        parser.add_argument(
            "--file", type=Path, help="Check an export instead; no database is needed."
        )
        parser.add_argument("--json", action="store_true", help="Say it as one JSON object a line.")

    def handle(self, *args: Any, **options: Any) -> None:
        known = [*options["anchor"], *_anchors_in(options["anchors"])]
        self._as_json = bool(options["json"])
        if options["file"]:
            is_whole = self._file(options["file"], known)
        else:
            is_whole = self._database(options["account"], known)
        if not is_whole:
            raise CommandError("the audit log is not what was written", returncode=BROKEN)

    def _database(self, slug: str | None, known: list[Known]) -> bool:
        account = account_named(slug)
        chains = verify_all(known) if account is None else iter([verify_account(account, known)])
        accounts = entries = broken = 0
        for chain in chains:
            accounts += 1
            entries += chain.count
            broken += len(chain.breaches)
            self._say(chain.account.slug, chain.count, chain.head, chain.breaches)
        problems = verify_hub(known)
        if account is None:
            problems += [f"account {key} is not there" for key in strangers(known)]
        for problem in problems:
            self._line({"problem": problem}, problem)
        newest = head_of_anchors() or "no anchor was given out yet"
        self._line(
            {"accounts": accounts, "entries": entries, "breaches": broken,
             "problems": len(problems), "anchor": newest},
            f"{entries} entr{'y' if entries == 1 else 'ies'} of {accounts} "
            f"account{'' if accounts == 1 else 's'}, {broken} "
            f"breach{'' if broken == 1 else 'es'}; {newest}",
        )  # fmt: skip
        return not broken and not problems

    def _file(self, path: Path, known: list[Known]) -> bool:
        kept: dict[str, dict[int, str]] = {}
        for item in known:
            kept.setdefault(str(item.account_id), {})[item.number] = item.hash
        file_format = "csv" if path.suffix.lower() == ".csv" else "jsonl"
        try:
            # A byte that is no UTF-8 becomes another character, which the hash then tells.
            with path.open(encoding="utf-8", errors="replace", newline="") as lines:
                checked = check_file(lines, file_format, kept)
        except OSError as error:
            raise CommandError(str(error), returncode=NOT_ACCEPTABLE) from error
        except NotReadable as error:
            raise CommandError(f"{path.name}: {error}", returncode=NOT_ACCEPTABLE) from error
        self._say(str(checked.account_id), checked.count, checked.head, checked.breaches)
        return not checked.breaches

    def _say(self, account: str, count: int, head: str, breaches: list[Breach]) -> None:
        for breach in breaches:
            until = f" to {breach.until}" if breach.until else ""
            self._line(
                {"account": account, "kind": breach.kind.value, "sequence": breach.sequence,
                 "until": breach.until, "text": breach.text},
                f"{account} entry {breach.sequence}{until}: {breach.kind}: {breach.text}",
            )  # fmt: skip
        if not breaches and (count or self._as_json):
            self._line(
                {"account": account, "entries": count, "head": head},
                f"{account}: {count} {'entry holds' if count == 1 else 'entries hold'}; "
                f"head {head}",
            )

    def _line(self, values: dict[str, Any], text: str) -> None:
        self.stdout.write(orjson.dumps(values).decode() if self._as_json else text)


def _anchors_in(path: Path | None) -> list[Known]:
    if path is None:
        return []
    try:
        with path.open(encoding="utf-8", errors="replace") as lines:
            found = find_anchors(lines)
    except OSError as error:
        raise CommandError(str(error), returncode=NOT_ACCEPTABLE) from error
    if not found:
        raise CommandError(f"{path.name} has no anchor in it", returncode=NOT_ACCEPTABLE)
    return found
