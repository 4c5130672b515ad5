from __future__ import annotations

import argparse
import subprocess
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from tests.bench.run import NAMES, measure
from tests.bench.sink import NoSink


class Command(BaseCommand):
    help = "Measure the hub against bare loops on this machine: one JSON line for each figure."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--only", default=",".join(NAMES), help="Figures, by commas.")
        parser.add_argument("--runs", type=int, default=5, help="Of each ratio; medians count.")
        parser.add_argument("--without-machine", action="store_true", help=argparse.SUPPRESS)

    def handle(self, *args: Any, **options: Any) -> None:
        only = options["only"].split(",")
        unknown = set(only) - set(NAMES)
        if unknown or options["runs"] < 1:
            raise CommandError(f"--only takes {', '.join(NAMES)}; --runs at least 1")
        try:
            measure(only=only, runs=options["runs"], names_machine=not options["without_machine"])
        except NoSink as error:
            raise CommandError(str(error)) from error
        except subprocess.CalledProcessError as error:
            raise SystemExit(error.returncode) from error
