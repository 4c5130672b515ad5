"""A delivery pump in a process of its own, until it is ended: `python -m tests.hub.pump_process`.

The settings and the database are those of the scratch hub that its environment names.
"""

from __future__ import annotations

import os


class Place:
    """A turn without an end."""

    name = f"{os.getpid()}/delivery/0"

    def goes_on(self) -> bool:
        return True

    def leave(self, *, call_next: bool = True) -> None:
        pass


if __name__ == "__main__":
    import django

    django.setup()
    from outgoing.deliver import DeliveryPump

    DeliveryPump(Place()).run()  # type: ignore[arg-type]
