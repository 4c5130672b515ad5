"""The endpoint doctor: does a receiver really verify, is it quick, does it answer rightly?

It sends what a hub in order would send, and what only an attacker or a broken clock would. Nothing
that it learns of addresses is in what it says.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from django.core.cache import cache

from monitoring import journal
from outgoing.endpoints import Endpoints
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
from subscriptions.errors import StateNotAllowed
from subscriptions.models import Subscription
from webhooks_project.lib.outbound import Request, Response

PROBE_SECONDS: Final = 9.0  # one after the other there are two rounds of them
QUICK_MS: Final = 2_000  # an answer that takes longer is slow
STALE_SECONDS: Final = 3_600  # receivers allow five minutes as a rule
UNKNOWN_TYPE: Final = "webhook.test.unknown"


class Name(StrEnum):
    RIGHT = "right"
    TAMPERED = "tampered"
    STALE = "stale"
    DUPLICATE = "duplicate"
    UNKNOWN_TYPE = "unknown_type"


class Verdict(StrEnum):
    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True)
class Probe:
    """One delivery and what to think of its answer. `milliseconds` is None where none was sent."""

    name: Name
    status: int | None
    milliseconds: float | None
    verdict: Verdict
    advice: str


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All probes, and the three answers; None where they cannot tell."""

    probes: tuple[Probe, ...]
    verifies: bool | None
    is_quick: bool | None
    answers_rightly: bool | None


def diagnose(*, subscription: Subscription) -> Diagnosis:
    """Send the five deliveries to the subscription's URL, within about 20 seconds.

    Raises StateNotAllowed for what is archived or has no secret to sign with, and while another
    diagnosis of it is under way.
    """
    if subscription.status == Subscription.Status.ARCHIVED:
        raise StateNotAllowed("it is archived", present_status=subscription.status)
    lock = f"diagnosis:{subscription.pk}"
    if not cache.add(lock, 1, timeout=int(3 * PROBE_SECONDS)):
        raise StateNotAllowed("a diagnosis of it is under way")
    try:
        responses = _send(subscription)
    finally:
        cache.delete(lock)
    diagnosis = judge(responses)
    journal.record_activity(
        account_id=subscription.account_id,
        kind="subscription.diagnosed",
        text=f"{subscription.name} was examined: "
        + ", ".join(f"{probe.name.value} {probe.verdict.value}" for probe in diagnosis.probes),
        subject=subscription,
    )
    return diagnosis


def _send(subscription: Subscription) -> dict[Name, Response]:
    endpoints = Endpoints()
    endpoints.load([subscription.pk])
    endpoint = endpoints.get(subscription.pk)
    if problem := why_not_sendable(endpoint):
        raise StateNotAllowed(problem)
    token = tokens_for([endpoint], seconds=PROBE_SECONDS).get(endpoint.subscription_id, "")
    if isinstance(token, Response):
        return {Name.RIGHT: token}
    right = TestDelivery(
        type=TEST_TYPE, data={"subscription": str(subscription.pk)}, message_id=new_message_id()
    )

    def signed(delivery: TestDelivery) -> Request:
        request = request_of(endpoint, delivery, token)
        return replace(request, timeout_seconds=min(request.timeout_seconds, PROBE_SECONDS))

    responses = send_all({Name.RIGHT: signed(right)}, seconds=PROBE_SECONDS)
    if responses[Name.RIGHT].status is None:
        return responses
    others = {
        Name.TAMPERED: replace(right, message_id=new_message_id(), is_tampered=True),
        Name.STALE: replace(right, message_id=new_message_id(), age_seconds=STALE_SECONDS),
        Name.DUPLICATE: right,
        Name.UNKNOWN_TYPE: replace(right, message_id=new_message_id(), type=UNKNOWN_TYPE),
    }
    return responses | send_all(
        {name: signed(delivery) for name, delivery in others.items()}, seconds=PROBE_SECONDS
    )


def judge(responses: dict[Name, Response]) -> Diagnosis:
    """What the answers mean. Pure."""
    right = responses[Name.RIGHT]
    accepts = is_success(right)
    probes = tuple(_probe(name, responses.get(name), accepts) for name in Name)
    verdicts = {probe.name: probe.verdict for probe in probes}
    refused = [verdicts[Name.TAMPERED], verdicts[Name.STALE]]
    answered = [verdicts[Name.DUPLICATE], verdicts[Name.UNKNOWN_TYPE]]
    return Diagnosis(
        probes=probes,
        verifies=_all_in_order(refused) if accepts else None,
        is_quick=right.total_ms <= QUICK_MS if right.status is not None else None,
        answers_rightly=_all_in_order([verdicts[Name.RIGHT], *answered])
        if right.status is not None
        else None,
    )


def _all_in_order(verdicts: list[Verdict]) -> bool | None:
    if Verdict.FAILED in verdicts:
        return False
    return None if Verdict.INCONCLUSIVE in verdicts else True


def _probe(name: Name, response: Response | None, accepts: bool) -> Probe:
    if response is None:
        return Probe(
            name, None, None, Verdict.INCONCLUSIVE, "Not sent: the right one had no answer."
        )
    match name:
        case Name.RIGHT:
            verdict, advice = _judge_right(response)
        case Name.TAMPERED | Name.STALE:
            verdict, advice = _judge_forged(name, response, accepts)
        case _:
            verdict, advice = _judge_welcome(name, response, accepts)
    return Probe(name, response.status, round(response.total_ms, 1), verdict, advice)


def _judge_right(response: Response) -> tuple[Verdict, str]:
    if is_success(response):
        if response.total_ms <= QUICK_MS:
            return Verdict.OK, ""
        return Verdict.WARNING, (
            "It is slow. Store the event, answer 2xx at once, and do the work afterwards."
        )
    status = response.status
    if status is None:
        return Verdict.FAILED, f"No answer: {in_words(response)}."
    if status == 410:
        return Verdict.FAILED, (
            "410 says that the endpoint is gone: a real delivery would disable the subscription."
        )
    if 300 <= status <= 399:
        return Verdict.FAILED, "Redirects are not followed. Subscribe the URL that it leads to."
    if status in (400, 401, 403):
        return Verdict.FAILED, (
            "It refuses what is rightly signed. Compare its secret, and verify the raw body, "
            "before any JSON is parsed."
        )
    return Verdict.FAILED, "Answer 2xx to what is rightly signed."


def _judge_forged(name: Name, response: Response, accepts: bool) -> tuple[Verdict, str]:
    if not accepts:
        return Verdict.INCONCLUSIVE, "It accepts not even what is right."
    status = response.status
    if status is None:
        return Verdict.INCONCLUSIVE, f"No answer: {in_words(response)}."
    if is_success(response):
        if name == Name.TAMPERED:
            return Verdict.FAILED, (
                "It accepts a body that was changed after it was signed: anybody can send it "
                "events. Verify the webhook-signature header."
            )
        return Verdict.FAILED, (
            "It accepts what was signed an hour ago: what was once recorded can be sent again. "
            "Refuse a webhook-timestamp that is off by more than five minutes."
        )
    if status in (410, 429) or not 400 <= status <= 499:
        return Verdict.WARNING, "It refuses, but not as a refusal: answer 400 or 401."
    return Verdict.OK, ""


def _judge_welcome(name: Name, response: Response, accepts: bool) -> tuple[Verdict, str]:
    if not accepts:
        return Verdict.INCONCLUSIVE, "It accepts not even what is right."
    if response.status is None:
        return Verdict.INCONCLUSIVE, f"No answer: {in_words(response)}."
    if is_success(response):
        return Verdict.OK, ""
    if name == Name.DUPLICATE:
        return Verdict.FAILED, (
            "The same webhook-id comes again where an answer was lost. Answer 2xx to it, and do "
            "nothing: any other answer brings it once more."
        )
    return Verdict.FAILED, (
        "Answer 2xx to types that you do not know, and do nothing: any other answer is a failure "
        "and is tried again."
    )
