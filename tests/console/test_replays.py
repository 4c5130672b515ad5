"""Replay of events in the console."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client

from monitoring.models import AuditEntry
from outgoing.models import Replay
from outgoing.replays import advance_replays, plan_replay, start_replay
from outgoing.selecting import Selection
from tests.console.conftest import errors_of, make_viewer
from tests.console.test_receipt_replays import asked
from tests.factories import make_account, make_delivery, make_event, make_subscription
from webhooks_project.admin.values import page_of
from webhooks_project.lib import clock

ADD = "/admin/outgoing/replay/add/"
BUTTONS = ("run", "pause", "resume", "cancel")


@pytest.fixture
def replay(db: None) -> Replay:
    now = clock.now()
    shop = make_subscription(name="Shop <b>")
    for status in ("delivered", "exhausted", "held"):
        event = make_event(shop.account, created_at=now - timedelta(hours=1))
        make_delivery(event, shop, status=status)
    day = timedelta(days=1)
    return plan_replay(Selection(since=now - day, until=now, subscription=shop))


def page(client: Client, replay: Replay) -> str:
    response = client.get(page_of("outgoing.replay", replay.pk))
    assert response.status_code == 200
    return response.content.decode()


def buttons(text: str, replay: Replay) -> set[str]:
    url = page_of("outgoing.replay", replay.pk).removesuffix("change/")
    return {name for name in BUTTONS if f"{url}{name}" in text}


def test_the_plan_is_shown_with_what_is_left_out(console: Client, replay: Replay) -> None:
    text = page(console, replay)
    assert "0 of 2" in text
    assert "Shop &lt;b&gt;" in text
    assert "waiting" in text
    assert "0:00:00" in text


def test_what_became_of_the_deliveries_is_shown(console: Client, replay: Replay) -> None:
    start_replay(replay)
    advance_replays(clock.now())
    text = page(console, replay)
    assert "2 of 2" in text
    assert "Deliveries taken" in text


@pytest.mark.parametrize(
    ("status", "is_paused", "shown"),
    [
        ("planned", False, {"run", "cancel"}),
        ("running", False, {"pause", "cancel"}),
        ("running", True, {"resume", "cancel"}),
        ("failed", False, {"run"}),
        ("finished", False, set()),
        ("cancelled", False, set()),
    ],
)
def test_buttons_are_those_that_are_possible(
    console: Client, replay: Replay, status: str, is_paused: bool, shown: set[str]
) -> None:
    Replay.objects.update(status=status, paused_at=clock.now() if is_paused else None)
    assert buttons(page(console, replay), replay) == shown


def test_what_the_buttons_do_is_audited_by_the_operator(console: Client, replay: Replay) -> None:
    url = page_of("outgoing.replay", replay.pk).removesuffix("change/")
    for name, status, is_paused in (
        ("run", "running", False), ("pause", "running", True), ("resume", "running", False),
        ("cancel", "cancelled", False),
    ):  # fmt: skip
        assert console.post(f"{url}{name}/").status_code == 302
        replay.refresh_from_db()
        assert (replay.status, replay.paused_at is not None) == (status, is_paused)
    entries = AuditEntry.objects.filter(object_id=replay.pk, actor_label="operator")
    assert list(entries.order_by("sequence").values_list("action", flat=True)) == [
        "replay.started", "replay.paused", "replay.resumed", "replay.cancelled",
    ]  # fmt: skip


def test_a_replay_is_planned(console: Client) -> None:
    shop = make_subscription()
    for number in (1, 2, 2):
        event = make_event(
            shop.account, created_at=clock.now() - timedelta(hours=1), data={"amount": number}
        )
        make_delivery(event, shop, status="delivered")

    given = asked(
        kind="replay", subscription=str(shop.pk), event_type="inv*", statuses="delivered",
        filter='{"data.amount": 2}',
    )  # fmt: skip
    response = console.post(ADD, given, follow=True)

    replay = Replay.objects.get()
    assert response.redirect_chain == [(page_of("outgoing.replay", replay.pk), 302)]
    assert (replay.status, replay.planned_count, replay.account) == ("planned", 2, shop.account)
    assert (replay.event_type, replay.statuses) == ("inv*", ["delivered"])
    assert (replay.filter, replay.requested_by) == ({"data.amount": 2}, "operator")
    assert "Deliveries planned: 2." in response.content.decode()


@pytest.mark.parametrize(
    ("changes", "field", "message"),
    [
        ({"until_0": "2020-01-01"}, "since", "since must be before until, and in the past"),
        ({"event_type": "a*b"}, "event_type", "a * stands only at the end"),
        ({"filter": '{"data": {"$no": 1}}'}, "filter", "the filter: "),
        ({"kind": "recover", "statuses": "delivered"}, "statuses", "only a replay goes by"),
        ({"account": ""}, "account", "Choose an account or a subscription."),
    ],
)
def test_what_cannot_be_planned_is_said_at_its_field(
    console: Client, changes: dict[str, str], field: str, message: str
) -> None:
    given = asked(account=str(make_account().pk), kind="replay") | changes
    (said,) = errors_of(console.post(ADD, given))[field]

    assert said.startswith(message)
    assert not Replay.objects.exists()


def test_who_may_only_look_does_nothing(replay: Replay) -> None:
    viewer = make_viewer("outgoing.replay")
    assert buttons(page(viewer, replay), replay) == set()
    url = page_of("outgoing.replay", replay.pk).removesuffix("change/")
    assert viewer.post(f"{url}run/").status_code == 403
    assert viewer.post(ADD, asked(kind="replay")).status_code == 403
    replay.refresh_from_db()
    assert (replay.status, Replay.objects.count()) == ("planned", 1)
