"""A row that somebody else deletes between its being looked up and its being changed."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.messages import get_messages
from django.db.models import Model
from django.test import Client

from incoming.models import Receipt
from incoming.services import reprocess_receipt
from monitoring.channels.services import create_channel, delete_channel
from monitoring.models import AlertRule, AuditEntry, Channel
from outgoing.models import Delivery
from tests.factories import make_account, make_receipt, make_source
from webhooks_project.admin.base import HubAdmin
from webhooks_project.admin.values import list_of, page_of


def lose(monkeypatch: pytest.MonkeyPatch, row: Any) -> None:
    """Delete the row for good, also where the page takes back what it has begun."""
    type(row)._default_manager.filter(pk=row.pk).delete()
    monkeypatch.setattr(HubAdmin, "get_object", lambda *args: None)


def lose_after_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever row a page looks up is deleted by somebody else at once."""

    look_up = HubAdmin.get_object

    def look_up_and_lose(self: HubAdmin, *args: Any) -> Any:
        row = look_up(self, *args)
        lose(monkeypatch, row)
        return row

    monkeypatch.setattr(HubAdmin, "get_object", look_up_and_lose)


def lose_before_saving(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever row a form is about to change is deleted by somebody else."""
    save = HubAdmin.save_form

    def lose_and_save(self: HubAdmin, request: Any, form: Any, change: bool) -> Any:
        lose(monkeypatch, form.instance)
        return save(self, request, form, change)

    monkeypatch.setattr(HubAdmin, "save_form", lose_and_save)


def miss(**given: Any) -> None:
    raise Delivery.DoesNotExist("no delivery matches")


def told(answer: Any) -> list[str]:
    return [message.message for message in get_messages(answer.wsgi_request)]


def shown_form(console: Client, path: str) -> dict[str, Any]:
    """What the page's form would send as it stands."""
    form = console.get(path).context["adminform"].form
    given = {name: form[name].value() for name in form.fields}
    return {name: value for name, value in given.items() if value not in (None, False)}


@pytest.mark.parametrize(
    ("model", "button", "given"),
    [
        ("monitoring.incident", "acknowledge", {}),
        ("monitoring.incident", "resolve", {"comment": ""}),
        ("monitoring.incident", "comment", {"text": "Known."}),
        ("monitoring.channel", "test", {}),
        ("incoming.receiptreplay", "start", {}),
        ("outgoing.replay", "run", {}),
        ("subscriptions.eventtype", "archive", {}),
        ("subscriptions.eventtype", "add-schema", {"schema": "{}", "add": "1"}),
        ("subscriptions.bulkjob", "start", {}),
        ("subscriptions.bulkjob", "show-secrets", {}),
    ],
)
def test_a_button_says_that_the_row_is_gone(
    monkeypatch: pytest.MonkeyPatch,
    console: Client,
    rows: dict[str, Model],
    model: str,
    button: str,
    given: dict[str, str],
) -> None:
    row, key = rows[model], rows[model].pk
    path = page_of(model, key).replace("/change/", f"/{button}/")
    lose_after_look(monkeypatch)
    entries = AuditEntry.objects.count()

    answer = console.post(path, given)

    assert (answer.status_code, answer.url) == (302, list_of(model))
    assert told(answer) == [f"There is no {row._meta.verbose_name} {key}."]
    assert AuditEntry.objects.count() == entries


@pytest.mark.parametrize(
    ("model", "changed"),
    [
        ("monitoring.channel", {"name": "Other"}),
        ("monitoring.alertrule", {"name": "Other"}),
        ("subscriptions.eventtype", {"description": "Other"}),
        ("analytics.objective", {"window_days": "7"}),
        ("analytics.dashboard", {"name": "Other"}),
        ("analytics.report", {"name": "Other"}),
    ],
)
def test_a_form_says_that_the_row_is_gone(
    monkeypatch: pytest.MonkeyPatch,
    console: Client,
    rows: dict[str, Model],
    model: str,
    changed: dict[str, str],
) -> None:
    row, key = rows[model], rows[model].pk
    path = page_of(model, key)
    given = shown_form(console, path) | changed
    lose_before_saving(monkeypatch)
    entries = AuditEntry.objects.count()

    answer = console.post(path, given)

    assert (answer.status_code, answer.url) == (302, "/admin/")
    assert told(answer) == [
        f"{row._meta.verbose_name} with ID “{key}” doesn’t exist. Perhaps it was deleted?"
    ]
    assert AuditEntry.objects.count() == entries


@pytest.mark.parametrize(
    "model",
    [
        "monitoring.channel",
        "monitoring.alertrule",
        "subscriptions.eventtype",
        "analytics.objective",
    ],
)
def test_it_is_not_deleted_twice(
    monkeypatch: pytest.MonkeyPatch, console: Client, rows: dict[str, Model], model: str
) -> None:
    row, key = rows[model], rows[model].pk
    lose_after_look(monkeypatch)
    entries = AuditEntry.objects.count()

    answer = console.post(page_of(model, key).replace("/change/", "/delete/"), {"post": "yes"})

    assert (answer.status_code, answer.url) == (302, "/admin/")
    assert told(answer) == [
        f"{row._meta.verbose_name} with ID “{key}” doesn’t exist. Perhaps it was deleted?"
    ]
    assert AuditEntry.objects.count() == entries


@pytest.mark.parametrize("model", ["analytics.dashboard", "analytics.report"])
def test_a_refusal_to_delete_is_told(
    monkeypatch: pytest.MonkeyPatch, console: Client, rows: dict[str, Model], model: str
) -> None:
    path = page_of(model, rows[model].pk)
    lose_after_look(monkeypatch)
    entries = AuditEntry.objects.count()

    answer = console.post(path.replace("/change/", "/delete/"), {"post": "yes"})

    assert (answer.status_code, answer.url) == (302, path)
    assert told(answer) == ["It was deleted meanwhile."]
    assert AuditEntry.objects.count() == entries


def test_of_many_receipts_one_that_is_pruned_meanwhile_is_left_out(
    monkeypatch: pytest.MonkeyPatch, console: Client
) -> None:
    source = make_source()
    gone, kept = (make_receipt(source, status="failed", next_attempt_at=None) for _ in range(2))

    def prune_and_reprocess(*, receipt: Receipt) -> Receipt:
        Receipt.objects.filter(pk=gone.pk).delete()
        return reprocess_receipt(receipt=receipt)

    monkeypatch.setattr("incoming.services.reprocess_receipt", prune_and_reprocess)
    chosen = {"action": "reprocess_selected", "_selected_action": [str(gone.pk), str(kept.pk)]}

    answer = console.post(list_of("incoming.receipt"), chosen)

    assert told(answer) == ["1 of 2 receipts are processed again."]
    assert Receipt.objects.values_list("pk", "status").get() == (kept.pk, "accepted")


def test_of_many_receipts_one_that_misses_another_row_is_a_fault(
    monkeypatch: pytest.MonkeyPatch, console: Client
) -> None:
    receipt = make_receipt(status="failed", next_attempt_at=None)
    monkeypatch.setattr("incoming.services.reprocess_receipt", miss)
    chosen = {"action": "reprocess_selected", "_selected_action": [str(receipt.pk)]}
    with pytest.raises(Delivery.DoesNotExist, match="no delivery matches"):
        console.post(list_of("incoming.receipt"), chosen)


def test_of_many_channels_one_that_is_deleted_meanwhile_is_no_matter(
    monkeypatch: pytest.MonkeyPatch, console: Client
) -> None:
    account = make_account()
    channels = [
        create_channel(account=account, kind="email", name=name, recipients=["operator"])
        for name in ("A", "B")
    ]

    def lose_and_delete(*, channel: Channel) -> None:
        Channel.objects.filter(pk=channels[0].pk).delete()
        delete_channel(channel=channel)

    monkeypatch.setattr("monitoring.channels.services.delete_channel", lose_and_delete)
    chosen = [str(channel.pk) for channel in channels]

    answer = console.post(
        list_of("monitoring.channel"),
        {"action": "delete_selected", "_selected_action": chosen, "post": "yes"},
    )

    assert told(answer) == ["Successfully deleted 2 channels."]
    assert not Channel.objects.exists()
    deleted = AuditEntry.objects.filter(action="channel.deleted")
    assert [entry.object_id for entry in deleted] == [chosen[1]]


def test_a_button_that_misses_another_row_is_a_fault(
    monkeypatch: pytest.MonkeyPatch, console: Client, rows: dict[str, Model]
) -> None:
    monkeypatch.setattr("monitoring.admin.incidents.acknowledge_incident", miss)
    path = page_of("monitoring.incident", rows["monitoring.incident"].pk)
    with pytest.raises(Delivery.DoesNotExist, match="no delivery matches"):
        console.post(path.replace("/change/", "/acknowledge/"))


def test_a_form_that_misses_another_row_is_a_fault(
    monkeypatch: pytest.MonkeyPatch, console: Client, rows: dict[str, Model]
) -> None:
    path = page_of("monitoring.alertrule", rows["monitoring.alertrule"].pk)
    given = shown_form(console, path) | {"name": "Other"}
    monkeypatch.setattr("monitoring.admin.alert_rules.change_rule", miss)
    monkeypatch.setattr("monitoring.admin.alert_rules.delete_one", miss)
    with pytest.raises(Delivery.DoesNotExist, match="no delivery matches"):
        console.post(path, given)
    with pytest.raises(Delivery.DoesNotExist, match="no delivery matches"):
        console.post(path.replace("/change/", "/delete/"), {"post": "yes"})
    assert AlertRule.objects.get().name == "Failing"
