"""Publishing for requests: those that store at the same moment share a transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final
from uuid import UUID

from django.db import DataError, IntegrityError, transaction

from outgoing.drafting import Draft, NewEvent, draft_events
from outgoing.errors import OutgoingError
from outgoing.publishing import Published, publish_each, store_drafts
from webhooks_project.accounts.known_keys import StaleGeneration, is_current
from webhooks_project.accounts.models import NO_GENERATIONS, Generations
from webhooks_project.lib.together import Together, Waiting

EVENT_BYTES: Final = 1024  # what an event has beside its data, about

Outcomes = list[Published | OutgoingError]


@dataclass(frozen=True, slots=True)
class Drafted:
    """Drafts of one call, and the generations of accounts that nobody has confirmed yet."""

    drafts: Sequence[Draft]
    unconfirmed: Generations = field(default_factory=dict)


class Publisher(Together[Drafted]):
    """Publishes events: each thread drafts its own, and what several have is stored together."""

    def publish(
        self,
        new: NewEvent,
        *,
        generations: Generations = NO_GENERATIONS,
        are_confirmed: bool = True,
    ) -> Published:
        """`publish_each` for one. Raises what it is refused with."""
        (outcome,) = self.publish_each([new], generations=generations, are_confirmed=are_confirmed)
        if isinstance(outcome, OutgoingError):
            raise outcome
        return outcome

    def publish_each(
        self,
        new_events: Sequence[NewEvent],
        *,
        generations: Generations = NO_GENERATIONS,
        are_confirmed: bool = True,
    ) -> Outcomes:
        """The service of that name, committed. Within a transaction it joins that, as ever.

        `generations` are those of accounts, as the request has read them. Where the
        database has not confirmed them they are asked for with what is stored: raises
        StaleGeneration, and stores nothing, where one is another by now.
        """
        if transaction.get_connection().in_atomic_block:
            return publish_each(new_events)
        found = draft_events(new_events, generations)
        drafts = [draft for draft in found if isinstance(draft, Draft)]
        if not drafts:
            if not are_confirmed and not is_current(generations):
                raise StaleGeneration
            return [refused for refused in found if isinstance(refused, OutgoingError)]
        size = sum(EVENT_BYTES + len(draft.event.data) for draft in drafts)
        drafted = Drafted(drafts, NO_GENERATIONS if are_confirmed else generations)
        stored = iter(self.store(drafted, size=size))
        return [next(stored) if isinstance(draft, Draft) else draft for draft in found]

    def commit(self, batch: Sequence[Waiting[Drafted]]) -> None:
        drafts = [draft for waiting in batch for draft in waiting.item.drafts]
        try:
            outcomes = iter(store_drafts(drafts, generations=_unconfirmed(batch)))
        except (DataError, IntegrityError, TypeError, ValueError, StaleGeneration) as error:
            if len(batch) == 1:
                batch[0].error = error
                return
            # What the database does not take of one must not keep the others from being stored.
            for waiting in batch:
                self.commit([waiting])
            return
        for waiting in batch:
            waiting.outcome = list(islice(outcomes, len(waiting.item.drafts)))


def _unconfirmed(batch: Sequence[Waiting[Drafted]]) -> Generations:
    """Of all of these. Raises StaleGeneration where two go by different ones of an account."""
    found: dict[UUID, UUID | None] = {}
    for waiting in batch:
        for account_id, generation in waiting.item.unconfirmed.items():
            if found.setdefault(account_id, generation) != generation:
                raise StaleGeneration
    return found


publisher: Final = Publisher()
