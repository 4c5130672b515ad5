"""Questions that change nothing: is this right, and if not, where is it wrong?

One answer for the API and the console. Nothing is written, nothing is sent.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import orjson

from incoming.handlers import takes_type
from incoming.models import Receipt, Route, Source
from incoming.payload import BodyTooLarge, BodyUnreadable, data_of, expanded
from incoming.providers import Call, Cause, Refused
from incoming.receiving.arrival import Arrival
from incoming.receiving.proof import verify
from incoming.receiving.receipt import identify, receipt_of
from incoming.routing import TRANSFORMED_TO_NOTHING, Action, Failed, Subject, what_follows
from incoming.sources import KnownSource, known_source, public_url_of
from subscriptions.conf import address_policy
from subscriptions.errors import SchemaNotValid
from subscriptions.schemas import SchemaError, check_payload
from webhooks_project.lib import clock
from webhooks_project.lib.filters import Clause, compile_filter
from webhooks_project.lib.jsonata import (
    NOTHING,
    EvaluationFailed,
    ExpressionNotAcceptable,
    evaluate,
)
from webhooks_project.lib.ssrf import check_endpoint


@dataclass(frozen=True, slots=True)
class SignatureAnswer:
    """What the door would say of a call. `cause` and `detail` are empty where it is valid.

    `secret_id` is the key of the secret that fitted; `external_id` and `type` are how the call
    names itself, proved only where it is valid.
    """

    valid: bool
    cause: str
    detail: str
    secret_id: str
    external_id: str
    type: str


@dataclass(frozen=True, slots=True)
class PayloadAnswer:
    """Where a payload does not fit its schema."""

    errors: Sequence[SchemaError]

    @property
    def valid(self) -> bool:
        return not self.errors


@dataclass(frozen=True, slots=True)
class UrlAnswer:
    """Why a URL is not acceptable as an endpoint: a code, empty where it is."""

    problem: str

    @property
    def valid(self) -> bool:
        return not self.problem


@dataclass(frozen=True, slots=True)
class FilterAnswer:
    """Whether a filter matches, and each of its clauses in order."""

    matched: bool
    clauses: Sequence[Clause]


@dataclass(frozen=True, slots=True)
class TransformationAnswer:
    """What an expression gave, or why it gave nothing.

    `is_empty` where the result is undefined, which is no JSON value. `code`, `reason` and
    `message` are empty where it is valid; `position` counts characters of the expression.
    """

    valid: bool
    result: Any = None
    is_empty: bool = False
    code: str = ""
    reason: str = ""
    message: str = ""
    position: int | None = None


@dataclass(frozen=True, slots=True)
class RouteAnswer:
    """What one route says of a call: whether it takes it, and why, or why not.

    `reason` is empty where it takes it, else `disabled`, `type`, `condition`, or `ended` where a
    route before it was the last. `clauses` are those of its condition, where that was asked.
    """

    route: Route
    taken: bool
    reason: str
    clauses: Sequence[Clause] = ()


@dataclass(frozen=True, slots=True)
class RoutesAnswer:
    """What would follow a call. `cause` and `detail` say why that cannot be told, or why nothing
    does; `actions` are as routing has them."""

    routes: Sequence[RouteAnswer]
    actions: Sequence[Action]
    cause: str = ""
    detail: str = ""


def call_for(
    source: Source,
    *,
    method: str = "POST",
    query: str = "",
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    moment: datetime | None = None,
) -> Call:
    """The call that the door would see; `moment` is when it came, now where it is None."""
    url = public_url_of(source)
    return Call(
        method=method,
        url=f"{url}?{query}" if query else url,
        headers={name.lower().replace("_", "-"): text for name, text in (headers or {}).items()},
        body=body,
        received_at=moment.timestamp() if moment else time.time(),
    )


def try_signature(source: Source, call: Call, moment: datetime | None = None) -> SignatureAnswer:
    """Is this call from who it says, and if not, which step failed? Judged as the door does.

    `moment`: by which secrets count; now where it is None. Tells no secret and no signature.
    """
    known = known_source(source)
    arrival = _arrival(known, call)
    if len(call.body) > known.max_body_bytes:
        limit = f"at most {known.max_body_bytes} bytes are taken"
        refused: Refused | None = Refused(Cause.PAYLOAD_TOO_LARGE, limit)
    else:
        refused = verify(arrival, known.valid_secrets(moment or clock.now()))
    identity = identify(arrival)
    return SignatureAnswer(
        valid=refused is None,
        cause=refused.cause.value if refused else "",
        detail=refused.detail if refused else "",
        secret_id=arrival.verdict.secret_id if arrival.verdict and refused is None else "",
        external_id=identity.external_id,
        type=identity.type,
    )


def try_payload(schema: Any, payload: Any) -> PayloadAnswer:
    """Does this payload fit this JSON Schema? Raises SchemaNotValid where the schema is none."""
    try:
        return PayloadAnswer(check_payload(schema, payload))
    except (TypeError, ValueError) as error:
        raise SchemaNotValid(str(error)[:500]) from error


def try_url(url: str) -> UrlAnswer:
    """Is this URL acceptable as an endpoint? Looks its name up."""
    return UrlAnswer(check_endpoint(url, address_policy()) or "")


def try_filter(condition: Any, document: Any) -> FilterAnswer:
    """Does this filter match? Raises FilterNotAcceptable."""
    compiled = compile_filter(condition)
    return FilterAnswer(compiled.matches(document), compiled.explain(document))


def try_transformation(
    expression: str, data: Any, bindings: Mapping[str, Any] | None = None
) -> TransformationAnswer:
    """What does this JSONata expression make of the data? Never raises for what it is given."""
    try:
        result = evaluate(expression, data, bindings)
    except (ExpressionNotAcceptable, EvaluationFailed) as error:
        return TransformationAnswer(
            valid=False,
            code=error.code,
            reason=error.reason,
            message=str(error),
            position=error.position,
        )
    if result is NOTHING:
        return TransformationAnswer(valid=True, is_empty=True)
    return TransformationAnswer(valid=True, result=result)


def receipt_for(source: Source, call: Call) -> Receipt:
    """The receipt that the door would make of a call, were it proved. It is not stored."""
    arrival = _arrival(known_source(source), call)
    try:
        limit = arrival.source.max_body_bytes
        arrival.call = replace(call, body=expanded(call.body, call.headers, limit))
    except (BodyTooLarge, BodyUnreadable):
        pass  # asked about all the same: what follows is told of the bytes as they are
    receipt = receipt_of(arrival, Receipt.Status.ACCEPTED, identify(arrival))
    receipt.source = source
    return receipt


def expression_input(source: Source, receipt: Receipt) -> tuple[Any, dict[str, Any]]:
    """What the source's transformation sees of a receipt: the payload, and the bindings by
    name. The receipt need not be in the database; see `receipt_for`."""
    return orjson.loads(data_of(receipt)), Subject(source, (), receipt).envelope


def document_for(source: Source, receipt: Receipt) -> dict[str, Any]:
    """What the conditions of the source's routes are asked of.

    `data` is what the transformation gives: None where that is nothing, the payload itself where
    it fails.
    """
    data, bindings = expression_input(source, receipt)
    if source.transformation:
        made = try_transformation(source.transformation, data, bindings)
        data = made.result if made.valid else data
    return {**bindings, "data": data}


def try_routes(source: Source, receipt: Receipt) -> RoutesAnswer:
    """What would follow this receipt by the source's routes as they are? Nothing is done.

    The receipt need not be in the database; see `receipt_for`.
    """
    routes = list(source.routes.all())
    in_force = [route for route in routes if route.disabled_at is None]
    following = what_follows(source, in_force, receipt)
    if isinstance(following, Failed):
        return RoutesAnswer((), (), following.cause, following.detail)
    if following.detail == TRANSFORMED_TO_NOTHING:
        return RoutesAnswer((), (), "", following.detail)
    taken = {route.pk for route in following.routes}
    document = _masked_document(source, receipt, following.data)
    answers = []
    ended = False
    for route in routes:
        answers.append(_route_answer(route, receipt, route.pk in taken, document, ended))
        ended = ended or (route.pk in taken and route.is_last)
    return RoutesAnswer(answers, following.actions, "", following.detail)


def _arrival(known: KnownSource, call: Call) -> Arrival:
    return Arrival(source=known, call=call, raw_body=call.body, remote_address="", request_id="")


def _masked_document(source: Source, receipt: Receipt, data: bytes) -> dict[str, Any]:
    subject = Subject(source, (), receipt)
    subject.data = data
    return subject.document


def _route_answer(
    route: Route, receipt: Receipt, taken: bool, document: dict[str, Any], ended: bool
) -> RouteAnswer:
    if route.disabled_at is not None:
        return RouteAnswer(route, False, "disabled")
    if ended:
        return RouteAnswer(route, False, "ended")
    if not takes_type(route.type_pattern, receipt.type):
        return RouteAnswer(route, False, "type")
    clauses = compile_filter(route.condition).explain(document) if route.condition else []
    return RouteAnswer(route, taken, "" if taken else "condition", clauses)
