"""A process that is the retry family's pump, whose batches of a replay can be watched.

Run as `python -m tests.hub.replay_worker FILE`: each batch appends `begin` to the file, and is then
kept open for a while, so that it can be killed in the middle.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

HELD_SECONDS = 0.3


def main(path: Path) -> None:
    import django

    django.setup()

    from outgoing import services
    from outgoing.replays import carrying
    from outgoing.tasks import release_retries

    carrying.BATCH_ROWS = 100
    redeliver = services.redeliver

    def watched(**arguments: Any) -> list[Any]:
        taken = redeliver(**arguments)
        if taken:
            with path.open("a") as lines:
                lines.write("begin\n")
            time.sleep(HELD_SECONDS)
        return taken

    services.redeliver = watched
    while True:
        release_retries()
        time.sleep(0.1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
