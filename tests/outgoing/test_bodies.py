"""What an attempt sent is shown byte for byte, and is what was signed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from joserfc import jwe
from joserfc.jwk import ECKey
from standardwebhooks import Webhook

from outgoing import bodies
from outgoing.bodies import Origin, RequestBody, body_of, hash_of
from outgoing.models import Attempt, Delivery, Event, SentBody
from outgoing.services import publish, redeliver
from subscriptions.models import Subscription
from subscriptions.services import change_subscription
from tests.factories import SIGNING_SECRET, make_attempt, make_subscription
from tests.lib.receiver import Arrived, answer, receiver
from tests.outgoing.pump import deliver

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 4, 5, 6, 7, 891234, tzinfo=UTC)
DATA = b'{ "amount" : 18446744073709551617, "n": 1.10 }'


@pytest.fixture(autouse=True)
def moment() -> Any:
    with time_machine.travel(NOW, tick=False) as traveller:
        yield traveller


def attempts(*, events: int = 1, again: int = 0, **fields: Any) -> tuple[list[Arrived], Any]:
    """What came of so many events and as many redeliveries, and the attempts, in order."""
    with receiver(answer()) as here:
        subscription = make_subscription(url=here.url, **fields)
        for _ in range(events):
            publish(account=subscription.account, type="invoice.paid", data=DATA)
        deliver()
        for _ in range(again):
            redeliver(deliveries=Delivery.objects.values_list("pk", flat=True))
            deliver()
    return here.arrived, list(Attempt.objects.order_by("number", "pk"))


@pytest.mark.parametrize("form", Subscription.PayloadForm.values)
def test_a_plain_one_is_made_again_from_its_event(form: str) -> None:
    (arrived,), (attempt,) = attempts(payload_form=form)
    assert body_of(attempt) == RequestBody(Origin.REPRODUCED, arrived.body)
    assert bytes(attempt.request_sha256) == hash_of(arrived.body)
    assert attempt.request_bytes == len(arrived.body)
    assert not SentBody.objects.exists()


def test_also_after_the_subscription_was_changed() -> None:
    (arrived,), (attempt,) = attempts(payload_form="thin")
    Subscription.objects.update(payload_form="raw", transformation="data")
    attempt = Attempt.objects.get()
    assert body_of(attempt) == RequestBody(Origin.REPRODUCED, arrived.body)


def test_a_computed_one_is_kept_once_for_all_attempts_that_sent_it() -> None:
    arrived, sent = attempts(transformation='{"sum": data.n}', again=2)
    assert len(sent) == 3
    for one, attempt in zip(arrived, sent, strict=True):
        assert one.body.endswith(b'"data":{"sum":1.1}}')
        assert body_of(attempt) == RequestBody(Origin.STORED, one.body)
    assert SentBody.objects.count() == 1


def test_another_one_is_kept_beside_it() -> None:
    attempts(transformation="1", again=0)
    with receiver(answer()) as here:
        Subscription.objects.update(transformation="2", url=here.url)
        redeliver(deliveries=Delivery.objects.values_list("pk", flat=True))
        deliver()
    found = [body_of(attempt).body for attempt in Attempt.objects.order_by("number")]
    assert [body[-9:] for body in found if body] == [b'"data":1}', b'"data":2}']
    assert SentBody.objects.count() == 2


def test_a_batch_is_kept_once_for_all_its_events() -> None:
    (arrived,), sent = attempts(events=3, batch_size=3, batch_seconds=1)
    assert len(sent) == 3
    assert {body_of(attempt) for attempt in sent} == {RequestBody(Origin.STORED, arrived.body)}
    assert SentBody.objects.count() == 1


def test_a_sealed_one_is_kept_for_each_attempt() -> None:
    key = ECKey.generate_key("P-256")
    with receiver(answer()) as here:
        subscription = make_subscription(url=here.url)
        change_subscription(subscription=subscription, encryption_key=key.as_dict(private=False))
        publish(account=subscription.account, type="invoice.paid", data=DATA)
        deliver()
        redeliver(deliveries=Delivery.objects.values_list("pk", flat=True))
        deliver()
    sent = list(Attempt.objects.order_by("number"))
    assert [body_of(attempt).body for attempt in sent] == [one.body for one in here.arrived]
    assert {body_of(attempt).origin for attempt in sent} == {Origin.STORED}
    assert DATA in jwe.decrypt_compact(here.arrived[0].body.decode(), key).plaintext
    assert SentBody.objects.count() == 2


@pytest.mark.parametrize("characters", [100, bodies.LARGE_BYTES, 500_000])
def test_it_is_kept_whatever_its_size(characters: int) -> None:
    (arrived, *_), sent = attempts(events=2, transformation=f"$pad('', {characters}, '-')", again=1)
    assert f'"data":"{"-" * characters}"'.encode() in arrived.body
    # Of two events that were published at the same moment the bodies are the same.
    assert len(arrived.body) > characters
    assert {body_of(attempt) for attempt in sent} == {RequestBody(Origin.STORED, arrived.body)}
    assert {bytes(attempt.request_sha256) for attempt in sent} == {hash_of(arrived.body)}
    assert len(sent) == 4


def test_large_ones_that_differ_are_kept_beside_small_ones() -> None:
    with receiver(answer()) as here:
        subscription = make_subscription(url=here.url, transformation="$pad('', data.n, '-')")
        for size in (1, 70_000, 80_000, 2):
            publish(account=subscription.account, type="invoice.paid", data={"n": size})
        deliver()
    found = [body_of(attempt) for attempt in Attempt.objects.all()]
    assert {one.origin for one in found} == {Origin.STORED}
    assert sorted(one.body or b"" for one in found) == sorted(one.body for one in here.arrived)
    assert len({len(one.body) for one in here.arrived}) == 4


def test_what_does_not_have_the_hash_is_not_shown() -> None:
    attempts()
    Event.objects.update(data=b'{"expunged":true}')
    assert body_of(Attempt.objects.get()) == RequestBody(Origin.NOT_KEPT)
    _, attempted = attempts(transformation="1")
    SentBody.objects.update(body=b"something else")
    assert body_of(attempted[-1]) == RequestBody(Origin.NOT_KEPT)


def test_where_nothing_was_sent_there_is_none() -> None:
    _, (attempt,) = attempts(transformation="$error('no')")
    assert (attempt.outcome, attempt.cause) == ("failed", "transformation")
    assert body_of(attempt) == RequestBody(Origin.NOT_SENT)


def test_an_attempt_from_before_hashes_were_kept_has_none() -> None:
    assert body_of(make_attempt(request_bytes=100)) == RequestBody(Origin.NOT_KEPT)


def test_the_signature_of_what_is_shown_is_right() -> None:
    (arrived,), (attempt,) = attempts(transformation="data")
    shown = body_of(attempt).body
    assert shown is not None
    headers = attempt.request_headers | {"webhook-signature": arrived.headers["webhook-signature"]}
    Webhook(SIGNING_SECRET).verify(shown, headers)


def test_another_accounts_body_is_never_shown() -> None:
    _, (attempt,) = attempts(transformation="1")
    SentBody.objects.update(account=make_subscription().account)
    assert body_of(attempt) == RequestBody(Origin.NOT_KEPT)


def test_those_that_hold_an_events_data_are_found_also_in_a_batch() -> None:
    _, sent = attempts(events=3, batch_size=3, batch_seconds=1)
    for attempt in sent:
        found = SentBody.objects.of_events([attempt.delivery.event_id])
        assert [bytes(row.sha256) for row in found] == [bytes(attempt.request_sha256)]
    assert not SentBody.objects.of_events([publish(
        account=sent[0].delivery.account, type="b", data=1).event.pk]).exists()  # fmt: skip


def test_it_goes_with_its_delivery() -> None:
    attempts(transformation="1")
    Event.objects.get().delete()
    assert not SentBody.objects.exists()


# --- what else a request carries ------------------------------------------------------------------

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_a_trace_goes_on_in_each_attempt_with_a_span_of_its_own(moment: Any) -> None:
    with receiver(answer()) as here:
        subscription = make_subscription(url=here.url)
        event = publish(
            account=subscription.account, type="a", data={}, traceparent=PARENT, tracestate="a=1"
        ).event
        deliver()
        redeliver(deliveries=Delivery.objects.values_list("pk", flat=True))
        deliver()
    assert (event.traceparent, event.tracestate) == (PARENT, "a=1")
    spans = [arrived.headers["traceparent"] for arrived in here.arrived]
    assert len({*spans, PARENT}) == 3
    assert {(span[:36], span[52:]) for span in spans} == {(PARENT[:36], "-01")}
    assert [arrived.headers["tracestate"] for arrived in here.arrived] == ["a=1", "a=1"]
    sent = Attempt.objects.order_by("number")
    assert [attempt.request_headers["traceparent"] for attempt in sent] == spans


def test_without_a_trace_none_is_made() -> None:
    (arrived,), _ = attempts()
    assert not {"traceparent", "tracestate"} & set(arrived.headers)


def test_a_batch_has_no_trace() -> None:
    with receiver(answer()) as here:
        subscription = make_subscription(url=here.url, batch_size=2)
        for _ in range(2):
            publish(account=subscription.account, type="a", data={}, traceparent=PARENT)
        assert deliver() == 2
    (arrived,) = here.arrived
    assert "traceparent" not in arrived.headers


def test_variables_are_known_to_the_transformation() -> None:
    with receiver(answer()) as here:
        account = make_subscription(status="paused").account
        for name in ("one", "two"):
            make_subscription(
                account,
                url=here.url,
                payload_form="raw",
                transformation='{"to": $variables.channel, "n": data.n, "none": $variables.none}',
                variables={"channel": name},
            )
        publish(account=account, type="a", data=DATA)
        assert deliver() == 2
    sent = sorted(arrived.body for arrived in here.arrived)
    assert sent == [b'{"to":"one","n":1.1}', b'{"to":"two","n":1.1}']


def test_a_changed_variable_counts_at_the_next_attempt(moment: Any) -> None:
    with receiver(answer()) as here:
        subscription = make_subscription(
            url=here.url, payload_form="raw", transformation="$variables.v", variables={"v": "1"}
        )
        publish(account=subscription.account, type="a", data={})
        deliver()
        change_subscription(subscription=subscription, variables={"v": "2"})
        moment.shift(timedelta(seconds=5))
        redeliver(deliveries=Delivery.objects.values_list("pk", flat=True))
        deliver()
    assert [arrived.body for arrived in here.arrived] == [b'"1"', b'"2"']
