"""One trace from the request that told us something to the attempts to deliver it."""

from __future__ import annotations

import hmac
from datetime import timedelta
from typing import Any

import orjson
import pytest
from django.db import transaction
from django.test import Client
from opentelemetry.trace import SpanKind, StatusCode

from incoming.models import Receipt
from incoming.processing import process_due_receipts
from incoming.tracing import traceparent_of_events
from outgoing.judge import next_step
from outgoing.models import Delivery, Event
from outgoing.payload import shown_headers
from outgoing.record import Result, record_results
from outgoing.services import NewEvent, publish, publish_many
from tests.api.calls import Api
from tests.factories import (
    SOURCE_SECRET,
    make_account,
    make_api_key,
    make_receipt,
    make_source,
    make_subscription,
)
from webhooks_project.lib import clock
from webhooks_project.lib.ids import new_id
from webhooks_project.lib.outbound import Failure, Response
from webhooks_project.lib.trace_context import child_of
from webhooks_project.tracing import configure, tracing

pytestmark = pytest.mark.django_db

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{CALLER}-01"
SECRET = "sk_live_do_not_tell"
CLIENT = Client()


def by_name(spans: Any) -> dict[str, Any]:
    found = {span.name.split()[0]: span for span in spans.get_finished_spans()}
    assert len(found) == len(spans.get_finished_spans())
    return found


def ids(span: Any) -> tuple[str, str, str]:
    """Trace, span, and the span before it; empty for none."""
    parent = f"{span.parent.span_id:016x}" if span.parent else ""
    return f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}", parent


def receive(secret: str = SOURCE_SECRET, **headers: str) -> Any:
    source = make_source(routes=({"event_type": "thing.made"},))
    body = orjson.dumps({"card": SECRET})
    signature = hmac.new(secret.encode(), body, "sha256").hexdigest()
    return CLIENT.post(
        f"/in/{source.token}",
        body,
        content_type="application/json",
        headers={
            "X-Hub-Signature-256": f"sha256={signature}",
            "X-GitHub-Event": "push",
            "X-GitHub-Delivery": str(new_id()),
            **headers,
        },
    )


def attempt(response: Response | None = None, *, batch: bool = False) -> None:
    """What a pump writes down of the delivery that is due."""
    now = clock.now() + timedelta(seconds=1)
    claims = Delivery.objects.claim(now=now, lane=Delivery.Lane.FIRST, limit=9)
    response = response or Response(status=200, total_ms=12.5, first_byte_ms=10.0)
    results = []
    for claim in claims:
        event = Event.objects.get(pk=claim.event_id)
        lines = [f"Authorization: Bearer {SECRET}"]
        if event.traceparent and not batch:
            lines.append(f"traceparent: {child_of(event.traceparent)}")
        results.append(
            Result(
                claim=claim,
                account_id=event.account_id,
                correlation_id=event.correlation_id,
                response=response,
                step=next_step(response, number=1, now=now),
                started_at=now,
                request_headers=shown_headers(lines),
                request_bytes=7,
            )
        )
    record_results(results, worker="w")


def test_a_webhook_is_followed_to_the_attempt(
    spans: Any, django_capture_on_commit_callbacks: Any
) -> None:
    account = None
    with django_capture_on_commit_callbacks(execute=True):
        assert receive(traceparent=PARENT).status_code == 200
        receipt = Receipt.objects.get()
        account = receipt.account
        make_subscription(account)
        assert process_due_receipts() == 1
        attempt()
    found = by_name(spans)
    assert set(found) == {"receive", "process", "publish", "deliver"}
    chain = [ids(found[name]) for name in ("receive", "process", "publish", "deliver")]
    assert [trace for trace, _, _ in chain] == [TRACE] * 4
    assert [parent for _, _, parent in chain] == [CALLER, *(own for _, own, _ in chain[:-1])]
    kinds = [span.kind for span in (found[n] for n in ("receive", "process", "publish", "deliver"))]
    assert kinds == [SpanKind.SERVER, SpanKind.CONSUMER, SpanKind.PRODUCER, SpanKind.CLIENT]
    for span in found.values():
        assert span.end_time >= span.start_time
        assert span.resource.attributes["service.name"] == "webhooks-hub"


def test_without_a_trace_of_the_third_party_one_begins_here(
    spans: Any, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        receive()
        make_subscription(Receipt.objects.get().account)
        process_due_receipts()
        attempt()
    chain = [ids(by_name(spans)[name]) for name in ("receive", "process", "publish", "deliver")]
    assert len({trace for trace, _, _ in chain}) == 1
    assert [parent for _, _, parent in chain] == ["", *(own for _, own, _ in chain[:-1])]


def test_an_event_of_the_api_belongs_to_the_trace_of_the_request(
    spans: Any, django_capture_on_commit_callbacks: Any
) -> None:
    account = make_account()
    make_subscription(account)
    api = Api(make_api_key(account).text)
    with django_capture_on_commit_callbacks(execute=True):
        answer = api.post(
            "outgoing/events", {"type": "a.b", "data": {"card": SECRET}},
            headers={"traceparent": PARENT},
        )  # fmt: skip
        attempt()
    assert answer.json["traceparent"] == PARENT
    found = by_name(spans)
    assert ids(found["publish"])[0::2] == (TRACE, CALLER)
    assert ids(found["deliver"])[0::2] == (TRACE, ids(found["publish"])[1])


def test_an_event_of_the_platform_begins_a_trace_which_its_receiver_is_told(
    spans: Any, django_capture_on_commit_callbacks: Any
) -> None:
    account = make_account()
    make_subscription(account)
    with django_capture_on_commit_callbacks(execute=True):
        event = publish(account=account, type="a.b", data={}).event
        attempt()
    found = by_name(spans)
    trace, own, parent = ids(found["publish"])
    assert parent == ""
    assert event.traceparent == f"00-{trace}-{own}-01"
    assert ids(found["deliver"])[0::2] == (trace, own)
    # The span that the receiver was told of.
    told = Delivery.objects.get().attempts.get().request_headers["traceparent"]
    assert told == f"00-{trace}-{ids(found['deliver'])[1]}-01"


def test_attempts_in_a_batch_belong_each_to_its_own_event(
    spans: Any, django_capture_on_commit_callbacks: Any
) -> None:
    account = make_account()
    make_subscription(account)
    with django_capture_on_commit_callbacks(execute=True):
        publish_many(
            [
                NewEvent(account_id=account.pk, type="a.b", data=1, traceparent=PARENT),
                NewEvent(account_id=account.pk, type="a.b", data=2),
            ]
        )
        attempt(batch=True)
    published = {ids(span)[1]: ids(span)[0] for span in spans.get_finished_spans()
                 if span.name.startswith("publish")}  # fmt: skip
    delivered = [ids(span) for span in spans.get_finished_spans() if span.name == "deliver"]
    assert len(published) == len(delivered) == 2
    assert all(published[parent] == trace for trace, _, parent in delivered)


def test_an_attempt_tells_its_times_and_what_came_of_it(
    spans: Any, django_capture_on_commit_callbacks: Any
) -> None:
    account = make_account()
    subscription = make_subscription(account)
    with django_capture_on_commit_callbacks(execute=True):
        event = publish(account=account, type="a.b", data={}, correlation_id="request-1").event
    attempt(Response(failure=Failure.DNS, total_ms=250.0))
    span = by_name(spans)["deliver"]
    assert span.end_time - span.start_time == 250_000_000
    assert span.status.status_code == StatusCode.ERROR
    facts = dict(span.attributes)
    wait = facts.pop("webhooks.queue_wait_ms")
    assert 900 < wait < 10_000
    assert facts == {
        "webhooks.event_id": str(event.pk),
        "webhooks.delivery_id": str(Delivery.objects.get().pk),
        "webhooks.subscription_id": str(subscription.pk),
        "webhooks.account_id": str(account.pk),
        "webhooks.request_id": "request-1",
        "webhooks.trigger": "first",
        "webhooks.attempt": 1,
        "webhooks.cause": "dns",
        "http.request.method": "POST",
        "http.request.body.size": 7,
    }


def test_no_secret_and_no_payload_is_in_a_span(
    spans: Any, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        receive()
        make_subscription(
            Receipt.objects.get().account, url=f"http://127.0.0.1:9/hook?key={SECRET}"
        )
        process_due_receipts()
        attempt()
    text = "".join(span.to_json() for span in spans.get_finished_spans())
    assert len(spans.get_finished_spans()) == 4
    for secret in (SECRET, SOURCE_SECRET, "/in/", "/hook"):
        assert secret not in text


def test_a_refused_call_says_why(spans: Any) -> None:
    receive("another secret")
    span = by_name(spans)["receive"]
    assert span.attributes["http.response.status_code"] == 401
    assert span.attributes["webhooks.cause"]
    assert span.status.status_code == StatusCode.UNSET


def test_a_receipt_that_fails_has_a_span_of_each_try(
    spans: Any, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        receive()
        Receipt.objects.get().source.routes.update(event_type="not a type")
        process_due_receipts()
    span = by_name(spans)["process"]
    assert span.status.status_code == StatusCode.ERROR
    assert ids(span)[2] == ids(by_name(spans)["receive"])[1]


def test_what_is_rolled_back_leaves_no_span(spans: Any) -> None:
    account = make_account()
    with transaction.atomic():
        publish(account=account, type="a.b", data={})
        transaction.set_rollback(True)
    assert spans.get_finished_spans() == ()


def test_what_the_caller_does_not_sample_is_not_told(
    spans: Any, django_capture_on_commit_callbacks: Any
) -> None:
    account = make_account()
    make_subscription(account)
    with django_capture_on_commit_callbacks(execute=True):
        publish(account=account, type="a.b", data={}, traceparent=PARENT[:-2] + "00")
        attempt()
    assert spans.get_finished_spans() == ()


def test_a_sampler_of_a_part_takes_whole_traces(
    monkeypatch: pytest.MonkeyPatch, spans: Any, django_capture_on_commit_callbacks: Any
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.5")
    account = make_account()
    make_subscription(account)
    with django_capture_on_commit_callbacks(execute=True):
        for number in range(60):
            publish(account=account, type="a.b", data=number)
        for _ in range(7):
            attempt()
    traces: dict[str, list[str]] = {}
    for span in spans.get_finished_spans():
        traces.setdefault(ids(span)[0], []).append(span.name)
    assert 10 < len(traces) < 50
    assert all(sorted(names) == ["deliver", "publish a.b"] for names in traces.values())


def test_where_traces_are_off_nothing_is_changed(django_assert_num_queries: Any) -> None:
    configure(None)
    assert tracing() is None
    account = make_account()
    make_subscription(account)
    assert publish(account=account, type="a.b", data={}).event.traceparent == ""
    receive()
    make_subscription(Receipt.objects.get().account)
    process_due_receipts()
    assert Event.objects.get(type="thing.made").traceparent == ""


def test_rows_without_kept_headers_have_a_place_too(spans: Any) -> None:
    receipt = make_receipt()
    receipt.headers = b""
    assert len(traceparent_of_events(receipt)) == 55
