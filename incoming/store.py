"""Receipts that wait at the same moment share a commit: webhooks_project/lib/together.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from django.db import IntegrityError, transaction

from incoming.models import Receipt
from webhooks_project.lib.sql import insert_instance, insert_instances
from webhooks_project.lib.together import Together, Waiting
from webhooks_project.uncounted import Kind, mark_uncounted


class Store(Together[Receipt]):
    """Inserts receipts, those of several threads in one transaction. Alone, a request inserts its
    row as it always did."""

    def insert(self, receipt: Receipt) -> None:
        """Return once the receipt is committed.

        Raises IntegrityError where another has its id (that of the row or the third party's), and
        what the database raises where it cannot store. Not to be called in a transaction.
        """
        self.store(receipt, size=len(receipt.body))

    def commit(self, batch: Sequence[Waiting[Receipt]]) -> None:
        _commit(batch)


def _commit(batch: Sequence[Waiting[Receipt]]) -> None:
    if len(batch) > 1:
        try:
            with transaction.atomic():
                insert_instances([waiting.item for waiting in batch])
                mark_uncounted(Kind.RECEIPT, (waiting.item.received_at for waiting in batch))
            return
        except IntegrityError:
            pass  # one of them is a repeat: each by itself, to see which
    for waiting in batch:
        try:
            with transaction.atomic():
                insert_instance(waiting.item)
                mark_uncounted(Kind.RECEIPT, [waiting.item.received_at])
        except Exception as error:
            waiting.error = error


store: Final = Store()
