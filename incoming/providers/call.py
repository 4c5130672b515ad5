"""What a provider is shown of one HTTP call, and what it may say about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlsplit

import orjson
from django.db import models

from incoming.providers.form import MAX_FIELDS, form_pairs


class Cause(models.TextChoices):
    """Why a call was refused. Machine-readable, stable, told to the caller."""

    METHOD_NOT_ALLOWED = "method_not_allowed"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    PAYLOAD_TOO_LARGE = "payload_too_large"
    ADDRESS_NOT_ALLOWED = "address_not_allowed"
    RATE_LIMITED = "rate_limited"
    SOURCE_DISABLED = "source_disabled"
    SOURCE_MISCONFIGURED = "source_misconfigured"
    SECRET_MISSING = "secret_missing"  # noqa: S105 - a cause, not a secret
    KEY_UNAVAILABLE = "key_unavailable"
    SIGNATURE_MISSING = "signature_missing"
    SIGNATURE_MALFORMED = "signature_malformed"
    SIGNATURE_MISMATCH = "signature_mismatch"
    TIMESTAMP_MISSING = "timestamp_missing"
    TIMESTAMP_MALFORMED = "timestamp_malformed"
    TIMESTAMP_TOO_OLD = "timestamp_too_old"
    TIMESTAMP_IN_FUTURE = "timestamp_in_future"
    CREDENTIALS_MISMATCH = "credentials_mismatch"
    PAYLOAD_UNPARSABLE = "payload_unparsable"
    SCHEMA_MISMATCH = "schema_mismatch"
    HANDSHAKE_REFUSED = "handshake_refused"


@dataclass(frozen=True)
class Call:
    """One HTTP call as it arrived.

    `headers` has lower-case names with dashes, also where the sender wrote underscores; a repeated
    header is joined with ", " as the server does.
    `url` is the source's configured public URL with the call's own query, never the Host
    header that the caller chose. `received_at` is in Unix seconds.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes
    received_at: float

    @cached_property
    def query(self) -> dict[str, str]:
        """The parameters of the URL; of a repeated name the last counts."""
        try:
            pairs = parse_qsl(
                urlsplit(self.url).query, keep_blank_values=True, max_num_fields=MAX_FIELDS
            )
        except ValueError:
            return {}
        return dict(pairs)

    @cached_property
    def form_pairs(self) -> list[tuple[str, str]] | None:
        """The body's form fields in their order, or None where the body is no form."""
        return form_pairs(self.body, self.headers.get("content-type", ""))

    @cached_property
    def form(self) -> dict[str, str]:
        """The body's form fields; of a repeated name the last counts; empty where it is no form."""
        return dict(self.form_pairs or ())

    @cached_property
    def json(self) -> Any:
        """The body parsed as JSON, or None where it is none."""
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return None


@dataclass(frozen=True, slots=True)
class Secret:
    """One secret of a source; several may be valid at once while one is being rotated."""

    id: str
    value: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Verified:
    """The call is from who it says. `secret_id` tells which secret fitted, empty where the key
    was fetched from the third party; `signed_at` is the signed timestamp in Unix seconds, None
    where the scheme has none."""

    secret_id: str
    signed_at: float | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """The call is not accepted. `detail` is safe to show: never a secret nor what was expected."""

    cause: Cause
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What to answer the caller in place of the plain acknowledgement.

    `learned_secret` is a secret that the third party told us in this call: the receiver stores it
    as the source's secret before it answers. It is empty where there is nothing to store.
    """

    status: int = 200
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)
    learned_secret: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Identity:
    """How the third party names this call. Empty where it gives no name."""

    external_id: str = ""
    type: str = ""


class Provider(Protocol):
    """Code that knows one third party. Never a row.

    No method but `check_options` raises, whatever a stranger sends. `secrets` are the source's
    valid ones, newest first: a handshake that must be answered with a secret uses the first.
    """

    @property
    def name(self) -> str: ...

    @property
    def label(self) -> str: ...

    @property
    def docs(self) -> str: ...

    @property
    def setup(self) -> str: ...

    @property
    def methods(self) -> frozenset[str]: ...

    @property
    def unsigned_handshake(self) -> bool:
        """Whether `handshake` of a POST is asked before the call is verified, not after."""
        ...

    @property
    def learns_secret(self) -> bool:
        """Whether the third party tells the secret in its handshake: a source starts without."""
        ...

    @property
    def shows_learned_secret(self) -> bool:
        """Whether a person must enter that secret at the third party, and so may see it once."""
        ...

    @property
    def options(self) -> Mapping[str, str]:
        """The source's options that this provider reads, each with its meaning."""
        ...

    @property
    def sends_secret(self) -> bool:
        """Whether the secret itself stands in each call: it is taken out before that is stored."""
        ...

    @property
    def secret_options(self) -> frozenset[str]:
        """Those of `options` whose values are secret: kept encrypted, shown nowhere."""
        ...

    def check_options(self, options: Mapping[str, str]) -> None:
        """Raise ValueError, naming the option, where one is unknown or wrong or missing."""
        ...

    def verify(
        self,
        call: Call,
        secrets: Sequence[Secret],
        *,
        tolerance_seconds: int | None = None,
        options: Mapping[str, str] | None = None,
    ) -> Verified | Refused: ...

    def identify(self, call: Call, options: Mapping[str, str] | None = None) -> Identity: ...

    def sample(
        self, call: Call, identity: Identity, options: Mapping[str, str] | None = None
    ) -> Call:
        """The call with a body such as the third party's, and with this id and type where
        `identify` looks once it is signed."""
        ...

    def sign(
        self, call: Call, secret: Secret, options: Mapping[str, str] | None = None
    ) -> Call | None:
        """The call with the proof that the third party would make with this secret when the call
        is received; None where it proves itself with a key that is not ours."""
        ...

    def handshake(
        self, call: Call, secrets: Sequence[Secret], options: Mapping[str, str] | None = None
    ) -> Answer | Refused | None:
        """The answer to a call that only asks whether we are there; None where it is no such
        call. GET and HEAD come here unverified, POST verified unless `unsigned_handshake`."""
        ...

    def acknowledge(
        self, call: Call, secrets: Sequence[Secret], options: Mapping[str, str] | None = None
    ) -> Answer | None:
        """The acknowledgement where the third party wants a body of its own; None for any 2xx.
        Sent once the receipt is stored (or known already), in place of the plain one. Some want
        it signed, by the secret that fitted the call."""
        ...

    def facts(self) -> Sequence[tuple[str, str]]:
        """The declaration in words, as (term, text) pairs, for the documentation."""
        ...
