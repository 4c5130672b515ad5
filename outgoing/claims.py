"""What one pump has claimed and not ended, and how what is not sent goes back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from django.db import transaction

from outgoing.cancelled import note_all_cancelled
from outgoing.lines import Work, each
from outgoing.models import Delivery
from outgoing.querysets import Claim
from subscriptions.models import Subscription

NOTHING_TO_SEND: Final = "nothing_to_send"  # why a delivery was cancelled: its transformation


class Claims:
    """The open claims of a pump, by their token. True while there are any."""

    def __init__(self) -> None:
        self._open: dict[UUID, int] = {}

    def __bool__(self) -> bool:
        return bool(self._open)

    def add(self, claims: Sequence[Claim]) -> None:
        """Those of one call, which share a token."""
        self._open[claims[0].token] = len(claims)

    def forget(self, claims: Sequence[Claim]) -> None:
        """Not renewed any more, they are due again when their lease ends."""
        self._open.pop(claims[0].token, None)

    def is_ours(self, token: UUID) -> bool:
        """Whether something of that claim has not ended."""
        return token in self._open

    def close(self, token: UUID, count: int = 1) -> None:
        """So many of a claim have ended."""
        self._open[token] -= count
        if not self._open[token]:
            del self._open[token]

    def renew(self, now: datetime) -> None:
        """Have the leases last from now on."""
        Delivery.objects.renew_leases(list(self._open), now)

    def give_back(self, works: Iterable[Work]) -> None:
        """Put what was not started in its lane again, for any pump."""
        by_claim: dict[tuple[UUID, int], list[UUID]] = {}
        for work in each(works):
            lane = Delivery.Lane.LIMITED if work.is_limited else work.lane
            by_claim.setdefault((work.claim.token, lane), []).append(work.claim.delivery_id)
        for (token, lane), ids in by_claim.items():
            Delivery.objects.release(ids, token, lane)
            self.close(token, len(ids))

    def put_aside(self, works: Iterable[Work]) -> None:
        """What was claimed for a subscription that is not active: held, or cancelled for good."""
        groups: dict[tuple[UUID, Delivery.Status], list[UUID]] = {}
        for work in each(works):
            archived = work.endpoint.status == Subscription.Status.ARCHIVED
            ending = Delivery.Status.CANCELLED if archived else Delivery.Status.HELD
            groups.setdefault((work.claim.token, ending), []).append(work.claim.delivery_id)
        for (token, ending), ids in groups.items():
            ended = Delivery.objects.all().finish(ids, token, {"status": ending})
            if ending == Delivery.Status.CANCELLED:
                note_all_cancelled(ended)
            self.close(token, len(ids))

    def cancel_nothing(self, work: Work) -> None:
        """End a delivery whose transformation gives nothing to send."""
        claim = work.claim
        values = {"status": Delivery.Status.CANCELLED, "last_cause": NOTHING_TO_SEND}
        with transaction.atomic():
            note_all_cancelled(
                Delivery.objects.all().finish([claim.delivery_id], claim.token, values)
            )
            if claim.order_key is not None:
                Delivery.objects.unpark_after([claim.delivery_id])
        self.close(claim.token)
