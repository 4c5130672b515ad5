"""Running the set-ups that are due: what can be judged here, then one test delivery each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import datetime
from typing import Final

import orjson
import structlog

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
from subscriptions.models import EventType, Subscription
from subscriptions.operational import is_operational
from subscriptions.setup import (
    Name,
    Outcome,
    SetupClaim,
    Step,
    claim_due_setups,
    failed,
    finish_setup,
    ok,
    skipped,
)
from webhooks_project.accounts.models import UnknownEventTypes
from webhooks_project.lib import clock
from webhooks_project.lib.errors import DomainError
from webhooks_project.lib.filters import compile_filter
from webhooks_project.lib.jsonata import check_expression
from webhooks_project.lib.outbound import Failure, Request, Response
from webhooks_project.lib.ssrf import Problem, check_endpoint

log = structlog.get_logger(__name__)

CLAIM_ROWS: Final = 16
LOOK_UP_THREADS: Final = 8
LOOK_UP_SECONDS: Final = 10.0  # for the names of all; one that takes longer is not found
TOKEN_SECONDS: Final = 10.0
SEND_SECONDS: Final = 65.0  # more than the longest timeout of a subscription
ROUND_SECONDS: Final = 90.0  # of all of that, where nobody answers
TURN_SECONDS: Final = 60.0  # no more are claimed after it
CHALLENGE: Final = "webhook-challenge"


def run_due_setups(goes_on: Callable[[], bool] | None = None) -> int:
    """Run what is due, the longest waiting first, some of them side by side. Returns how many."""
    ends_at = time.monotonic() + TURN_SECONDS
    goes_on = goes_on or (lambda: time.monotonic() < ends_at)
    ran = 0
    while goes_on() and _is_any_due() and (claims := claim_due_setups(clock.now(), CLAIM_ROWS)):
        _run(claims)
        ran += len(claims)
    return ran


def _is_any_due() -> bool:
    """A read, so that nothing due takes no write lock."""
    return Subscription.objects.filter(setup_due_at__lte=clock.now()).exists()


def _run(claims: list[SetupClaim]) -> None:
    problems = _look_up(claim.subscription.url for claim in claims)
    endpoints = Endpoints()
    endpoints.load(claim.subscription.pk for claim in claims)
    found: dict[SetupClaim, list[Step]] = {}
    for claim in claims:
        subscription = claim.subscription
        found[claim] = [
            _endpoint(problems[subscription.url]),
            _permission(subscription),
            _configuration(subscription, endpoints.get(subscription.pk)),
        ]
    responses = _send(
        {
            claim: endpoints.get(claim.subscription.pk)
            for claim, steps in found.items()
            if all(step.outcome == Outcome.OK for step in steps)
        }
    )
    for claim, steps in found.items():
        response = responses.get(claim)
        steps += _answered(claim.subscription, response) if response else _not_sent()
        done = finish_setup(
            claim=claim,
            steps=steps,
            certificate_expires_at=response.certificate_expires_at if response else None,
        )
        log.info(
            "set-up finished" if done else "set-up dropped",
            subscription_id=str(claim.subscription.pk),
            status=done.status if done else "",
        )


def _send(endpoints: Mapping[SetupClaim, Endpoint]) -> dict[SetupClaim, Response]:
    """What each endpoint answers to its test delivery, or why it got none."""
    tokens = tokens_for(endpoints.values(), seconds=TOKEN_SECONDS)
    requests: dict[SetupClaim, Request] = {}
    responses: dict[SetupClaim, Response] = {}
    for claim, endpoint in endpoints.items():
        token = tokens.get(endpoint.subscription_id, "")
        if isinstance(token, Response):
            responses[claim] = token
        else:
            requests[claim] = request_of(endpoint, _test_delivery(claim), token)
    return responses | send_all(requests, seconds=SEND_SECONDS)


def _look_up(urls: Iterable[str]) -> dict[str, Problem | None]:
    """Judge the URLs side by side; a name server that hangs is not waited for."""
    policy = address_policy()
    pool = ThreadPoolExecutor(LOOK_UP_THREADS)
    asked = {url: pool.submit(check_endpoint, url, policy) for url in set(urls)}
    wait(asked.values(), timeout=LOOK_UP_SECONDS)
    pool.shutdown(wait=False, cancel_futures=True)
    return {
        url: found.result() if found.done() and not found.cancelled() else Problem.HOST_NOT_FOUND
        for url, found in asked.items()
    }


def _endpoint(problem: Problem | None) -> Step:
    if problem is not None:
        return failed(Name.ENDPOINT, f"the URL is refused: {problem}")
    return ok(Name.ENDPOINT, "scheme, host and addresses are allowed")


def _permission(subscription: Subscription) -> Step:
    """Whether the account may hear what it asks for, by its catalogue."""
    names = [name for name in subscription.event_types if not name.endswith("*")]
    known = dict(
        EventType.objects.filter(account=subscription.account_id, name__in=names).values_list(
            "name", "archived_at"
        )
    )
    archived = sorted(name for name, archived_at in known.items() if archived_at)
    if archived:
        return failed(Name.PERMISSION, f"archived in the catalogue: {', '.join(archived)[:150]}")
    if subscription.account.unknown_event_types == UnknownEventTypes.REJECT:
        unknown = [name for name in names if name not in known and not is_operational(name)]
        if unknown:
            return failed(Name.PERMISSION, f"not in the catalogue: {', '.join(unknown)[:150]}")
    return ok(Name.PERMISSION, "the account may hear its event types")


def _configuration(subscription: Subscription, endpoint: Endpoint) -> Step:
    problem = _problem_of_configuration(subscription, endpoint)
    if problem:
        return failed(Name.CONFIGURATION, problem)
    return ok(Name.CONFIGURATION, "event types, secrets, filter and transformation can be used")


def _problem_of_configuration(subscription: Subscription, endpoint: Endpoint) -> str:
    if not subscription.event_types:
        return "it hears no event type"
    if problem := why_not_sendable(endpoint):
        return problem
    if subscription.expires_at is not None and subscription.expires_at <= clock.now():
        return "its time is over"
    try:
        if subscription.filter is not None:
            compile_filter(subscription.filter)
    except DomainError as error:
        return f"the filter: {error}"[:300]
    try:
        if subscription.transformation:
            check_expression(subscription.transformation)
    except DomainError as error:
        return f"the transformation: {error}"[:300]
    return ""


def _test_delivery(claim: SetupClaim) -> TestDelivery:
    subscription = claim.subscription
    data = {"subscription": str(subscription.pk)}
    if subscription.challenge:
        data["challenge"] = subscription.challenge
    return TestDelivery(type=TEST_TYPE, data=data, message_id=new_message_id())


def _not_sent() -> list[Step]:
    return [
        skipped(name, "a step before it failed")
        for name in (Name.CERTIFICATE, Name.TEST_DELIVERY, Name.OWNERSHIP)
    ]


def _answered(subscription: Subscription, response: Response) -> list[Step]:
    return [
        _certificate(subscription.url, response),
        ok(Name.TEST_DELIVERY, in_words(response))
        if is_success(response)
        else failed(Name.TEST_DELIVERY, in_words(response)),
        _ownership(subscription, response),
    ]


def _certificate(url: str, response: Response) -> Step:
    if not url.lower().startswith("https:"):
        return skipped(Name.CERTIFICATE, "the endpoint has none: its URL is plain http")
    if response.failure in (Failure.TLS, Failure.TIMEOUT_TLS):
        return failed(Name.CERTIFICATE, in_words(response))
    if response.certificate_expires_at is None:
        return skipped(Name.CERTIFICATE, "no TLS connection came about")
    return ok(Name.CERTIFICATE, f"valid until {_day(response.certificate_expires_at)}")


def _ownership(subscription: Subscription, response: Response) -> Step:
    if not subscription.challenge:
        return skipped(Name.OWNERSHIP, "no proof is asked for")
    if is_success(response) and echoes(response, subscription.challenge):
        return ok(Name.OWNERSHIP, "the challenge was echoed")
    return failed(Name.OWNERSHIP, "the answer does not echo the challenge")


def echoes(response: Response, challenge: str) -> bool:
    """Whether the answer gives the challenge back: in the header, as the body, or in its JSON.

    The body as a whole sent back is no proof: any echo would do that.
    """
    if response.headers.get(CHALLENGE) == challenge:
        return True
    if response.body.strip() == challenge.encode():
        return True
    try:
        value = orjson.loads(response.body)
    except orjson.JSONDecodeError:
        return False
    return isinstance(value, dict) and value.get("challenge") == challenge


def _day(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d")
