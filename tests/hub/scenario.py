"""What the whole-hub tests share: a scratch hub in a process of its own, seen from outside.

A scenario is a module run as `python -m tests.hub.<name>`; it prints one JSON object.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
COPY_OF = "HUB_TESTS_COPY_OF"  # names the migrated database that a scenario's is a copy of


def run(name: str, *, timeout: float, **environment: str) -> dict[str, Any]:
    """Run a scenario and give what it printed."""
    result = subprocess.run(
        [sys.executable, "-m", f"tests.hub.{name}"],
        cwd=ROOT,
        env=os.environ | environment,
        timeout=timeout,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-4000:]
    printed: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return printed


def main(scenario: Callable[[int], dict[str, Any]]) -> None:
    """Entry of a scenario's process: a scratch database, migrated; then the scenario."""
    from webhooks_project import scratch

    scratch.enter(copy_of=os.environ.get(COPY_OF))
    from webhooks_project.running import free_port

    port = free_port()
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "webhooks_project.settings",
        "PUBLIC_URL": f"http://127.0.0.1:{port}",
        "LOG_LEVEL": "WARNING",
    }
    import django
    from django.core.management import call_command

    django.setup()
    if COPY_OF not in os.environ:
        call_command("migrate", interactive=False, verbosity=0)
    try:
        result = scenario(port)
    finally:
        kill_leftovers()
    print(json.dumps(result))


def kill_leftovers() -> None:
    """End what a killed supervisor left behind: every other process of this scratch hub."""
    import psutil

    for process in psutil.process_iter():
        try:
            ours = process.environ().get("HUB_NODE") == os.environ["HUB_NODE"]
        except psutil.Error:
            continue
        if ours and process.pid != os.getpid():
            process.kill()
