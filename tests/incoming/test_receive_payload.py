"""What a source takes: methods, media types, compression, schemas, fields that make a repeat."""

from __future__ import annotations

import gzip
import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
import time_machine
from django.http import HttpResponse

from incoming.models import Receipt, Source
from incoming.processing import process_due_receipts
from incoming.sources import forget_sources
from outgoing.models import Event
from tests.factories import make_source
from tests.incoming.calls import BODY, answer_of, assert_refused, github_headers, hex_hmac, post

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 14, 15, 9, 26, tzinfo=UTC)


def zipped(body: bytes, signed: bytes, **headers: str) -> dict[str, Any]:
    """A compressed call whose signature is over `signed`."""
    return {"body": body, "headers": {**github_headers(signed), "content-encoding": "gzip"}}


# --- compression ----------------------------------------------------------------------------------


@pytest.mark.parametrize("signs", ["what it sends", "what it compressed"])
def test_takes_a_gzip_body_whichever_bytes_are_signed(signs: str) -> None:
    body = gzip.compress(BODY, mtime=0)
    source = make_source()
    response = post(source, **zipped(body, body if signs == "what it sends" else BODY))
    assert answer_of(response)["status"] == "accepted"
    receipt = Receipt.objects.get()
    assert bytes(receipt.body) == body
    assert bytes(receipt.body_sha256) == hashlib.sha256(body).digest()
    assert process_due_receipts() == 1
    assert bytes(Event.objects.get().data) == BODY


def test_the_id_and_type_of_a_compressed_call_are_read() -> None:
    source = make_source(provider="stripe")
    body = orjson.dumps({"id": "evt_1", "type": "invoice.paid"})
    seconds = str(int(datetime.now(UTC).timestamp()))
    packed = gzip.compress(body)
    signature = hex_hmac(f"{seconds}.".encode() + packed)
    headers = {"stripe-signature": f"t={seconds},v1={signature}", "content-encoding": "x-gzip"}
    assert post(source, packed, headers=headers).status_code == 200
    receipt = Receipt.objects.get()
    assert (receipt.external_id, receipt.type) == ("evt_1", "invoice.paid")


def test_never_expands_more_than_the_source_takes() -> None:
    bomb = gzip.compress(b"0" * 3_000_000)
    source = make_source(max_body_bytes=100_000)
    response = post(source, **zipped(bomb, bomb))
    detail = "it expands to more than 100000 bytes"
    assert_refused_after_proof(response, 413, "payload_too_large", detail)


def test_who_is_not_proved_hears_nothing_of_the_compression() -> None:
    bomb = gzip.compress(b"0" * 3_000_000)
    response = post(make_source(max_body_bytes=100_000), **zipped(bomb, b"another"))
    assert_refused(response, 401, "signature_mismatch")


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"not gzip", "the body is not gzip"),
        (b"", "the gzip body is cut off, or something stands behind it"),
        (
            gzip.compress(BODY, mtime=0)[:-3],
            "the gzip body is cut off, or something stands behind it",
        ),
        (
            gzip.compress(BODY, mtime=0) + b"x",
            "the gzip body is cut off, or something stands behind it",
        ),
        (
            gzip.compress(BODY, mtime=0) + gzip.compress(BODY, mtime=0),
            "the gzip body is cut off, or something stands behind it",
        ),
    ],
    ids=["no gzip", "empty", "cut off", "a byte behind", "two members"],
)
def test_refuses_what_is_no_whole_gzip(body: bytes, detail: str) -> None:
    response = post(make_source(), **zipped(body, body))
    assert_refused_after_proof(response, 400, "payload_unparsable", detail)


def assert_refused_after_proof(
    response: HttpResponse, status: int, cause: str, detail: str
) -> None:
    assert (response.status_code, answer_of(response)) == (
        status,
        {"cause": cause, "detail": detail},
    )
    receipt = Receipt.objects.get()
    assert (receipt.status, receipt.cause, receipt.is_verified) == ("refused", cause, True)
    assert receipt.secret_id == str(receipt.source.secrets.get().pk)
    assert (receipt.type, receipt.dedup_slot, receipt.next_attempt_at) == ("issues", None, None)


# --- methods and media types ----------------------------------------------------------------------


def test_takes_the_methods_that_the_source_names_and_no_others() -> None:
    source = make_source(methods=["PUT", "PATCH"])
    assert post(source, method="PUT").status_code == 200
    assert post(source, method="PATCH").status_code == 200
    response = post(source, method="POST")
    assert (response.status_code, response["Allow"]) == (405, "PATCH, PUT")


def test_a_get_is_a_call_where_the_source_takes_it() -> None:
    source = make_source(provider="generic-hmac", methods=["GET"])
    response = post(source, b"", method="GET", headers={"x-signature": hex_hmac(b"")}, query="a=1")
    assert answer_of(response)["status"] == "accepted"
    receipt = Receipt.objects.get()
    assert (receipt.method, receipt.query) == ("GET", "a=1")


def test_a_get_without_proof_is_refused_where_the_source_takes_gets() -> None:
    source = make_source(provider="generic-hmac", methods=["GET"])
    assert_refused(post(source, b"", method="GET", headers={}), 401, "signature_missing")


def test_takes_the_media_types_that_the_source_names_and_no_others() -> None:
    source = make_source(content_types=["application/xml"])
    assert post(source, content_type="application/xml; charset=utf-8").status_code == 200
    response = post(source)
    assert (response.status_code, answer_of(response)) == (
        415,
        {"cause": "unsupported_media_type", "detail": "this source takes application/xml"},
    )


# --- the answer -----------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_answers_as_the_source_says() -> None:
    source = make_source(
        answer_status=202,
        answer_headers={"Content-Type": "application/json", "X-Taken": "yes"},
        answer_body='{"ok":true}',
    )
    headers = github_headers(BODY, x_github_delivery="one")
    for _ in range(2):  # a repeat hears the same
        response = post(source, headers=headers)
        assert (response.status_code, response.content) == (202, b'{"ok":true}')
        assert (response["Content-Type"], response["X-Taken"]) == ("application/json", "yes")
        assert response["X-Content-Type-Options"] == "nosniff"
    assert [row.status for row in Receipt.objects.order_by("received_at")] == [
        "accepted",
        "duplicate",
    ]


def test_a_refusal_is_not_answered_as_the_source_says() -> None:
    response = post(make_source(answer_status=202, answer_body="thanks"), headers={})
    assert (response.status_code, answer_of(response)["cause"]) == (401, "signature_missing")


# --- the ingest URL -------------------------------------------------------------------------------


def test_the_url_before_counts_until_its_grace_is_over() -> None:
    with time_machine.travel(NOW, tick=False) as clock:
        source = make_source(
            previous_token="t" * 43, previous_token_expires_at=NOW + timedelta(hours=1)
        )
        assert post("/in/" + "t" * 43).status_code == 200
        assert post(source).status_code == 200
        clock.shift(timedelta(hours=1))
        forget_sources()
        assert post("/in/" + "t" * 43).status_code == 404
        assert post(source).status_code == 200


# --- schema ---------------------------------------------------------------------------------------

SCHEMA = {
    "type": "object",
    "required": ["action"],
    "properties": {"action": {"enum": ["closed"]}, "title": {"maxLength": 2}},
}
MISFITS = [
    {"path": "/action", "message": '"opened" is not one of "closed"'},
    {"path": "/title", "message": '"Zoë" is longer than 2 characters'},
]


@pytest.mark.parametrize("mode", ["off", "warn", "reject", "quarantine"])
def test_a_payload_that_fits_is_accepted(mode: str) -> None:
    source = make_source(schema=SCHEMA, schema_mode=mode)
    body = b'{"action":"closed"}'
    response = post(source, body, headers=github_headers(body))
    receipt = Receipt.objects.get()
    assert answer_of(response)["status"] == "accepted"
    assert (receipt.schema_errors, receipt.quarantined_at, receipt.cause) == ([], None, "")
    assert process_due_receipts() == 1


def test_a_schema_that_is_off_is_not_looked_at() -> None:
    post(make_source(schema=SCHEMA, schema_mode="off"))
    receipt = Receipt.objects.get()
    assert (receipt.status, receipt.schema_errors) == ("accepted", [])


def test_a_schema_that_warns_keeps_what_does_not_fit() -> None:
    post(make_source(schema=SCHEMA, schema_mode="warn"))
    receipt = Receipt.objects.get()
    assert (receipt.status, receipt.cause, receipt.quarantined_at) == ("accepted", "", None)
    assert sorted(receipt.schema_errors, key=lambda error: error["path"]) == MISFITS
    assert process_due_receipts() == 1


def test_a_schema_that_rejects_refuses() -> None:
    response = post(make_source(schema=SCHEMA, schema_mode="reject"))
    assert response.status_code == 422
    answer = answer_of(response)
    assert answer["cause"] == "schema_mismatch"
    assert answer["detail"] in ("at /action: it does not fit", "at /title: it does not fit")
    receipt = Receipt.objects.get()
    assert (receipt.status, receipt.cause, receipt.is_verified) == (
        "refused",
        "schema_mismatch",
        True,
    )
    assert len(receipt.schema_errors) == 2


def test_a_schema_that_quarantines_keeps_the_receipt_for_a_person() -> None:
    response = post(make_source(schema=SCHEMA, schema_mode="quarantine"))
    assert (response.status_code, answer_of(response)["status"]) == (200, "accepted")
    receipt = Receipt.objects.get()
    assert (receipt.status, receipt.cause) == ("accepted", "schema_mismatch")
    assert receipt.quarantined_at == receipt.received_at
    assert receipt.next_attempt_at is None
    assert len(receipt.schema_errors) == 2
    assert process_due_receipts() == 0


def test_keeps_at_most_ten_places_that_do_not_fit() -> None:
    body = orjson.dumps({"n": list(range(50))})
    schema = {"properties": {"n": {"items": {"type": "string"}}}}
    post(make_source(schema=schema, schema_mode="warn"), body, headers=github_headers(body))
    assert len(Receipt.objects.get().schema_errors) == 10


def test_a_schema_sees_a_form_as_a_mapping() -> None:
    body = b"action=closed&action=opened"
    schema = {"properties": {"action": {"type": "string"}}}
    source = make_source(schema=schema, schema_mode="warn")
    content_type = "application/x-www-form-urlencoded"
    post(source, body, headers=github_headers(body), content_type=content_type)
    assert [error["path"] for error in Receipt.objects.get().schema_errors] == ["/action"]


def test_what_a_schema_says_of_a_stranger_s_bytes_can_be_stored() -> None:
    body = b'{"a\\u0000b":"\\u0000"}'
    schema = {"additionalProperties": {"type": "number"}}
    post(make_source(schema=schema, schema_mode="warn"), body, headers=github_headers(body))
    assert [error["path"] for error in Receipt.objects.get().schema_errors] == ["/a\ufffdb"]


# --- repeats --------------------------------------------------------------------------------------


def order(number: str, *, delivery: str, note: str = "") -> tuple[bytes, dict[str, str]]:
    body = orjson.dumps({"order": {"id": number}, "note": note})
    return body, github_headers(body, x_github_delivery=delivery)


def status_of(source: Source, number: str, **fields: str) -> str:
    body, headers = order(number, **fields)
    return str(answer_of(post(source, body, headers=headers))["status"])


@pytest.mark.django_db(transaction=True)
def test_calls_with_the_chosen_fields_in_common_are_one_within_the_window() -> None:
    with time_machine.travel(NOW, tick=False) as clock:
        source = make_source(dedup_fields=["json:order.id"], dedup_window_seconds=600)
        assert status_of(source, "7", delivery="a") == "accepted"
        assert status_of(source, "7", delivery="b", note="other") == "duplicate"
        assert status_of(source, "8", delivery="c") == "accepted"
        clock.shift(timedelta(seconds=599))
        assert status_of(source, "7", delivery="d") == "duplicate"
        clock.shift(timedelta(seconds=1))
        assert status_of(source, "7", delivery="e") == "accepted"
    first, second, *_ = Receipt.objects.order_by("pk")
    assert second.detail == f"repeats {first.pk}, with another body"
    assert first.external_id.startswith("fields:")
    assert len(first.external_id) == 71


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("start", range(0, 600, 50))
def test_the_window_is_counted_from_the_first_call_wherever_it_begins(start: int) -> None:
    with time_machine.travel(NOW + timedelta(seconds=start), tick=False) as clock:
        source = make_source(dedup_fields=["json:order.id"], dedup_window_seconds=600)
        assert status_of(source, "7", delivery="a") == "accepted"
        clock.shift(timedelta(seconds=599))
        assert status_of(source, "7", delivery="b") == "duplicate"
        clock.shift(timedelta(seconds=1))
        assert status_of(source, "7", delivery="c") == "accepted"


def test_a_call_without_any_of_the_chosen_fields_is_no_repeat() -> None:
    source = make_source(dedup_fields=["json:order.id", "header:x-order"])
    for delivery in ("a", "a"):
        headers = github_headers(BODY, x_github_delivery=delivery)
        assert answer_of(post(source, headers=headers))["status"] == "accepted"
    assert {(row.external_id, row.dedup_slot) for row in Receipt.objects.all()} == {("", None)}


def test_fields_that_are_joined_alike_are_not_alike() -> None:
    source = make_source(dedup_fields=["header:x-a", "header:x-b"])
    for a, b in (("1", "23"), ("12", "3")):
        headers = {**github_headers(BODY), "x-a": a, "x-b": b}
        assert answer_of(post(source, headers=headers))["status"] == "accepted"


@pytest.mark.django_db(transaction=True)
def test_counts_the_repeats_of_a_source() -> None:
    source = make_source()
    headers = github_headers(BODY, x_github_delivery="one")
    for _ in range(3):
        post(source, headers=headers)
    source.refresh_from_db()
    assert source.duplicate_count == 2
    last = Receipt.objects.filter(status="duplicate").order_by("-received_at")[0]
    assert source.last_received_at == source.last_verified_at == last.received_at


def test_the_same_id_of_two_sources_is_no_repeat() -> None:
    headers = github_headers(BODY, x_github_delivery="one")
    for _ in range(2):
        assert answer_of(post(make_source(), headers=headers))["status"] == "accepted"
