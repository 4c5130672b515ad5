"""Who may tell us, and what they told."""

from incoming.admin.receipts import ReceiptAdmin
from incoming.admin.refusals import RefusalCountAdmin
from incoming.admin.sources import SourceAdmin

__all__ = ["ReceiptAdmin", "RefusalCountAdmin", "SourceAdmin"]
