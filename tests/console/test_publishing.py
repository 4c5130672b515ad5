"""What waits for its time, and what attempts sent, in the console."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client

from outgoing.models import Attempt, Delivery
from outgoing.services import publish
from tests.factories import make_attempt, make_event, make_subscription
from tests.lib.receiver import answer, receiver
from tests.outgoing.pump import deliver
from webhooks_project.admin.values import list_of, moment, page_of
from webhooks_project.lib import clock

pytestmark = pytest.mark.django_db


def page(console: Client, model: str, pk: object) -> str:
    response = console.get(page_of(model, pk))
    assert response.status_code == 200
    return response.content.decode()


def test_an_event_that_waits_is_marked_found_and_cancelled(console: Client) -> None:
    at = clock.now() + timedelta(days=1)
    waiting = make_event(deliver_at=at)
    plain = make_event()
    shown = page(console, "outgoing.event", waiting.pk)
    assert "scheduled" in shown
    assert moment(at) in shown
    listed = {
        word: console.get(list_of("outgoing.event", scheduled=word)).content.decode()
        for word in ("scheduled", "not scheduled")
    }
    assert [waiting.webhook_id in text for text in listed.values()] == [True, False]
    assert [plain.webhook_id in text for text in listed.values()] == [False, True]
    cancel = page_of("outgoing.event", waiting.pk).replace("/change/", "/cancel/")
    assert cancel in shown
    console.post(cancel)
    waiting.refresh_from_db()
    assert waiting.cancelled_at is not None
    assert cancel not in page(console, "outgoing.event", waiting.pk)
    assert cancel.replace(str(waiting.pk), str(plain.pk)) not in page(
        console, "outgoing.event", plain.pk
    )


def test_a_delivery_says_what_it_waits_for(console: Client) -> None:
    at = clock.now() + timedelta(days=1)
    publish(account=make_subscription().account, type="a", data={}, deliver_at=at)
    assert f"scheduled for {moment(at)}" in page(
        console, "outgoing.delivery", Delivery.objects.get().pk
    )


@pytest.mark.parametrize(
    ("transformation", "words", "body"),
    [
        ("", "made again from the event", "{ &quot;n&quot;: 1.10 }"),
        ('{"sum": data.n}', "as it was stored", "{&quot;sum&quot;:1.1}"),
    ],
)
def test_an_attempt_shows_what_it_sent(
    console: Client, transformation: str, words: str, body: str
) -> None:
    with receiver(answer()) as here:
        subscription = make_subscription(
            url=here.url, payload_form="raw", transformation=transformation
        )
        publish(account=subscription.account, type="a", data=b'{ "n": 1.10 }')
        deliver()
    shown = page(console, "outgoing.attempt", Attempt.objects.get().pk)
    assert f"Request&#x27;s body: {words}" in shown
    assert body in shown


def test_an_attempt_that_sent_nothing_says_so(console: Client) -> None:
    shown = page(console, "outgoing.attempt", make_attempt(request_bytes=0).pk)
    assert "Request&#x27;s body: none was sent" in shown
