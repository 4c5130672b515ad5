"""Receipts and handler runs: what their pages tell, their filters and their buttons."""

from __future__ import annotations

import gzip
import re
from typing import Any

import pytest
from django.contrib.messages import get_messages
from django.test import Client

from incoming.handlers import HANDLERS, Handler
from incoming.models import HandlerRun, Receipt, ReceiptReplay
from monitoring.models import AuditEntry, Notification
from tests.console.conftest import make_viewer
from tests.factories import make_event, make_receipt, make_run, make_source
from webhooks_project.admin.values import list_of, page_of
from webhooks_project.lib import clock


def page(console: Client, row: Any) -> str:
    return console.get(page_of(row._meta.label_lower, row.pk)).content.decode()


def path_of(row: Any, name: str) -> str:
    return page_of(row._meta.label_lower, row.pk).replace("/change/", f"/{name}/")


def shown(console: Client, model: str, **filters: str) -> set[Any]:
    response = console.get(list_of(model, **filters))
    return {row.pk for row in response.context["cl"].result_list}


def told(response: Any) -> list[str]:
    return [str(message) for message in get_messages(response.wsgi_request)]


def section(text: str, title: str) -> str:
    """What stands between a heading and the next."""
    found = re.search(rf"<h2[^>]*>\s*{re.escape(title)}\s*.*?(?=<h2|\Z)", text, re.DOTALL)
    assert found, title
    return found[0]


@pytest.fixture
def quarantined(db: None) -> Receipt:
    return make_receipt(
        next_attempt_at=None,
        quarantined_at=clock.now(),
        cause="schema_mismatch",
        schema_errors=[{"path": "/amount", "message": "is not a number"}],
    )


# --- lists ----------------------------------------------------------------------------------------


def test_receipts_by_what_their_status_does_not_say(console: Client, quarantined: Receipt) -> None:
    source = make_source()
    done = {"status": "processed", "next_attempt_at": None}
    first = make_receipt(source, **done, action_count=1)
    unmatched = make_receipt(source, **done)
    again = make_receipt(source, **done, action_count=1, same_body_as=first.pk)

    assert shown(console, "incoming.receipt", followed="unmatched") == {unmatched.pk}
    assert shown(console, "incoming.receipt", quarantine="quarantined") == {quarantined.pk}
    assert shown(console, "incoming.receipt", same_body="as an earlier one") == {again.pk}
    assert shown(console, "incoming.receipt", followed="nonsense") == {
        first.pk, unmatched.pk, again.pk, quarantined.pk,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({"status__exact": "dead"}, {"dead"}),
        ({"cause__exact": "KeyError"}, {"failed"}),
        ({"handler": "app.other"}, {"other"}),
        ({"q": "app.other"}, {"other"}),
    ],
)
def test_runs_by_handler_status_and_cause(
    console: Client,
    filters: dict[str, str],
    found: set[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    handler = Handler("app.other", "github", ("*",), print, 1.0, (), routed=False)
    monkeypatch.setitem(HANDLERS, "app.other", handler)
    receipt = make_receipt()
    runs = {
        "dead": make_run(receipt, status="dead", handler="app.one", cause="ValueError"),
        "failed": make_run(receipt, status="failed", handler="app.two", cause="KeyError"),
        "other": make_run(receipt, status="succeeded", handler="app.other"),
    }

    assert shown(console, "incoming.handlerrun", **filters) == {runs[name].pk for name in found}


def test_runs_of_a_receipt_are_found_by_its_id(console: Client) -> None:
    run = make_run()
    make_run()

    assert shown(console, "incoming.handlerrun", q=str(run.receipt_id)) == {run.pk}
    assert shown(console, "incoming.handlerrun", q=str(run.pk)) == {run.pk}


# --- pages ----------------------------------------------------------------------------------------


def test_a_page_tells_what_followed(console: Client) -> None:
    now = clock.now()
    receipt = make_receipt(
        status="processed", next_attempt_at=None, routed_at=now, event_count=1, action_count=4
    )
    event = make_event(receipt.account, causation_id=receipt.causation_id)
    dead = make_run(
        receipt, handler="app.fails", status="dead", attempt_count=6, duration_ms=1500,
        cause="ValueError", error="Traceback\nValueError: no <b>", started_at=now,
    )  # fmt: skip
    make_run(receipt, handler="app.works", status="succeeded", attempt_count=1)
    Notification.objects.create(
        account=receipt.account, kind="receipt", recipient="a@example.com", title="It came",
        text="x", object_type="receipt", object_id=str(receipt.pk), created_at=now, status="sent",
    )  # fmt: skip

    text = page(console, receipt)

    assert "4 in all, of them 1 events" in text
    assert page_of("outgoing.event", event.pk) in section(text, "Events")
    handlers = section(text, "Handlers")
    assert page_of("incoming.handlerrun", dead.pk) in handlers
    for told_of in ("app.works", "6 tries", "1 try", "took 1.50 s", "ValueError: no &lt;b&gt;"):
        assert told_of in handlers
    assert "<details" in handlers
    people = section(text, "People told")
    assert "a@example.com" in people
    assert "It came" in people


def test_an_unmatched_receipt_says_so(console: Client) -> None:
    receipt = make_receipt(status="processed", next_attempt_at=None)

    text = page(console, receipt)

    assert "nothing: no route and no handler took it" in text
    assert "unmatched" in text


def test_schema_errors_and_quarantine(console: Client, quarantined: Receipt) -> None:
    text = page(console, quarantined)

    errors = section(text, "What does not fit the schema")
    assert "/amount" in errors
    assert "is not a number" in errors
    assert "quarantined" in text
    assert path_of(quarantined, "release") in text
    assert path_of(quarantined, "drop") in text
    assert path_of(quarantined, "reprocess") not in text


def test_the_receipt_with_the_same_body_is_linked(console: Client) -> None:
    first = make_receipt()
    again = make_receipt(first.source, same_body_as=first.pk)

    assert page_of("incoming.receipt", first.pk) in page(console, again)


def test_a_traceback_has_its_page(console: Client) -> None:
    run = make_run(status="dead", error="Traceback\n" + "x" * 5000, cause="ValueError")

    text = page(console, run)

    assert "x" * 5000 in text
    assert path_of(run, "run-again") in text
    assert path_of(make_run(status="succeeded"), "run-again") not in page(
        console, make_run(status="succeeded")
    )


# --- bodies ---------------------------------------------------------------------------------------

MULTIPART = (
    b'--B\r\nContent-Disposition: form-data; name="a"\r\n\r\n<b>\r\n--B\r\n'
    b'Content-Disposition: form-data; name="f"; filename="x.bin"\r\n\r\n\x00\xff\r\n--B--\r\n'
)


@pytest.mark.parametrize(
    ("content_type", "body", "as_it_came", "as_seen"),
    [
        ("application/json", b'{"a":"<b>"}', "{&quot;a&quot;:&quot;&lt;b&gt;&quot;}",
         "&quot;a&quot;: &quot;&lt;b&gt;&quot;"),
        ("application/xml", b"<a><b>1</b></a>", "&lt;a&gt;&lt;b&gt;1&lt;/b&gt;&lt;/a&gt;",
         "&quot;b&quot;: &quot;1&quot;"),
        ("application/x-www-form-urlencoded", b"a=%3Cb%3E&c=1", "a=%3Cb%3E&amp;c=1",
         "&quot;a&quot;: &quot;&lt;b&gt;&quot;"),
        ("multipart/form-data; boundary=B", MULTIPART, "00000000  2d 2d 42",
         "&quot;filename&quot;: &quot;x.bin&quot;"),
        ("application/octet-stream", b"\x00\xff<b>", "00000000  00 ff 3c 62 3e",
         "&quot;base64&quot;: &quot;AP88Yj4=&quot;"),
        ("application/json", b'{"a"', "{&quot;a&quot;", "&quot;text&quot;"),
    ],
)  # fmt: skip
def test_a_body_is_text(
    console: Client, content_type: str, body: bytes, as_it_came: str, as_seen: str
) -> None:
    receipt = make_receipt(body=body, headers={"content-type": content_type})

    call = section(page(console, receipt), "The call")

    assert as_it_came in call
    assert as_seen in call
    assert "<b>" not in call


def test_a_compressed_body_is_expanded(console: Client) -> None:
    body = gzip.compress(b'{"hello":"world"}')
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    receipt = make_receipt(body=body, headers=headers)

    text = page(console, receipt)

    assert f"{len(body)} bytes in gzip; expanded: 17 bytes." in text
    assert "&quot;hello&quot;: &quot;world&quot;" in text


def test_a_bomb_is_not_expanded(console: Client) -> None:
    body = gzip.compress(b"0" * (26 * 1024 * 1024))
    receipt = make_receipt(body=body, headers={"content-encoding": "gzip"})

    assert "00000000  1f 8b" in page(console, receipt)


def test_a_pruned_body_says_so(console: Client) -> None:
    receipt = make_receipt(body=b"", body_pruned_at=clock.now())

    text = page(console, receipt)

    assert "It was pruned at" in text
    assert path_of(receipt, "body") not in text
    assert "try-signature" not in text


def test_a_body_is_downloaded_as_a_file(console: Client) -> None:
    receipt = make_receipt(body=b"\x00<script>\xff")

    response = console.get(path_of(receipt, "body"))

    assert response.content == b"\x00<script>\xff"
    assert response["Content-Type"] == "application/octet-stream"
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Content-Disposition"] == f'attachment; filename="receipt-{receipt.pk}.bin"'


def test_a_body_is_for_those_who_may_look(db: None) -> None:
    receipt = make_receipt(body=b"x")

    assert make_viewer("incoming.source").get(path_of(receipt, "body")).status_code == 403
    assert make_viewer("incoming.receipt").get(path_of(receipt, "body")).content == b"x"
    assert make_viewer("incoming.receipt").post(path_of(receipt, "body")).status_code == 405
    assert Client().get(path_of(receipt, "body")).status_code == 302


# --- buttons --------------------------------------------------------------------------------------


def test_release_lets_it_be_processed(console: Client, quarantined: Receipt) -> None:
    console.post(path_of(quarantined, "release"))

    quarantined.refresh_from_db()
    assert (quarantined.status, quarantined.quarantined_at, quarantined.cause) == (
        "accepted", None, "",
    )  # fmt: skip
    assert quarantined.next_attempt_at is not None


def test_drop_refuses_it(console: Client, quarantined: Receipt) -> None:
    console.post(path_of(quarantined, "drop"))

    quarantined.refresh_from_db()
    assert (quarantined.status, quarantined.quarantined_at) == ("refused", None)


def test_release_and_drop_from_the_list(console: Client, quarantined: Receipt) -> None:
    other = make_receipt()
    chosen = {"_selected_action": [str(quarantined.pk), str(other.pk)]}

    released = console.post(list_of("incoming.receipt"), {"action": "release_selected", **chosen})
    dropped = console.post(list_of("incoming.receipt"), {"action": "drop_selected", **chosen})

    assert told(released) == ["1 of 2 receipts are released."]
    assert "0 of 2 receipts are dropped." in told(dropped)
    assert [entry.action for entry in AuditEntry.objects.all()] == ["receipt.released"]


def test_a_replay_of_one_receipt(console: Client) -> None:
    source = make_source()
    done = {"status": "processed", "next_attempt_at": None, "is_verified": True}
    receipt = make_receipt(source, **done)
    make_receipt(source, **done)

    response = console.post(path_of(receipt, "replay-receipt"))

    replay = ReceiptReplay.objects.get()
    assert (replay.status, replay.planned_count, replay.requested_by) == ("running", 1, "operator")
    assert told(response) == [f"Replay {replay.pk} carries it again."]
    assert {entry.action for entry in AuditEntry.objects.all()} == {
        "receipt_replay.planned", "receipt_replay.started",
    }  # fmt: skip


@pytest.mark.parametrize(
    "fields", [{"is_verified": False}, {"body_pruned_at": clock.now()}, {"status": "duplicate"}]
)
def test_what_cannot_be_replayed_is_not(console: Client, fields: dict[str, Any]) -> None:
    receipt = make_receipt(
        **{"status": "processed", "next_attempt_at": None, "is_verified": True} | fields
    )

    response = console.post(path_of(receipt, "replay-receipt"))

    assert path_of(receipt, "replay-receipt") not in page(console, receipt)
    assert told(response)[0].startswith("it cannot be replayed: ")
    assert not ReceiptReplay.objects.exists()


def test_a_run_is_run_again(console: Client) -> None:
    receipt = make_receipt(status="dead", next_attempt_at=None, routed_at=clock.now())
    dead = make_run(receipt, status="dead", attempt_count=6)
    good = make_run(receipt, handler="app.works", status="succeeded")

    console.post(path_of(dead, "run-again"))

    dead.refresh_from_db()
    good.refresh_from_db()
    assert (dead.status, good.status) == ("pending", "succeeded")
    assert dead.next_attempt_at is not None


def test_runs_are_run_again_from_the_list(console: Client) -> None:
    receipt = make_receipt(status="dead", next_attempt_at=None, routed_at=clock.now())
    runs = [
        make_run(receipt, handler=f"app.{status}", status=status)
        for status in ("dead", "failed", "succeeded")
    ]

    response = console.post(
        list_of("incoming.handlerrun"),
        {"action": "run_selected_again", "_selected_action": [str(run.pk) for run in runs]},
    )

    assert told(response) == ["2 of 3 handler runs run again."]
    assert HandlerRun.objects.filter(status="pending").count() == 2


@pytest.mark.parametrize(
    ("model", "action"),
    [
        ("incoming.receipt", "reprocess_selected"),
        ("incoming.receipt", "release_selected"),
        ("incoming.receipt", "drop_selected"),
        ("incoming.handlerrun", "run_selected_again"),
    ],
)
def test_who_may_only_look_does_nothing_from_a_list(
    quarantined: Receipt, model: str, action: str
) -> None:
    run = make_run(quarantined, status="dead")
    chosen = quarantined.pk if model == "incoming.receipt" else run.pk
    viewer = make_viewer("incoming.receipt", "incoming.handlerrun")

    listed = viewer.get(list_of(model)).content.decode()
    viewer.post(list_of(model), {"action": action, "_selected_action": [str(chosen)]})

    assert action not in listed
    assert not AuditEntry.objects.exists()
    assert Receipt.objects.get().quarantined_at is not None
    assert HandlerRun.objects.get().status == "dead"
