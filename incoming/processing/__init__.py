"""The processing of receipts: what follows them, written down once it is found out.

`incoming/routing/` finds it out. The pump claims batches; a batch's works are written in one
transaction, or each in its own where that fails.
"""

from incoming.processing.batches import process_due_receipts
from incoming.processing.pump import run_processing_pump

__all__ = ["process_due_receipts", "run_processing_pump"]
