"""What is stored of an accepted call, of a repeated one, and of what strangers think up."""

from __future__ import annotations

import hashlib
import io
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
import time_machine
from django.db import (
    DataError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    connection,
    transaction,
)

from incoming.models import Receipt, RefusalCount, SourceSecret
from incoming.processing import process_due_receipts
from incoming.sources import forget_sources
from outgoing.models import Event
from tests.factories import make_source
from tests.incoming.calls import BODY, answer_of, base64_hmac, github_headers, hex_hmac, post
from webhooks_project.lib.keyring import Keyring
from webhooks_project.lib.sql import insert_instance

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 14, 15, 9, 26, 535_897, tzinfo=UTC)


@time_machine.travel(NOW, tick=False)
def test_stores_the_call_as_it_came() -> None:
    source = make_source()
    headers = github_headers(BODY, x_github_event="issues", x_github_delivery="delivery-1")
    response = post(
        source,
        headers={**headers, "X-Request-ID": "request-12345", "X-Odd": "a, b"},
        query="a=1&b=%C3%A9",
        REMOTE_ADDR="192.0.2.9",
    )
    receipt = Receipt.objects.get()
    assert response.status_code == 200
    assert answer_of(response) == {"status": "accepted", "receipt": str(receipt.pk)}
    assert response["X-Request-ID"] == "request-12345"
    assert (receipt.source_id, receipt.account_id) == (source.pk, source.account_id)
    assert (receipt.status, receipt.cause, receipt.detail) == ("accepted", "", "")
    assert (receipt.external_id, receipt.type) == ("delivery-1", "issues")
    assert (receipt.method, receipt.query) == ("POST", "a=1&b=%C3%A9")
    assert receipt.remote_address == "192.0.2.9"
    assert receipt.request_id == "request-12345"
    assert bytes(receipt.body) == BODY
    assert bytes(receipt.body_sha256) == hashlib.sha256(BODY).digest()
    assert orjson.loads(bytes(receipt.headers)) == {
        "content-length": str(len(BODY)),
        "content-type": "application/json",
        "cookie": "",
        "x-github-delivery": "delivery-1",
        "x-github-event": "issues",
        "x-hub-signature-256": headers["x-hub-signature-256"],
        "x-odd": "a, b",
        "x-request-id": "request-12345",
    }
    assert receipt.received_at == receipt.next_attempt_at == NOW
    assert receipt.secret_id == str(source.secrets.get().pk)
    assert receipt.signed_at is None
    assert (receipt.attempt_count, receipt.event_count) == (0, 0)
    assert (receipt.lease_token, receipt.leased_until, receipt.processed_at) == (None, None, None)
    assert Event.objects.count() == RefusalCount.objects.count() == 0


@pytest.mark.parametrize("given", ["", "short", "a" * 65, "with space", "new\nline", "<script>"])
def test_makes_a_request_id_where_the_given_one_is_not_plain(given: str) -> None:
    response = post(make_source(), headers={**github_headers(BODY), "X-Request-ID": given})
    made = Receipt.objects.get().request_id
    assert made == response["X-Request-ID"] != given
    assert len(made) == 32


BODIES: list[bytes] = [
    b'{"b": 1,\t"a":1.0,"a":1e2}\r\n',
    b"null",
    b" null\n",
    b'"text"',
    b"[12345678901234567890123,-0.0,1E-400]",
    '{"é":"\U0001f4a9\\u0000"}'.encode(),
    b"[" * 900 + b"]" * 900,
]


@pytest.mark.parametrize("body", BODIES, ids=lambda body: repr(body[:12]))
def test_keeps_the_bytes_exactly(body: bytes) -> None:
    assert post(make_source(), body, headers=github_headers(body)).status_code == 200
    assert bytes(Receipt.objects.get().body) == body


@pytest.mark.parametrize(
    "body",
    [b"", b"\x00", b"\xff\xfe\x00\xed\xa0\x80", b"a=%00&b=%ED%A0%80&=", b"[" * 100_000, b"%" * 999],
    ids=lambda body: repr(body[:12]),
)
@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_keeps_what_need_not_be_json_whatever_it_is(content_type: str, body: bytes) -> None:
    response = post(make_source(), body, headers=github_headers(body), content_type=content_type)
    assert (response.status_code, answer_of(response)["status"]) == (200, "accepted")
    assert bytes(Receipt.objects.get().body) == body
    assert process_due_receipts() == 1
    assert Receipt.objects.get().status == "processed"
    assert Event.objects.count() == 1


@pytest.mark.parametrize(
    ("name", "text", "kept"),
    [
        ("x_github_event", "a\x00b", "a�b"),
        ("x_github_event", "a\ud800b", "a?b"),
        ("x_github_event", "é\xff", "é\xff"),
        ("x_github_event", "x" * 255, "x" * 255),
        ("x_github_event", "x" * 256, "sha256:" + hashlib.sha256(b"x" * 256).hexdigest()),
        ("x_github_event", "", ""),
        ("x_github_delivery", "\x00\ud800", "�?"),
        ("x_github_delivery", "y" * 5000, "sha256:" + hashlib.sha256(b"y" * 5000).hexdigest()),
    ],
    ids=ascii,
)
def test_keeps_odd_names_in_a_form_that_every_database_takes(
    name: str, text: str, kept: str
) -> None:
    environ = {f"HTTP_{name.upper()}": text}
    response = post(make_source(), headers=github_headers(BODY, **{name: None}), **environ)
    assert (response.status_code, answer_of(response)["status"]) == (200, "accepted")
    receipt = Receipt.objects.get()
    assert (receipt.type if name == "x_github_event" else receipt.external_id) == kept
    assert name.replace("_", "-") in orjson.loads(bytes(receipt.headers))


@pytest.mark.parametrize("text", ["\x00", "\ud800", "\xff" * 20_000, "\r\nx: y", "💩"], ids=ascii)
@pytest.mark.parametrize("name", ["HTTP_X_ODD", "HTTP_USER_AGENT", "HTTP_X_REQUEST_ID"])
def test_odd_headers_do_no_harm(name: str, text: str) -> None:
    response = post(make_source(), **{name: text})
    assert (response.status_code, answer_of(response)["status"]) == (200, "accepted")
    header = name.removeprefix("HTTP_").replace("_", "-").lower()
    assert orjson.loads(bytes(Receipt.objects.get().headers))[header] == (
        "?" if text == "\ud800" else text
    )


@pytest.mark.parametrize(
    "query",
    ["a=\x00", "\ud800", "%00%ff", "&".join(["a"] * 2000), "=" * 9000],
    ids=lambda q: ascii(q[:9]),
)
def test_odd_queries_do_no_harm(query: str) -> None:
    response = post(make_source(), QUERY_STRING=query)
    assert (response.status_code, answer_of(response)["status"]) == (200, "accepted")
    kept = query.replace("\x00", "�").replace("\ud800", "?")
    assert Receipt.objects.get().query == kept


# --- duplicates -----------------------------------------------------------------------------------


@pytest.fixture
def _own_transactions(monkeypatch: pytest.MonkeyPatch) -> None:
    """An insert that fails spoils nothing around it: a call is in no transaction, a test is."""

    def insert(receipt: Receipt, **along: Any) -> None:
        with transaction.atomic():
            insert_instance(receipt, **along)

    monkeypatch.setattr("incoming.store.insert_instance", insert)


in_own_transactions = pytest.mark.usefixtures("_own_transactions")


@pytest.mark.django_db(transaction=True)
def test_a_repeat_is_found_by_the_database_itself() -> None:
    source = make_source()
    statuses = [answer_of(repeat(source))["status"] for _ in range(2)]
    assert statuses == ["accepted", "duplicate"]
    kept = list(Receipt.objects.order_by("pk").values_list("status", flat=True))
    assert kept == ["accepted", "duplicate"]


def repeat(source: Any, body: bytes = BODY, delivery: str = "delivery-1") -> Any:
    return post(source, body, headers=github_headers(body, x_github_delivery=delivery))


@in_own_transactions
def test_a_repeat_is_answered_well_and_kept_as_one() -> None:
    source = make_source()
    first = answer_of(repeat(source))
    response = repeat(source)
    answer = answer_of(response)
    assert (response.status_code, answer["status"]) == (200, "duplicate")
    assert answer["receipt"] != first["receipt"]
    duplicate = Receipt.objects.get(pk=answer["receipt"])
    assert (duplicate.status, duplicate.external_id) == ("duplicate", "delivery-1")
    assert duplicate.detail == f"repeats {first['receipt']}"
    assert bytes(duplicate.body) == BODY
    assert duplicate.next_attempt_at is None
    assert Receipt.objects.get(pk=first["receipt"]).status == "accepted"
    assert process_due_receipts() == 1
    assert [event.causation_id for event in Event.objects.all()] == [f"receipt:{first['receipt']}"]


@in_own_transactions
def test_a_repeat_with_another_body_says_so() -> None:
    source = make_source()
    first = answer_of(repeat(source))
    other = b'{"action":"closed"}'
    answer = answer_of(repeat(source, other))
    assert answer["status"] == "duplicate"
    duplicate = Receipt.objects.get(pk=answer["receipt"])
    assert duplicate.detail == f"repeats {first['receipt']}, with another body"
    assert bytes(duplicate.body) == other


@in_own_transactions
def test_a_repeat_is_one_after_the_first_was_processed_and_however_often() -> None:
    source = make_source()
    first = answer_of(repeat(source))
    process_due_receipts()
    for _ in range(3):
        assert answer_of(repeat(source))["status"] == "duplicate"
    assert process_due_receipts() == 0
    details = set(Receipt.objects.filter(status="duplicate").values_list("detail", flat=True))
    assert details == {f"repeats {first['receipt']}"}
    assert Event.objects.count() == 1


@in_own_transactions
def test_the_same_id_at_another_source_is_no_repeat() -> None:
    source, other = make_source(), make_source()
    for each in (source, other):
        assert answer_of(repeat(each))["status"] == "accepted"
    assert Receipt.objects.filter(status="accepted").count() == 2


def test_calls_without_an_id_are_no_repeats() -> None:
    source = make_source()
    headers = github_headers(BODY, x_github_delivery=None)
    statuses = [answer_of(post(source, headers=headers))["status"] for _ in range(2)]
    assert statuses == ["accepted", "accepted"]
    assert set(Receipt.objects.values_list("external_id", flat=True)) == {""}


# --- the secrets ----------------------------------------------------------------------------------


def test_takes_either_secret_while_one_is_rotated() -> None:
    source = make_source()
    old = source.secrets.get()
    new = SourceSecret.objects.create(source=source, secret="the-new-secret")
    SourceSecret.objects.filter(pk=old.pk).update(expires_at=NOW + timedelta(hours=1))
    with time_machine.travel(NOW, tick=False) as traveller:
        assert post(source).status_code == 200
        assert Receipt.objects.get().secret_id == str(old.pk)
        fresh = github_headers(BODY, secret="the-new-secret")
        assert post(source, headers=fresh).status_code == 200
        assert set(Receipt.objects.values_list("secret_id", flat=True)) == {
            str(old.pk),
            str(new.pk),
        }
        # At its moment, also while the source is still known from memory.
        traveller.shift(3600)
        response = post(source)
        assert (response.status_code, answer_of(response)) == (
            401,
            {"cause": "signature_mismatch"},
        )
        assert (
            post(source, headers=github_headers(BODY, secret="the-new-secret")).status_code == 200
        )
    assert Receipt.objects.filter(status="accepted").count() == 3
    assert Receipt.objects.filter(status="refused").count() == 1


def test_a_secret_that_cannot_be_opened_spoils_no_other(settings: Any) -> None:
    source = make_source(secret="sealed-with-a-lost-key")
    kept = settings.ENCRYPTION_KEYRING
    settings.ENCRYPTION_KEYRING = Keyring.parse("t2:OTg3NjU0MzIxMGFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")
    SourceSecret.objects.create(source=source, secret="a-source-secret")
    assert post(source).status_code == 200
    settings.ENCRYPTION_KEYRING = kept
    forget_sources()
    assert answer_of(post(source)) == {"cause": "signature_mismatch"}


# --- the database ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        OperationalError("database or disk is full"),
        OperationalError("attempt to write a readonly database"),
        OperationalError("database is locked"),
        InterfaceError("connection already closed"),
        DataError("out of range"),
        OSError(28, "No space left on device"),
    ],
    ids=str,
)
def test_says_come_again_when_the_receipt_cannot_be_stored(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise error

    source = make_source()
    with monkeypatch.context() as patched:
        patched.setattr("incoming.store.insert_instance", fail)
        response = post(source)
    assert (response.status_code, answer_of(response)) == (503, {"cause": "unavailable"})
    assert response["Retry-After"] == "5"
    assert Receipt.objects.count() == Event.objects.count() == 0
    assert RefusalCount.objects.count() == 0
    # And the same call is new when it comes again.
    assert answer_of(post(source))["status"] == "accepted"


def test_says_come_again_when_a_refusal_cannot_be_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise OperationalError("attempt to write a readonly database")

    monkeypatch.setattr(RefusalCount.objects, "bulk_create", fail)
    response = post(make_source(), headers={})
    assert (response.status_code, answer_of(response)) == (503, {"cause": "unavailable"})
    assert Receipt.objects.count() == RefusalCount.objects.count() == 0


def test_says_come_again_when_the_source_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(token: str) -> None:
        raise OperationalError("the server closed the connection")

    monkeypatch.setattr("incoming.receiving.door.source_by_token", fail)
    response = post(make_source())
    assert (response.status_code, answer_of(response)) == (503, {"cause": "unavailable"})
    assert Receipt.objects.count() == 0


def test_never_says_well_where_neither_the_receipt_nor_an_earlier_one_is_stored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise IntegrityError("a constraint of another kind")

    monkeypatch.setattr("incoming.store.insert_instance", fail)
    response = post(make_source())
    assert (response.status_code, answer_of(response)) == (503, {"cause": "unavailable"})
    assert Receipt.objects.count() == 0


def test_stores_nothing_of_a_call_that_broke_off() -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise ConnectionResetError("the caller went away")

    response = post(make_source(), **{"wsgi.input": Broken()})
    assert (response.status_code, answer_of(response)) == (503, {"cause": "unavailable"})
    assert Receipt.objects.count() == RefusalCount.objects.count() == 0


@in_own_transactions
def test_wakes_the_queue_once_the_receipt_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, int]] = []

    def note(family: str) -> None:
        seen.append((family, Receipt.objects.count()))

    monkeypatch.setattr("incoming.receiving.acceptance.wake", note)
    source = make_source()
    repeat(source)
    repeat(source)
    post(source, headers={})
    assert seen == [("processing", 1)]


# --- the address that was called ------------------------------------------------------------------


@pytest.mark.parametrize("public_url", ["", "https://hooks.example.com/github"])
@pytest.mark.parametrize("query", ["", "a=%C3%A9&a=b"])
def test_what_signs_the_url_signs_the_source_s_own_whatever_the_host_header(
    settings: Any, public_url: str, query: str
) -> None:
    settings.PUBLIC_URL = "https://hub.example.com"
    source = make_source(
        provider="generic-hmac", options={"message": "{url}{body}"}, public_url=public_url
    )
    url = public_url or f"https://hub.example.com{source.path}"
    signed = f"{url}?{query}" if query else url
    headers = {"x-signature": hex_hmac(signed.encode() + BODY)}
    response = post(source, headers=headers, query=query, HTTP_HOST="evil.example")
    assert (response.status_code, answer_of(response)["status"]) == (200, "accepted")
    forged = {"x-signature": hex_hmac(f"http://evil.example{source.path}".encode() + BODY)}
    response = post(source, headers=forged, HTTP_HOST="evil.example")
    assert answer_of(response) == {"cause": "signature_mismatch"}


@pytest.mark.parametrize("more", ["/", "/more", "//"])
def test_what_goes_on_after_the_token_is_no_ingest_url(more: str) -> None:
    assert post(f"{make_source().path}{more}").status_code == 404
    assert Receipt.objects.count() == RefusalCount.objects.count() == 0


def test_every_answer_says_its_length() -> None:
    source = make_source()
    for response in (post(source), post(source, headers={}), post("/in/nobody")):
        assert response["Content-Length"] == str(len(response.content))


# --- what is asked of the hub ---------------------------------------------------------------------


@in_own_transactions
@pytest.mark.parametrize("repeated", [False, True])
def test_the_acknowledgement_is_the_provider_s_own(repeated: bool) -> None:
    source = make_source(provider="shiphero")
    headers = {
        "x-shiphero-hmac-sha256": base64_hmac(BODY),
        "x-shiphero-message-id": "message-1",
    }
    response = post(source, headers=headers)
    if repeated:
        response = post(source, headers=headers)
    assert (response.status_code, answer_of(response)) == (
        200,
        {"code": "200", "Status": "Success"},
    )
    assert response["X-Content-Type-Options"] == "nosniff"
    kept = list(Receipt.objects.order_by("pk").values_list("status", flat=True))
    assert kept == ["accepted", "duplicate"][: 1 + repeated]


def test_a_call_to_a_known_source_costs_one_transaction(django_assert_num_queries: Any) -> None:
    source = make_source()
    post(source)
    # The receipt and the mark that it is not counted yet: one statement, or a transaction of two.
    with django_assert_num_queries(1 if connection.vendor == "postgresql" else 4):
        assert post(source, headers=github_headers(BODY)).status_code == 200
