"""Writing down what became of attempts, many at a time and only where the claim is still ours."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import structlog
from django.db import transaction
from orjson import Fragment, dumps

from monitoring import journal
from outgoing.bodies import keep_bodies
from outgoing.dead_letters import fingerprint_of_failure, text_of_failure
from outgoing.failing import Seen, note_attempts
from outgoing.judge import Delivered, Disable, GiveUp, RetryAt, Step
from outgoing.models import Attempt, Delivery, Retry
from outgoing.operational import Exhausted, note_exhausted
from outgoing.querysets import Claim
from outgoing.tracing import trace_attempts
from subscriptions.errors import StateNotAllowed
from subscriptions.models import Subscription
from subscriptions.services import set_status
from webhooks_project.lib import clock
from webhooks_project.lib.ids import new_ids
from webhooks_project.lib.outbound import Failure, Response
from webhooks_project.lib.redaction import redact_headers
from webhooks_project.lib.sql import insert_rows
from webhooks_project.uncounted import Kind, mark_uncounted

log = structlog.get_logger(__name__)

_ATTEMPT_COLUMNS = (
    "id", "delivery", "number", "trigger", "outcome", "cause", "gave_up", "detail", "status_code",
    "started_at", "queue_wait_ms", "dns_ms", "connect_ms", "tls_ms", "first_byte_ms",
    "duration_ms", "request_headers", "request_bytes", "request_sha256", "response_headers",
    "response_body", "response_bytes", "address", "protocol", "worker",
)  # fmt: skip
_RETRY_COLUMNS = ("delivery", "due_at", "number", "cause", "created_at")


class Result(NamedTuple):
    """One attempt that has ended, not yet written down."""

    claim: Claim
    account_id: UUID
    correlation_id: str
    response: Response
    step: Step
    started_at: datetime
    request_headers: Mapping[str, str]
    request_bytes: int
    request_sha256: bytes = b""
    kept_body: bytes = b""  # as it was sent, where the event alone does not give it again

    @property
    def number(self) -> int:
        return self.claim.attempt_count + 1

    def without_answer(self) -> Result:
        """The same outcome without what the receiver sent, where that cannot be stored."""
        answer = replace(self.response, headers={}, body=b"", detail="the answer is not storable")
        return self._replace(response=answer)


def record_results(results: Sequence[Result], *, worker: str) -> int:
    """Store attempts, states and retries in one transaction; disable endpoints that are gone.

    Results whose lease another worker has taken meanwhile are dropped: that worker's attempt is
    the one that counts. Returns how many were stored.
    """
    now = clock.now()
    with transaction.atomic():
        stored = _finish_deliveries(results, now)
        Attempt.objects.insert_many(_ATTEMPT_COLUMNS, _attempt_rows(stored, worker))
        mark_uncounted(Kind.ATTEMPT, (result.started_at for result in stored))
        keep_bodies(
            (result.account_id, result.claim.delivery_id, result.request_sha256, result.kept_body)
            for result in stored
            if result.kept_body
        )
        retries = [
            (result.claim.delivery_id, result.step.due_at, result.number + 1,
             result.step.cause.value, now)
            for result in stored
            if isinstance(result.step, RetryAt)
        ]  # fmt: skip
        if retries:
            insert_rows(Retry, _RETRY_COLUMNS, retries)
        given_up = [result for result in stored if isinstance(result.step, GiveUp)]
        for result in given_up:
            _note_exhausted(result)
        if given_up:
            note_exhausted([_exhausted(result) for result in given_up])
        _unpark_next(stored)
    gone = {result.claim.subscription_id for result in stored if isinstance(result.step, Disable)}
    if gone:
        _disable(gone)
    note_attempts(_seen(stored))
    _log(stored, worker)
    trace_attempts(stored)
    return len(stored)


def _disable(subscription_ids: Collection[UUID]) -> None:
    # Those that ended, or got another URL, while the attempt was under way stay as they are.
    for subscription in Subscription.objects.filter(
        pk__in=subscription_ids,
        status__in=[Subscription.Status.ACTIVE, Subscription.Status.PAUSED],
    ):
        with suppress(StateNotAllowed):  # it ended at this moment
            set_status(
                subscription=subscription,
                status=Subscription.Status.DISABLED,
                reason="the endpoint answered 410 Gone",
            )


def _finish_deliveries(results: Iterable[Result], now: datetime) -> list[Result]:
    # By the number of the token: a UUID is hashed in Python.
    groups: dict[tuple[int, type[Step], str, int | None, str], list[Result]] = {}
    for result in results:
        cause = "" if isinstance(result.step, Delivered) else result.step.cause.value
        fingerprint = _fingerprint(result) if isinstance(result.step, GiveUp) else ""
        token = result.claim.token.int
        key = (token, type(result.step), cause, result.response.status, fingerprint)
        groups.setdefault(key, []).append(result)
    stored: list[Result] = []
    for (_, step, cause, status_code, fingerprint), group in groups.items():
        ours = Delivery.objects.all().finish(
            [result.claim.delivery_id for result in group],
            group[0].claim.token,
            {
                "last_cause": cause,
                "last_status_code": status_code,
                **_state_after(step, now, fingerprint),
            },
            attempted=True,
        )
        if len(ours) < len(group):
            group = [result for result in group if result.claim.delivery_id in ours]
        stored.extend(group)
    return stored


def _state_after(step: type[Step], now: datetime, fingerprint: str) -> dict[str, Any]:
    if step is Delivered:
        return {"status": Delivery.Status.DELIVERED, "delivered_at": now}
    if step is RetryAt:
        # It stands in no line until its Retry is due.
        return {"status": Delivery.Status.PENDING, "trigger": Delivery.Trigger.RETRY}
    if step is Disable:
        return {"status": Delivery.Status.HELD, "trigger": Delivery.Trigger.RETRY}
    return {
        "status": Delivery.Status.EXHAUSTED,
        "exhausted_at": now,
        "fingerprint": fingerprint,
    }


def _fingerprint(result: Result) -> str:
    assert isinstance(result.step, GiveUp)  # noqa: S101 - only such are asked for
    return fingerprint_of_failure(
        subscription_id=result.claim.subscription_id,
        cause=result.step.cause.value,
        status_code=result.response.status,
        text=text_of_failure(result.response.body, result.response.detail),
    )


def _attempt_rows(results: Sequence[Result], worker: str) -> list[tuple[Any, ...]]:
    # Answers that are alike share their headers, which are redacted and written once.
    heads = {id(result.response.headers): result.response.headers for result in results}
    shown = {key: Fragment(dumps(redact_headers(headers))) for key, headers in heads.items()}
    return [
        _attempt_row(key, result, shown[id(result.response.headers)], worker)
        for key, result in zip(new_ids(len(results)), results, strict=True)
    ]


def _attempt_row(key: UUID, result: Result, headers: Fragment, worker: str) -> tuple[Any, ...]:
    response = result.response
    claim = result.claim
    succeeded = isinstance(result.step, Delivered)
    wait = (result.started_at - claim.due_at).total_seconds() * 1000
    return (
        key,
        claim.delivery_id,
        result.number,
        claim.trigger,
        "succeeded" if succeeded else "failed",
        "" if isinstance(result.step, Delivered) else result.step.cause.value,
        isinstance(result.step, GiveUp),
        response.detail[:300],
        response.status,
        result.started_at,
        max(0.0, wait),
        response.dns_ms,
        response.connect_ms,
        response.tls_ms,
        response.first_byte_ms,
        response.total_ms,
        result.request_headers,
        result.request_bytes,
        result.request_sha256,
        headers,
        response.body,
        response.body_bytes,
        response.address,
        response.protocol,
        worker,
    )


def _unpark_next(results: Iterable[Result]) -> None:
    """Put what waited for a delivered one in its order in line."""
    done = [
        result.claim.delivery_id
        for result in results
        if result.claim.order_key is not None and isinstance(result.step, Delivered)
    ]
    if done:
        Delivery.objects.unpark_after(done)


def _note_exhausted(result: Result) -> None:
    # A dead endpoint gives up thousands an hour: one line counts them.
    journal.count_activity(
        account_id=result.account_id,
        kind="delivery.exhausted",
        text=f"Delivery {result.claim.delivery_id} was given up after {result.number} attempts.",
        subject=Subscription(pk=result.claim.subscription_id),
    )


def _exhausted(result: Result) -> Exhausted:
    assert isinstance(result.step, GiveUp)  # noqa: S101 - only such are asked for
    return Exhausted(
        delivery_id=result.claim.delivery_id,
        event_id=result.claim.event_id,
        subscription_id=result.claim.subscription_id,
        cause=result.step.cause.value,
        status_code=result.response.status,
        attempt_count=result.number,
    )


def _seen(stored: Iterable[Result]) -> dict[UUID, Seen]:
    """What the attempts say of their endpoints; those that we gave up ourselves say nothing."""
    seen: dict[UUID, Seen] = {}
    for result in stored:
        if result.response.failure not in (Failure.CANCELLED, Failure.UNSIGNABLE):
            seen.setdefault(result.claim.subscription_id, Seen()).add(
                succeeded=isinstance(result.step, Delivered), at=result.started_at
            )
    return seen


def _log(stored: Iterable[Result], worker: str) -> None:
    """Failures at info, successes at debug: a busy hub has ten thousand of those a second."""
    debug = logging.getLogger(__name__).isEnabledFor(logging.DEBUG)
    for result in stored:
        succeeded = isinstance(result.step, Delivered)
        if succeeded and not debug:
            continue
        (log.debug if succeeded else log.info)(
            "attempt " + ("succeeded" if succeeded else "failed"),
            request_id=result.correlation_id,
            event_id=str(result.claim.event_id),
            delivery_id=str(result.claim.delivery_id),
            subscription_id=str(result.claim.subscription_id),
            number=result.number,
            cause="" if isinstance(result.step, Delivered) else result.step.cause.value,
            status_code=result.response.status,
            duration_ms=round(result.response.total_ms, 1),
            worker=worker,
        )
