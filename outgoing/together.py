"""Publishing for requests: those that store at the same moment share a transaction."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Final

from django.db import DataError, IntegrityError, transaction

from outgoing.drafting import Draft, NewEvent, draft_events
from outgoing.errors import OutgoingError
from outgoing.publishing import Published, publish_each, store_drafts
from webhooks_project.accounts.models import Generations
from webhooks_project.lib.together import Together, Waiting

EVENT_BYTES: Final = 1024  # what an event has beside its data, about

Outcomes = list[Published | OutgoingError]


class Publisher(Together[Sequence[Draft]]):
    """Publishes events: each thread drafts its own, and what several have is stored together."""

    def publish(self, new: NewEvent, *, generations: Generations | None = None) -> Published:
        """`publish_each` for one. Raises what it is refused with."""
        (outcome,) = self.publish_each([new], generations=generations)
        if isinstance(outcome, OutgoingError):
            raise outcome
        return outcome

    def publish_each(
        self,
        new_events: Sequence[NewEvent],
        *,
        generations: Generations | None = None,
    ) -> Outcomes:
        """The service of that name, committed. Within a transaction it joins that, as ever.

        `generations` are those of accounts, as the request has read them.
        """
        if transaction.get_connection().in_atomic_block:
            return publish_each(new_events)
        found = draft_events(new_events, generations)
        drafts = [draft for draft in found if isinstance(draft, Draft)]
        if not drafts:
            return [refused for refused in found if isinstance(refused, OutgoingError)]
        size = sum(EVENT_BYTES + len(draft.event.data) for draft in drafts)
        stored = iter(self.store(drafts, size=size))
        return [next(stored) if isinstance(draft, Draft) else draft for draft in found]

    def commit(self, batch: Sequence[Waiting[Sequence[Draft]]]) -> None:
        try:
            outcomes = iter(store_drafts([draft for waiting in batch for draft in waiting.item]))
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
