"""Taking a source's own secrets out of what it was sent, before it is kept and where it is shown.

Some third parties prove themselves by a token in a header, in the URL or in the body, so what they
send has the secret in it.
"""

from __future__ import annotations

import base64
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
    forms = forms_of(_secrets(source))

    def mask(text: str) -> str:
        for form in forms:
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
        yield secret


def forms_of(secrets: Iterable[str]) -> list[str]:
    """Every way that these may be written, the longest first; very short ones are passed over."""
    forms = {form for secret in secrets if len(secret) >= MIN_LENGTH for form in _forms(secret)}
    return sorted(forms, key=len, reverse=True)


def _forms(secret: str) -> set[str]:
    return {
        secret,
        quote(secret, safe=""),
        quote_plus(secret),
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        base64.b64encode(secret.encode("utf-8", "surrogatepass")).decode(),  # Basic authentication
    }
