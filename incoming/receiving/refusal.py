"""A bad call's end: it is counted with its cause, and answered with it."""

from __future__ import annotations

from typing import Final

import structlog
from django.http import HttpRequest, HttpResponse

from incoming.models import Receipt
from incoming.providers import Cause, Identity, Refused
from incoming.receiving.answers import UNAVAILABLE_RETRY_SECONDS, json_answer
from incoming.receiving.arrival import Arrival, remote_address_of
from incoming.receiving.receipt import identify, receipt_of
from incoming.refusals import record_refusal
from incoming.sources import KnownSource
from webhooks_project.lib import clock

log = structlog.get_logger(__name__)


STATUS_OF: Final = {
    Cause.METHOD_NOT_ALLOWED: 405,
    Cause.UNSUPPORTED_MEDIA_TYPE: 415,
    Cause.PAYLOAD_TOO_LARGE: 413,
    Cause.ADDRESS_NOT_ALLOWED: 403,
    Cause.RATE_LIMITED: 429,
    Cause.SOURCE_DISABLED: 403,
    Cause.PAYLOAD_UNPARSABLE: 400,
    Cause.SCHEMA_MISMATCH: 422,
    Cause.HANDSHAKE_REFUSED: 403,
    # Not the sender's fault: it should come again.
    Cause.KEY_UNAVAILABLE: 503,
    Cause.SOURCE_MISCONFIGURED: 503,
}  # every other cause is a failed proof: 401, which some providers' checks insist on


def refuse(
    request: HttpRequest, source: KnownSource, arrival: Arrival | None, refused: Refused
) -> HttpResponse:
    """Count it, keep a receipt of it where its call was read, and answer with the cause."""
    receipt = None
    if arrival is not None:
        identity = identify(arrival) if arrival.verdict else Identity()
        receipt = receipt_of(arrival, Receipt.Status.REFUSED, identity)
    record_refusal(
        source_id=source.id,
        account_id=source.account_id,
        refused=refused,
        receipt=receipt,
        now=clock.now(),
    )
    request.refused_cause = refused.cause.value  # type: ignore[attr-defined]
    log.info("call refused", source_id=str(source.id), cause=refused.cause.value,
             remote_address=remote_address_of(request))  # fmt: skip
    body = {"cause": refused.cause.value}
    if refused.detail:
        body["detail"] = refused.detail
    response = json_answer(STATUS_OF.get(refused.cause, 401), body)
    if refused.cause is Cause.METHOD_NOT_ALLOWED:
        response["Allow"] = ", ".join(sorted(source.methods))
    if refused.cause is Cause.RATE_LIMITED:
        response["Retry-After"] = str(getattr(request, "retry_after", 1))
    elif response.status_code == 503:
        response["Retry-After"] = str(UNAVAILABLE_RETRY_SECONDS)
    return response
