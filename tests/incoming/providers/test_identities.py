"""How calls are named: repeats have one name, and nothing else has it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from incoming.providers import PROVIDERS

from .cases import call
from .cases_of_modules import PAYMOB_BODY


def id_of(name: str, body: Any, headers: dict[str, str] | None = None) -> str:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return PROVIDERS[name].identify(call(headers, text)).external_id


def test_shopifys_event_is_one_for_all_subscriptions_to_a_topic_but_not_for_all_topics() -> None:
    def named(topic: str, webhook: str) -> str:
        headers = {
            "x-shopify-topic": topic,
            "x-shopify-event-id": "event-1",
            "x-shopify-webhook-id": webhook,
        }
        return id_of("shopify", b"{}", headers)

    assert named("orders/create", "webhook-1") == named("orders/create", "webhook-2")
    assert named("orders/create", "webhook-1") != named("orders/updated", "webhook-1")


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("x-shopify-event-id", "event-1"),
        ("x-shopify-webhook-id", "webhook-1"),
        ("shopify-webhook-id", "delivery-1"),
    ],
)
def test_shopifys_id_is_found_under_its_older_and_newer_names(header: str, name: str) -> None:
    assert id_of("shopify", b"{}", {header: name}) == name


def test_pipedrives_older_meta_id_is_the_deals() -> None:
    newer = {"meta": {"id": "uuid-1", "entity": "deal", "action": "change"}}
    older = {"meta": {"id": 7, "object": "deal", "action": "updated"}}
    assert id_of("pipedrive", newer) == "deal:uuid-1"
    assert id_of("pipedrive", older) == ""


def test_recurlys_json_id_comes_with_every_change() -> None:
    body = {"id": "acc-1", "event_type": "updated", "event_time": "2026-01-01T00:00:00Z"}
    later = body | {"event_time": "2026-01-01T00:00:01Z"}
    assert id_of("recurly", body) == "acc-1:updated:2026-01-01T00:00:00Z"
    assert id_of("recurly", body) != id_of("recurly", later)


def test_paymobs_transaction_is_told_of_again_when_its_state_changes() -> None:
    payload = json.loads(PAYMOB_BODY)
    pending = payload | {"obj": payload["obj"] | {"pending": True, "success": False}}
    declined = payload | {"obj": payload["obj"] | {"pending": False, "success": False}}
    names = {id_of("paymob", body) for body in (payload, pending, declined)}
    assert len(names) == 3
    assert id_of("paymob", payload) == "7:false:true:false:false:false:false:"
    assert id_of("paymob", {}) == ""


def test_postmarks_message_is_opened_often() -> None:
    opened = {"RecordType": "Open", "MessageID": "m1", "ReceivedAt": "2026-01-01T00:00:00Z"}
    again = opened | {"ReceivedAt": "2026-01-01T00:00:01Z"}
    assert id_of("postmark", opened) != id_of("postmark", again)


def test_alipays_captures_and_refunds_hold_the_payments_id_too() -> None:
    payment = {
        "notifyType": "PAYMENT_RESULT",
        "paymentId": "p1",
        "result": {"resultCode": "SUCCESS"},
    }
    refund = payment | {"notifyType": "REFUND_RESULT", "refundId": "r1"}
    capture = payment | {"notifyType": "CAPTURE_RESULT", "captureId": "c1"}
    assert id_of("alipay", payment) == "PAYMENT_RESULT:p1:SUCCESS"
    assert id_of("alipay", refund) == "REFUND_RESULT:r1:SUCCESS"
    assert id_of("alipay", capture) == "CAPTURE_RESULT:c1:SUCCESS"


def test_zendesks_triggers_send_what_the_user_likes_and_its_id_may_be_a_tickets() -> None:
    headers = {"x-zendesk-webhook-invocation-id": "invocation-1"}
    event = {"id": "event-1", "type": "zen:event-type:ticket.created"}
    assert id_of("zendesk", event, headers) == "event-1"
    assert id_of("zendesk", {"id": "ticket-1"}, headers) == "invocation-1"
    assert id_of("zendesk", {"id": "ticket-1"}) == ""


def test_hubspots_event_id_is_not_always_its_own() -> None:
    first = [{"eventId": 1, "occurredAt": 1_700_000_000_000, "attemptNumber": 0}]
    assert id_of("hubspot", first) == "1:1700000000000"
    assert id_of("hubspot", [first[0] | {"attemptNumber": 1}]) == id_of("hubspot", first)
    assert id_of("hubspot", [first[0] | {"occurredAt": 1}]) != id_of("hubspot", first)
    assert id_of("hubspot", {"eventId": 2}) == "2"


def test_paypals_id_is_the_signed_one_since_the_body_is_hardly_covered() -> None:
    """A CRC-32 can be met by another body: a second use of the signature must not pass."""
    headers = {"paypal-transmission-id": "t1"}
    assert id_of("paypal", {"id": "WH-1"}, headers) == id_of("paypal", {"id": "WH-2"}, headers)


def test_githubs_redelivery_has_the_same_id() -> None:
    assert id_of("github", b"{}", {"x-github-delivery": "d1"}) == "d1"
