"""Taking a source's own secrets out of what it was sent.

Some third parties prove themselves by a token in the URL or in the body, so what they send has the
secret in it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Final
from urllib.parse import parse_qsl, quote, quote_plus, unquote_plus

from incoming.models import Source
from webhooks_project.lib.keyring import CannotDecrypt
from webhooks_project.lib.redaction import MASK, redact_headers

MIN_LENGTH: Final = 4  # characters; a shorter secret would be found in any text


def mask_of(source: Source) -> Callable[[str], str]:
    """What replaces each secret that the source has or had, in every way it may be written."""
    forms = sorted({form for secret in _secrets(source) for form in _forms(secret)}, key=len)

    def mask(text: str) -> str:
        for form in reversed(forms):
            text = text.replace(form, MASK)
        return text

    return mask


def redact_query(query: str) -> dict[str, str]:
    """The parameters of a URL, with the value of every one that may hold a secret masked."""
    return redact_headers(dict(parse_qsl(query, keep_blank_values=True)))


def redact_query_text(query: str) -> str:
    """The same as one text, in which everything else stays as it came."""
    return "&".join(_redact_pair(pair) for pair in query.split("&"))


def _redact_pair(pair: str) -> str:
    name, separator, value = pair.partition("=")
    return name + separator + redact_headers({unquote_plus(name): value})[unquote_plus(name)]


def _secrets(source: Source) -> Iterable[str]:
    for row in source.secrets.all():
        try:
            secret = row.secret
        except CannotDecrypt:
            continue
        if len(secret) >= MIN_LENGTH:
            yield secret


def _forms(secret: str) -> set[str]:
    return {secret, quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1]}
