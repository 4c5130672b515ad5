"""Publishing for requests: those that wait at the same moment share a transaction."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Final

from django.db import DataError, IntegrityError, transaction

from outgoing.errors import OutgoingError
from outgoing.publishing import NewEvent, Published, publish_each
from webhooks_project.lib.together import Together, Waiting

EVENT_BYTES: Final = 1024  # what an event has beside its data, about

Outcomes = list[Published | OutgoingError]


class Publisher(Together[Sequence[NewEvent]]):
    """Publishes events, those of several threads in one transaction."""

    def publish(self, new: NewEvent) -> Published:
        """`publish_each` for one. Raises what it is refused with."""
        (outcome,) = self.publish_each([new])
        if isinstance(outcome, OutgoingError):
            raise outcome
        return outcome

    def publish_each(self, new_events: Sequence[NewEvent]) -> Outcomes:
        """The service of that name, committed. Within a transaction it joins that, as ever."""
        if not new_events or transaction.get_connection().in_atomic_block:
            return publish_each(new_events)
        size = sum(EVENT_BYTES + len(new.data) for new in new_events)
        outcomes: Outcomes = self.store(new_events, size=size)
        return outcomes

    def commit(self, batch: Sequence[Waiting[Sequence[NewEvent]]]) -> None:
        try:
            outcomes = iter(publish_each([new for waiting in batch for new in waiting.item]))
        except (DataError, IntegrityError, ValueError) as error:
            if len(batch) == 1:
                batch[0].error = error
                return
            # What the database does not take of one must not keep the others from being stored.
            for waiting in batch:
                self.commit([waiting])
            return
        for waiting in batch:
            waiting.outcome = list(islice(outcomes, len(waiting.item)))


publisher: Final = Publisher()
