"""What the body of a delivery is, by the subscription's payload form and transformation."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
import time_machine
from standardwebhooks import Webhook

from outgoing.models import Attempt, Delivery, Event
from outgoing.services import NewEvent, publish, publish_many
from subscriptions.event_types import create_event_type
from subscriptions.models import EventSchema
from tests.factories import SIGNING_SECRET, make_account, make_subscription
from tests.lib.receiver import Arrived, answer, receiver
from tests.outgoing.pump import deliver

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
DATA = b'{ "amount" : 1.10 }'


@pytest.fixture(autouse=True)
def _frozen() -> Any:
    with time_machine.travel(NOW, tick=False):
        yield


def arrives(*, data: Any = DATA, event: dict[str, Any] | None = None, **fields: Any) -> Arrived:
    """What a subscription with these fields gets of one event."""
    with receiver(answer()) as here:
        subscription = make_subscription(url=here.url, **fields)
        publish(account=subscription.account, type="invoice.paid", data=data, **(event or {}))
        assert deliver() == 1
    (arrived,) = here.arrived
    Webhook(SIGNING_SECRET).verify(arrived.body, arrived.headers)
    return arrived


def test_raw_is_the_data_byte_for_byte() -> None:
    arrived = arrives(payload_form="raw")
    assert arrived.body == DATA
    assert arrived.headers["content-type"] == "application/json"


def test_thin_is_id_and_type() -> None:
    arrived = arrives(payload_form="thin")
    event = Event.objects.get()
    assert orjson.loads(arrived.body) == {"id": event.webhook_id, "type": "invoice.paid"}
    assert arrived.headers["webhook-id"] == event.webhook_id


def test_cloudevents_structured() -> None:
    arrived = arrives(payload_form="cloudevents_structured")
    event = Event.objects.get()
    assert arrived.headers["content-type"] == "application/cloudevents+json"
    assert arrived.body.endswith(b',"data":' + DATA + b"}")
    assert orjson.loads(arrived.body) == {
        "specversion": "1.0",
        "id": event.webhook_id,
        "source": f"urn:uuid:{event.account_id}",
        "type": "invoice.paid",
        "time": "2026-03-04T05:06:07Z",
        "datacontenttype": "application/json",
        "data": {"amount": 1.1},
    }


def test_cloudevents_binary() -> None:
    arrived = arrives(payload_form="cloudevents_binary")
    event = Event.objects.get()
    assert arrived.body == DATA
    attributes = {name: arrived.headers[name] for name in arrived.headers if name[:3] == "ce-"}
    assert attributes == {
        "ce-specversion": "1.0",
        "ce-id": event.webhook_id,
        "ce-source": f"urn:uuid:{event.account_id}",
        "ce-type": "invoice.paid",
        "ce-time": "2026-03-04T05:06:07Z",
    }
    assert arrived.headers["content-type"] == "application/json"
    assert Attempt.objects.get().request_headers["ce-id"] == event.webhook_id


def test_the_events_own_headers_go_along() -> None:
    arrived = arrives(event={"headers": {"X-Tenant": "acme", "X-Token": "t"}})
    assert (arrived.headers["x-tenant"], arrived.headers["x-token"]) == ("acme", "t")
    kept = Attempt.objects.get().request_headers
    assert (kept["x-tenant"], kept["x-token"]) == ("acme", "[redacted]")


def test_a_transformation_gives_the_data() -> None:
    arrived = arrives(
        transformation='{"total": data.amount * 2, "of": type, "in": channels, "by": metadata.who}',
        event={"channels": ["eu"], "metadata": {"who": "me"}},
    )
    assert orjson.loads(arrived.body) == {
        "type": "invoice.paid",
        "timestamp": "2026-03-04T05:06:07Z",
        "data": {"total": 2.2, "of": "invoice.paid", "in": ["eu"], "by": "me"},
    }


def test_a_transformation_that_gives_nothing_sends_nothing() -> None:
    with receiver(answer()) as here:
        subscription = make_subscription(url=here.url, transformation="data.absent")
        publish(account=subscription.account, type="a", data={})
        assert deliver() == 0
    row = Delivery.objects.get()
    assert (row.status, row.last_cause, row.lane) == ("cancelled", "nothing_to_send", None)
    assert here.arrived == []


def test_a_transformation_that_fails_is_a_failed_attempt() -> None:
    subscription = make_subscription(transformation='$error("no such plan")')
    publish(account=subscription.account, type="a", data={})
    assert deliver() == 1
    attempt = Attempt.objects.get()
    assert (attempt.outcome, attempt.cause) == ("failed", "transformation")
    assert "no such plan" in attempt.detail
    assert Delivery.objects.get().retry.number == 2


def test_an_endless_transformation_holds_nobody_up() -> None:
    endless = "($f := function($n) {$f($n + 1)}; $f(0))"
    with receiver(answer()) as here:
        account = make_account()
        slow = make_subscription(account, transformation=endless)
        quick = make_subscription(account, url=here.url, transformation='{"n": data.n}')
        plain = make_subscription(account, url=here.url)
        for number in range(20):
            publish(account=account, type="a", data={"n": number})
        deliver()
    delivered = Delivery.objects.filter(status="delivered")
    assert delivered.filter(subscription=quick).count() == 20
    assert delivered.filter(subscription=plain).count() == 20
    assert Attempt.objects.filter(delivery__subscription=slow, cause="transformation").count() == 20


@pytest.mark.parametrize(
    ("pinned", "published", "data"),
    [
        (3, "3.0", {"v": 3}),
        (2, "3.0", {"v": 3, "two": 2}),
        (1, "3.0", {"v": 3, "two": 2, "one": 1}),
        (1, "1.2", {"v": 3}),
        (1, "", {"v": 3}),
    ],
)
def test_a_pinned_version_gets_its_own_data(
    pinned: int, published: str, data: dict[str, int]
) -> None:
    with receiver(answer()) as here:
        subscription = make_subscription(url=here.url, schema_versions={"order.made": pinned})
        event_type = create_event_type(account=subscription.account, name="order.made")
        for number, downgrade in enumerate(
            ["", '$merge([$, {"one": 1}])', '$merge([$, {"two": 2}])'], start=1
        ):
            EventSchema.objects.create(
                event_type=event_type, version=number, major=number, schema={}, downgrade=downgrade
            )
        publish(account=subscription.account, type="order.made", data={"v": 3})
        Event.objects.update(schema_version=published)
        assert deliver() == 1
    assert orjson.loads(here.arrived[0].body)["data"] == data


def test_events_of_several_versions_are_one_batch_each_brought_back_by_its_own_steps() -> None:
    with receiver(answer()) as here:
        subscription = make_subscription(
            url=here.url,
            schema_versions={"order.made": 1},
            transformation="data",
            batch_size=3,
            batch_seconds=1,
        )
        event_type = create_event_type(account=subscription.account, name="order.made")
        for number, downgrade in enumerate(
            ["", '$merge([$, {"one": 1}])', '$merge([$, {"two": 2}])'], start=1
        ):
            EventSchema.objects.create(
                event_type=event_type, version=number, major=number, schema={}, downgrade=downgrade
            )
        new_events = [
            NewEvent(subscription.account_id, "order.made", {}, schema_version=version)
            for version in ("1", "2", "3")
        ]
        publish_many(new_events)
        assert deliver() == 3
    (arrived,) = here.arrived
    Webhook(SIGNING_SECRET).verify(arrived.body, arrived.headers)
    found = [item["data"] for item in orjson.loads(arrived.body)]
    assert found == [{}, {"one": 1}, {"two": 2, "one": 1}]
    assert {attempt.outcome for attempt in Attempt.objects.all()} == {"succeeded"}


def test_one_event_in_two_shapes() -> None:
    with receiver(answer()) as one, receiver(answer()) as two:
        account = make_account()
        make_subscription(account, url=one.url, payload_form="raw", transformation="data.a")
        make_subscription(account, url=two.url, payload_form="raw", transformation="data.b")
        publish(account=account, type="a", data={"a": 1, "b": 2})
        assert deliver() == 2
    assert (one.arrived[0].body, two.arrived[0].body) == (b"1", b"2")
