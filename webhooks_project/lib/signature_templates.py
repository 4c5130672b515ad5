"""Signatures by other conventions than Standard Webhooks: an HMAC, in a header of any form.

A template is a JSON object: `header`, `algorithm`, `encoding`, the signed `content`, the header's
`value`, and where a convention has them `separator`, `timestamp_header` and `id_header`; or a
`preset`, with any of those in place of the preset's own.

The key is the secret as it is shown, taken as text: such receivers know of no other form.
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from webhooks_project.lib.faults import Fault
from webhooks_project.lib.headers import TOKEN, is_ours

Algorithm = Literal["sha1", "sha256", "sha512"]
Encoding = Literal["hex", "base64"]

MAX_LENGTH: Final = 256  # characters of content and value

PRESETS: Final[Mapping[str, Mapping[str, str]]] = {
    "github": {"header": "X-Hub-Signature-256", "value": "sha256={signature}"},
    "websub": {"header": "X-Hub-Signature", "algorithm": "sha1", "value": "sha1={signature}"},
    "stripe": {
        "header": "Stripe-Signature",
        "content": "{timestamp}.{body}",
        "value": "t={timestamp},v1={signature}",
        "separator": ",",
    },
    "slack": {
        "header": "X-Slack-Signature",
        "content": "v0:{timestamp}:{body}",
        "value": "v0={signature}",
        "timestamp_header": "X-Slack-Request-Timestamp",
    },
    "zoom": {
        "header": "x-zm-signature",
        "content": "v0:{timestamp}:{body}",
        "value": "v0={signature}",
        "timestamp_header": "x-zm-request-timestamp",
    },
    "shopify": {"header": "X-Shopify-Hmac-SHA256", "encoding": "base64"},
    "woocommerce": {"header": "X-WC-Webhook-Signature", "encoding": "base64"},
    "paddle": {
        "header": "Paddle-Signature",
        "content": "{timestamp}:{body}",
        "value": "ts={timestamp};h1={signature}",
        "separator": ";",
    },
    "calendly": {
        "header": "Calendly-Webhook-Signature",
        "content": "{timestamp}.{body}",
        "value": "t={timestamp},v1={signature}",
        "separator": ",",
    },
}
_DEFAULTS: Final = {
    "algorithm": "sha256",
    "encoding": "hex",
    "content": "{body}",
    "value": "{signature}",
    "separator": "",
    "timestamp_header": "",
    "id_header": "",
}
_PLACE = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True, slots=True)
class SignatureTemplate:
    """How requests to one endpoint are signed.

    With a `separator` the part of `value` around `{signature}` stands once for each key; without
    one there is room for the newest key's signature only.
    """

    header: str
    algorithm: Algorithm
    encoding: Encoding
    content: str
    value: str
    separator: str
    timestamp_header: str
    id_header: str

    def lines(
        self, keys: Sequence[bytes], *, message_id: str, timestamp: int, body: bytes
    ) -> list[str]:
        """The header lines of one request; `keys` are the newest first."""
        facts = {"id": message_id, "timestamp": str(timestamp)}
        before, _, after = self.content.partition("{body}")
        content = _filled(before, facts).encode() + body + _filled(after, facts).encode()
        signatures = [self._signature(key, content) for key in keys]
        lines = [f"{self.header}: {self._value(signatures, facts)}"]
        if self.timestamp_header:
            lines.append(f"{self.timestamp_header}: {timestamp}")
        if self.id_header:
            lines.append(f"{self.id_header}: {message_id}")
        return lines

    @property
    def names(self) -> list[str]:
        """The headers that it adds, the signature's first."""
        return [name for name in (self.header, self.timestamp_header, self.id_header) if name]

    def _signature(self, key: bytes, content: bytes) -> str:
        raw = hmac.digest(key, content, self.algorithm)
        return raw.hex() if self.encoding == "hex" else base64.b64encode(raw).decode()

    def _value(self, signatures: Sequence[str], facts: Mapping[str, str]) -> str:
        if not self.separator:
            return _filled(self.value, {**facts, "signature": signatures[0]})
        parts: list[str] = []
        for part in self.value.split(self.separator):
            several = signatures if "{signature}" in part else signatures[:1]
            parts.extend(_filled(part, {**facts, "signature": one}) for one in several)
        return self.separator.join(parts)


def parse_template(document: Any) -> SignatureTemplate:
    """The template of a JSON document. Raises Fault."""
    if not isinstance(document, Mapping):
        raise Fault("not_an_object", "A signature template is an object.")
    fields = _merged(document)
    for name, value in fields.items():
        if name not in _DEFAULTS and name != "header":
            raise Fault("unknown_field", f"There is no field {name}.", path=f"/{name}")
        if not isinstance(value, str):
            raise Fault("not_a_text", f"{name} is a text.", path=f"/{name}")
    if not fields.get("header"):
        raise Fault("header_missing", "The header of the signature is missing.", path="/header")
    _check_names(fields)
    _check_choice(fields, "algorithm", get_args(Algorithm))
    _check_choice(fields, "encoding", get_args(Encoding))
    _check_text(fields, "content", "body", {"id", "timestamp", "body"}, r"[\x20-\x7e\n]*")
    _check_text(fields, "value", "signature", {"id", "timestamp", "signature"}, r"[\x21-\x7e ]*")
    if not re.fullmatch(r"[,;|& ]{0,2}", fields["separator"]):
        raise Fault(
            "separator_malformed", "A separator is one or two of , ; | & and space.",
            path="/separator",
        )  # fmt: skip
    return SignatureTemplate(**fields)


def _merged(document: Mapping[str, Any]) -> dict[str, Any]:
    given = dict(document)
    preset = given.pop("preset", None)
    if preset is None:
        return {**_DEFAULTS, **given}
    if not isinstance(preset, str) or preset not in PRESETS:
        known = ", ".join(PRESETS)
        raise Fault("unknown_preset", f"There is no such preset; there are {known}.",
                    path="/preset")  # fmt: skip
    return {**_DEFAULTS, **PRESETS[preset], **given}


def _check_names(fields: Mapping[str, str]) -> None:
    names: set[str] = set()
    for field in ("header", "timestamp_header", "id_header"):
        name = fields[field]
        if not name:
            continue
        path = f"/{field}"
        if not TOKEN.fullmatch(name):
            raise Fault("invalid_header_name", "A header name is letters, digits and hyphens.",
                        path=path)  # fmt: skip
        if is_ours(name):
            raise Fault("reserved_header", f"The header {name} is the hub's own.", path=path)
        if name.lower() in names:
            raise Fault("repeated", f"The header {name} is there twice.", path=path)
        names.add(name.lower())


def _check_choice(fields: Mapping[str, str], name: str, choices: Sequence[str]) -> None:
    if fields[name] not in choices:
        raise Fault(
            f"unknown_{name}", f"The {name} is one of {', '.join(choices)}.", path=f"/{name}"
        )


def _check_text(
    fields: Mapping[str, str], name: str, needed: str, known: set[str], characters: str
) -> None:
    text = fields[name]
    if len(text) > MAX_LENGTH:
        raise Fault("too_long", f"{name} has at most {MAX_LENGTH} characters.", path=f"/{name}")
    if not re.fullmatch(characters, text) or text != text.strip():
        raise Fault("not_visible", f"{name} holds what cannot be seen.", path=f"/{name}")
    places = _PLACE.findall(text)
    if not set(places) <= known or re.search(r"[{}]", _PLACE.sub("", text)):
        names = ", ".join(f"{{{item}}}" for item in sorted(known))
        raise Fault("unknown_placeholder", f"The placeholders of {name} are {names}.",
                    path=f"/{name}")  # fmt: skip
    if places.count(needed) != 1:
        raise Fault(f"{needed}_missing", f"{name} holds {{{needed}}} once.", path=f"/{name}")


def _filled(text: str, facts: Mapping[str, str]) -> str:
    return _PLACE.sub(lambda match: facts[match.group(1)], text)
