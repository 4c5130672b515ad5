"""Amazon SNS: RSA over the fields of the message, by a certificate that the message names.

A right signature only says that SNS sent it: anybody has topics. So the topic must be pinned, and
a subscription is confirmed for a pinned topic only. Raw delivery carries no signature and is
refused. Source of the signed text: Amazon's developer guide, "Verifying the signatures".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from incoming.providers import pinned
from incoming.providers.call import Answer, Call, Cause, Refused, Secret, Verified
from incoming.providers.declaration import Declaration, usable
from incoming.providers.encoding import as_bytes
from incoming.providers.proof import judge_age, read_signature, read_timestamp
from incoming.providers.public_key import is_signed_by, load_public_key
from incoming.providers.timestamp import Tolerance

HOST: Final = r"sns\.[a-zA-Z0-9-]{3,}\.amazonaws\.com(?:\.cn)?"
_TYPES: Final = ("Notification", "SubscriptionConfirmation", "UnsubscribeConfirmation")
_CONFIRMATION: Final = ("SubscribeURL", "Token")
_REQUIRED: Final = ("Message", "MessageId", "Timestamp", "TopicArn", "Type")
_SIGNED: Final = (
    "Message",
    "MessageId",
    "Subject",
    "SubscribeURL",
    "Timestamp",
    "Token",
    "TopicArn",
    "Type",
)
_HASHES: Final = {"1": "sha1", "2": "sha256"}
_TOLERANCE: Final = Tolerance(3600, 300)  # SNS tries for an hour with the first time


@dataclass(frozen=True, kw_only=True)
class AwsSns(Declaration):
    def verify(
        self,
        call: Call,
        secrets: Sequence[Secret],
        *,
        tolerance_seconds: int | None = None,
        options: Mapping[str, str] | None = None,
    ) -> Verified | Refused:
        message = call.json
        if not isinstance(message, dict) or not message.get("Signature"):
            return Refused(Cause.SIGNATURE_MISSING)
        text, url = message["Signature"], _certificate_url(message)
        signature = read_signature(text if isinstance(text, str) else "?", "base64")
        if isinstance(signature, Refused):
            return signature
        hash_name = _HASHES.get(str(message.get("SignatureVersion")))
        signed = _signed_text(message)
        if hash_name is None or signed is None:
            return Refused(Cause.SIGNATURE_MALFORMED)
        if not pinned.is_pinned(url, HOST) or not url.endswith(".pem"):
            return Refused(Cause.SIGNATURE_MALFORMED, "the certificate is not Amazon's")
        signed_at = read_timestamp(message["Timestamp"], "iso")
        if isinstance(signed_at, Refused):
            return signed_at
        refusal = _check_topic(message["TopicArn"], options or {})
        if refusal:
            return refusal
        keys = usable(secrets) or _fetched(url)
        if not keys:
            return Refused(Cause.KEY_UNAVAILABLE)
        for pinned_key in keys:
            key = load_public_key(pinned_key.value)
            if key and is_signed_by(key, signed, signature, algorithm="rsa", hash=hash_name):
                return judge_age(pinned_key, signed_at, call, _TOLERANCE, tolerance_seconds)
        return Refused(Cause.SIGNATURE_MISMATCH)


def _certificate_url(message: Mapping[str, Any]) -> str:
    """Lambda spells it `SigningCertUrl`."""
    value = message.get("SigningCertURL") or message.get("SigningCertUrl")
    return value if isinstance(value, str) else ""


def _signed_text(message: Mapping[str, Any]) -> bytes | None:
    """Each signed field that is there, its name and its value on a line each; None where a field
    is missing or no text. A field that the message's type does not have is signed all the same
    where it is there, so that none can be added."""
    kind = message.get("Type")
    required = _REQUIRED if kind == _TYPES[0] else _REQUIRED + _CONFIRMATION
    present = [name for name in _SIGNED if message.get(name) is not None]
    if kind not in _TYPES or not set(required) <= set(present):
        return None
    if not all(isinstance(message[name], str) for name in present):
        return None
    return as_bytes("".join(f"{name}\n{message[name]}\n" for name in present))


def _check_topic(topic: str, options: Mapping[str, str]) -> Refused | None:
    topics = options.get("topic_arn", "").replace(",", " ").split()
    if not topics:
        return Refused(Cause.SOURCE_MISCONFIGURED, "the option topic_arn is not set")
    return None if topic in topics else Refused(Cause.CREDENTIALS_MISMATCH, "another topic")


def _fetched(url: str) -> list[Secret]:
    body = pinned.fetch(url, host=HOST)
    return [Secret(id="", value=body.decode("latin-1"))] if body else []


def _confirm_subscription(
    call: Call, secrets: Sequence[Secret], options: Mapping[str, str]
) -> Answer | Refused | None:
    message = call.json
    if not isinstance(message, dict) or message.get("Type") != "SubscriptionConfirmation":
        return None
    # Verified by now; asked again all the same, for this is what opens the door to a topic.
    if _check_topic(str(message.get("TopicArn")), options):
        return Refused(Cause.HANDSHAKE_REFUSED, "another topic")
    if pinned.fetch(str(message.get("SubscribeURL")), host=HOST) is None:
        return Refused(Cause.HANDSHAKE_REFUSED, "the subscription could not be confirmed")
    return Answer()


provider = AwsSns(
    name="aws-sns",
    label="Amazon SNS",
    docs="https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html",
    signing="`Signature` in the JSON body: RSA PKCS #1 v1.5 with SHA-1 (version 1) or SHA-256 "
    "(version 2) in base64 over names and values of "
    + ", ".join(_SIGNED)
    + ", a line each; `Timestamp` an hour old, 300 s ahead at most; the certificate is fetched "
    "from `SigningCertURL` (sns.*.amazonaws.com only) or pinned",
    id=("json:MessageId",),
    type=("json:Type",),
    on_handshake=_confirm_subscription,
    handshake_text="a signed `SubscriptionConfirmation` of a pinned topic: its `SubscribeURL` is "
    "visited",
    option_texts={"topic_arn": "the topic's ARN; several with spaces between"},
    required_options=frozenset({"topic_arn"}),
    setup="Set the option `topic_arn`, then subscribe this URL to the topic (HTTPS, raw message "
    "delivery off): the hub confirms by itself. No secret is needed; to do without fetching give "
    "Amazon's signing certificate, in PEM.",
)
