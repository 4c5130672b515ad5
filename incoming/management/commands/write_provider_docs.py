from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from incoming.providers import PROVIDERS
from incoming.providers.describe import describe, describe_all


def pages() -> dict[str, str]:
    """The text of each page, by its file's name."""
    texts = {f"{name}.md": describe(provider) for name, provider in PROVIDERS.items()}
    return {**texts, "README.md": describe_all(PROVIDERS.values())}


class Command(BaseCommand):
    help = "Write the documentation page of each provider from its declaration."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--check", action="store_true", help="Write nothing; fail where a page is not current."
        )
        parser.add_argument(
            "--directory", type=Path, default=Path(settings.BASE_DIR) / "docs" / "providers"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        directory: Path = options["directory"]
        wanted = pages()
        present = {path.name: path.read_text() for path in directory.glob("*.md")}
        stale = {name for name in wanted.keys() | present if wanted.get(name) != present.get(name)}
        if options["check"]:
            if stale:
                raise CommandError(f"not current: {', '.join(sorted(stale))}")
            self.stdout.write(f"{len(wanted)} pages are current")
            return
        directory.mkdir(parents=True, exist_ok=True)
        for name in stale:
            if name in wanted:
                (directory / name).write_text(wanted[name])
            else:
                (directory / name).unlink()
        self.stdout.write(f"{len(wanted)} pages, {len(stale)} of them changed")
