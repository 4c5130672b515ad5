"""Test deliveries: signed and sent as real ones, at once, and written down nowhere."""

from __future__ import annotations

import time
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar
from uuid import UUID

import orjson

from outgoing.endpoints import Endpoint
from outgoing.payload import Message, Shape
from outgoing.posts import post_of
from subscriptions.conf import address_policy
from webhooks_project import __version__
from webhooks_project.lib import clock
from webhooks_project.lib.authentication import NoToken, read_token
from webhooks_project.lib.ids import new_id
from webhooks_project.lib.outbound import Failure, Outbound, Request, Response

TEST_TYPE: Final = "webhook.test"
WAIT_SECONDS: Final = 0.1

Key = TypeVar("Key", bound=Hashable)

_WORDS: Final = {
    Failure.DNS: "its name was not found",
    Failure.REFUSED: "it took no connection",
    Failure.RESET: "it hung up without an answer",
    Failure.TLS: "its certificate was not accepted, or no TLS connection came about",
    Failure.TIMEOUT_DNS: "its name was not found in time",
    Failure.TIMEOUT_CONNECT: "it took no connection in time",
    Failure.TIMEOUT_TLS: "no TLS connection came about in time",
    Failure.TIMEOUT_RESPONSE: "it did not answer in time",
    Failure.FORBIDDEN_ADDRESS: "its name leads to an address that is not allowed",
    Failure.TOO_LARGE: "its answer is too large",
    Failure.BAD_RESPONSE: "its answer is no HTTP",
    Failure.INVALID_URL: "its URL is not valid",
    Failure.CANCELLED: "it did not answer in time",
    Failure.UNSIGNABLE: "no signing secret can be read",
    Failure.CREDENTIALS_UNREADABLE: "its credentials cannot be read",
    Failure.TOKEN_UNAVAILABLE: "there is no access token for it",
}


@dataclass(frozen=True, slots=True)
class TestDelivery:
    """What is to be sent. Each default is that of a right one."""

    __test__ = False  # no class of tests

    type: str
    data: Any
    message_id: str
    age_seconds: int = 0  # how long ago it says that it was signed
    is_tampered: bool = False  # whether its body was changed after it was signed


def new_message_id() -> str:
    """A `webhook-id` that no event has."""
    return f"test_{new_id().hex}"


def why_not_sendable(endpoint: Endpoint) -> str:
    """Why nothing can be sent to it as it is set up; empty where something can."""
    if not endpoint.keys:
        return "no signing secret can be read"
    if not endpoint.security.is_readable:
        return "its credentials cannot be read"
    return ""


def tokens_for(endpoints: Iterable[Endpoint], *, seconds: float) -> dict[UUID, str | Response]:
    """The access token of each that asks for one, or what came in its place."""
    asked = {
        endpoint.subscription_id: endpoint.security.credentials.token_request()
        for endpoint in endpoints
        if endpoint.security.credentials is not None
    }
    tokens: dict[UUID, str | Response] = {}
    for key, response in send_all(asked, seconds=seconds).items():
        try:
            tokens[key] = read_token(response).text
        except NoToken as error:
            tokens[key] = Response(failure=Failure.TOKEN_UNAVAILABLE, detail=str(error))
    return tokens


def request_of(endpoint: Endpoint, delivery: TestDelivery, token: str = "") -> Request:
    """The request, signed now as a delivery is, but for its transformation."""
    now = clock.now()
    message = Message(
        event_id=new_id(),
        account_id=endpoint.account_id,
        type=delivery.type,
        occurred_at=now,
        correlation_id="",
        data=orjson.dumps(delivery.data),
    )
    request = post_of(
        endpoint,
        [(message, Shape(endpoint.shape.form))],
        is_batch=endpoint.batch_size > 1,
        message_id=delivery.message_id,
        timestamp=int(now.timestamp()) - delivery.age_seconds,
        token=token,
    )
    if not delivery.is_tampered:
        return request
    body, end = request.body[:-1], request.body[-1:]
    # Still JSON where it is an object, and another text in any case.
    change = b',"tampered":true' if end == b"}" else b" "
    return replace(request, body=body + change + end)


def send_all(requests: Mapping[Key, Request], *, seconds: float) -> dict[Key, Response]:
    """Send all of them side by side; what has not ended after so many seconds is cancelled."""
    responses: dict[Key, Response] = {}
    if not requests:
        return responses
    outbound = Outbound(
        policy=address_policy(),
        max_in_flight=len(requests),
        user_agent=f"webhooks-hub/{__version__}",
        reads_certificates=True,
    )
    ends_at = time.monotonic() + seconds
    try:
        for key, request in requests.items():
            at_once = outbound.start(request, key)
            if at_once is not None:
                responses[key] = at_once
        while outbound.in_flight and time.monotonic() < ends_at:
            responses.update(outbound.wait(WAIT_SECONDS))
        responses.update(outbound.cancel_all())
    finally:
        outbound.close()
    return responses


def is_success(response: Response) -> bool:
    return response.status is not None and 200 <= response.status <= 299


def in_words(response: Response) -> str:
    """What came back, in words that name no address of ours or of the endpoint's network."""
    if response.failure is not None:
        return _WORDS[response.failure]
    return f"it answered {response.status} after {response.total_ms:.0f} ms"
