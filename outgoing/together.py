"""Publishing for requests: those that wait at the same moment share a transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from django.db import DataError, IntegrityError, transaction

from outgoing.errors import OutgoingError
from outgoing.publishing import NewEvent, Published, publish_each, publish_many
from webhooks_project.lib.together import Together, Waiting


class Publisher(Together[NewEvent]):
    """Publishes events, those of several threads in one transaction."""

    def publish(self, new: NewEvent) -> Published:
        """`publish_many` for one, committed. Within a transaction it joins that, as ever."""
        if transaction.get_connection().in_atomic_block:
            return publish_many([new])[0]
        outcome: Published | OutgoingError = self.store(new, size=len(new.data))
        if isinstance(outcome, OutgoingError):
            raise outcome
        return outcome

    def commit(self, batch: Sequence[Waiting[NewEvent]]) -> None:
        try:
            outcomes = publish_each([waiting.item for waiting in batch])
        except (DataError, IntegrityError, ValueError) as error:
            if len(batch) == 1:
                batch[0].error = error
                return
            # What the database does not take of one must not keep the others from being stored.
            for waiting in batch:
                self.commit([waiting])
            return
        for waiting, outcome in zip(batch, outcomes, strict=True):
            waiting.outcome = outcome


publisher: Final = Publisher()
