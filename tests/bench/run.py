"""The bench in order: what needs an empty hub comes first."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Collection
from typing import Final

from django.core.management import call_command
from django.db import connection

from tests.bench import analytics, delivery, engine, idle, ingest, machine, publish, rules, verify
from tests.bench.report import say, show
from tests.bench.sink import running_sink

NAMES: Final = (
    verify.NAME,
    *ingest.NAMES,
    *publish.NAMES,
    *delivery.NAMES,
    *engine.NAMES,
    *idle.NAMES,
    *rules.NAMES,
    rules.MATCH,
    *analytics.NAMES,
)


def measure(*, only: Collection[str], runs: int, names_machine: bool) -> None:
    """Print the figures of this process's database, and before them, on PostgreSQL, SQLite's.

    Raises NoSink, and CalledProcessError where SQLite's could not be measured.
    """
    with running_sink() as sink:
        if names_machine:
            show("machine", **machine.describe(sink=sink.kind))
        if connection.vendor == "postgresql":
            _measure_on_sqlite(only=only, runs=runs)
        say(f"== {connection.vendor}")
        if verify.NAME in only and connection.vendor == "sqlite":  # it asks no database
            verify.measure_verify(runs=runs)
        if connection.vendor == "sqlite":  # nor do these
            rules.measure_rules(only=only)
        call_command("migrate", interactive=False, verbosity=0)
        if set(idle.NAMES) & set(only):
            idle.measure_idle(only=only)
        if set(delivery.NAMES) & set(only):
            delivery.measure_delivery(url=sink.url, sink=sink.kind, runs=runs, only=only)
        if set(engine.NAMES) & set(only):
            engine.measure_engine(url=sink.url, runs=runs, only=only)
        if set(ingest.NAMES) & set(only):
            ingest.measure_ingest(runs=runs, only=only)
        if rules.MATCH in only:
            rules.measure_match(runs=runs)
        if set(publish.NAMES) & set(only):
            publish.measure_publish(runs=runs, only=only)
        if set(analytics.NAMES) & set(only):
            analytics.measure_analytics(runs=runs, only=only)


def _measure_on_sqlite(*, only: Collection[str], runs: int) -> None:
    """In a process of its own: settings name one database for a process's life."""
    subprocess.run(
        [sys.executable, sys.argv[0], "bench", f"--only={','.join(only)}", f"--runs={runs}",
         "--without-machine"],
        env={name: value for name, value in os.environ.items() if name != "DATABASE_URL"},
        check=True,
    )  # fmt: skip
