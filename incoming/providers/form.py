"""Form bodies: `application/x-www-form-urlencoded` and the fields of `multipart/form-data`."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import parse_qsl

MAX_FIELDS: Final = 1000  # a body or a query with more is taken for none

_BOUNDARY = re.compile(r'boundary=(?:"([^"\r\n]{1,200})"|([^\s;,"]{1,200}))', re.IGNORECASE)
_NAME = re.compile(r'[;\s]name="([^"\r\n]*)"', re.IGNORECASE)
_FILENAME = re.compile(r"[;\s]filename\*?=", re.IGNORECASE)


def form_pairs(body: bytes, content_type: str) -> list[tuple[str, str]] | None:
    """The fields in their order; None where the body is JSON, not UTF-8 or has too many fields.

    A call without a content type, or with an unknown one, is read as urlencoded. Uploaded files
    of a multipart body are passed over.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind.endswith("json"):
        return None
    if kind == "multipart/form-data":
        return _multipart_pairs(body, content_type)
    try:
        return parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError:
        return None


def _multipart_pairs(body: bytes, content_type: str) -> list[tuple[str, str]] | None:
    found = _BOUNDARY.search(content_type)
    if found is None:
        return None
    try:
        delimiter = b"--" + (found[1] or found[2]).encode("ascii")
    except UnicodeEncodeError:
        return None
    parts = body.split(delimiter, MAX_FIELDS + 1)
    if len(parts) > MAX_FIELDS:
        return None
    pairs = []
    for part in parts[1:]:
        head, separator, value = part.partition(b"\r\n\r\n")
        disposition = head.decode("utf-8", "replace")
        name = _NAME.search(disposition)
        if separator and name and not _FILENAME.search(disposition):
            text = value.removesuffix(b"\r\n").decode("utf-8", "replace")
            pairs.append((name[1], text))
    return pairs


def sorted_form(pairs: list[tuple[str, str]], *, unique: bool) -> str:
    """Names and values, sorted by both, in one string with nothing between them; with `unique` a
    pair that comes twice counts once."""
    ordered = sorted(set(pairs) if unique else pairs)
    return "".join(name + value for name, value in ordered)
