"""A claimed receipt and what follows it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from incoming.models import Receipt
from incoming.routing import Following


@dataclass(frozen=True, slots=True)
class Work:
    """A claimed receipt and what follows it."""

    receipt: Receipt
    following: Following
    started_at: datetime

    @property
    def occurred_at(self) -> datetime:
        """When the third party told it."""
        return self.receipt.signed_at or self.receipt.received_at
