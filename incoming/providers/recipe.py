"""The declarative provider: most third parties differ only in names, encodings and order."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from incoming.providers.call import Call, Cause, Refused, Secret, Verified
from incoming.providers.declaration import Declaration, usable
from incoming.providers.encoding import (
    KEY_FORMS,
    SIGNATURE_ENCODINGS,
    as_bytes,
    decode_bytes,
    encode_bytes,
    key_bytes,
)
from incoming.providers.locator import check_locator, first, locate
from incoming.providers.placing import place
from incoming.providers.proof import MAX_SIGNATURE_LENGTH, judge_age
from incoming.providers.public_key import ALGORITHMS, is_signed_by, load_public_key
from incoming.providers.timestamp import (
    FIVE_MINUTES,
    UNITS,
    Tolerance,
    parse_timestamp,
    write_timestamp,
)
from webhooks_project.lib.ids import new_id

MAX_CANDIDATES: Final = 32  # HMACs compared in one call: the message is hashed once for them all
MAX_PUBLIC_KEY_CANDIDATES: Final = 4  # a public key hashes the message anew for each signature
MAX_GROUPS: Final = 4  # `t=…,v1=…` groups in one header; each has its own message
HASHES: Final = ("sha1", "sha256", "sha384", "sha512")

_PLACEHOLDER = re.compile(r"\{([^{}]+)\}")

_PARTS: Final[dict[str, Callable[[Call], bytes]]] = {
    "body": lambda call: call.body,
    "body_sha256": lambda call: hashlib.sha256(call.body).hexdigest().encode(),
    "method": lambda call: as_bytes(call.method),
    "url": lambda call: as_bytes(call.url),
    "path": lambda call: as_bytes(_path_query(call.url).partition("?")[0]),
    "path_query": lambda call: as_bytes(_path_query(call.url)),
}


@dataclass(frozen=True, kw_only=True)
class Recipe(Declaration):
    """A provider that signs some text made from the call.

    Where the signature is: `signature_headers`, the first that is present is read, or with
    `every_header` all of them. `group`: what separates several complete `t=…,v1=…` signatures.
    `split`: what separates several signatures, or its `key=value` items. `prefix`: what stands
    before the signature (`sha256=`, `v1,`); a candidate without it is passed over unless
    `prefix_optional`. `version_key`: where the header is a list of items, the key of those that
    hold a signature. `encoding`: see `decode_bytes`.

    What is signed: `message`, a template over {body} {body_sha256} {timestamp} {id} {url}
    {method} {path} {path_query} {secret} and any locator in braces.

    How: `algorithm` is hmac, digest (a plain hash: the secret is part of the message), or one of
    a public key, which then is the source's secret; `hash` names the hash, `key` how the secret
    becomes the HMAC key.

    When: `timestamp`, a locator, and its `timestamp_unit`; `tolerance` where the source sets
    none.
    """

    signature_headers: tuple[str, ...] = ()
    every_header: bool = False
    group: str = ""
    split: str = ""
    prefix: str = ""
    prefix_optional: bool = False
    version_key: str = ""
    encoding: str = "hex"
    message: str = "{body}"
    algorithm: str = "hmac"
    hash: str = "sha256"
    key: str = "text"
    timestamp: str = ""
    timestamp_unit: str = "s"
    tolerance: Tolerance = FIVE_MINUTES
    _parts: tuple[str | bytes, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        for value, known in (
            (self.encoding, SIGNATURE_ENCODINGS),
            (self.algorithm, ("hmac", "digest", *ALGORITHMS)),
            (self.hash, HASHES),
            (self.key, KEY_FORMS),
            (self.timestamp_unit, UNITS),
        ):
            if value not in known:
                raise ValueError(f"{value!r} is not one of {', '.join(known)}")
        if self.timestamp:
            check_locator(self.timestamp)
        object.__setattr__(self, "_parts", _template(self.message))
        if "timestamp" in self._parts and not self.timestamp:
            raise ValueError("the message holds {timestamp}, but no place of one is given")
        inside = (self.timestamp, *(part for part in self._parts if isinstance(part, str)))
        if not self.version_key and any(part.startswith("signature:") for part in inside):
            raise ValueError("signature: needs a version_key, else the header is no list of items")

    def applies(self, call: Call) -> bool:
        """Whether the call has a signature of this kind, right or wrong."""
        return bool(self._signature_texts(call))

    def verify(
        self,
        call: Call,
        secrets: Sequence[Secret],
        *,
        tolerance_seconds: int | None = None,
        options: Mapping[str, str] | None = None,
    ) -> Verified | Refused:
        """Check the signature and its age."""
        texts = self._signature_texts(call)
        if not texts:
            return Refused(Cause.SIGNATURE_MISSING)
        if any(len(text) > MAX_SIGNATURE_LENGTH for text in texts):
            return Refused(Cause.SIGNATURE_MALFORMED, "the signature is too long")
        groups = texts[0].split(self.group)[:MAX_GROUPS] if self.group else None
        refusal: Refused | None = None
        for group in [[group] for group in groups] if groups else [texts]:
            verdict = self._verify_group(call, group, usable(secrets), tolerance_seconds)
            if isinstance(verdict, Verified):
                return verdict
            refusal = refusal or verdict
        return refusal or Refused(Cause.SIGNATURE_MALFORMED)

    def sign(
        self, call: Call, secret: Secret, options: Mapping[str, str] | None = None
    ) -> Call | None:
        if not self._shared:
            return None
        call, items = self._with_signed_parts(call)
        message = self.signed_message(call, items, secret)
        digest = None if message is None else self._digest(message, secret)
        if digest is None:
            return call
        text = self.prefix + encode_bytes(digest, self.encoding)
        if self.version_key:
            pairs = [f"{name}={value}" for name, value in items.items()]
            text = (self.split or ",").join([*pairs, f"{self.version_key}={text}"])
        return place(call, f"header:{self.signature_headers[0]}", text)

    def _with_signed_parts(self, call: Call) -> tuple[Call, dict[str, str]]:
        """The call with its time of signing and with whatever else is signed and not yet there,
        and the items of the signature's header."""
        stamp = write_timestamp(call.received_at, self.timestamp_unit)
        if self.timestamp:
            call = place(call, self.timestamp, stamp)
        items: dict[str, str] = {}
        for locator in dict.fromkeys((self.timestamp, *_PLACEHOLDER.findall(self.message))):
            kind, _, name = locator.partition(":")
            if kind == "signature":
                items[name] = stamp if locator == self.timestamp else new_id().hex
            elif kind == "header" and locate(call, locator) is None:
                call = place(call, locator, new_id().hex)
        return call, items

    def _verify_group(
        self, call: Call, texts: list[str], secrets: list[Secret], tolerance_seconds: int | None
    ) -> Verified | Refused:
        items = _items(texts[0], self.split) if self.version_key else {}
        signed_at = self._signed_at(call, items)
        if isinstance(signed_at, Refused):
            return signed_at
        signatures = self._signatures(texts)
        if not signatures:
            return Refused(Cause.SIGNATURE_MALFORMED)
        if not secrets:
            return Refused(Cause.SECRET_MISSING)
        fitting = self._fitting(call, items, signatures, secrets)
        if isinstance(fitting, Refused):
            return fitting
        # The age is judged after the signature, so that "too old" is said of a true signature only.
        if signed_at is None:
            return Verified(secret_id=fitting.id)
        return judge_age(fitting, signed_at, call, self.tolerance, tolerance_seconds)

    def _signature_texts(self, call: Call) -> list[str]:
        found = [value for name in self.signature_headers if (value := call.headers.get(name))]
        return found if self.every_header else found[:1]

    def _signed_at(self, call: Call, items: Mapping[str, str]) -> float | Refused | None:
        if not self.timestamp:
            return None
        text = locate(call, self.timestamp, items)
        if text is None:
            # A list header without its timestamp item is no such header at all.
            inside = self.timestamp.startswith("signature:")
            return Refused(Cause.SIGNATURE_MALFORMED if inside else Cause.TIMESTAMP_MISSING)
        signed_at = parse_timestamp(text, self.timestamp_unit)
        return Refused(Cause.TIMESTAMP_MALFORMED) if signed_at is None else signed_at

    def _signatures(self, texts: list[str]) -> list[bytes]:
        found: list[bytes] = []
        for part in [
            part for text in texts for part in (text.split(self.split) if self.split else [text])
        ]:
            candidate = self._candidate(part.strip())
            decoded = decode_bytes(candidate, self.encoding) if candidate else None
            if decoded:
                found.append(decoded)
        return found[: MAX_CANDIDATES if self._shared else MAX_PUBLIC_KEY_CANDIDATES]

    def _candidate(self, part: str) -> str | None:
        if self.version_key:
            name, _, part = part.partition("=")
            return part.strip() if name.strip() == self.version_key else None
        if part.startswith(self.prefix):
            return part.removeprefix(self.prefix)
        return part if self.prefix_optional else None

    @property
    def _shared(self) -> bool:
        return self.algorithm in ("hmac", "digest")

    def _fitting(
        self, call: Call, items: Mapping[str, str], signatures: list[bytes], secrets: list[Secret]
    ) -> Secret | Refused:
        """The secret that one of the signatures was made with."""
        if self.algorithm == "digest" and not _is_text(call.body):
            return Refused(Cause.SIGNATURE_MISMATCH, "the body is not text")
        message: bytes | None = None
        for secret in secrets:
            if message is None or self.algorithm == "digest":
                message = self.signed_message(call, items, secret)
            if message is None:
                return Refused(Cause.SIGNATURE_MALFORMED, "a signed part is missing")
            if self._is_signed(message, signatures, secret):
                return secret
        return Refused(Cause.SIGNATURE_MISMATCH)

    def _is_signed(self, message: bytes, signatures: list[bytes], secret: Secret) -> bool:
        if not self._shared:
            public_key = load_public_key(secret.value)
            return public_key is not None and any(
                is_signed_by(
                    public_key, message, signature, algorithm=self.algorithm, hash=self.hash
                )
                for signature in signatures
            )
        expected = self._digest(message, secret)
        return expected is not None and any(
            hmac.compare_digest(expected, given) for given in signatures
        )

    def _digest(self, message: bytes, secret: Secret) -> bytes | None:
        """What a shared secret makes of the message; None where it is no key of this form."""
        if self.algorithm == "digest":
            return hashlib.new(self.hash, message).digest()
        key = key_bytes(secret.value, self.key)
        return None if key is None else hmac.digest(key, message, self.hash)

    def signed_message(self, call: Call, items: Mapping[str, str], secret: Secret) -> bytes | None:
        """What is signed; None where the call lacks a part of it. `items` are those that stand
        beside the signature in its header."""
        pieces: list[bytes] = []
        for part in self._parts:
            value = part if isinstance(part, bytes) else self._part(call, part, items, secret)
            if value is None:
                return None
            pieces.append(value)
        return b"".join(pieces)

    def _part(
        self, call: Call, part: str, items: Mapping[str, str], secret: Secret
    ) -> bytes | None:
        if part in _PARTS:
            return _PARTS[part](call)
        match part:
            case "secret":
                return as_bytes(secret.value)
            case "timestamp":
                value = locate(call, self.timestamp, items)
            case "id":
                value = first(call, self.id) or None
            case _:
                value = locate(call, part, items)
        return None if value is None else as_bytes(value)

    def facts(self) -> Sequence[tuple[str, str]]:
        where = ", ".join(f"`{name}`" for name in self.signature_headers)
        facts = [
            ("Signature", f"{'any of ' if self.every_header else ''}{where}{self._form()}"),
            ("Algorithm", self._scheme()),
            ("Signed content", f"`{self.message}`".replace("\n", "\\n")),
        ]
        if self.timestamp:
            facts.append(("Timestamp", f"`{self.timestamp}`, {_unit(self.timestamp_unit)}"))
            facts.append(("Tolerance", _bounds(self.tolerance)))
        facts.extend(self._shared_facts())
        return facts

    def _covers(self, locator: str) -> bool:
        return super()._covers(locator) or f"{{{locator}}}" in self.message

    def _form(self) -> str:
        if self.version_key:
            return f", the items `{self.version_key}=`"
        if self.prefix:
            optional = " (optional)" if self.prefix_optional else ""
            return f", after `{self.prefix}`{optional}"
        return ""

    def _scheme(self) -> str:
        scheme = {
            "hmac": f"HMAC-{self.hash.upper()}",
            "digest": f"{self.hash.upper()} of a text that holds the secret",
            "ed25519": "Ed25519",
            "ecdsa": f"ECDSA P-256 with {self.hash.upper()}",
            "rsa": f"RSA PKCS #1 v1.5 with {self.hash.upper()}",
            "rsa-pss": f"RSA-PSS with {self.hash.upper()}",
        }[self.algorithm]
        return f"{scheme}, {self.encoding}"


def _is_text(body: bytes) -> bool:
    """A plain hash of secret and body can be extended by whoever has seen one: the extended body
    holds the hash's padding, and a 0x80 after whole characters is never UTF-8."""
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def _path_query(url: str) -> str:
    """Cut out of the URL as it stands: parsing and joining again could change it."""
    host_and_path = url.partition("://")[2]
    _, slash, path_query = host_and_path.partition("/")
    return slash + path_query or "/"


def _template(message: str) -> tuple[str | bytes, ...]:
    parts: list[str | bytes] = []
    for index, piece in enumerate(_PLACEHOLDER.split(message)):
        if index % 2:
            if piece not in (*_PARTS, "secret", "timestamp", "id"):
                check_locator(piece)
            parts.append(piece)
        elif piece:
            parts.append(piece.encode())
    return tuple(parts)


def _items(header: str, split: str) -> dict[str, str]:
    """`t=1,v1=ab` as a mapping; of a repeated key the first counts."""
    found: dict[str, str] = {}
    for part in header.split(split or ",")[: MAX_CANDIDATES * 2]:
        name, separator, value = part.strip().partition("=")
        if separator:
            found.setdefault(name.strip(), value.strip())
    return found


def _unit(unit: str) -> str:
    return {
        "s": "Unix seconds",
        "ms": "Unix milliseconds",
        "iso": "RFC 3339",
        "any": "RFC 3339 or Unix seconds",
    }[unit]


def _bounds(tolerance: Tolerance) -> str:
    past, future = tolerance.past_seconds, tolerance.future_seconds
    if past is None and future is None:
        return "not bounded; set one on the source to refuse old calls"
    sides = [
        f"{past} s old at most" if past is not None else "any age",
        f"{future} s ahead at most" if future is not None else "any time ahead",
    ]
    return ", ".join(sides)
