"""What the delivery pump sends, and what comes of the answers."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import structlog
import time_machine
from django.db import DataError
from orjson import dumps
from standardwebhooks import Webhook, WebhookVerificationError

from outgoing.endpoints import Endpoint
from outgoing.messages import SMALL_DATA_BYTES
from outgoing.models import Attempt, Delivery, Replay, Retry
from outgoing.posts import post_of
from outgoing.querysets import attempts
from outgoing.retries import release_due_retries
from outgoing.services import publish
from subscriptions.models import SigningSecret, Subscription
from subscriptions.services import rotate_secret
from tests.factories import (
    SIGNING_SECRET,
    make_account,
    make_delivery,
    make_event,
    make_subscription,
)
from tests.lib.receiver import OK, Line, answer, receiver, status
from tests.outgoing.pump import deliver
from webhooks_project import __version__
from webhooks_project.fields import Ciphertext
from webhooks_project.lib.outbound import Request

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


@pytest.fixture(autouse=True)
def frozen_clock() -> Any:
    with time_machine.travel(NOW, tick=False) as traveller:
        yield traveller


def answers(*responses: bytes) -> Any:
    """A script that gives one answer after the other, over all connections."""
    left = list(responses)

    def script(line: Line) -> None:
        while line.read():
            line.send(left.pop(0))

    return script


# --- on the wire ----------------------------------------------------------------------------------


def test_sends_what_the_official_verifier_accepts() -> None:
    with receiver(answer()) as here:
        subscription = make_subscription(url=here.url)
        published = publish(
            account=subscription.account, type="invoice.paid", data=b'{ "amount" : 1.10 }'
        )
        assert deliver() == 1
    (arrived,) = here.arrived
    assert arrived.line == "POST /hook HTTP/1.1"
    body = b'{"type":"invoice.paid","timestamp":"2026-03-04T05:06:07Z","data":{ "amount" : 1.10 }}'
    assert arrived.body == body
    assert Webhook(SIGNING_SECRET).verify(arrived.body, arrived.headers)["data"] == {"amount": 1.1}
    signature = arrived.headers.pop("webhook-signature")
    assert signature.startswith("v1,")
    assert arrived.headers == {
        "host": f"127.0.0.1:{here.port}",
        "user-agent": f"webhooks-hub/{__version__}",
        "accept": "*/*",
        "content-type": "application/json",
        "content-length": str(len(body)),
        "webhook-id": published.event.webhook_id,
        "webhook-timestamp": str(int(NOW.timestamp())),
    }


def test_writes_down_what_came_of_it() -> None:
    response = (
        b"HTTP/1.1 201 Made\r\nSet-Cookie: a=b\r\nX-Id: 7\r\nContent-Length: 4\r\n\r\n\x00\xffok"
    )
    with receiver(answer(response)) as here:
        subscription = make_subscription(url=here.url)
        event = make_event(subscription.account)
        due_at = NOW - timedelta(seconds=2)
        delivery = make_delivery(event, subscription, next_attempt_at=due_at)
        deliver()
    delivery.refresh_from_db()
    assert (delivery.status, delivery.delivered_at) == ("delivered", NOW)
    assert (delivery.attempt_count, delivery.last_cause, delivery.last_status_code) == (1, "", 201)
    assert (delivery.lane, delivery.lease_token, delivery.leased_until) == (None, None, None)
    attempt = Attempt.objects.get()
    assert (attempt.delivery, attempt.number, attempt.trigger) == (delivery, 1, "first")
    assert (attempt.outcome, attempt.cause, attempt.detail) == ("succeeded", "", "")
    assert (attempt.status_code, attempt.started_at) == (201, NOW)
    assert attempt.queue_wait_ms == 2000
    assert attempt.connect_ms is not None
    assert attempt.tls_ms is None
    assert 0 < attempt.connect_ms <= attempt.first_byte_ms <= attempt.duration_ms < 30_000
    assert attempt.request_headers == {
        "content-type": "application/json",
        "webhook-id": event.webhook_id,
        "webhook-timestamp": str(int(NOW.timestamp())),
        "webhook-signature": "[redacted]",
    }
    assert attempt.request_bytes == len(here.arrived[0].body)
    assert attempt.response_headers == {
        "set-cookie": "[redacted]",
        "x-id": "7",
        "content-length": "4",
    }
    assert (bytes(attempt.response_body), attempt.response_bytes) == (b"\x00\xffok", 4)
    assert (attempt.address, attempt.protocol) == ("127.0.0.1", "HTTP/1.1")
    assert attempt.worker == "here/delivery/0"
    assert not Retry.objects.exists()


def test_what_needs_nothing_computed_starts_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[str] = []
    start = threading.Thread.start

    def note(thread: threading.Thread) -> None:
        started.append(thread.name)
        start(thread)

    with receiver(answer()) as here:
        account = make_account()
        plain = make_subscription(account, url=here.url, event_types=["plain.made"])
        make_subscription(account, url=here.url, event_types=["shaped.made"], transformation="data")
        monkeypatch.setattr(threading.Thread, "start", note)
        publish(account=plain.account, type="plain.made", data=b"1")
        assert (deliver(), "shaper" in started) == (1, False)
        publish(account=plain.account, type="shaped.made", data=b"1")
        assert (deliver(), "shaper" in started) == (1, True)


def test_one_event_goes_to_each_of_its_subscriptions_under_one_id() -> None:
    with receiver(answer()) as one, receiver(answer()) as two:
        account = make_subscription(url=one.url).account
        make_subscription(account, url=two.url)
        publish(account=account, type="a", data={})
        assert deliver() == 2
    assert one.arrived[0].headers["webhook-id"] == two.arrived[0].headers["webhook-id"]
    assert one.arrived[0].body == two.arrived[0].body


def test_every_attempt_has_the_same_id_and_a_fresh_timestamp_and_signature(
    frozen_clock: Any,
) -> None:
    with receiver(answers(status(500), OK)) as here:
        subscription = make_subscription(url=here.url)
        publish(account=subscription.account, type="a", data={})
        assert deliver() == 1
        due_at = Retry.objects.get().due_at
        assert NOW + timedelta(seconds=4) <= due_at <= NOW + timedelta(seconds=6)
        delivery = Delivery.objects.get()
        assert (delivery.status, delivery.lane, delivery.trigger) == ("pending", None, "retry")
        assert (delivery.last_cause, delivery.last_status_code) == ("status_5xx", 500)
        later = NOW + timedelta(minutes=10)
        frozen_clock.move_to(later)
        assert deliver() == 0  # it waits for its release
        assert release_due_retries(later) == 1
        assert deliver() == 1
        for arrived, moment in zip(here.arrived, (NOW, later), strict=True):
            frozen_clock.move_to(moment)
            Webhook(SIGNING_SECRET).verify(arrived.body, arrived.headers)
            assert arrived.headers["webhook-timestamp"] == str(int(moment.timestamp()))
    first, second = here.arrived
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.headers["webhook-signature"] != second.headers["webhook-signature"]
    assert first.body == second.body
    delivery.refresh_from_db()
    assert (delivery.status, delivery.attempt_count, delivery.last_cause) == ("delivered", 2, "")
    rows = Attempt.objects.order_by("number").values_list("number", "trigger", "outcome", "cause")
    assert list(rows) == [
        (1, "first", "failed", "status_5xx"),
        (2, "retry", "succeeded", ""),
    ]


@pytest.mark.parametrize("size", [SMALL_DATA_BYTES, SMALL_DATA_BYTES + 1, 3_000_000])
def test_a_large_event_arrives_whole(size: int) -> None:
    data = b'"' + b"x" * (size - 2) + b'"'
    with receiver(answer()) as here:
        subscription = make_subscription(url=here.url)
        publish(account=subscription.account, type="a", data=data)
        assert deliver() == 1
    assert here.arrived[0].body.endswith(b',"data":' + data + b"}")
    assert "expect" not in here.arrived[0].headers
    assert Attempt.objects.get().request_bytes == len(here.arrived[0].body)


def test_a_replay_is_named_in_a_header_and_keeps_the_id() -> None:
    with receiver(answer()) as here:
        subscription = make_subscription(url=here.url)
        event = make_event(subscription.account)
        replay = Replay.objects.create(since=NOW, until=NOW, created_at=NOW)
        make_delivery(event, subscription, replay=replay, trigger="replay", lane=1)
        deliver()
    (arrived,) = here.arrived
    assert arrived.headers["webhook-replay"] == str(replay.pk)
    assert arrived.headers["webhook-id"] == event.webhook_id
    Webhook(SIGNING_SECRET).verify(arrived.body, arrived.headers)
    attempt = Attempt.objects.get()
    assert attempt.request_headers["webhook-replay"] == str(replay.pk)
    assert attempt.trigger == "replay"


# --- secrets --------------------------------------------------------------------------------------


def test_is_signed_with_both_secrets_while_one_is_being_rotated(frozen_clock: Any) -> None:
    with receiver(answer()) as here:
        subscription = make_subscription(url=here.url)
        new = rotate_secret(subscription=subscription).secret
        make_delivery(make_event(subscription.account), subscription)
        deliver()
        frozen_clock.shift(timedelta(hours=24))
        make_delivery(make_event(subscription.account), subscription)
        deliver()
        after = here.arrived[1]
        Webhook(new).verify(after.body, after.headers)
        with pytest.raises(WebhookVerificationError):
            Webhook(SIGNING_SECRET).verify(after.body, after.headers)
        frozen_clock.move_to(NOW)
        during = here.arrived[0]
        assert len(during.headers["webhook-signature"].split(" ")) == 2
        for secret in (new, SIGNING_SECRET):
            Webhook(secret).verify(during.body, during.headers)


@pytest.mark.parametrize("stored", [None, "v1.lost.AAAA.AAAA", "nonsense"])
def test_nothing_is_sent_unsigned(stored: str | None) -> None:
    with receiver(answer()) as here:
        subscription = make_subscription(url=here.url, secret=SIGNING_SECRET if stored else None)
        if stored:
            SigningSecret.objects.update(secret=Ciphertext(stored))
        delivery = make_delivery(make_event(subscription.account), subscription)
        assert deliver() == 1
    assert here.connections == 0
    attempt = Attempt.objects.get()
    assert (attempt.outcome, attempt.cause) == ("failed", "unsignable")
    assert (attempt.status_code, attempt.address) == (None, "")
    assert attempt.detail == "no signing secret can be read"
    delivery.refresh_from_db()
    assert (delivery.status, delivery.attempt_count) == ("pending", 1)
    assert (Retry.objects.get().delivery, Retry.objects.get().cause) == (delivery, "unsignable")


def test_a_request_that_cannot_be_made_fails_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails_for_one(endpoint: Endpoint, *given: Any, **named: Any) -> Request:
        if endpoint.subscription_id == poisoned.subscription_id:
            raise LookupError("not foreseen")
        return post_of(endpoint, *given, **named)

    with receiver(answer()) as here:
        poisoned = make_delivery(subscription=make_subscription(url=here.url))
        other = make_delivery(subscription=make_subscription(url=here.url))
        monkeypatch.setattr("outgoing.posts.post_of", fails_for_one)
        assert deliver() == 2
    assert len(here.arrived) == 1
    attempt = poisoned.attempts.get()
    assert (attempt.cause, attempt.detail) == (
        "unsignable",
        "the request cannot be made: LookupError",
    )
    assert Retry.objects.get().delivery == poisoned
    other.refresh_from_db()
    assert other.status == "delivered"


def test_a_secret_that_cannot_be_read_does_not_silence_the_other() -> None:
    with receiver(answer()) as here:
        subscription = make_subscription(url=here.url)
        SigningSecret.objects.update(secret=Ciphertext("v1.lost.AAAA.AAAA"))
        SigningSecret.objects.create(subscription=subscription, secret=SIGNING_SECRET)
        make_delivery(make_event(subscription.account), subscription)
        deliver()
    Webhook(SIGNING_SECRET).verify(here.arrived[0].body, here.arrived[0].headers)


# --- endpoints that are not to be reached ---------------------------------------------------------


def test_connects_to_no_forbidden_address(settings: Any) -> None:
    settings.WEBHOOKS_ALLOWED_NETWORKS = ()
    with receiver(answer()) as here:
        subscription = make_subscription(url=here.url)
        delivery = make_delivery(make_event(subscription.account), subscription)
        assert deliver() == 1
    assert here.connections == 0
    attempt = Attempt.objects.get()
    assert (attempt.cause, attempt.status_code) == ("forbidden_address", None)
    assert attempt.detail == "127.0.0.1"
    delivery.refresh_from_db()
    assert (delivery.status, delivery.last_cause) == ("pending", "forbidden_address")
    assert Retry.objects.get().number == 2


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_follows_no_redirect(code: int) -> None:
    with (
        receiver(answer()) as elsewhere,
        receiver(answer(status(code, f"Location: {elsewhere.url}"))) as here,
    ):
        subscription = make_subscription(url=here.url)
        make_delivery(make_event(subscription.account), subscription)
        assert deliver() == 1
    assert (len(here.arrived), elsewhere.connections) == (1, 0)
    attempt = Attempt.objects.get()
    assert (attempt.cause, attempt.status_code) == ("status_3xx", code)
    assert Delivery.objects.get().status == "pending"
    assert Retry.objects.get().cause == "status_3xx"


def test_an_answer_cut_short_is_no_success() -> None:
    with receiver(answer(b"HTTP/1.1 200 OK\r\nContent-Le", close=True)) as here:
        subscription = make_subscription(url=here.url)
        make_delivery(make_event(subscription.account), subscription)
        assert deliver() == 1
    assert (Attempt.objects.get().outcome, Delivery.objects.get().status) == ("failed", "pending")
    assert Attempt.objects.get().status_code is None


def test_an_endpoint_that_hangs_is_given_up_at_its_deadline() -> None:
    with receiver(lambda line: (line.read(), line.hang())) as here:
        subscription = make_subscription(url=here.url, timeout_seconds=1)
        make_delivery(make_event(subscription.account), subscription)
        assert deliver() == 1
    attempt = Attempt.objects.get()
    assert attempt.cause == "timeout_response"
    assert 1000 <= attempt.duration_ms < 5000
    assert Retry.objects.get().due_at == NOW + timedelta(seconds=60)


# --- the end of a delivery ------------------------------------------------------------------------


def test_410_disables_the_subscription_and_holds_what_is_for_it() -> None:
    with receiver(answer(status(410))) as here:
        subscription = make_subscription(url=here.url, max_in_flight=1)
        delivery = make_delivery(make_event(subscription.account), subscription)
        assert deliver() == 1
        later = publish(account=subscription.account, type="a", data={})
        assert deliver() == 0
    assert len(here.arrived) == 1
    subscription.refresh_from_db()
    assert (subscription.status, subscription.disabled_at) == ("disabled", NOW)
    assert subscription.status_reason == "the endpoint answered 410 Gone"
    delivery.refresh_from_db()
    assert (delivery.status, delivery.attempt_count) == ("held", 1)
    assert Delivery.objects.get(pk=later.delivery_ids[0]).status == "held"
    assert not Retry.objects.exists()


def test_a_delivery_is_given_up_after_its_eighth_attempt() -> None:
    with receiver(answer(status(500))) as here:
        subscription = make_subscription(url=here.url)
        delivery = make_delivery(
            make_event(subscription.account), subscription, attempt_count=7, lane=1, trigger="retry"
        )
        assert deliver() == 1
    assert len(here.arrived) == 1
    delivery.refresh_from_db()
    assert (delivery.status, delivery.attempt_count) == ("exhausted", 8)
    assert Attempt.objects.get().number == 8
    assert not Retry.objects.exists()


# --- answers that the database cannot keep --------------------------------------------------------


def test_one_answer_that_cannot_be_stored_does_not_spoil_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    insert_rows = attempts.insert_rows

    def insert_strictly(model: Any, columns: Any, rows: Any) -> None:
        rows = list(rows)
        if any(b"x-odd" in dumps(row[columns.index("response_headers")]) for row in rows):
            raise DataError("no such text")
        insert_rows(model, columns, rows)

    monkeypatch.setattr(attempts, "insert_rows", insert_strictly)
    with receiver(answer()) as here, receiver(answer(status(500, "X-Odd: 1"))) as odd:
        account = make_subscription(url=here.url).account
        odd_one = make_subscription(account, url=odd.url)
        publish(account=account, type="a", data={})
        assert deliver() == 2
    assert (len(here.arrived), len(odd.arrived)) == (1, 1)
    states = dict(Delivery.objects.values_list("subscription__url", "status"))
    assert states == {here.url: "delivered", odd.url: "pending"}
    attempt = Attempt.objects.get(delivery__subscription=odd_one)
    assert (attempt.cause, attempt.status_code) == ("status_5xx", 500)
    assert (attempt.response_headers, bytes(attempt.response_body)) == ({}, b"")
    assert attempt.detail == "the answer is not storable"
    assert Attempt.objects.count() == 2
    assert Retry.objects.get().delivery.subscription == odd_one


@pytest.mark.parametrize("line", [b"X-Odd: a\x00b", b"X-Odd: \xff\xfe", b"X-Odd: \xed\xa0\x80"])
def test_whatever_a_receiver_says_the_attempt_is_recorded(line: bytes) -> None:
    response = b"HTTP/1.1 500 No\r\n" + line + b"\r\nContent-Length: 2\r\n\r\n\x00\xff"
    with receiver(answer(response)) as here:
        subscription = make_subscription(url=here.url)
        make_delivery(make_event(subscription.account), subscription)
        assert deliver() == 1
    assert (Attempt.objects.get().number, Retry.objects.get().number) == (1, 2)


# --- subscriptions that are not active ------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "ending"),
    [
        (Subscription.Status.PAUSED, "held"),
        (Subscription.Status.DISABLED, "held"),
        (Subscription.Status.EXPIRED, "held"),
        (Subscription.Status.ARCHIVED, "cancelled"),
    ],
)
@pytest.mark.parametrize("lane", [0, 1])
def test_what_is_for_one_that_is_not_active_is_put_aside(
    state: Subscription.Status, ending: str, lane: int
) -> None:
    with receiver(answer()) as here:
        subscription = make_subscription(url=here.url, status=state)
        delivery = make_delivery(make_event(subscription.account), subscription, lane=lane)
        assert deliver() == 0
    assert here.connections == 0
    delivery.refresh_from_db()
    assert (delivery.status, delivery.attempt_count) == (ending, 0)
    assert (delivery.lane, delivery.lease_token, delivery.leased_until) == (None, None, None)
    assert not Attempt.objects.exists()


def test_what_is_held_when_a_subscription_is_archived_is_cancelled() -> None:
    subscription = make_subscription(status=Subscription.Status.ARCHIVED)
    make_delivery(make_event(subscription.account), subscription, status="held")
    assert deliver() == 0
    assert Delivery.objects.get().status == "cancelled"


# --- the log --------------------------------------------------------------------------------------


def test_the_log_names_the_request_that_it_came_with() -> None:
    with receiver(answer(status(404))) as here, structlog.testing.capture_logs() as logged:
        subscription = make_subscription(url=here.url)
        publish(account=subscription.account, type="a", data={}, correlation_id="request-7")
        deliver()
    lines = [line for line in logged if line["event"] == "attempt failed"]
    delivery = Delivery.objects.get()
    duration_ms = lines[0].pop("duration_ms")
    assert duration_ms > 0
    expected = {
        "event": "attempt failed",
        "request_id": "request-7",
        "event_id": str(delivery.event_id),
        "delivery_id": str(delivery.pk),
        "subscription_id": str(subscription.pk),
        "number": 1,
        "cause": "status_4xx",
        "status_code": 404,
        "worker": "here/delivery/0",
    }
    assert [{key: line[key] for key in expected} for line in lines] == [expected]
