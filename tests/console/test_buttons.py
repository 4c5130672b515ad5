"""Buttons ask on GET, act on POST, and tell what came of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.contrib.messages import get_messages
from django.http import HttpResponse
from django.test import Client

from incoming.models import HandlerRun, Source, SourceSecret
from monitoring.models import AuditEntry
from outgoing.models import Delivery, Replay, Retry
from outgoing.replays import advance_replays
from subscriptions.models import EventType
from tests.factories import (
    SIGNING_SECRET,
    SOURCE_SECRET,
    make_account,
    make_api_key,
    make_delivery,
    make_receipt,
    make_retry,
    make_run,
    make_source,
    make_subscription,
    make_user,
)
from webhooks_project.accounts.models import User
from webhooks_project.admin.values import page_of
from webhooks_project.lib import clock
from webhooks_project.lib.actor import SYSTEM, current_actor


def path_of(row: Any, button: str) -> str:
    return page_of(row._meta.label_lower, row.pk).replace("/change/", f"/{button}/")


def told(response: HttpResponse) -> list[tuple[str, str]]:
    return [
        (message.level_tag, message.message)
        for message in get_messages(response.wsgi_request)  # type: ignore[attr-defined]
    ]


def make_replay(delivery: Delivery) -> Replay:
    now = clock.now()
    return Replay.objects.create(
        account=delivery.account, since=now - timedelta(hours=1), until=now + timedelta(hours=1),
        planned_count=1, created_at=now,
    )  # fmt: skip


@pytest.fixture
def event_type(db: None) -> EventType:
    return EventType.objects.create(account=make_account(), name="invoice.paid")


QUARANTINED: dict[str, Any] = {
    "status": "accepted",
    "next_attempt_at": None,
    "quarantined_at": clock.now(),
    "cause": "schema_mismatch",
}


def make_dead_run() -> HandlerRun:
    receipt = make_receipt(status="dead", next_attempt_at=None, routed_at=clock.now())
    return make_run(receipt, status="dead", attempt_count=6, cause="ValueError")


def make_learned() -> Source:
    source = make_source(provider="notion", secret=None)
    SourceSecret.objects.create(source=source, secret="secret_of_notion", is_showable=True)
    return source


def every_button() -> list[tuple[str, Any]]:
    return [
        ("redeliver", lambda: make_delivery(status="exhausted")),
        ("cancel", lambda: make_delivery(status="held")),
        ("bring-forward", make_retry),
        ("cancel", make_retry),
        ("reprocess", lambda: make_receipt(status="dead", next_attempt_at=None)),
        ("release", lambda: make_receipt(**QUARANTINED)),
        ("drop", lambda: make_receipt(**QUARANTINED)),
        ("run-again", make_dead_run),
        ("run", lambda: make_replay(make_delivery(status="delivered"))),
        ("pause", make_subscription),
        ("resume", lambda: make_subscription(status="paused", paused_at=clock.now())),
        ("disable", make_subscription),
        ("verify", make_subscription),
        ("activate", lambda: make_subscription(status="draft")),
        ("renew", make_subscription),
        ("archive", make_subscription),
        ("rotate-secret", make_subscription),
        ("rotate-secret", make_source),
        ("enable", lambda: make_source(disabled_at=clock.now())),
        ("disable", make_source),
        ("rotate-url", make_source),
        ("show-secret", make_learned),
        ("revoke", lambda: make_api_key().api_key),
    ]


@pytest.mark.parametrize(("button", "make"), every_button())
def test_get_only_asks(console: Client, button: str, make: Any) -> None:
    row = make()
    before = type(row).objects.filter(pk=row.pk).values().get()

    response = console.get(path_of(row, button))

    assert response.status_code == 200
    assert '<form method="post"' in response.content.decode()
    assert "csrfmiddlewaretoken" in response.content.decode()
    assert type(row).objects.filter(pk=row.pk).values().get() == before
    assert not AuditEntry.objects.filter(object_id=str(row.pk)).exclude(
        action="api_key.created"
    ).exists()  # fmt: skip


@pytest.mark.parametrize(("button", "make"), every_button())
def test_post_acts_as_the_user(console: Client, operator: User, button: str, make: Any) -> None:
    row = make()

    response = console.post(path_of(row, button))

    assert response.status_code in (200, 302)
    entry = AuditEntry.objects.filter(object_id=str(row.pk)).order_by("sequence").last()
    assert entry is not None
    assert (entry.actor_kind, entry.actor_id, entry.actor_label, entry.actor_address) == (
        "user", str(operator.pk), "operator", "127.0.0.1",
    )  # fmt: skip
    assert current_actor.get() == SYSTEM


@pytest.mark.parametrize(("button", "make"), every_button())
def test_post_without_a_token_is_refused(operator: User, button: str, make: Any) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(operator)
    row = make()
    before = type(row).objects.filter(pk=row.pk).values().get()

    assert strict.post(path_of(row, button)).status_code == 403
    assert type(row).objects.filter(pk=row.pk).values().get() == before


@pytest.mark.parametrize("method", ["put", "patch", "delete"])
def test_other_methods_are_refused(console: Client, method: str) -> None:
    path = path_of(make_delivery(status="exhausted"), "redeliver")

    assert getattr(console, method)(path).status_code == 405


@pytest.mark.parametrize(("button", "make"), every_button())
def test_who_may_only_look_has_no_buttons(db: None, button: str, make: Any) -> None:
    row = make()
    viewer = make_user(username="viewer", is_staff=True)
    meta = row._meta
    viewer.user_permissions.add(Permission.objects.get(codename=f"view_{meta.model_name}"))
    client = Client()
    client.force_login(viewer)
    before = type(row).objects.filter(pk=row.pk).values().get()

    page = client.get(page_of(meta.label_lower, row.pk))

    assert page.status_code == 200
    assert path_of(row, button) not in page.content.decode()
    assert client.post(path_of(row, button)).status_code == 403
    assert type(row).objects.filter(pk=row.pk).values().get() == before


def test_redeliver_puts_it_in_line_again(console: Client) -> None:
    delivery = make_delivery(status="exhausted", attempt_count=8)

    response = console.post(path_of(delivery, "redeliver"))

    delivery.refresh_from_db()
    assert (delivery.status, delivery.trigger, delivery.attempts_before) == (
        "pending", "redeliver", 8,
    )  # fmt: skip
    assert response["Location"] == page_of("outgoing.delivery", delivery.pk)
    assert told(response) == [("success", "It is pending.")]


def test_a_refusal_is_told_and_changes_nothing(console: Client) -> None:
    delivery = make_delivery(status="delivering")

    response = console.post(path_of(delivery, "redeliver"))

    delivery.refresh_from_db()
    assert delivery.status == "delivering"
    assert told(response) == [
        (
            "error",
            "it is being delivered at this moment, its subscription is archived, or its event's "
            "data is not kept any more",
        )
    ]
    assert not AuditEntry.objects.exists()


def test_cancel_gives_up_its_retry_too(console: Client) -> None:
    retry = make_retry()

    console.post(path_of(retry.delivery, "cancel"))

    assert Delivery.objects.get(pk=retry.delivery_id).status == "cancelled"
    assert not Retry.objects.exists()


@pytest.mark.parametrize(
    ("status", "shown"),
    [
        ("pending", {"redeliver", "cancel"}),
        ("held", {"redeliver", "cancel"}),
        ("delivering", set()),
        ("delivered", {"redeliver"}),
        ("exhausted", {"redeliver"}),
        ("cancelled", {"redeliver"}),
    ],
)
def test_only_what_is_possible_is_shown(console: Client, status: str, shown: set[str]) -> None:
    delivery = make_delivery(status=status)

    page = console.get(page_of("outgoing.delivery", delivery.pk)).content.decode()

    assert {name for name in ("redeliver", "cancel") if path_of(delivery, name) in page} == shown


def test_nothing_is_redelivered_to_an_archived_subscription(console: Client) -> None:
    delivery = make_delivery(None, make_subscription(status="archived"), status="exhausted")

    page = console.get(page_of("outgoing.delivery", delivery.pk)).content.decode()

    assert path_of(delivery, "redeliver") not in page


def test_reprocess_takes_a_dead_receipt_up(console: Client) -> None:
    receipt = make_receipt(status="dead", next_attempt_at=None, attempt_count=6)

    console.post(path_of(receipt, "reprocess"))

    receipt.refresh_from_db()
    assert (receipt.status, receipt.attempt_count) == ("accepted", 0)
    assert receipt.next_attempt_at is not None


def test_run_carries_a_replay_out(console: Client) -> None:
    delivery = make_delivery(status="delivered", attempt_count=1)
    replay = make_replay(delivery)

    response = console.post(path_of(replay, "run"))

    replay.refresh_from_db()
    assert (replay.status, replay.redelivered_count) == ("running", 0)
    assert told(response) == [("success", "The replay is running.")]
    assert advance_replays(clock.now()) == 1
    delivery.refresh_from_db()
    assert (delivery.status, delivery.replay_id) == ("pending", replay.pk)


def test_pause_keeps_the_reason(console: Client) -> None:
    subscription = make_subscription()

    console.post(path_of(subscription, "pause"), {"reason": "until Monday"})

    subscription.refresh_from_db()
    assert (subscription.status, subscription.status_reason) == ("paused", "until Monday")


def test_a_reason_too_long_is_asked_for_again(console: Client) -> None:
    subscription = make_subscription()

    response = console.post(path_of(subscription, "pause"), {"reason": "x" * 201})

    subscription.refresh_from_db()
    assert response.status_code == 200
    assert subscription.status == "active"


def test_a_new_signing_secret_is_shown_once(console: Client) -> None:
    subscription = make_subscription()

    response = console.post(path_of(subscription, "rotate-secret"))

    new = subscription.secrets.latest("created_at").secret
    assert new != SIGNING_SECRET
    assert response.content.decode().count(new) == 1
    assert "no-store" in response["Cache-Control"]
    assert new not in str(response.cookies)
    after = console.get(page_of("subscriptions.subscription", subscription.pk)).content.decode()
    assert new not in after
    assert subscription.secrets.exclude(expires_at=None).get().secret == SIGNING_SECRET


def test_a_new_source_secret_is_shown_once(console: Client) -> None:
    source = make_source()

    response = console.post(path_of(source, "rotate-secret"))

    new = source.secrets.latest("created_at").secret
    assert new != SOURCE_SECRET
    assert response.content.decode().count(new) == 1
    assert new not in console.get(page_of("incoming.source", source.pk)).content.decode()


def test_a_source_secret_that_was_given_is_not_shown(console: Client) -> None:
    source = make_source()

    response = console.post(
        path_of(source, "rotate-secret"), {"secret": "of-the-provider"}, follow=True
    )

    assert source.secrets.latest("created_at").secret == "of-the-provider"
    assert "of-the-provider" not in response.content.decode()


def test_rotate_url_gives_another_token(console: Client) -> None:
    source = make_source()
    token = source.token

    console.post(path_of(source, "rotate-url"))

    source.refresh_from_db()
    assert source.token != token


def test_revoked_key_has_no_revoke_button(console: Client) -> None:
    api_key = make_api_key().api_key
    console.post(path_of(api_key, "revoke"))

    api_key.refresh_from_db()
    page = console.get(page_of("accounts.apikey", api_key.pk)).content.decode()

    assert api_key.revoked_at is not None
    assert path_of(api_key, "revoke") not in page


def test_a_schema_is_added_as_the_next_version(console: Client, event_type: EventType) -> None:
    fields = {"schema": '{"type": "object"}', "examples": '[{"a": 1}]', "add": "1"}

    console.post(path_of(event_type, "add-schema"), fields)

    assert list(event_type.schemas.values_list("version", "schema", "examples")) == [
        (1, {"type": "object"}, [{"a": 1}])
    ]


@pytest.mark.parametrize("schema", ["{", '{"type": 7}', '{"$ref": "http://127.0.0.1/x"}'])
def test_what_is_no_schema_is_refused(console: Client, event_type: EventType, schema: str) -> None:
    response = console.post(path_of(event_type, "add-schema"), {"schema": schema, "add": "1"})

    assert response.status_code == 200
    assert not event_type.schemas.exists()


def test_redeliver_from_the_list(console: Client, operator: User) -> None:
    taken = [make_delivery(status="exhausted") for _ in range(2)]
    busy = make_delivery(status="delivering")
    chosen = [str(row.pk) for row in [*taken, busy]]

    response = console.post(
        "/admin/outgoing/delivery/",
        {"action": "redeliver_selected", "_selected_action": chosen},
    )

    assert told(response) == [("success", "2 of 3 deliveries are redelivered.")]
    assert {row.status for row in Delivery.objects.filter(pk__in=[row.pk for row in taken])} == {
        "pending"
    }
    assert AuditEntry.objects.filter(
        action="delivery.redelivered", actor_id=str(operator.pk)
    ).count() == 2  # fmt: skip


def test_reprocess_from_the_list(console: Client) -> None:
    dead = make_receipt(status="dead", next_attempt_at=None)
    done = make_receipt(status="processed", next_attempt_at=None)

    response = console.post(
        "/admin/incoming/receipt/",
        {"action": "reprocess_selected", "_selected_action": [str(dead.pk), str(done.pk)]},
    )

    dead.refresh_from_db()
    assert dead.status == "accepted"
    assert told(response) == [("success", "1 of 2 receipts are processed again.")]
