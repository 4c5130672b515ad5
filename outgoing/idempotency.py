"""The same call again: it gets the first answer, and its key is no other call's meanwhile.

The event itself holds its key, so a key is known for as long as its event is kept; how long that is
at least: outgoing/retention.py.
"""

from __future__ import annotations

from outgoing.models import Event
from webhooks_project.lib.exact_json import is_same


def is_repeat(first: Event, again: Event) -> bool:
    """Whether the second asks for the same as the first that had its key.

    By what they mean, not by their bytes; when it happened and whose request it was do not count.
    """
    return (
        first.type == again.type
        and sorted(first.channels) == sorted(again.channels)
        and first.metadata == again.metadata
        and first.headers == again.headers
        and first.asked_version == again.asked_version
        and first.deliver_at == again.deliver_at
        and is_same(bytes(first.data), bytes(again.data))
    )
