"""Who may tell us, and what they told."""

from incoming.admin.receipts import ReceiptAdmin
from incoming.admin.refusals import RefusalCountAdmin
from incoming.admin.replays import ReceiptReplayAdmin
from incoming.admin.runs import HandlerRunAdmin
from incoming.admin.sources import SourceAdmin

__all__ = [
    "HandlerRunAdmin",
    "ReceiptAdmin",
    "ReceiptReplayAdmin",
    "RefusalCountAdmin",
    "SourceAdmin",
]
