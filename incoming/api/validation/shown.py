"""What of a receipt and of its source's secrets an answer may show."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from typing import Any

import orjson

from incoming.errors import BodyPruned
from incoming.masking import mask_of
from incoming.models import Receipt
from incoming.payload import body_of, headers_of


def shown_receipt(receipt: Receipt) -> Receipt:
    """A copy of the receipt as the API shows it: an answer may quote what is asked.

    Raises BodyPruned where there is nothing to ask about any more.
    """
    if receipt.body_pruned_at is not None:
        raise BodyPruned
    mask = mask_of(receipt.source)
    shown = copy(receipt)
    shown.query = mask(receipt.query)
    shown.headers = orjson.dumps({name: mask(text) for name, text in headers_of(receipt).items()})
    body = body_of(receipt).decode("utf-8", "surrogateescape")
    shown.body = mask(body).encode("utf-8", "surrogateescape")
    return shown


def masked(value: Any, mask: Callable[[str], str]) -> Any:
    """A JSON value with the secrets taken out of all its texts and numbers."""
    if isinstance(value, Mapping):
        return {mask(name): masked(item, mask) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [masked(item, mask) for item in value]
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return value
    shown = mask(str(value))
    return value if shown == str(value) else shown
