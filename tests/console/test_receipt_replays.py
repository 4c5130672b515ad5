"""Replay of receipts in the console."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client

from incoming.models import Receipt, ReceiptReplay
from incoming.replays import Selection, advance_replays, plan_replay, start_replay
from monitoring.models import AuditEntry
from tests.console.conftest import errors_of, make_viewer
from tests.factories import make_account, make_receipt, make_source
from webhooks_project.admin.values import list_of, page_of
from webhooks_project.lib import clock


@pytest.fixture
def replay(db: None) -> ReceiptReplay:
    now = clock.now()
    source = make_source(name="Shop <b>")
    for type_, status in (("push", "processed"), ("push", "dead"), ("x\u202ey", "dead")):
        make_receipt(
            source, type=type_, status=status, is_verified=True, next_attempt_at=None,
            received_at=now - timedelta(hours=1),
        )  # fmt: skip
    make_receipt(
        source, status="handshake", next_attempt_at=None, received_at=now - timedelta(hours=1)
    )
    day = timedelta(days=1)
    return plan_replay(Selection(since=now - day, until=now, source=source))


ADD = "/admin/incoming/receiptreplay/add/"


def asked(**changes: str) -> dict[str, str]:
    now = clock.now()
    since = now - timedelta(days=1)
    return {
        "since_0": since.strftime("%Y-%m-%d"),
        "since_1": since.strftime("%H:%M:%S"),
        "until_0": now.strftime("%Y-%m-%d"),
        "until_1": now.strftime("%H:%M:%S"),
    } | changes


def page(client: Client, replay: ReceiptReplay) -> str:
    response = client.get(page_of("incoming.receiptreplay", replay.pk))
    assert response.status_code == 200
    return response.content.decode()


def buttons(text: str, replay: ReceiptReplay) -> set[str]:
    url = page_of("incoming.receiptreplay", replay.pk).removesuffix("change/")
    return {name for name in ("start", "cancel") if f"{url}{name}" in text}


def test_the_plan_is_shown_with_what_is_left_out(console: Client, replay: ReceiptReplay) -> None:
    text = page(console, replay)
    assert "0 of 3" in text
    assert "Shop &lt;b&gt;" in text
    assert "x\\u202ey" in text
    assert "handshake" in text


def test_what_became_of_the_receipts_is_shown(console: Client, replay: ReceiptReplay) -> None:
    start_replay(replay)
    advance_replays(clock.now())
    text = page(console, replay)
    assert "3 of 3" in text
    assert "Receipts taken" in text
    assert Receipt.objects.filter(status="accepted", replay=replay).count() == 3


def test_a_search_finds_it(console: Client, replay: ReceiptReplay) -> None:
    for term in (replay.pk, replay.source_id):
        found = console.get(list_of("incoming.receiptreplay", q=term)).context["cl"].result_list
        assert [row.pk for row in found] == [replay.pk]


@pytest.mark.parametrize(
    ("status", "shown"),
    [
        ("planned", {"start", "cancel"}),
        ("running", {"cancel"}),
        ("failed", {"start"}),
        ("finished", set()),
        ("cancelled", set()),
    ],
)
def test_buttons_are_those_that_are_possible(
    console: Client, replay: ReceiptReplay, status: str, shown: set[str]
) -> None:
    ReceiptReplay.objects.update(status=status)
    assert buttons(page(console, replay), replay) == shown


def test_start_and_cancel_are_audited_by_the_operator(
    console: Client, replay: ReceiptReplay
) -> None:
    url = page_of("incoming.receiptreplay", replay.pk).removesuffix("change/")
    for name, status in (("start", "running"), ("cancel", "cancelled")):
        assert console.post(f"{url}{name}/").status_code == 302
        replay.refresh_from_db()
        assert replay.status == status
    entries = AuditEntry.objects.filter(object_id=replay.pk, actor_label="operator")
    assert list(entries.order_by("sequence").values_list("action", flat=True)) == [
        "receipt_replay.started", "receipt_replay.cancelled",
    ]  # fmt: skip


def test_who_may_only_look_starts_nothing(replay: ReceiptReplay) -> None:
    viewer = make_viewer("incoming.receiptreplay")
    assert buttons(page(viewer, replay), replay) == set()
    url = page_of("incoming.receiptreplay", replay.pk).removesuffix("change/")
    assert viewer.post(f"{url}start/").status_code == 403
    replay.refresh_from_db()
    assert replay.status == "planned"


def test_a_replay_is_planned(console: Client) -> None:
    source = make_source()
    for type_ in ("push", "push", "ping"):
        make_receipt(
            source, type=type_, status="processed", is_verified=True, next_attempt_at=None,
            received_at=clock.now() - timedelta(hours=1),
        )  # fmt: skip

    given = asked(source=str(source.pk), type_pattern="pu*", statuses="processed")
    response = console.post(ADD, given, follow=True)

    replay = ReceiptReplay.objects.get()
    assert response.redirect_chain == [(page_of("incoming.receiptreplay", replay.pk), 302)]
    assert (replay.status, replay.planned_count, replay.account) == ("planned", 2, source.account)
    assert (replay.type_pattern, replay.statuses) == ("pu*", ["processed"])
    assert replay.requested_by == "operator"
    text = response.content.decode()
    assert "Receipts planned: 2." in text
    assert buttons(text, replay) == {"start", "cancel"}
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.actor_label) == ("receipt_replay.planned", "operator")


@pytest.mark.parametrize(
    ("changes", "field", "message"),
    [
        ({"until_0": "2020-01-01"}, "since", "since must be before until, and in the past"),
        ({"type_pattern": "a*b"}, "type_pattern", "a * stands only at the end"),
        ({"since_0": ""}, "since", "This field is required."),
        ({"account": ""}, "account", "Choose an account or a source."),
    ],
)
def test_what_cannot_be_planned_is_said_at_its_field(
    console: Client, changes: dict[str, str], field: str, message: str
) -> None:
    response = console.post(ADD, asked(account=str(make_account().pk)) | changes)

    assert message in errors_of(response)[field]
    assert not ReceiptReplay.objects.exists()


def test_a_source_of_another_account_is_refused_at_its_field(console: Client) -> None:
    given = asked(account=str(make_account().pk), source=str(make_source().pk))

    response = console.post(ADD, given)

    assert errors_of(response) == {"source": ["the source is another account's"]}
    assert not ReceiptReplay.objects.exists()


def test_who_may_only_look_plans_nothing(db: None) -> None:
    viewer = make_viewer("incoming.receiptreplay")

    assert viewer.get(ADD).status_code == 403
    assert viewer.post(ADD, asked()).status_code == 403
    assert not ReceiptReplay.objects.exists()
