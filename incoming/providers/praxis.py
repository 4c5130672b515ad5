"""Praxis Cashier: a plain SHA-384 over chosen values and the merchant's secret; the answer too.

Which values are signed, and in which order, depends on whether the call has an `event`.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from incoming.providers.call import Answer, Call, Cause, Refused, Secret, Verified
from incoming.providers.declaration import Declaration, usable
from incoming.providers.encoding import as_bytes
from incoming.providers.handshake import as_json
from incoming.providers.locator import as_text, dig
from incoming.providers.placing import place
from incoming.providers.proof import judge_age, read_signature, read_timestamp
from incoming.providers.timestamp import UNBOUNDED, write_timestamp

_PAYMENT: Final = (
    "merchant_id",
    "application_key",
    "timestamp",
    "customer.customer_token",
    "session.order_id",
    "transaction.tid",
    "transaction.currency",
    "transaction.amount",
    "transaction.conversion_rate",
    "transaction.processed_currency",
    "transaction.processed_amount",
)
_SUBSCRIPTION: Final = (
    "event",
    "merchant_id",
    "application_key",
    "cid",
    "plan_id",
    "subscription_id",
    "subscription_status",
    "timestamp",
)


@dataclass(frozen=True, kw_only=True)
class Praxis(Declaration):
    def verify(
        self,
        call: Call,
        secrets: Sequence[Secret],
        *,
        tolerance_seconds: int | None = None,
        options: Mapping[str, str] | None = None,
    ) -> Verified | Refused:
        given = read_signature(call.headers.get("gt-authentication"), "hex")
        if isinstance(given, Refused):
            return given
        signed_at = read_timestamp(as_text(dig(call.json, "timestamp")), "s")
        if isinstance(signed_at, Refused):
            return signed_at
        known = usable(secrets)
        if not known:
            return Refused(Cause.SECRET_MISSING)
        names = _SUBSCRIPTION if dig(call.json, "event") is not None else _PAYMENT
        text = "".join(_text(dig(call.json, name)) for name in names)
        for secret in known:
            if hmac.compare_digest(_digest(text, secret), given):
                return judge_age(secret, signed_at, call, UNBOUNDED, tolerance_seconds)
        return Refused(Cause.SIGNATURE_MISMATCH)

    def sign(self, call: Call, secret: Secret, options: Mapping[str, str] | None = None) -> Call:
        call = place(call, "json:timestamp", write_timestamp(call.received_at, "s"))
        names = _SUBSCRIPTION if dig(call.json, "event") is not None else _PAYMENT
        text = "".join(_text(dig(call.json, name)) for name in names)
        return place(call, "header:gt-authentication", _digest(text, secret).hex())

    def acknowledge(
        self, call: Call, secrets: Sequence[Secret], options: Mapping[str, str] | None = None
    ) -> Answer | None:
        verdict = self.verify(call, secrets)
        signer = next(
            (s for s in secrets if isinstance(verdict, Verified) and s.id == verdict.secret_id),
            None,
        )
        if signer is None:
            return None
        now = int(call.received_at)
        answer = as_json({"status": 0, "timestamp": now})
        signature = _digest(f"0{now}", signer).hex()
        return Answer(
            body=answer.body,
            content_type=answer.content_type,
            headers={**answer.headers, "external-request-signature": signature},
        )


def _digest(text: str, secret: Secret) -> bytes:
    return hashlib.sha384(as_bytes(text + secret.value)).digest()


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return as_text(value) or ""


provider = Praxis(
    name="praxis",
    label="Praxis Cashier",
    docs="https://docs.praxis.tech/docs/authentication",
    signing="`gt-authentication`: SHA-384 in hex over values of the payload, in a fixed order, and "
    "the secret; what else the body holds is **not** covered; `timestamp` is not bounded: set a "
    "tolerance on the source to refuse old calls",
    id=(
        "{json:transaction.tid}:{json:transaction.transaction_status}:{json:timestamp}",
        "{json:subscription_id}:{json:event}:{json:timestamp}",
    ),
    type=("json:event", "json:transaction.transaction_status"),
    setup="Give this URL as notification_url of a session, or have Praxis set it for the "
    "application. The secret is the merchant secret that Praxis gave together with the "
    "application's key. The acknowledgement is signed with it.",
)
