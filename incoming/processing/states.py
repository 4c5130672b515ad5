"""The states of integrations, as routes change them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import orjson

from incoming.errors import StateTooLarge
from incoming.models import Source
from incoming.processing.works import Work
from incoming.routing import Update

MAX_STATE_BYTES: Final = 64 * 1024
# In an integration's state: when each of its keys was last told, those that went too.
STATE_TIMES: Final = "_updated_at"


def update_states(works: Sequence[Work]) -> None:
    """Change the integrations' states as the works say."""
    changes: dict[UUID, list[tuple[datetime, Update]]] = defaultdict(list)
    for work in works:
        for action in work.following.actions:
            if isinstance(action, Update):
                changes[work.receipt.source_id].append((work.occurred_at, action))
    if not changes:
        return
    for source in Source.objects.select_for_update(no_key=True).filter(
        pk__in=list(changes)
    ).order_by("pk"):  # fmt: skip
        for moment, update in changes[source.pk]:
            source.state = state_after(source.state, update.changes, moment)
        source.save(update_fields=["state"])


def state_after(state: Any, changes: Any, moment: datetime) -> dict[str, Any]:
    """An integration's state after what was told at that moment; null takes a key out.

    A key stays as it is where something later was told of it. Raises StateTooLarge.
    """
    after = dict(state)
    times: dict[str, str] = dict(after.pop(STATE_TIMES, {}))
    for key, value in changes.items():
        known = times.get(key)
        if key == STATE_TIMES or (known and datetime.fromisoformat(known) > moment):
            continue
        times[key] = moment.isoformat()
        if value is None:
            after.pop(key, None)
        else:
            after[key] = value
    after[STATE_TIMES] = times
    if len(orjson.dumps(after)) > MAX_STATE_BYTES:
        raise StateTooLarge(f"the state would have more than {MAX_STATE_BYTES} bytes")
    return after
