"""The one request that carries messages to an endpoint, of a delivery as of a test."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import structlog

from outgoing.endpoints import Endpoint
from outgoing.lines import Work
from outgoing.payload import (
    Message,
    Shape,
    batch_body,
    batch_id_of,
    content_headers,
    signed_headers,
)
from webhooks_project.lib.outbound import Failure, Request, Response

log = structlog.get_logger(__name__)


def why_unsendable(endpoint: Endpoint) -> Response | None:
    """What an attempt ends with where nothing can be sent to the endpoint; else None."""
    if not endpoint.keys:
        return Response(failure=Failure.UNSIGNABLE, detail="no signing secret can be read")
    if not endpoint.security.is_readable:
        detail = "its credentials cannot be read"
        return Response(failure=Failure.CREDENTIALS_UNREADABLE, detail=detail)
    return None


def request_of(work: Work, token: str) -> Request | Response:
    """The POST of claimed work, with everything batched with it.

    A Response where that fails: one delivery must not end the pump that carries all, which would
    meet it again.
    """
    message_id = work.message.webhook_id
    if work.is_batch:
        message_id = batch_id_of([one.message.event_id for one in work.all])
    try:
        return post_of(
            work.endpoint,
            [(one.message, one.shape) for one in work.all],
            is_batch=work.is_batch,
            message_id=message_id,
            timestamp=work.timestamp,
            replay_id=work.claim.replay_id,
            token=token,
        )
    except Exception as error:
        log.exception("request not made", delivery_id=str(work.claim.delivery_id))
        detail = f"the request cannot be made: {type(error).__name__}"
        return Response(failure=Failure.UNSIGNABLE, detail=detail)


def post_of(
    endpoint: Endpoint,
    shaped: Sequence[tuple[Message, Shape]],
    *,
    message_id: str,
    timestamp: int,
    is_batch: bool = False,
    replay_id: UUID | None = None,
    token: str = "",
) -> Request:
    """One message, or a batch, as the subscription wants it: body, headers, signature, identity.

    Each message of a batch has its own shape, since some come from further back than others; the
    form is the first one's.

    `timestamp` is when it says that it was signed, in Unix seconds; `token` the access token where
    the endpoint asks for one.
    """
    message, shape = shaped[0]
    body = batch_body(shaped, shape.form) if is_batch else message.body_for(shape)
    content = content_headers(message, shape.form, is_batch=is_batch)
    body, content = endpoint.security.seal(body, content)
    return Request(
        url=endpoint.url,
        headers=signed_headers(
            message_id=message_id,
            timestamp=timestamp,
            body=body,
            keys=endpoint.keys,
            replay_id=replay_id,
            content=content,
            security=endpoint.security,
            token=token,
        ),
        body=body,
        timeout_seconds=endpoint.timeout_seconds,
        identity=endpoint.security.identity,
    )
