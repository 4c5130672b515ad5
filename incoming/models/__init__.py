"""Who may tell us, and what they told."""

from incoming.models.receipts import Receipt
from incoming.models.refusals import RefusalCount, RefusalMinute
from incoming.models.replays import ReceiptReplay
from incoming.models.routes import Route
from incoming.models.runs import HandlerRun
from incoming.models.sources import (
    MAX_BODY_BYTES,
    SchemaMode,
    Source,
    SourceSecret,
    provider_choices,
)

__all__ = [
    "MAX_BODY_BYTES",
    "HandlerRun",
    "Receipt",
    "ReceiptReplay",
    "RefusalCount",
    "RefusalMinute",
    "Route",
    "SchemaMode",
    "Source",
    "SourceSecret",
    "provider_choices",
]
