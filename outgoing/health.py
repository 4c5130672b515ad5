"""Looking now and then whether endpoints are there, in the way that each subscription chose.

A HEAD, signed by nobody, that says nothing: any whole answer counts, whatever its status. The
connection with its TLS alone, over which nothing is sent. Or a test delivery, signed and sent as a
real one, which is to be answered by 2xx.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final

import structlog
from django.db import transaction
from django.db.models import F

from outgoing.endpoints import Endpoint, Endpoints
from outgoing.probes import (
    TEST_TYPE,
    TestDelivery,
    in_words,
    is_success,
    new_message_id,
    request_of,
    send_all,
    tokens_for,
    why_not_sendable,
)
from subscriptions.conf import address_policy
from subscriptions.models import Subscription
from webhooks_project import __version__
from webhooks_project.lib import clock
from webhooks_project.lib.outbound import Failure, Outbound, Request, Response

log = structlog.get_logger(__name__)

AT_ONCE: Final = 64
SECONDS: Final = 10.0  # for one answer, and for all of one round's of a kind
ROUND_SECONDS: Final = (
    45.0  # of the three kinds one after the other, with the tokens of one of them
)
TURN_SECONDS: Final = 20.0  # no more are taken after it
WAIT_SECONDS: Final = 0.1

Kind = Subscription.HealthCheckKind
Found = Mapping[Subscription, tuple[Response, str]]  # what came back, and what is wrong with it


def run_due_health_checks(goes_on: Callable[[], bool] | None = None) -> int:
    """Look at the endpoints whose time it is, and note what was found. Returns how many.

    The longest waiting first, side by side, round after round while the turn lasts (`goes_on`).
    """
    ends_at = time.monotonic() + TURN_SECONDS
    goes_on = goes_on or (lambda: time.monotonic() < ends_at)
    looked = 0
    while goes_on() and (due := _take_due()):
        for row, (response, problem) in _look(due).items():
            _note(row, response, problem)
        looked += len(due)
        if len(due) < AT_ONCE:
            break
    return looked


@transaction.atomic
def _take_due() -> list[Subscription]:
    """Those that are due, the longest first; none of them is due again before its next time."""
    now = clock.now()
    due = Subscription.objects.filter(
        status=Subscription.Status.ACTIVE, checks_health=True, health_check_due_at__lte=now
    )
    if not due.exists():
        return []
    rows = list(
        due.order_by("health_check_due_at")
        .select_for_update(skip_locked=True)
        .only("id", "url", "name", "account_id", "health_problem", "health_check_kind",
              "health_check_minutes")[:AT_ONCE]
    )  # fmt: skip
    for row in rows:
        row.health_check_due_at = now + timedelta(minutes=row.health_check_minutes)
    Subscription.objects.bulk_update(rows, ["health_check_due_at"])
    return rows


def _look(rows: list[Subscription]) -> Found:
    """What each is found to be. The three kinds one after the other, each side by side."""
    endpoints = Endpoints()
    endpoints.load(row.pk for row in rows)
    kinds: dict[str, dict[Subscription, Endpoint]] = {kind: {} for kind in Kind.values}
    for row in rows:
        endpoint = endpoints.find(row.pk)
        if endpoint is not None:
            kinds[row.health_check_kind][row] = endpoint
    return {
        **_heads(kinds[Kind.HEAD]),
        **_handshakes(kinds[Kind.TLS]),
        **_probes(kinds[Kind.PROBE]),
    }


def _heads(rows: Mapping[Subscription, Endpoint]) -> Found:
    responses = send_all(
        {row: _bare_request(row, endpoint, is_head=True) for row, endpoint in rows.items()},
        seconds=SECONDS,
    )
    return {
        row: (response, in_words(response) if response.failure is not None else "")
        for row, response in responses.items()
    }


def _handshakes(rows: Mapping[Subscription, Endpoint]) -> Found:
    if not rows:
        return {}
    outbound = Outbound(
        policy=address_policy(),
        max_in_flight=len(rows),
        user_agent=f"webhooks-hub/{__version__}",
        reads_certificates=True,
        only_connects=True,
    )
    responses: dict[Subscription, Response] = {}
    ends_at = time.monotonic() + SECONDS
    try:
        for row, endpoint in rows.items():
            at_once = outbound.start(_bare_request(row, endpoint, is_head=False), row)
            if at_once is not None:
                responses[row] = at_once
        while outbound.in_flight and time.monotonic() < ends_at:
            responses.update(outbound.wait(WAIT_SECONDS))
        responses.update(outbound.cancel_all())
    finally:
        outbound.close()
    return {row: (response, _problem_of_handshake(row, response))
            for row, response in responses.items()}  # fmt: skip


def _problem_of_handshake(row: Subscription, response: Response) -> str:
    if response.shook_hands(is_secure=row.url.lower().startswith("https:")):
        response.failure = None
        return ""
    return in_words(response)


def _probes(rows: Mapping[Subscription, Endpoint]) -> Found:
    found: dict[Subscription, tuple[Response, str]] = {}
    sendable: dict[Subscription, Endpoint] = {}
    for row, endpoint in rows.items():
        if problem := why_not_sendable(endpoint):
            found[row] = (Response(failure=Failure.UNSIGNABLE), problem)
        else:
            sendable[row] = endpoint
    tokens = tokens_for(sendable.values(), seconds=SECONDS)
    requests: dict[Subscription, Request] = {}
    for row, endpoint in sendable.items():
        token = tokens.get(row.pk, "")
        if isinstance(token, Response):
            found[row] = (token, in_words(token))
            continue
        data = {"subscription": str(row.pk)}
        delivery = TestDelivery(type=TEST_TYPE, data=data, message_id=new_message_id())
        requests[row] = request_of(endpoint, delivery, token)
    for row, response in send_all(requests, seconds=SECONDS).items():
        found[row] = (response, "" if is_success(response) else in_words(response))
    return found


def _bare_request(row: Subscription, endpoint: Endpoint, *, is_head: bool) -> Request:
    """Nothing but what TLS needs to know us, and we it."""
    return Request(
        url=row.url,
        headers=[],
        body=b"",
        timeout_seconds=SECONDS,
        identity=endpoint.security.identity,
        is_head=is_head,
    )


def _note(row: Subscription, response: Response, problem: str) -> None:
    now = clock.now()
    problem = problem[:200]
    found: dict[str, Any] = {
        "health_checked_at": now,
        "health_problem": problem,
        "health_check_failures": F("health_check_failures") + 1 if problem else 0,
        "health_check_result": _result(row.health_check_kind, response),
    }
    if response.certificate_expires_at is not None:
        found["certificate_expires_at"] = response.certificate_expires_at
    Subscription.objects.filter(pk=row.pk).update(**found)
    if problem != row.health_problem:
        log.info(
            "endpoint is not there" if problem else "endpoint is there again",
            subscription_id=str(row.pk),
            kind=row.health_check_kind,
            problem=problem,
        )


def _result(kind: str, response: Response) -> dict[str, Any]:
    """What people are shown of it: no address, and nothing of what the endpoint said."""
    end = response.certificate_expires_at
    return {
        "kind": kind,
        "status": response.status,
        "failure": response.failure.value if response.failure is not None else None,
        "dns_ms": _round(response.dns_ms),
        "connect_ms": _round(response.connect_ms),
        "tls_ms": _round(response.tls_ms),
        "first_byte_ms": _round(response.first_byte_ms),
        "total_ms": _round(response.total_ms),
        "certificate_expires_at": end.isoformat() if end is not None else None,
    }


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
