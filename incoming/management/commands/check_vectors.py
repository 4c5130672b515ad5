"""Tries published test vectors on the providers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from incoming.vectors import Outcome, Result, check_vectors


class Command(BaseCommand):
    help = "Tries a file of test vectors (a JSON list) on the providers; fails where one differs."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, metavar="FILE")

    def handle(self, *args: Any, **options: Any) -> None:
        results = check_vectors(_read(options["file"]))
        console = Console(file=self.stdout, soft_wrap=True)  # type: ignore[arg-type]
        console.print(_table(results))
        for result in results:
            if result.outcome is Outcome.FAILED:
                console.print(escape(_line(result)))
        passed, failed = (
            sum(result.outcome is outcome for result in results)
            for outcome in (Outcome.PASSED, Outcome.FAILED)
        )
        self.stdout.write(f"{passed} passed, {failed} failed")
        if failed:
            raise SystemExit(1)


def _read(path: Path) -> list[dict[str, Any]]:
    try:
        vectors = orjson.loads(path.read_bytes())
    except OSError as error:
        raise CommandError(f"cannot read {path}: {error.strerror}") from error
    except orjson.JSONDecodeError as error:
        raise CommandError(f"{path} is not JSON: {error}") from error
    if not isinstance(vectors, list) or not all(isinstance(vector, dict) for vector in vectors):
        raise CommandError(f"{path} is not a list of vectors")
    return vectors


def _table(results: Sequence[Result]) -> Table:
    table = Table("provider", *(outcome.value for outcome in Outcome))
    counts = Counter((result.provider, result.outcome) for result in results)
    for provider in sorted({result.provider for result in results}):
        numbers = [counts[provider, outcome] for outcome in Outcome]
        table.add_row(escape(provider), *(str(number) if number else "" for number in numbers))
    return table


def _line(result: Result) -> str:
    note = f" ({result.note})" if result.note else ""
    return f"#{result.position} {result.provider} {result.scheme}{note}: {result.detail}"
