"""Lines of examples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from subscriptions.documents.files import MAX_DOCUMENT_BYTES, File
from subscriptions.documents.values import mapping_of
from subscriptions.errors import DocumentNotAcceptable


def example_lines(file: File) -> Iterator[tuple[str, Any]]:
    """Each example, with the name of its event type."""
    if len(file.content) > MAX_DOCUMENT_BYTES:
        raise DocumentNotAcceptable(f"it has more than {MAX_DOCUMENT_BYTES:,} bytes")
    for number, line in enumerate(file.content.splitlines(), 1):
        if not line.strip():
            continue
        try:
            value = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise DocumentNotAcceptable(f"line {number} is no JSON: {error}") from error
        said = mapping_of(value)
        name = next((said[word] for word in ("event", "type", "name") if word in said), None)
        payload = next((word for word in ("payload", "data", "example") if word in said), None)
        if not isinstance(name, str) or payload is None:
            raise DocumentNotAcceptable(f"line {number} has no event with a payload")
        yield name, said[payload]
