"""Whether a call is from who it says, judged over its raw bytes."""

from __future__ import annotations

from dataclasses import replace

from incoming.payload import ENCODINGS, BodyTooLarge, BodyUnreadable, content_encoding, expanded
from incoming.providers import Call, Cause, Refused, Secret, Verified
from incoming.receiving.arrival import Arrival
from incoming.sources import KnownSource


def verify(arrival: Arrival, secrets: list[Secret]) -> Refused | None:
    """Judge the bytes that came; where they are compressed and do not fit, what they expand to.

    Some third parties sign what they send, others what they compressed.
    """
    source, came = arrival.source, arrival.call
    expansion = expansion_of(arrival) if content_encoding(came.headers) else came
    verdict = _verdict(source, came, secrets)
    if isinstance(verdict, Refused) and isinstance(expansion, Call) and expansion is not came:
        second = _verdict(source, expansion, secrets)
        verdict = second if isinstance(second, Verified) else verdict
    if isinstance(verdict, Refused):
        return verdict
    arrival.verdict = verdict
    if isinstance(expansion, Refused):  # only who is proved hears that the compression is wrong
        return expansion
    arrival.call = expansion
    return None


def _verdict(source: KnownSource, call: Call, secrets: list[Secret]) -> Verified | Refused:
    return source.provider.verify(
        call, secrets, tolerance_seconds=source.tolerance_seconds, options=source.options
    )


def expansion_of(arrival: Arrival) -> Call | Refused:
    """The call with its body expanded, or why it cannot be."""
    call = arrival.call
    if content_encoding(call.headers) not in ENCODINGS:
        return Refused(Cause.UNSUPPORTED_MEDIA_TYPE, "a body may be compressed with gzip alone")
    try:
        return replace(call, body=expanded(call.body, call.headers, arrival.source.max_body_bytes))
    except BodyTooLarge:
        limit = arrival.source.max_body_bytes
        return Refused(Cause.PAYLOAD_TOO_LARGE, f"it expands to more than {limit} bytes")
    except BodyUnreadable as error:
        return Refused(Cause.PAYLOAD_UNPARSABLE, str(error))
