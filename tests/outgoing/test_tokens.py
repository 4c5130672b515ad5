"""OAuth2 towards endpoints: the token endpoint and the endpoint are real servers on loopback."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs

import pytest
import structlog
from django.db import connection

from outgoing import tokens
from outgoing.deliver import DeliveryPump
from outgoing.models import Attempt, Delivery, Retry
from outgoing.querysets import LEASE_SECONDS
from subscriptions.models import Subscription
from subscriptions.services import change_subscription
from tests.factories import make_account, make_delivery, make_event, make_subscription
from tests.lib.receiver import OK, Line, Receiver, Script, answer, receiver, status
from tests.outgoing.pump import Turn, deliver

pytestmark = pytest.mark.django_db


class TokenEndpoint:
    """Gives token-1, token-2 and so on."""

    def __init__(self, **answer: Any) -> None:
        self.count = 0
        self.answer = {"token_type": "Bearer", "expires_in": 3600} | answer

    def __call__(self, line: Line) -> None:
        while line.read():
            self.count += 1
            body = json.dumps({"access_token": f"token-{self.count}", **self.answer}).encode()
            line.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))


@pytest.fixture(autouse=True)
def _nothing_kept() -> Iterator[None]:
    tokens._KEPT.clear()
    yield
    tokens._KEPT.clear()


def make_oauth2(url: str, token_url: str, **more: Any) -> Subscription:
    authentication = {
        "kind": "oauth2",
        "token_url": token_url.replace("/hook", "/token"),
        "client_id": "me",
        "client_secret": "s3cr3t",
    }
    return change_subscription(
        subscription=make_subscription(url=url, **more), authentication=authentication
    )


def publish(subscription: Subscription, count: int = 1) -> None:
    for _ in range(count):
        make_delivery(make_event(subscription.account), subscription)


def used(there: Receiver) -> list[str]:
    return [arrived.headers.get("authorization", "") for arrived in there.arrived]


def takes(*accepted: str) -> Script:
    """An endpoint that knows these tokens only."""

    def script(line: Line) -> None:
        while arrived := line.read():
            known = arrived.headers["authorization"].removeprefix("Bearer ") in accepted
            line.send(OK if known else status(401))

    return script


def test_asks_once_for_the_token_of_many_deliveries_and_keeps_it() -> None:
    gives = TokenEndpoint()
    with receiver(gives) as idp, receiver(answer()) as there:
        subscription = make_oauth2(there.url, idp.url)
        publish(subscription, 5)
        assert deliver() == 5
        publish(subscription)
        assert deliver() == 1  # another pump of the same process
    assert gives.count == 1
    assert used(there) == ["Bearer token-1"] * 6
    (asked,) = idp.arrived
    assert asked.line == "POST /token HTTP/1.1"
    assert asked.headers["authorization"] == "Basic bWU6czNjcjN0"
    assert parse_qs(asked.body.decode()) == {"grant_type": ["client_credentials"]}


def test_each_subscription_has_its_own_token() -> None:
    gives = TokenEndpoint()
    with receiver(gives) as idp, receiver(answer()) as one, receiver(answer()) as two:
        for there in (one, two):
            publish(make_oauth2(there.url, idp.url))
        assert deliver() == 2
    assert sorted(used(one) + used(two)) == ["Bearer token-1", "Bearer token-2"]


def test_asks_anew_once_the_token_is_about_to_end() -> None:
    gives = TokenEndpoint(expires_in=3600)
    with receiver(gives) as idp, receiver(answer()) as there:
        subscription = make_oauth2(there.url, idp.url)
        publish(subscription)
        deliver()
        kept = tokens._KEPT[subscription.pk]
        assert 3500 < kept.ends_at - time.monotonic() <= 3570  # half a minute before its end
        tokens._KEPT[subscription.pk] = replace(kept, ends_at=time.monotonic())
        publish(subscription)
        deliver()
    assert used(there) == ["Bearer token-1", "Bearer token-2"]


def test_asks_anew_when_the_credentials_were_changed() -> None:
    gives = TokenEndpoint()
    with receiver(gives) as idp, receiver(answer()) as there:
        subscription = make_oauth2(there.url, idp.url)
        publish(subscription)
        deliver()
        document = {
            "kind": "oauth2",
            "token_url": idp.url,
            "client_id": "another",
            "client_secret": "s",
        }
        change_subscription(subscription=subscription, authentication=document)
        publish(subscription)
        deliver()
    assert used(there) == ["Bearer token-1", "Bearer token-2"]


def hangs_up(line: Line) -> None:
    line.read()
    line.reset()


@pytest.mark.parametrize(
    ("script", "detail"),
    [
        (answer(status(500)), "the token endpoint answered 500"),
        (answer(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"),
         "the token endpoint's answer has no access_token"),
        (hangs_up, "the token endpoint: reset"),
    ],
)  # fmt: skip
def test_without_a_token_the_attempts_fail_and_are_tried_again(script: Any, detail: str) -> None:
    with receiver(script) as idp, receiver(answer()) as there:
        subscription = make_oauth2(there.url, idp.url)
        publish(subscription, 3)
        assert deliver() == 3
        assert there.arrived == []
        asked = idp.connections
        publish(subscription)
        assert deliver() == 1  # within the pause: nobody is asked again
        assert idp.connections == asked == 1
    causes = set(Attempt.objects.values_list("outcome", "cause", "detail", "status_code"))
    assert causes == {("failed", "token_unavailable", detail, None)}
    assert Retry.objects.filter(cause="token_unavailable").count() == 4


def test_after_the_pause_the_token_is_asked_for_again() -> None:
    with receiver(answer(status(500))) as idp, receiver(answer()) as there:
        subscription = make_oauth2(there.url, idp.url)
        publish(subscription)
        deliver()
        kept = tokens._KEPT[subscription.pk]
        assert 0 < kept.ends_at - time.monotonic() <= tokens.PAUSE_SECONDS
        tokens._KEPT[subscription.pk] = replace(kept, ends_at=time.monotonic())
        publish(subscription)
        deliver()
        assert len(idp.arrived) == 2
    assert there.arrived == []


def test_a_refused_token_is_dropped_and_another_is_sent_in_the_same_attempt() -> None:
    gives = TokenEndpoint()
    with receiver(gives) as idp, receiver(takes("token-2")) as there:
        subscription = make_oauth2(there.url, idp.url)
        publish(subscription)
        assert deliver() == 1
        publish(subscription)
        assert deliver() == 1
    assert used(there) == ["Bearer token-1", "Bearer token-2", "Bearer token-2"]
    assert {arrived.headers["webhook-id"] for arrived in there.arrived[:2]} == {
        there.arrived[0].headers["webhook-id"]
    }
    assert set(Attempt.objects.values_list("outcome", "number")) == {("succeeded", 1)}
    assert gives.count == 2


def test_a_token_that_many_use_is_renewed_once() -> None:
    gives = TokenEndpoint()
    with receiver(gives) as idp, receiver(takes("token-2")) as there:
        publish(make_oauth2(there.url, idp.url), 4)
        assert deliver() == 4
    assert gives.count == 2
    assert Attempt.objects.filter(outcome="succeeded").count() == 4
    assert sorted(used(there)) == ["Bearer token-1"] * 4 + ["Bearer token-2"] * 4


def test_an_endpoint_that_refuses_every_token_does_not_drain_the_token_endpoint() -> None:
    gives = TokenEndpoint()
    with receiver(gives) as idp, receiver(takes()) as there:
        publish(make_oauth2(there.url, idp.url, max_in_flight=1), 5)
        assert deliver() == 5
    assert set(Attempt.objects.values_list("cause", "status_code")) == {("status_4xx", 401)}
    assert len(there.arrived) == 6  # only the first was sent twice
    assert gives.count == 6  # each refused token was dropped


def test_a_token_endpoint_that_hangs_holds_up_no_other_subscription() -> None:
    came = threading.Event()
    in_time: list[bool] = []
    gives = TokenEndpoint()

    def slow(line: Line) -> None:
        in_time.append(came.wait(8))
        gives(line)

    def other(line: Line) -> None:
        while line.read():
            came.set()
            line.send(OK)

    with receiver(slow) as idp, receiver(answer()) as there, receiver(other) as elsewhere:
        waiting = make_oauth2(there.url, idp.url)
        publish(waiting, 3)
        publish(make_subscription(make_account(), url=elsewhere.url))
        assert deliver() == 4
    assert in_time == [True]
    assert used(there) == ["Bearer token-1"] * 3


def test_the_address_policy_holds_for_token_addresses_too(settings: Any) -> None:
    with receiver(TokenEndpoint()) as idp, receiver(answer()) as there:
        subscription = make_oauth2(there.url, idp.url)
        settings.WEBHOOKS_ALLOWED_NETWORKS = ()
        publish(subscription)
        deliver()
        assert (idp.connections, there.connections) == (0, 0)
    attempt = Attempt.objects.get()
    assert (attempt.cause, attempt.detail) == (
        "token_unavailable",
        "the token endpoint: forbidden_address",
    )


def test_a_pump_that_ends_its_turn_leaves_what_waits_for_a_token_to_the_next() -> None:
    left = threading.Event()
    gives = TokenEndpoint()

    def slow(line: Line) -> None:
        left.wait(8)
        gives(line)

    with receiver(slow) as idp, receiver(answer()) as there:
        publish(make_oauth2(there.url, idp.url), 2)
        assert deliver(Turn(until=lambda: bool(idp.connections), on_leaving=left.set)) == 0
        assert there.arrived == []
        assert set(Delivery.objects.values_list("status", "lease_token")) == {("pending", None)}
        assert deliver() == 2
    assert gives.count == 1
    assert used(there) == ["Bearer token-1"] * 2


def long_ago(pump: DeliveryPump) -> None:
    """As after a freeze: all leases of the pump may have run out."""
    pump._renew_after -= LEASE_SECONDS
    for token in pump._claims._leased_at:
        pump._claims._leased_at[token] -= LEASE_SECONDS


@pytest.mark.parametrize("looks_first", [True, False])
def test_what_waits_for_a_token_is_given_back_after_a_freeze(
    looks_first: bool,
) -> None:
    """Another worker may have it by then: what was not sent goes back in line."""
    gives = TokenEndpoint()
    thawed = threading.Event()

    def slow(line: Line) -> None:
        thawed.wait(8)
        gives(line)

    with receiver(slow) as idp, receiver(answer()) as there:
        subscription = make_oauth2(there.url, idp.url)
        publish(subscription, 2)
        pump = DeliveryPump(Turn())

        def freeze() -> bool:
            if not idp.connections:
                return False
            long_ago(pump)
            if not looks_first:
                thawed.set()
                while pump._tokens._fetches:
                    pump._turn()
            assert there.arrived == []
            pump._sweep()
            waiting = Delivery.objects.values_list("status", "lease_token")
            assert set(waiting) == {("pending", None)}
            thawed.set()
            return True

        pump._place = Turn(steps=[freeze])
        assert pump.run() == 2
    assert used(there) == ["Bearer token-1"] * 2
    assert set(Attempt.objects.values_list("outcome", "number")) == {("succeeded", 1)}


def test_neither_token_nor_secret_is_kept_or_logged() -> None:
    with receiver(TokenEndpoint()) as idp, receiver(takes("token-1")) as there:
        subscription = make_oauth2(there.url, idp.url)
        publish(subscription)
        with structlog.testing.capture_logs() as logs:
            deliver()
    attempt = Attempt.objects.get()
    assert attempt.request_headers["authorization"] == "[redacted]"
    with connection.cursor() as cursor:
        cursor.execute('SELECT * FROM "webhooks.subscriptions"')
        stored = str(cursor.fetchall()) + str(Attempt.objects.values_list()) + str(logs)
    assert "token-1" not in stored
    assert "s3cr3t" not in stored
    assert "token-1" not in repr(tokens._KEPT)
