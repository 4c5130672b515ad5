"""What a document says at a place, where it is of the kind that it should be; else empty."""

from __future__ import annotations

from typing import Any


def text_of(value: Any) -> str:
    return value if isinstance(value, str) else ""


def list_of(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []


def mapping_of(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
