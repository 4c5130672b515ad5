"""The hub shown to itself: a demo account whose webhooks come in, become events, and go out signed.

The demo's receiver is a source of the hub's own: it takes Standard Webhooks, so every delivery is
verified on arrival and can be seen among the receipts.
"""

from __future__ import annotations

import hmac
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
import requests
from django.db import transaction

from incoming import services
from incoming.models import Receipt, Source
from incoming.sources import public_url_of
from outgoing.models import Attempt, Delivery, Event
from subscriptions.models import Subscription
from subscriptions.services import create_subscription
from webhooks_project.accounts.models import Account, User
from webhooks_project.accounts.services import create_account, create_api_key
from webhooks_project.lib.ids import new_id

ADMIN_NAME: Final = "admin"
ARRIVE_SECONDS: Final = 30


@dataclass(frozen=True)
class Demo:
    """The demo's rows. `password` and `api_key` are filled only when they were made just now."""

    account: Account
    github: Source
    stripe: Source
    receiver: Source
    subscription: Subscription
    password: str = field(default="", repr=False)
    api_key: str = field(default="", repr=False)


@dataclass(frozen=True)
class Journey:
    """What became of one webhook: received, published, delivered, received by the receiver."""

    provider: str
    type: str
    receipt_id: str
    event_id: str
    delivery_status: str
    status_code: int | None
    milliseconds: float | None
    verified_by_receiver: bool


@transaction.atomic
def seed() -> Demo:
    """The demo account with its sources, its receiver and its subscription, made where missing."""
    account = Account.objects.filter(slug="demo").first()
    password = api_key = ""
    if account is None:
        user, password = _admin()
        account = create_account(name="Demo", slug="demo", admin=user)
        api_key = create_api_key(account=account, name="demo", scopes=["operator"]).text
    receiver = _source(account, "Demo receiver", "standard-webhooks", routes=())
    return Demo(
        account=account,
        github=_source(account, "GitHub", "github"),
        stripe=_source(account, "Stripe", "stripe"),
        receiver=receiver,
        subscription=_subscription(account, receiver),
        password=password,
        api_key=api_key,
    )


def send(demo: Demo) -> list[str]:
    """Send a few signed webhooks through the real door. Returns their receipts' ids.

    Raises RuntimeError where one of them is not accepted.
    """
    return [_post(source, headers, body) for source, headers, body in _calls(demo)]


def follow(demo: Demo, receipt_ids: list[str]) -> list[Journey]:
    """Wait until the receiver has each of them, half a minute at most, and tell what happened."""
    deadline = time.monotonic() + ARRIVE_SECONDS
    while True:
        journeys = [_journey(demo, receipt_id) for receipt_id in receipt_ids]
        if all(item.verified_by_receiver for item in journeys) or time.monotonic() > deadline:
            return journeys
        time.sleep(0.1)


def _admin() -> tuple[User, str]:
    user = User.objects.filter(username=ADMIN_NAME).first()
    if user is not None:
        return user, ""
    password = secrets.token_urlsafe(12)
    return User.objects.create_superuser(ADMIN_NAME, password=password), password


def _source(account: Account, name: str, provider: str, **settings: Any) -> Source:
    known = Source.objects.filter(account=account, name=name).first()
    return (
        known
        or services.create_source(account=account, name=name, provider=provider, **settings).source
    )


def _subscription(account: Account, receiver: Source) -> Subscription:
    url = public_url_of(receiver)
    known = Subscription.objects.filter(account=account, name="Demo receiver").first()
    if known is not None:
        if known.url != url:  # the hub listens on another port than last time
            known.url = url
            known.save(update_fields=["url"])
        return known
    return create_subscription(
        account=account,
        name="Demo receiver",
        url=url,
        event_types=["github.*", "stripe.*"],
        secret=_secret(receiver),
        # The receiver is a source, which refuses a HEAD, and would tell of each as a refusal.
        health_check_kind="tls",
    ).subscription


def _secret(source: Source) -> str:
    return source.secrets.latest("created_at").secret


def _calls(demo: Demo) -> Iterator[tuple[Source, dict[str, str], bytes]]:
    for event, payload in (
        ("ping", {"zen": "Keep it logically awesome.", "hook_id": 1}),
        ("push", {"ref": "refs/heads/main", "commits": [{"id": secrets.token_hex(20)}]}),
        ("issues", {"action": "opened", "issue": {"number": 7, "title": "It works"}}),
    ):
        body = orjson.dumps(payload)
        signature = hmac.digest(_secret(demo.github).encode(), body, "sha256").hex()
        yield demo.github, {
            "X-GitHub-Event": event,
            "X-GitHub-Delivery": str(new_id()),
            "X-Hub-Signature-256": f"sha256={signature}",
        }, body  # fmt: skip
    body = orjson.dumps(
        {"id": f"evt_{secrets.token_hex(12)}", "object": "event", "type": "invoice.paid",
         "data": {"object": {"amount_paid": 4200, "currency": "eur"}}}
    )  # fmt: skip
    timestamp = int(time.time())
    signed = b"%d.%s" % (timestamp, body)
    signature = hmac.digest(_secret(demo.stripe).encode(), signed, "sha256").hex()
    yield demo.stripe, {"Stripe-Signature": f"t={timestamp},v1={signature}"}, body


def _post(source: Source, headers: dict[str, str], body: bytes) -> str:
    answer = requests.post(
        public_url_of(source),
        data=body,
        headers={"Content-Type": "application/json", **headers},
        timeout=10,
    )
    if answer.status_code != 200:
        raise RuntimeError(f"{source} answered {answer.status_code}: {answer.text[:200]}")
    return str(answer.json()["receipt"])


def _journey(demo: Demo, receipt_id: str) -> Journey:
    receipt = Receipt.objects.select_related("source").get(pk=receipt_id)
    event = Event.objects.filter(causation_id=receipt.causation_id).first()
    delivery = (
        Delivery.objects.filter(event=event, subscription=demo.subscription).first()
        if event
        else None
    )
    attempt = Attempt.objects.filter(delivery=delivery).first() if delivery else None
    arrived = event is not None and Receipt.objects.filter(
        source=demo.receiver, external_id=event.webhook_id
    ).exclude(status=Receipt.Status.REFUSED).exists()  # fmt: skip
    done = arrived and delivery is not None and delivery.status == Delivery.Status.DELIVERED
    elapsed = (
        (attempt.started_at - receipt.received_at).total_seconds() * 1000 + attempt.duration_ms
        if attempt
        else None
    )
    return Journey(
        provider=receipt.source.provider,
        type=event.type if event else receipt.type,
        receipt_id=receipt_id,
        event_id=event.webhook_id if event else "",
        delivery_status=delivery.status if delivery else "none",
        status_code=attempt.status_code if attempt else None,
        milliseconds=elapsed,
        verified_by_receiver=done,
    )
