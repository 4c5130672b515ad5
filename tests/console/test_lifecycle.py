"""The life of a subscription, by way of the console."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.test import Client

from outgoing.models import Delivery
from outgoing.setups import run_due_setups
from subscriptions.models import Subscription
from tests.console.conftest import make_viewer
from tests.console.test_buttons import path_of, told
from tests.console.test_forms import subscription_fields
from tests.factories import make_account, make_delivery, make_event, make_subscription, make_user
from tests.lib.receiver import answer, receiver
from webhooks_project.admin.values import page_of
from webhooks_project.lib import clock

pytestmark = pytest.mark.django_db

ADD = "/admin/subscriptions/subscription/add/"
BUTTONS = {
    "draft": {"verify", "activate", "renew", "examine"},
    "verifying": {"verify", "activate", "disable", "renew", "examine"},
    "active": {"verify", "pause", "disable", "renew", "examine"},
    "paused": {"verify", "resume", "disable", "renew", "examine"},
    "disabled": {"verify", "resume", "renew", "examine"},
    "expired": {"renew", "examine"},
    "archived": set(),
}
LIFE = set().union(*BUTTONS.values())


def page(console: Client, row: Subscription) -> str:
    return console.get(page_of("subscriptions.subscription", row.pk)).content.decode()


@pytest.mark.parametrize("status", BUTTONS)
def test_offers_what_the_status_allows(console: Client, status: str) -> None:
    row = make_subscription(status=status)
    text = page(console, row)
    assert {name for name in LIFE if path_of(row, name) in text} == BUTTONS[status]


@pytest.mark.parametrize(("activate", "status"), [("on", "verifying"), ("", "draft")])
def test_a_new_one_is_verified_or_a_draft(console: Client, activate: str, status: str) -> None:
    fields = subscription_fields(make_account())
    response = console.post(ADD, {**fields, **({"activate": activate} if activate else {})})
    assert response.status_code == 200
    assert Subscription.objects.get().status == status


def test_shows_every_step_of_the_set_up(console: Client) -> None:
    row = make_subscription(url="http://10.0.0.1/", status="verifying", setup_due_at=clock.now())
    assert "It is due." in page(console, row)
    run_due_setups()
    text = page(console, row)
    assert "the URL is refused: forbidden_address" in text
    for step in ("endpoint", "test delivery", "ownership", "health check", "analytics"):
        assert step in text
    assert "It has not run." in page(console, make_subscription())


@pytest.mark.parametrize(
    ("checks_health", "days", "shown"),
    [
        (False, 8, "2026-03-14 12:00:00, not seen since 2026-02-24 12:00:00"),
        (False, None, "2026-03-14 12:00:00, not seen for more than 7 days"),
        (False, 6, "2026-03-14 12:00:00"),
        (True, 8, "2026-03-14 12:00:00"),
    ],
)
def test_says_since_when_a_certificate_was_not_seen(
    console: Client, checks_health: bool, days: int | None, shown: str
) -> None:
    now = datetime(2026, 3, 4, 12, tzinfo=UTC)
    seen = [] if days is None else [now - timedelta(days=days)]
    row = make_subscription(
        checks_health=checks_health,
        certificate_expires_at=now + timedelta(days=10),
        setup=[
            {"step": "certificate", "outcome": "ok", "detail": "", "at": at.isoformat()}
            for at in seen
        ],
    )
    with time_machine.travel(now, tick=False):
        console.force_login(make_user(username="now", is_staff=True, is_superuser=True))
        text = page(console, row)
    found = re.findall(r"2026-03-14 12:00:00[^<]*", text)
    assert [item.strip() for item in found] == [shown]


def test_renews_to_a_moment_or_for_ever(console: Client) -> None:
    row = make_subscription(expires_at=clock.now() + timedelta(days=1))
    console.post(path_of(row, "renew"), {"expires_at": "2090-01-31 12:00"})
    row.refresh_from_db()
    assert row.expires_at == datetime(2090, 1, 31, 12, tzinfo=UTC)
    console.post(path_of(row, "renew"), {"expires_at": ""})
    row.refresh_from_db()
    assert row.expires_at is None
    response = console.post(path_of(row, "renew"), {"expires_at": "2001-01-01"})
    assert told(response)[-1:] == [("error", "A subscription ends in the future, or never.")]


def test_resumes_and_skips_what_is_old(console: Client) -> None:
    row = make_subscription(status="paused")
    make_delivery(make_event(row.account), row, status="held", created_at=clock.now())
    response = console.post(path_of(row, "resume"), {"skip_older_than": "2090-01-31 12:00"})
    assert told(response) == [
        ("success", "It is active; 1 deliveries were skipped, the others go out.")
    ]
    assert Delivery.objects.get().status == "cancelled"


@pytest.mark.django_db(transaction=True)
def test_examines_an_endpoint_on_post_alone(console: Client) -> None:
    with receiver(answer()) as there:
        row = make_subscription(url=there.url)
        assert console.get(path_of(row, "examine")).status_code == 200
        assert there.arrived == []
        text = console.post(path_of(row, "examine")).content.decode()
        assert len(there.arrived) == 5
    assert "anybody can send it events" in text
    assert "unknown type" in text
    assert str(there.port) not in text


def test_says_why_it_cannot_be_examined(console: Client) -> None:
    row = make_subscription(secret=None)
    text = console.post(path_of(row, "examine")).content.decode()
    assert "It cannot be examined: no signing secret can be read" in text


def test_who_may_only_look_examines_nothing() -> None:
    viewer = make_viewer("subscriptions.subscription")
    row = make_subscription()
    for button in ("examine", "resume", "verify"):
        assert viewer.post(path_of(row, button)).status_code == 403
