"""Strangers' texts for people's eyes."""

from __future__ import annotations

import re
from typing import Final

# What a page or a terminal would obey or hide in place of showing it: control characters but tabs
# and ends of lines, turns of the direction of writing, and halves of a surrogate pair (which
# cannot be encoded).
_UNSEEN: Final = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff"
    "\ud800-\udfff]"
)


def visible(text: str) -> str:
    """The text with what cannot be seen written out, as `\\u202e`."""
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
