"""The pages of dead letters, of retries, and of when attempts would be."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.messages import get_messages
from django.test import Client
from django.urls import reverse

from incoming.models import Receipt
from monitoring.models import AuditEntry
from outgoing.models import Delivery, Retry
from tests.console.conftest import make_viewer
from tests.factories import (
    make_attempt,
    make_delivery,
    make_receipt,
    make_retry,
    make_source,
    make_subscription,
    make_user,
)
from webhooks_project.accounts.models import Membership, Role
from webhooks_project.admin.values import list_of, page_of
from webhooks_project.lib import clock

ALIKE = "a" * 32
SIDES = ["outgoing_delivery", "incoming_receipt"]


def groups_page(side: str) -> str:
    return reverse(f"admin:{side}_dead_letters")


def group_page(side: str, verb: str, fingerprint: str = ALIKE) -> str:
    return reverse(f"admin:{side}_dead_group", args=[fingerprint, verb])


def make_dead(side: str) -> Any:
    """A dead letter of the group."""
    if side == "outgoing_delivery":
        delivery = make_delivery(
            subscription=make_subscription(name="Shop"),
            status="exhausted",
            attempt_count=8,
            last_cause="status_5xx",
            last_status_code=500,
            fingerprint=ALIKE,
        )
        make_attempt(delivery, response_body=b"<b>request 17</b>")
        return delivery
    return make_receipt(
        make_source(name="Shop"),
        status="dead",
        next_attempt_at=None,
        cause="ValueError",
        detail="shop.paid: <b>customer 17</b>",
        fingerprint=ALIKE,
        dead_at=clock.now(),
    )


def told(response: Any) -> list[str]:
    return [str(message) for message in get_messages(response.wsgi_request)]


@pytest.mark.parametrize("side", SIDES)
def test_shows_groups_with_what_can_be_done(console: Client, side: str) -> None:
    make_dead(side)
    text = console.get(groups_page(side)).content.decode()
    assert "Shop" in text
    # What strangers said is text, and their markup is none.
    assert re.search(r"&lt;b&gt;(request|customer) &lt;number&gt;&lt;/b&gt;", text)
    assert group_page(side, "redo") in text
    assert group_page(side, "discard") in text


@pytest.mark.parametrize("side", SIDES)
def test_a_group_leads_to_its_rows(console: Client, side: str) -> None:
    row = make_dead(side)
    other = make_dead(side)
    type(row).objects.filter(pk=other.pk).update(fingerprint="b" * 32)
    text = console.get(groups_page(side)).content.decode()
    (link,) = re.findall(rf'href="([^"]*fingerprint={ALIKE})"', text)
    shown = console.get(link.replace("&amp;", "&")).context["cl"].result_list
    assert [item.pk for item in shown] == [row.pk]


@pytest.mark.parametrize("side", SIDES)
def test_says_where_there_are_none(console: Client, side: str) -> None:
    assert "There are none." in console.get(groups_page(side)).content.decode()


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("verb", ["redo", "discard"])
def test_asks_first(console: Client, side: str, verb: str) -> None:
    row = make_dead(side)
    response = console.get(group_page(side, verb))
    assert '<form method="post"' in response.content.decode()
    status = row.status
    row.refresh_from_db()
    assert (row.status, row.discard_reason) == (status, "")
    assert not AuditEntry.objects.exists()


def test_redelivers_a_group(console: Client) -> None:
    make_dead("outgoing_delivery")
    response = console.post(group_page("outgoing_delivery", "redo"))
    assert told(response) == ["1 are redelivered."]
    assert response["Location"] == groups_page("outgoing_delivery")
    assert Delivery.objects.get().status == "pending"
    assert AuditEntry.objects.get().actor_label == "operator"


def test_processes_a_group_again(console: Client) -> None:
    make_dead("incoming_receipt")
    response = console.post(group_page("incoming_receipt", "redo"))
    assert told(response) == ["1 are in line to be processed again."]
    assert Receipt.objects.get().status == "accepted"


@pytest.mark.parametrize("side", SIDES)
def test_discards_a_group_with_a_reason_and_not_without(console: Client, side: str) -> None:
    row = make_dead(side)
    assert console.post(group_page(side, "discard")).status_code == 200
    row.refresh_from_db()
    assert row.discard_reason == ""
    response = console.post(group_page(side, "discard"), {"reason": "Stale."})
    assert told(response) == ["1 are discarded."]
    row.refresh_from_db()
    assert row.discard_reason == "Stale."
    assert AuditEntry.objects.get().actor_label == "operator"


@pytest.mark.parametrize("side", SIDES)
def test_discards_one_with_a_reason(console: Client, side: str) -> None:
    row = make_dead(side)
    page = page_of(row._meta.label_lower, row.pk)
    console.post(page.replace("/change/", "/discard/"), {"reason": "Stale."})
    row.refresh_from_db()
    assert row.discard_reason == "Stale."
    text = console.get(page).content.decode()
    assert "Stale." in text
    assert page.replace("/change/", "/discard/") not in text


@pytest.mark.parametrize("side", SIDES)
def test_who_may_only_look_sees_groups_and_does_nothing(db: None, side: str) -> None:
    row = make_dead(side)
    viewer = make_viewer(row._meta.label_lower)
    text = viewer.get(groups_page(side)).content.decode()
    assert "Shop" in text
    assert group_page(side, "redo") not in text
    for verb in ("redo", "discard"):
        assert viewer.post(group_page(side, verb), {"reason": "No."}).status_code == 403
    row.refresh_from_db()
    assert row.discard_reason == ""


@pytest.mark.parametrize("side", SIDES)
def test_who_may_not_look_sees_nothing(db: None, side: str) -> None:
    make_dead(side)
    assert make_viewer("subscriptions.subscription").get(groups_page(side)).status_code == 403


@pytest.mark.parametrize("side", SIDES)
def test_nothing_else_is_done_to_a_group(console: Client, side: str) -> None:
    make_dead(side)
    assert console.post(group_page(side, "delete")).status_code == 404


# --- members ----------------------------------------------------------------------------------


def member(row: Any, role: str) -> Client:
    user = make_user(is_staff=True)
    Membership.objects.create(account=row.account, user=user, role=role)
    client = Client()
    client.force_login(user)
    return client


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("role", [Role.VIEWER, Role.DEVELOPER, Role.OPERATOR])
def test_a_member_sees_the_groups_of_the_account_and_acts_by_the_role(
    db: None, side: str, role: Role
) -> None:
    row, other = make_dead(side), make_dead(side)
    type(row).objects.filter(pk=other.pk).update(fingerprint="b" * 32)
    client = member(row, role)
    text = client.get(groups_page(side)).content.decode()
    assert ("Shop" in text, text.count("Shop")) == (True, 1)
    acts = role == Role.OPERATOR
    for verb in ("redo", "discard"):
        assert (group_page(side, verb) in text) == acts
        assert (filter_page(side, verb) in text) == acts
        assert group_page(side, verb, "b" * 32) not in text
        # Another account's group is none, for whatever role.
        strange = client.post(group_page(side, verb, "b" * 32), {"reason": "No."})
        assert strange.status_code == (404 if acts else 403)
        by_filter = {"account": str(other.account.pk), "cause": "x", "reason": "No."}
        answer = client.post(filter_page(side, verb), by_filter)
        assert answer.status_code == (200 if acts else 403)
        if acts:
            assert set(answer.context["form"].errors) == {"account"}
    answer = client.post(group_page(side, "discard"), {"reason": "Stale."})
    assert answer.status_code == (302 if acts else 403)
    row.refresh_from_db()
    other.refresh_from_db()
    assert (row.discard_reason, other.discard_reason) == ("Stale." if acts else "", "")
    menu = client.get(reverse("admin:index")).content.decode()
    assert groups_page(side) in menu


@pytest.mark.parametrize("side", SIDES)
def test_a_role_in_one_account_is_none_in_another(db: None, side: str) -> None:
    row, other = make_dead(side), make_dead(side)
    type(row).objects.filter(pk=other.pk).update(fingerprint="b" * 32)
    user = make_user(is_staff=True)
    Membership.objects.create(account=row.account, user=user, role=Role.OPERATOR)
    Membership.objects.create(account=other.account, user=user, role=Role.VIEWER)
    client = Client()
    client.force_login(user)
    text = client.get(groups_page(side)).content.decode()
    assert text.count("Shop") == 2
    assert group_page(side, "redo") in text
    assert group_page(side, "redo", "b" * 32) not in text
    assert client.post(group_page(side, "redo", "b" * 32)).status_code == 403
    other.refresh_from_db()
    assert other.status in ("exhausted", "dead")


# --- by filter --------------------------------------------------------------------------------


def filter_page(side: str, verb: str) -> str:
    return reverse(f"admin:{side}_dead_filter", args=[verb])


MARKS: dict[str, list[dict[str, Any]]] = {
    "outgoing_delivery": [
        {"cause": "status_5xx"}, {"status_code": 500}, {"event_type": "invoice.*"},
        {"since": "2000-01-01 00:00"},
    ],
    "incoming_receipt": [
        {"cause": "ValueError"}, {"handler": "shop.paid"}, {"since": "2000-01-01 00:00"},
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("side", "marks"), [(side, marks) for side, all_ in MARKS.items() for marks in all_]
)
def test_discards_by_filter_after_counting(
    console: Client, side: str, marks: dict[str, Any]
) -> None:
    row, other = make_dead(side), make_dead(side)
    times = {"exhausted_at": clock.now()} if side == "outgoing_delivery" else {}
    type(row).objects.update(**times, discard_reason="")
    asked = {"account": str(row.account.pk), **marks}
    counted = console.post(filter_page(side, "discard"), {**asked, "only_counts": "on"})
    assert (counted.status_code, told(counted)) == (200, ["1 are found."])
    assert not AuditEntry.objects.exists()
    missing = console.post(filter_page(side, "discard"), asked)
    assert set(missing.context["form"].errors) == {"reason"}
    done = console.post(filter_page(side, "discard"), {**asked, "reason": "Stale."})
    assert (done["Location"], told(done)) == (groups_page(side), ["1 are discarded."])
    row.refresh_from_db()
    other.refresh_from_db()
    assert (row.discard_reason, other.discard_reason) == ("Stale.", "")
    assert json.loads(AuditEntry.objects.get().after)["count"] == 1


@pytest.mark.parametrize("side", SIDES)
def test_has_again_what_a_filter_finds_of_one_endpoint_or_source(
    console: Client, side: str
) -> None:
    row, other = make_dead(side), make_dead(side)
    part = "subscription" if side == "outgoing_delivery" else "source"
    asked = {"account": str(row.account.pk), part: str(getattr(other, f"{part}_id"))}
    assert told(console.post(filter_page(side, "redo"), asked))[-1].startswith("0 are ")
    asked[part] = str(getattr(row, f"{part}_id"))
    assert told(console.post(filter_page(side, "redo"), asked))[-1].startswith("1 are ")
    row.refresh_from_db()
    assert row.status in ("pending", "accepted")


@pytest.mark.parametrize("side", SIDES)
def test_a_filter_names_a_mark(console: Client, side: str) -> None:
    row = make_dead(side)
    shown = console.get(filter_page(side, "discard"))
    assert shown.status_code == 200
    answer = console.post(
        filter_page(side, "discard"), {"account": str(row.account.pk), "reason": "All."}
    )
    assert set(answer.context["form"].errors) == {"__all__"}
    assert console.post(filter_page(side, "delete")).status_code == 404
    row.refresh_from_db()
    assert row.discard_reason == ""


# --- retries --------------------------------------------------------------------------------------


def press(console: Client, retry: Retry, name: str, **fields: str) -> Any:
    path = page_of("outgoing.retry", retry.pk).replace("/change/", f"/{name}/")
    return console.post(path, fields)


def test_brings_a_retry_forward(console: Client) -> None:
    retry = make_retry(due_at=clock.now() + timedelta(hours=1))
    assert told(press(console, retry, "bring-forward")) == ["It is due now."]
    retry.refresh_from_db()
    assert retry.due_at <= clock.now()


def test_postpones_a_retry(console: Client) -> None:
    retry = make_retry()
    until = (clock.now() + timedelta(days=2)).replace(microsecond=0)
    shown = until.strftime("%Y-%m-%d %H:%M:%S")
    assert told(press(console, retry, "postpone", until=shown)) == [f"It is due at {shown}."]
    retry.refresh_from_db()
    assert retry.due_at == until


def test_postpones_a_retry_to_no_past_moment(console: Client) -> None:
    retry = make_retry()
    response = press(console, retry, "postpone", until="2000-01-01 00:00")
    assert told(response) == ["a retry is postponed to a moment in the next thirty days"]


def test_cancels_a_retry(console: Client) -> None:
    retry = make_retry()
    assert told(press(console, retry, "cancel")) == ["The delivery is cancelled."]
    assert Delivery.objects.get().status == "cancelled"


@pytest.mark.parametrize(
    ("action", "text"),
    [
        ("bring_selected_forward", "2 of 2 retries are due now."),
        ("cancel_selected", "2 of 2 deliveries are cancelled."),
    ],
)
def test_moves_and_cancels_the_chosen(console: Client, action: str, text: str) -> None:
    rows = [make_retry(due_at=clock.now() + timedelta(hours=1)) for _ in range(2)]
    fields = {"action": action, "_selected_action": [str(row.pk) for row in rows]}
    assert told(console.post(list_of("outgoing.retry"), fields)) == [text]
    assert not Retry.objects.filter(due_at__gt=clock.now()).exists()


# --- when attempts would be -----------------------------------------------------------------------


def test_a_subscription_s_page_tells_when_attempts_would_be(console: Client) -> None:
    subscription = make_subscription(
        retry_policy="custom",
        retry_schedule={"kind": "linear", "base": 100, "step": 0, "attempts": 3, "jitter": 0.1},
    )
    text = console.get(page_of("subscriptions.subscription", subscription.pk)).content.decode()
    text = text.partition("Attempts of a delivery that fails")[2]
    assert "1.5 min to 1.8 min" in text
    assert "3.0 min to 3.7 min" in text
