"""Paymob: SHA-512 over twenty values in a fixed order, the signature in the URL.

The server's call is a POST of JSON; the browser comes back with a GET that holds the same values
under flat names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from incoming.providers.call import Call, Cause, Identity, Refused, Secret, Verified
from incoming.providers.declaration import Declaration
from incoming.providers.encoding import as_bytes
from incoming.providers.locator import dig, first, kept
from incoming.providers.placing import place
from incoming.providers.proof import hmac_signer, hmac_text, read_signature

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

_STATE: Final = (
    "pending",
    "success",
    "is_auth",
    "is_capture",
    "is_refunded",
    "is_voided",
    "refunded_amount_cents",
)
_FLAT: Final[dict[str, tuple[str, ...]]] = {  # in the GET's query
    "order.id": ("order", "order_id"),
    "source_data.pan": ("source_data_pan",),
    "source_data.sub_type": ("source_data_sub_type",),
    "source_data.type": ("source_data_type",),
}


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
        given = read_signature(call.query.get("hmac"), "hex")
        if isinstance(given, Refused):
            return given
        values = _signed_values(call)
        signer = hmac_signer(secrets, given, as_bytes("".join(values)), hash="sha512")
        if isinstance(signer, Refused):
            return signer
        if not any(values):  # then there is nothing that was signed for this call
            return Refused(Cause.SIGNATURE_MISMATCH)
        return Verified(secret_id=signer.id)

    def identify(self, call: Call, options: Mapping[str, str] | None = None) -> Identity:
        """A transaction is told of again whenever its state changes, so the state is in its id."""
        read = _reader(call)
        values = [_text(read(name)) for name in ("id", *_STATE)]
        external_id = kept(":".join(values)) if values[0] else ""
        return Identity(external_id=external_id, type=first(call, self.type))

    def sample(
        self, call: Call, identity: Identity, options: Mapping[str, str] | None = None
    ) -> Call:
        return place(super().sample(call, identity, options), "json:obj.id", identity.external_id)

    def sign(self, call: Call, secret: Secret, options: Mapping[str, str] | None = None) -> Call:
        message = as_bytes("".join(_signed_values(call)))
        return place(call, "query:hmac", hmac_text(secret, message, "hex", hash="sha512"))


def _signed_values(call: Call) -> list[str]:
    read = _reader(call)
    return [_text(read(name)) for name in _SIGNED_VALUES]


def _reader(call: Call) -> Callable[[str], Any]:
    if call.method == "GET":
        return lambda name: next(
            (call.query[flat] for flat in (*_FLAT.get(name, ()), name) if flat in call.query), None
        )
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
    sample_body=orjson.dumps(
        {
            "obj": {
                "amount_cents": 1000,
                "created_at": "2026-01-01T00:00:00.000000",
                "currency": "EGP",
                "error_occured": False,
                "has_parent_transaction": False,
                "integration_id": 1,
                "is_3d_secure": True,
                "is_auth": False,
                "is_capture": False,
                "is_refunded": False,
                "is_standalone_payment": True,
                "is_voided": False,
                "order": {"id": 1},
                "owner": 1,
                "pending": False,
                "source_data": {"pan": "2346", "sub_type": "MasterCard", "type": "card"},
                "success": True,
            }
        }
    ),
    signing="`?hmac=`: HMAC-SHA512 in hex over twenty values of `obj`, joined in a fixed order; "
    "what else the body holds is **not** covered",
    type=("json:type",),
    methods=frozenset({"POST", "GET"}),
    setup="In the dashboard: Developers, Payment Integrations, Edit, Transaction processed "
    "callback. The secret is the HMAC under Settings, Account Info, View.",
)
