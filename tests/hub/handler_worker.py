"""A process that holds one place of the processing family, with handlers that can be watched.

Run as `python -m tests.hub.handler_worker DIRECTORY`: each try appends a line to a file there.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path


def main(directory: Path) -> None:
    import django

    django.setup()

    from incoming import runs
    from incoming.handlers import Webhook, handles
    from incoming.tasks import process_receipts
    from outgoing.services import publish

    # Seconds of patience become tenths, so that the test ends soon.
    runs.GRACE_SECONDS, runs.LEASE_GRACE_SECONDS, runs.SWEEP_SECONDS = 1.0, 3.0, 0.2

    def note(word: str, webhook: Webhook) -> None:
        with (directory / webhook.type).open("a") as lines:
            lines.write(f"{word} {webhook.receipt_id} {webhook.attempt} {os.getpid()}\n")

    @handles("github", "counted", name="counted")
    def counted(webhook: Webhook) -> None:
        note("begin", webhook)
        time.sleep(0.05)
        publish(account=webhook.account_id, type="did.counted", data=None)
        note("end", webhook)

    @handles("github", "killed", name="killed", time_limit=3, retry_seconds=(0.1,))
    def killed(webhook: Webhook) -> None:
        publish(account=webhook.account_id, type="did.killed", data=None)
        note("begin", webhook)
        if webhook.attempt == 1:
            time.sleep(2.9)

    @handles("github", "deaf", name="deaf", time_limit=0.5, retry_seconds=(0.1,))
    def deaf(webhook: Webhook) -> None:
        publish(account=webhook.account_id, type="did.deaf", data=None)
        note("begin", webhook)
        if webhook.attempt == 1:
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
            time.sleep(60)

    @handles("github", "broken", name="broken", retry_seconds=())
    def broken(webhook: Webhook) -> None:
        note("begin", webhook)
        if not (directory / "mended").exists():
            raise ValueError("not mended yet")

    process_receipts()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
