"""Calls by which a third party asks whether we are there."""

from __future__ import annotations

import time
from typing import Any

import orjson
import pytest

from incoming.models import Receipt, RefusalCount, Source, SourceSecret
from incoming.processing import process_due_receipts
from incoming.services import create_source, learn_secret
from monitoring.models import AuditEntry
from outgoing.models import Event
from tests.factories import make_source
from tests.incoming.calls import answer_of, assert_refused, hex_hmac, post

pytestmark = pytest.mark.django_db

CHALLENGE = orjson.dumps({"type": "url_verification", "challenge": "<b>3eZbrw1a</b>"})


def slack_headers(body: bytes, secret: str = "a-source-secret") -> dict[str, str]:
    seconds = str(int(time.time()))
    signature = hex_hmac(f"v0:{seconds}:".encode() + body, secret)
    return {"x-slack-signature": f"v0={signature}", "x-slack-request-timestamp": seconds}


def assert_only_a_handshake(source: Source, *, secret_id: str = "") -> None:
    receipt = Receipt.objects.get(source=source)
    assert (receipt.status, receipt.cause, receipt.next_attempt_at) == ("handshake", "", None)
    assert (receipt.external_id, receipt.secret_id) == ("", secret_id)
    assert receipt.is_verified is bool(secret_id)
    assert process_due_receipts() == 0
    assert Event.objects.count() == RefusalCount.objects.count() == 0


def test_answers_a_signed_challenge() -> None:
    source = make_source(provider="slack")
    response = post(source, CHALLENGE, headers=slack_headers(CHALLENGE))
    assert (response.status_code, response.content) == (200, b"<b>3eZbrw1a</b>")
    assert response["Content-Type"] == "text/plain; charset=utf-8"
    assert response["X-Content-Type-Options"] == "nosniff"
    assert bytes(Receipt.objects.get().body) == CHALLENGE
    assert_only_a_handshake(source, secret_id=str(source.secrets.get().pk))


@pytest.mark.parametrize(
    ("headers", "cause"),
    [({}, "signature_missing"), (slack_headers(CHALLENGE, "wrong"), "signature_mismatch")],
)
def test_does_not_answer_a_challenge_that_must_be_signed_and_is_not(
    headers: dict[str, str], cause: str
) -> None:
    response = post(make_source(provider="slack"), CHALLENGE, headers=headers)
    assert b"3eZbrw1a" not in response.content
    assert_refused(response, 401, cause)


def test_what_is_no_handshake_is_an_ordinary_call() -> None:
    body = b'{"type":"event_callback","event_id":"Ev1","event":{"type":"message"}}'
    response = post(make_source(provider="slack"), body, headers=slack_headers(body))
    assert answer_of(response)["status"] == "accepted"
    receipt = Receipt.objects.get()
    assert (receipt.status, receipt.external_id, receipt.type) == ("accepted", "Ev1", "message")


META = {"hub.mode": "subscribe", "hub.verify_token": "my-token", "hub.challenge": "1158201444"}


def ask_meta(source: Source, **changes: str | None) -> Any:
    asked = {name: text for name, text in (META | changes).items() if text is not None}
    query = "&".join(f"{name}={text}" for name, text in asked.items())
    return post(source, b"", method="GET", headers={}, query=query)


def test_answers_a_challenge_by_get_with_the_right_token() -> None:
    source = make_source(provider="meta", options={"verify_token": "my-token"})
    response = ask_meta(source)
    assert (response.status_code, response.content) == (200, b"1158201444")
    assert_only_a_handshake(source)
    assert Receipt.objects.get().query.startswith("hub.mode=subscribe&")


@pytest.mark.parametrize(
    ("changes", "detail"),
    [
        ({"hub.verify_token": "another"}, "the verify token does not fit"),
        ({"hub.verify_token": None}, "the verify token does not fit"),
        ({"hub.challenge": None}, "no challenge"),
        ({"hub.mode": "unsubscribe"}, "no challenge"),
    ],
)
def test_refuses_a_challenge_by_get_that_does_not_fit(
    changes: dict[str, str | None], detail: str
) -> None:
    source = make_source(provider="meta", options={"verify_token": "my-token"})
    response = ask_meta(source, **changes)
    assert b"1158201444" not in response.content
    assert b"my-token" not in response.content
    assert_refused(response, 403, "handshake_refused", detail=detail)


def test_a_handshake_is_counted_against_the_address_s_rate() -> None:
    source = make_source(
        provider="meta", options={"verify_token": "my-token"}, rate_per_minute_per_address=1
    )
    assert [ask_meta(source).status_code for _ in range(2)] == [200, 429]


# --- learned secrets ------------------------------------------------------------------------------


@pytest.fixture
def _commits(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is to be done on commit is done at once: known sources are forgotten then."""
    monkeypatch.setattr("django.db.transaction.on_commit", lambda call: call())


def shake_hands(source: Source, secret: str) -> Any:
    return post(source, b"{}", headers={"X-Hook-Secret": secret})


@pytest.mark.usefixtures("_commits")
def test_learns_the_secret_that_the_provider_tells() -> None:
    source = make_source(provider="asana", secret=None)
    response = shake_hands(source, "told-by-asana")
    assert (response.status_code, response.content) == (200, b"")
    assert response["X-Hook-Secret"] == "told-by-asana"
    assert source.secrets.get().secret == "told-by-asana"
    assert_only_a_handshake(source)
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.object_id) == ("source.secret_learned", str(source.pk))
    assert "told-by-asana" not in entry.before + entry.after
    # And calls signed with it are taken from now on.
    body = b'{"events":[{"action":"changed","resource":{"resource_type":"task"}}]}'
    signed = {"x-hook-signature": hex_hmac(body, "told-by-asana")}
    assert answer_of(post(source, body, headers=signed))["status"] == "accepted"
    assert Receipt.objects.get(status="accepted").secret_id == str(source.secrets.get().pk)


@pytest.mark.usefixtures("_commits")
def test_never_takes_another_secret_for_the_one_it_has() -> None:
    source = make_source(provider="asana", secret=None)
    shake_hands(source, "told-by-asana")
    response = shake_hands(source, "told-by-a-stranger")
    assert (response.status_code, answer_of(response)) == (
        403,
        {"cause": "handshake_refused", "detail": "the source has another secret already"},
    )
    assert "X-Hook-Secret" not in response.headers
    assert b"told-by" not in response.content
    assert [row.secret for row in SourceSecret.objects.all()] == ["told-by-asana"]
    assert AuditEntry.objects.count() == 1
    forged = {"x-hook-signature": hex_hmac(b"{}", "told-by-a-stranger")}
    assert answer_of(post(source, b"{}", headers=forged)) == {"cause": "signature_mismatch"}


@pytest.mark.usefixtures("_commits")
def test_answers_the_same_handshake_again_and_stores_nothing_anew() -> None:
    source = make_source(provider="asana", secret=None)
    answers = [shake_hands(source, "told-by-asana") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert SourceSecret.objects.count() == AuditEntry.objects.count() == 1


@pytest.mark.parametrize("secret", ["", "with space", "é", "x" * 513, "a\r\nset-cookie: a=b"])
def test_learns_nothing_that_is_no_secret(secret: str) -> None:
    source = make_source(provider="asana", secret=None)
    response = post(source, b"{}", headers={"X-Hook-Secret": secret})
    assert_refused(response, 403, "handshake_refused")
    assert "X-Hook-Secret" not in response.headers
    assert SourceSecret.objects.count() == AuditEntry.objects.count() == 0


def test_of_two_that_tell_a_secret_at_once_the_first_counts() -> None:
    source = make_source(provider="asana", secret=None)
    for secret in ("first", "second"):
        learn_secret(source_id=source.pk, secret=secret)
    assert source.secrets.get().secret == "first"
    assert AuditEntry.objects.count() == 1


@pytest.mark.parametrize("provider", ["asana", "clio"])
def test_a_source_as_it_is_made_can_learn_its_secret(provider: str) -> None:
    source = create_source(account=make_source().account, name="Tasks", provider=provider).source
    assert shake_hands(source, "told-by-the-provider").status_code == 200
    assert source.secrets.get().secret == "told-by-the-provider"
