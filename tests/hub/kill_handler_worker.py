"""Handlers in processes of their own, of which some are killed in the middle of a run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.hub.scenario import main

RUNS = 10
WORKERS = 3  # one has the receipts' place, two have handlers'
GIVE_UP_SECONDS = 40


def scenario(port: int) -> dict[str, Any]:
    from incoming.models import HandlerRun, Receipt
    from incoming.services import rerun
    from outgoing.models import Event
    from tests.factories import make_receipt, make_source
    from webhooks_project.models import Heartbeat

    directory = Path(tempfile.mkdtemp(dir=os.environ["HUB_VAR_DIR"]))
    source = make_source(routes=())
    workers = [start_worker(directory) for _ in range(WORKERS)]
    wait_for(lambda: Heartbeat.objects.exclude(token=None).count() == WORKERS)
    result: dict[str, Any] = {}

    def status_of(receipt: Receipt) -> str:
        return Receipt.objects.values_list("status", flat=True).get(pk=receipt.pk)

    def summary(name: str) -> dict[str, Any]:
        run = HandlerRun.objects.get(handler=name)
        return {
            "status": run.status,
            "attempts": run.attempt_count,
            "tries": [line.split()[2] for line in lines_of(directory, name)],
            "effects": Event.objects.filter(type=f"did.{name}").count(),
        }

    receipts = [make_receipt(source, type="counted") for _ in range(RUNS)]
    wait_for(lambda: all(status_of(receipt) == "processed" for receipt in receipts))
    lines = [line.split() for line in lines_of(directory, "counted")]
    result["counted"] = {
        "begun": sorted(line[1] for line in lines if line[0] == "begin")
        == sorted(str(receipt.pk) for receipt in receipts),
        "effects": Event.objects.filter(type="did.counted").count(),
        "processes": len({line[3] for line in lines}),
    }

    killed = make_receipt(source, type="killed")
    wait_for(lambda: bool(lines_of(directory, "killed")))
    os.kill(int(lines_of(directory, "killed")[0].split()[3]), signal.SIGKILL)
    wait_for(lambda: status_of(killed) == "processed")
    result["killed"] = summary("killed")

    workers.append(start_worker(directory))
    deaf = make_receipt(source, type="deaf")
    wait_for(lambda: status_of(deaf) == "processed")
    result["deaf"] = summary("deaf")
    pid = int(lines_of(directory, "deaf")[0].split()[3])
    result["deaf"]["exit_code"] = next(each for each in workers if each.pid == pid).wait(5)

    broken = make_receipt(source, type="broken")
    workers.append(start_worker(directory))
    wait_for(lambda: status_of(broken) == "dead")
    (directory / "mended").touch()
    rerun(run=HandlerRun.objects.get(handler="broken"))
    wait_for(lambda: status_of(broken) == "processed")
    result["broken"] = summary("broken")

    for worker in workers:
        worker.kill()
        worker.wait()
    return result


def start_worker(directory: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.hub.handler_worker", str(directory)],
        env=os.environ | {"WEBHOOKS_HANDLER_PUMPS": str(WORKERS - 1)},
        stderr=subprocess.DEVNULL,
    )


def lines_of(directory: Path, name: str) -> list[str]:
    path = directory / name
    return path.read_text().splitlines() if path.exists() else []


def wait_for(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + GIVE_UP_SECONDS
    while not is_so():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.05)


if __name__ == "__main__":
    main(scenario)
