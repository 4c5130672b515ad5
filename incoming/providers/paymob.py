"""Paymob: SHA-512 over twenty values in a fixed order, the signature in the URL.

The server's call is a POST of JSON; the browser comes back with a GET that holds the same values
under flat names.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from incoming.providers.call import Call, Cause, Refused, Secret, Verified
from incoming.providers.declaration import Declaration, usable
from incoming.providers.encoding import as_bytes, decode_bytes
from incoming.providers.locator import dig
from incoming.providers.recipe import MAX_SIGNATURE_LENGTH

_SIGNED_VALUES: Final = (
    "amount_cents",
    "created_at",
    "currency",
    "error_occured",
    "has_parent_transaction",
    "id",
    "integration_id",
    "is_3d_secure",
    "is_auth",
    "is_capture",
    "is_refunded",
    "is_standalone_payment",
    "is_voided",
    "order.id",
    "owner",
    "pending",
    "source_data.pan",
    "source_data.sub_type",
    "source_data.type",
    "success",
)


@dataclass(frozen=True, kw_only=True)
class Paymob(Declaration):
    def verify(
        self,
        call: Call,
        secrets: Sequence[Secret],
        *,
        tolerance_seconds: int | None = None,
        options: Mapping[str, str] | None = None,
    ) -> Verified | Refused:
        stated = call.query.get("hmac")
        if not stated:
            return Refused(Cause.SIGNATURE_MISSING)
        given = decode_bytes(stated, "hex") if len(stated) <= MAX_SIGNATURE_LENGTH else None
        if not given:
            return Refused(Cause.SIGNATURE_MALFORMED)
        known = usable(secrets)
        if not known:
            return Refused(Cause.SECRET_MISSING)
        values = [_text(_reader(call)(name)) for name in _SIGNED_VALUES]
        message = as_bytes("".join(values))
        for secret in known:
            expected = hmac.digest(as_bytes(secret.value), message, "sha512")
            # With no value at all there is nothing that was signed for this call.
            if hmac.compare_digest(expected, given) and message:
                return Verified(secret_id=secret.id)
        return Refused(Cause.SIGNATURE_MISMATCH)


def _reader(call: Call) -> Callable[[str], Any]:
    if call.method == "GET":
        flat = {"order.id": "order"}
        return lambda name: call.query.get(flat.get(name, name))
    transaction = dig(call.json, "obj")
    return lambda name: dig(transaction, name)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None or isinstance(value, dict | list) else str(value)


provider = Paymob(
    name="paymob",
    label="Paymob",
    docs="https://developers.paymob.com/paymob-docs/developers/webhook-callbacks-and-hmac",
    signing="`?hmac=`: HMAC-SHA512 in hex over twenty values of `obj`, joined in a fixed order; "
    "what else the body holds is **not** covered",
    id=(
        "{json:type}:{json:obj.id}:{json:obj.success}:{json:obj.is_refunded}:{json:obj.is_voided}",
    ),
    type=("json:type",),
    setup="In the dashboard: Developers, Payment Integrations, Transaction processed callback. The "
    "secret is the HMAC of the account info.",
)
