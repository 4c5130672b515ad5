"""What strangers send is text, wherever it is shown, and no secret is in it."""

from __future__ import annotations

import base64
from urllib.parse import quote

import orjson
import pytest
from django.db.models import Model
from django.test import Client

from monitoring import journal
from outgoing.models import Retry
from tests.console.conftest import make_rows
from tests.factories import (
    SIGNING_SECRET,
    make_account,
    make_attempt,
    make_delivery,
    make_event,
    make_receipt,
    make_run,
    make_source,
    make_subscription,
)
from webhooks_project.admin.values import list_of, page_of
from webhooks_project.lib import clock

ATTACK = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
SECRET = 's3cret/of "the"=source'


@pytest.fixture
def attacked(db: None) -> dict[str, Model]:
    """A row of everything, with the attack in all that a stranger can write."""
    account = make_account(name=ATTACK)
    source = make_source(
        account, name=ATTACK, last_error=ATTACK, last_error_at=clock.now(), state={ATTACK: ATTACK},
        schema={"title": ATTACK}, transformation=ATTACK, answer_body=ATTACK,
        routes=({"type_pattern": ATTACK, "condition": {ATTACK: ATTACK}, "message": ATTACK},),
    )  # fmt: skip
    receipt = make_receipt(
        source,
        body=orjson.dumps({ATTACK: ATTACK}),
        headers={"content-type": "application/json", ATTACK: ATTACK},
        type=ATTACK,
        external_id=ATTACK,
        method="POST",
        query=f"a={quote(ATTACK)}&{quote(ATTACK)}=b",
        status="dead",
        cause=ATTACK[:64],
        detail=ATTACK,
        schema_errors=[{"path": ATTACK, "message": ATTACK}],
    )
    run = make_run(
        receipt, handler=ATTACK, status="dead", cause=ATTACK[:64], error=ATTACK, worker=ATTACK
    )
    plain = make_receipt(source, body=ATTACK.encode(), type=ATTACK, status="failed", detail=ATTACK)
    subscription = make_subscription(
        account, name=ATTACK, url=f"http://127.0.0.1/{ATTACK}", status_reason=ATTACK,
        event_types=(ATTACK,),
    )  # fmt: skip
    event = make_event(
        account, type=ATTACK, data={ATTACK: [ATTACK]}, idempotency_key=ATTACK,
        correlation_id=ATTACK, causation_id=ATTACK,
        not_matched=[{"subscription": ATTACK, "reason": ATTACK}],
    )  # fmt: skip
    delivery = make_delivery(event, subscription, status="exhausted", last_cause="dns")
    attempt = make_attempt(
        delivery, outcome="failed", cause="dns", detail=ATTACK, response_body=ATTACK.encode(),
        response_headers={ATTACK: ATTACK}, request_headers={ATTACK: ATTACK}, worker=ATTACK,
        protocol=ATTACK[:16],
    )  # fmt: skip
    retry = Retry.objects.create(
        delivery=make_delivery(make_event(account, type=ATTACK), subscription),
        due_at=clock.now(), number=2, cause="dns", created_at=clock.now(),
    )  # fmt: skip
    journal.record_activity(account_id=account.pk, kind=ATTACK, text=ATTACK, subject=event)
    return {
        "accounts.account": account,
        "incoming.source": source,
        "incoming.receipt": receipt,
        "incoming.handlerrun": run,
        "plain": plain,
        "subscriptions.subscription": subscription,
        "outgoing.event": event,
        "outgoing.delivery": delivery,
        "outgoing.attempt": attempt,
        "outgoing.retry": retry,
        "monitoring.activity": journal.Activity.objects.get(kind=ATTACK),
        "monitoring.auditentry": journal.record_change(
            account_id=account.pk, action="test", subject=event, before={ATTACK: ATTACK}
        ),
    }


def assert_is_text(page: str) -> None:
    assert "<script>alert(1)" not in page
    assert "<img src=x" not in page


@pytest.mark.parametrize(
    "model",
    ["accounts.account", "incoming.source", "incoming.receipt", "incoming.handlerrun",
     "subscriptions.subscription",
     "outgoing.event", "outgoing.delivery", "outgoing.attempt", "outgoing.retry",
     "monitoring.activity", "monitoring.auditentry"],
)  # fmt: skip
def test_page_and_list_escape(console: Client, attacked: dict[str, Model], model: str) -> None:
    page = console.get(page_of(model, attacked[model].pk)).content.decode()
    listed = console.get(list_of(model)).content.decode()

    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert_is_text(page)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in listed
    assert_is_text(listed)


def test_plain_text_body_is_escaped(console: Client, attacked: dict[str, Model]) -> None:
    page = console.get(page_of("incoming.receipt", attacked["plain"].pk)).content.decode()

    assert "&lt;img src=x onerror=alert(2)&gt;" in page
    assert_is_text(page)


@pytest.mark.parametrize(
    ("model", "button"),
    [("outgoing.delivery", "redeliver"), ("incoming.receipt", "reprocess"),
     ("incoming.handlerrun", "run-again"), ("subscriptions.subscription", "pause"),
     ("incoming.source", "rotate-secret")],
)  # fmt: skip
def test_question_and_answer_of_a_button_escape(
    console: Client, attacked: dict[str, Model], model: str, button: str
) -> None:
    path = page_of(model, attacked[model].pk).replace("/change/", f"/{button}/")

    assert_is_text(console.get(path).content.decode())
    assert_is_text(console.post(path, follow=True).content.decode())


def test_first_page_escapes(console: Client, attacked: dict[str, Model]) -> None:
    page = console.get("/admin/").content.decode()

    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert_is_text(page)


def test_search_term_is_escaped(console: Client, rows: dict[str, Model]) -> None:
    assert_is_text(console.get(list_of("outgoing.event", q=ATTACK)).content.decode())


def test_headers_with_proofs_are_masked(console: Client) -> None:
    receipt = make_receipt(
        headers={
            "authorization": "Bearer abcdefgh",
            "x-hub-signature-256": "sha256=abcdefgh",
            "cookie": "abcdefgh",
            "x-github-event": "push",
        }
    )

    page = console.get(page_of("incoming.receipt", receipt.pk)).content.decode()

    assert "abcdefgh" not in page
    assert "authorization: [redacted]" in page
    assert "x-github-event: push" in page


@pytest.mark.parametrize(
    "sent",
    [
        {"body": orjson.dumps({"token": SECRET, "n": 1})},
        {"body": f"token={quote(SECRET, safe='')}".encode()},
        {"body": SECRET.encode()},
        {"headers": {"x-custom": SECRET}},
        {"query": f"key={quote(SECRET, safe='')}"},
    ],
)
def test_source_secret_in_a_call_is_masked(console: Client, sent: dict[str, object]) -> None:
    receipt = make_receipt(make_source(secret=SECRET), **sent)  # type: ignore[arg-type]
    path = page_of("incoming.receipt", receipt.pk)

    page = console.get(path).content.decode()
    file = console.get(path.replace("/change/", "/body/")).content.decode()

    assert "[redacted]" in page
    assert "s3cret" not in page
    assert "s3cret" not in file


UNSEEN = "b\x1b[31m\u202egnp.exe\u2066"


def test_what_cannot_be_seen_is_written_out(console: Client) -> None:
    receipt = make_receipt(
        type=UNSEEN, external_id=UNSEEN, status="dead", cause=UNSEEN, detail=UNSEEN,
        body=orjson.dumps({"text": UNSEEN}), headers={"x-one": f"\x00{UNSEEN}"},
        schema_errors=[{"path": "/a", "message": UNSEEN}],
    )  # fmt: skip
    make_run(receipt, error=UNSEEN, cause=UNSEEN)

    for path in (
        page_of("incoming.receipt", receipt.pk),
        list_of("incoming.receipt"),
        page_of("incoming.source", receipt.source_id),
        list_of("incoming.handlerrun"),
    ):
        page = console.get(path).content.decode()
        assert "\\u202egnp.exe\\u2066" in page, path
        assert not {"\x00", "\x1b", "\u202e", "\u2066"} & set(page), path


def test_no_page_has_a_secret_or_a_sealed_one(console: Client) -> None:
    """Neither the text nor what the database keeps of it."""
    rows = make_rows()
    source = rows["incoming.source"]
    subscription = rows["subscriptions.subscription"]
    api_key = rows["accounts.apikey"]
    sealed = [
        str(row.__dict__["secret"])
        for row in [*source.secrets.all(), *subscription.secrets.all()]  # type: ignore[attr-defined]
    ]
    digest = bytes(api_key.secret_sha256)  # type: ignore[attr-defined]
    never = ["a-source-secret", SIGNING_SECRET, digest.hex(), base64.b64encode(digest).decode()]

    for model, row in rows.items():
        for path in (page_of(model, row.pk), list_of(model)):
            page = console.get(path).content.decode()
            for text in [*never, *sealed]:
                assert text not in page, (path, text)


def test_secrets_are_told_apart_by_their_ends(console: Client) -> None:
    rows = make_rows()

    source = console.get(page_of("incoming.source", rows["incoming.source"].pk))
    subscription = console.get(
        page_of("subscriptions.subscription", rows["subscriptions.subscription"].pk)
    )

    assert "…cret" in source.content.decode()
    assert "…ZWY=" in subscription.content.decode()
