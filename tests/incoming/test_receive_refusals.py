"""Each step of the door: what it refuses, by which cause and status, and what is kept of it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import io
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
import time_machine
from django.core.handlers.wsgi import WSGIRequest
from django.test import Client, RequestFactory

from incoming import refusals
from incoming.models import Receipt, RefusalCount
from incoming.providers import Cause, Refused
from incoming.receiving.door import receive
from incoming.receiving.refusal import STATUS_OF
from incoming.refusals import KEPT_BODY_BYTES, record_refusal
from outgoing.models import Event
from tests.factories import SIGNING_SECRET, SOURCE_SECRET, make_source
from tests.incoming.calls import (
    BODY,
    answer_of,
    assert_refused,
    github_headers,
    hex_hmac,
    post,
    refusal_counts,
)
from webhooks_project.lib import clock
from webhooks_project.lib.ssrf import parse_networks

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 14, 15, 9, 26, tzinfo=UTC)
JSON = "application/json"


# --- method ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "X" * 300])
def test_refuses_another_method_and_says_which_is_taken(method: str) -> None:
    response = post(make_source(), method=method)
    assert response["Allow"] == "POST"
    assert_refused(response, 405, "method_not_allowed", kept=False)


def test_refuses_get_where_the_provider_asks_nothing_by_get() -> None:
    response = post(make_source(), method="GET")
    assert response["Allow"] == "POST"
    assert_refused(response, 405, "method_not_allowed")


def test_refuses_head_without_a_body() -> None:
    response = post(make_source(), method="HEAD")
    assert (response.status_code, response["Allow"], response.content) == (405, "POST", b"")
    assert refusal_counts() == {"method_not_allowed": 1}
    assert Event.objects.count() == 0


def test_names_every_method_that_the_provider_takes() -> None:
    response = post(make_source(provider="generic-hmac"), method="DELETE")
    assert response["Allow"] == "PATCH, POST, PUT"
    assert_refused(response, 405, "method_not_allowed", kept=False)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_takes_each_of_the_provider_s_methods(method: str) -> None:
    source = make_source(provider="generic-hmac")
    response = post(source, method=method, headers={"x-signature": hex_hmac(BODY)})
    assert response.status_code == 200
    assert Receipt.objects.get().method == method


# --- size -----------------------------------------------------------------------------------------


def test_refuses_a_longer_body_by_its_content_length() -> None:
    source = make_source(max_body_bytes=10)
    response = post(source, b"x" * 11)
    assert_refused(
        response, 413, "payload_too_large", kept=False, detail="at most 10 bytes are taken"
    )


def test_takes_a_body_of_exactly_the_limit() -> None:
    source = make_source(max_body_bytes=len(BODY))
    assert post(source).status_code == 200
    assert bytes(Receipt.objects.get().body) == BODY


class CountingStream(io.BytesIO):
    """A server's stream that notes how much of it was read."""

    def __init__(self, body: bytes) -> None:
        super().__init__(body)
        self.read_bytes = 0

    def read(self, size: int | None = -1) -> bytes:
        part = super().read(size)
        self.read_bytes += len(part)
        return part


def chunked(body: bytes, **headers: str) -> tuple[WSGIRequest, CountingStream]:
    request = RequestFactory().post("/", headers={**headers, "transfer-encoding": "chunked"})
    stream = CountingStream(body)
    del request.META["CONTENT_LENGTH"]
    request.META |= {"wsgi.input": stream, "CONTENT_TYPE": "application/json"}
    return request, stream


def test_refuses_a_longer_chunked_body_and_reads_no_more_of_it() -> None:
    source = make_source(max_body_bytes=100)
    request, stream = chunked(b"x" * 5000)
    response = receive(request, source.token)
    assert_refused(response, 413, "payload_too_large", kept=False)
    assert stream.read_bytes == 101


def test_takes_a_chunked_body_whole() -> None:
    source = make_source()
    request, _ = chunked(BODY, **github_headers(BODY))
    assert receive(request, source.token).status_code == 200
    assert bytes(Receipt.objects.get().body) == BODY


def test_refuses_a_content_length_of_thousands_of_digits() -> None:
    response = post(make_source(), CONTENT_LENGTH="9" * 5000)
    assert_refused(response, 413, "payload_too_large", kept=False)


@pytest.mark.parametrize("length", ["", "-5", "abc", "²", "0x10", "1e3"])
def test_takes_a_content_length_that_is_no_number_for_an_empty_body(length: str) -> None:
    response = post(make_source(), CONTENT_LENGTH=length)
    assert_refused(response, 401, "signature_mismatch")
    assert bytes(Receipt.objects.get().body) == b""


# --- address --------------------------------------------------------------------------------------

ALLOWED = ["192.0.2.0/24", "2001:db8::/32"]


@pytest.mark.parametrize(
    "address", ["192.0.2.1", "192.0.2.255", "2001:db8::1", "::ffff:192.0.2.7", "2001:db8::1%eth0"]
)
def test_takes_calls_from_the_source_s_networks(address: str) -> None:
    response = post(make_source(allowed_networks=ALLOWED), REMOTE_ADDR=address)
    assert response.status_code == 200
    assert Receipt.objects.get().remote_address == address


@pytest.mark.parametrize(
    "address",
    ["192.0.3.1", "127.0.0.1", "2001:db9::1", "::ffff:192.0.3.7", "::192.0.2.1", "", "unix:"],
)
def test_refuses_calls_from_elsewhere(address: str) -> None:
    response = post(make_source(allowed_networks=ALLOWED), REMOTE_ADDR=address)
    assert_refused(response, 403, "address_not_allowed")
    assert Receipt.objects.get().remote_address == address


def test_a_stranger_s_forwarded_address_is_ignored() -> None:
    source = make_source(allowed_networks=ALLOWED)
    headers = {**github_headers(BODY), "x-forwarded-for": "192.0.2.1"}
    response = post(source, headers=headers, REMOTE_ADDR="198.51.100.1")
    assert_refused(response, 403, "address_not_allowed")
    assert Receipt.objects.get().remote_address == "198.51.100.1"


@pytest.mark.parametrize(
    ("forwarded", "address", "status"),
    [
        ("192.0.2.1", "192.0.2.1", 200),
        ("192.0.2.1, 10.0.0.2", "192.0.2.1", 200),
        ("192.0.2.1, 198.51.100.1", "198.51.100.1", 403),  # the left part is the caller's own word
        ("192.0.2.1, nonsense", "10.0.0.1", 403),
        ("", "10.0.0.1", 403),
    ],
)
def test_a_trusted_proxy_s_forwarded_address_counts(
    settings: Any, forwarded: str, address: str, status: int
) -> None:
    settings.TRUSTED_PROXIES = parse_networks(["10.0.0.0/8"])
    headers = {**github_headers(BODY), "x-forwarded-for": forwarded}
    response = post(make_source(allowed_networks=ALLOWED), headers=headers, REMOTE_ADDR="10.0.0.1")
    assert response.status_code == status
    receipt = Receipt.objects.get()
    assert receipt.remote_address == address
    assert receipt.cause == ("" if status == 200 else "address_not_allowed")


# --- source ---------------------------------------------------------------------------------------


def test_refuses_calls_to_a_disabled_source() -> None:
    response = post(make_source(disabled_at=NOW))
    assert_refused(response, 403, "source_disabled", kept=False)


@pytest.mark.parametrize(
    "token", ["nobody", "%00", "a%00b", "%ff%fe", "%ED%A0%80", "a" * 5000, "..", "' OR 1=1 --"]
)
def test_knows_no_such_source(token: str) -> None:
    make_source()
    response = post(f"/in/{token}")
    assert (response.status_code, answer_of(response)) == (404, {"cause": "unknown_source"})
    assert refusal_counts() == {}
    assert Receipt.objects.count() == Event.objects.count() == 0


def test_knows_no_source_of_a_provider_that_is_gone() -> None:
    response = post(make_source(provider="geocities"))
    assert (response.status_code, answer_of(response)) == (404, {"cause": "unknown_source"})
    assert Receipt.objects.count() == 0


def test_refuses_when_the_source_has_no_secret() -> None:
    assert_refused(post(make_source(secret=None)), 401, "secret_missing")


def test_refuses_when_the_source_s_options_are_of_no_use() -> None:
    source = make_source(provider="generic-hmac", options={"hash": "md4"})
    response = post(source, headers={"x-signature": hex_hmac(BODY)})
    assert_refused(
        response,
        503,
        "source_misconfigured",
        detail="option 'hash' must be one of sha1, sha256, sha384, sha512",
    )
    assert response["Retry-After"] == "5"


# --- proof ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("signature", "cause"),
    [
        (None, "signature_missing"),
        ("", "signature_missing"),
        ("sha1=00", "signature_malformed"),
        ("sha256=", "signature_malformed"),
        ("sha256=xyz", "signature_malformed"),
        ("sha256=" + "0" * 9000, "signature_malformed"),
        ("sha256=é", "signature_malformed"),
        ("sha256=" + "0" * 64, "signature_mismatch"),
        ("sha256=" + hex_hmac(BODY, "another-secret"), "signature_mismatch"),
        ("sha256=" + hex_hmac(BODY + b" "), "signature_mismatch"),
        ("sha256=" + hex_hmac(BODY)[:-2], "signature_mismatch"),
    ],
)
def test_refuses_a_call_that_is_not_proved(signature: str | None, cause: str) -> None:
    response = post(
        make_source(),
        headers=github_headers(BODY, x_hub_signature_256=signature),
    )
    assert_refused(response, 401, cause)
    receipt = Receipt.objects.get()
    assert (bytes(receipt.body), receipt.secret_id, receipt.signed_at) == (BODY, "", None)


def test_never_tells_a_secret_nor_what_would_have_been_right() -> None:
    source = make_source()
    for signature in (None, "sha256=00", "sha256=" + "0" * 64):
        response = post(
            source,
            headers=github_headers(BODY, x_hub_signature_256=signature),
        )
        told = response.serialize().decode() + str(Receipt.objects.values_list("detail", "headers"))
        assert response.status_code == 401
        for secret in (SOURCE_SECRET, hex_hmac(BODY), base64.b64encode(SOURCE_SECRET.encode())):
            assert str(secret) not in told


def stripe_headers(at: datetime, *, secret: str = SOURCE_SECRET) -> dict[str, str]:
    seconds = int(at.timestamp())
    signature = hmac.digest(secret.encode(), f"{seconds}.".encode() + BODY, "sha256").hex()
    return {"stripe-signature": f"t={seconds},v1={signature}"}


@pytest.mark.parametrize(
    ("age_seconds", "tolerance", "cause"),
    [
        (0, None, ""),
        (300, None, ""),
        (301, None, "timestamp_too_old"),
        (-100_000, None, ""),  # Stripe bounds the past only
        (600, 600, ""),
        (601, 600, "timestamp_too_old"),
        (31, 30, "timestamp_too_old"),
        (-31, 30, ""),
    ],
)
@time_machine.travel(NOW, tick=False)
def test_a_signature_is_as_old_as_the_source_lets_it(
    age_seconds: int, tolerance: int | None, cause: str
) -> None:
    source = make_source(provider="stripe", tolerance_seconds=tolerance)
    signed_at = NOW.replace(microsecond=0) - timedelta(seconds=age_seconds)
    response = post(source, headers=stripe_headers(signed_at))
    if cause:
        assert_refused(response, 401, cause)
    else:
        assert response.status_code == 200
        assert Receipt.objects.get().signed_at == signed_at


@pytest.mark.parametrize(
    ("ahead_seconds", "tolerance", "cause"),
    [(300, None, ""), (301, None, "timestamp_in_future"), (31, 30, "timestamp_in_future")],
)
@time_machine.travel(NOW, tick=False)
def test_a_signature_is_no_further_ahead_than_the_source_lets_it(
    ahead_seconds: int, tolerance: int | None, cause: str
) -> None:
    seconds = str(int(NOW.timestamp()) + ahead_seconds)
    signature = "v0=" + hex_hmac(f"v0:{seconds}:".encode() + BODY)
    headers = {"x-slack-signature": signature, "x-slack-request-timestamp": seconds}
    response = post(make_source(provider="slack", tolerance_seconds=tolerance), headers=headers)
    if cause:
        assert_refused(response, 401, cause)
    else:
        assert (response.status_code, answer_of(response)["status"]) == (200, "accepted")


def test_says_too_old_of_a_true_signature_only() -> None:
    headers = stripe_headers(NOW - timedelta(days=1), secret="another-secret")
    response = post(make_source(provider="stripe"), headers=headers)
    assert_refused(response, 401, "signature_mismatch")


@pytest.mark.parametrize(
    ("headers", "cause"),
    [
        ({"webhook-signature": "v1,AAAA", "webhook-id": "m"}, "timestamp_missing"),
        (
            {"webhook-signature": "v1,AAAA", "webhook-id": "m", "webhook-timestamp": "soon"},
            "timestamp_malformed",
        ),
        ({"webhook-signature": "v1,AAAA", "webhook-timestamp": "1"}, "signature_malformed"),
    ],
)
def test_refuses_a_call_without_its_signed_parts(headers: dict[str, str], cause: str) -> None:
    source = make_source(provider="standard-webhooks", secret=SIGNING_SECRET)
    assert_refused(post(source, headers=headers), 401, cause)


# --- payload --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content_type",
    ["text/html", "image/png", "application/octet-stream", "application/jsonx", "nonsense", "*/*"],
)
def test_refuses_another_media_type(content_type: str) -> None:
    response = post(make_source(), content_type=content_type)
    assert_refused(response, 415, "unsupported_media_type")


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "Application/JSON; charset=utf-8",
        "application/cloudevents+json",
        "application/vnd.api+json;v=1",
        "text/json",
        "text/plain",
        "application/xml",
        "text/xml",
        "application/x-www-form-urlencoded",
        'multipart/form-data; boundary="b"',
        "",
    ],
)
def test_takes_the_media_types_that_webhooks_have(content_type: str) -> None:
    response = post(make_source(), content_type=content_type)
    assert (response.status_code, answer_of(response)["status"]) == (200, "accepted")


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, identity", "gzip, gzip"])
def test_refuses_another_compression_than_gzip(encoding: str) -> None:
    headers = {**github_headers(BODY), "content-encoding": encoding}
    response = post(make_source(), headers=headers)
    detail = "a body may be compressed with gzip alone"
    assert_refused(response, 415, "unsupported_media_type", detail=detail)


def test_takes_a_body_that_says_it_is_not_compressed() -> None:
    headers = {**github_headers(BODY), "content-encoding": "Identity"}
    assert post(make_source(), headers=headers).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"NaN",
        b"{'a':1}",
        b"\xff\xfe{}",
        b'{"a":"\xc3"}',
        rb'{"a":"\ud800"}',
        b'{"a":1}\x00',
        b"\x00",
        b"1" * 400,
        b"[" * 100_000,
        b"[" * 5000 + b"]" * 5000,
        b'{"a":' * 5000 + b"1" + b"}" * 5000,
    ],
    ids=lambda body: repr(body[:12]),
)
def test_refuses_what_is_said_to_be_json_and_is_not(body: bytes) -> None:
    response = post(make_source(), body, headers=github_headers(body), CONTENT_TYPE=JSON)
    assert_refused(response, 400, "payload_unparsable", detail="the body is not JSON")
    assert bytes(Receipt.objects.get().body) == body[:KEPT_BODY_BYTES]


def test_an_unproved_call_is_not_told_what_is_wrong_with_its_payload() -> None:
    response = post(
        make_source(), b"{", headers=github_headers(BODY), content_type="application/json"
    )
    assert_refused(response, 401, "signature_mismatch")


# --- rates ----------------------------------------------------------------------------------------


@time_machine.travel(NOW, tick=False)
def test_refuses_an_address_beyond_its_rate() -> None:
    source = make_source(rate_per_minute_per_address=2)
    one, other = "192.0.2.1", "192.0.2.2"
    # Counted before the proof: what guesses at signatures is slowed down too.
    unsigned = {"x-github-event": "push"}
    statuses = [
        post(source, headers=unsigned, REMOTE_ADDR=one).status_code,
        post(source, REMOTE_ADDR=one).status_code,
    ]
    response = post(source, REMOTE_ADDR=one)
    assert statuses == [401, 200]
    assert (response.status_code, answer_of(response)) == (429, {"cause": "rate_limited"})
    assert 1 <= int(response["Retry-After"]) <= 60
    assert refusal_counts() == {"signature_missing": 1, "rate_limited": 1}
    assert post(source, REMOTE_ADDR=other).status_code == 200
    assert Receipt.objects.filter(status="accepted").count() == 2
    assert Receipt.objects.get(cause="rate_limited").next_attempt_at is None


def test_takes_the_address_again_after_the_time_it_was_told() -> None:
    source = make_source(rate_per_minute_per_address=1)
    with time_machine.travel(NOW, tick=False) as traveller:
        assert post(source).status_code == 200
        response = post(source)
        assert response.status_code == 429
        traveller.shift(int(response["Retry-After"]) + 1)
        assert post(source).status_code == 200


@time_machine.travel(NOW, tick=False)
def test_refuses_a_source_beyond_its_rate_whatever_the_address() -> None:
    source, other = make_source(rate_per_minute=2), make_source()
    unsigned = {"x-github-event": "push"}
    # Counted after the proof: a stranger cannot use the source's rate up.
    for number in range(5):
        assert post(source, headers=unsigned, REMOTE_ADDR=f"192.0.2.{number}").status_code == 401
    statuses = [
        post(source, REMOTE_ADDR=f"192.0.2.{number}").status_code for number in range(10, 12)
    ]
    response = post(source, REMOTE_ADDR="192.0.2.12")
    assert statuses == [200, 200]
    assert (response.status_code, answer_of(response)) == (429, {"cause": "rate_limited"})
    assert 1 <= int(response["Retry-After"]) <= 60
    assert post(other).status_code == 200
    assert Receipt.objects.filter(source=source, status="accepted").count() == 2


@time_machine.travel(NOW, tick=False)
def test_each_process_takes_its_share_of_the_rate_where_none_shares_the_cache(
    settings: Any,
) -> None:
    settings.WEB_PROCESSES = 2
    source = make_source(rate_per_minute=4)
    statuses = [post(source).status_code for _ in range(5)]
    share = 4 if settings.REDIS_URL else 2
    assert statuses == [200] * share + [429] * (5 - share)


def test_receives_while_the_cache_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise ConnectionError("the cache is away")

    monkeypatch.setattr("django_ratelimit.core.caches", {"default": type("C", (), {"add": refuse})})
    response = post(make_source(rate_per_minute=1, rate_per_minute_per_address=1))
    assert response.status_code == 200
    assert Receipt.objects.get().status == "accepted"


# --- what is kept ---------------------------------------------------------------------------------


@time_machine.travel(NOW, tick=False)
def test_counts_every_refusal_and_keeps_them_up_to_the_cap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals, "KEPT_PER_HOUR", 3)
    source, other = make_source(), make_source()
    for _ in range(5):
        post(source, headers={})
    for _ in range(2):
        post(source, headers=github_headers(b"another body"))
    post(other, headers={})
    rows = RefusalCount.objects.values_list("source", "account", "hour", "cause", "count")
    hour = NOW.replace(minute=0, second=0, microsecond=0)
    assert set(rows) == {
        (source.pk, source.account_id, hour, "signature_missing", 5),
        (source.pk, source.account_id, hour, "signature_mismatch", 2),
        (other.pk, other.account_id, hour, "signature_missing", 1),
    }
    kept = Receipt.objects.filter(status="refused", source=source)
    assert kept.filter(cause="signature_missing").count() == 3
    assert kept.filter(cause="signature_mismatch").count() == 2
    assert {row.refusal == row.cause for row in kept} == {True}
    assert Receipt.objects.count() == 6


def test_keeps_refusals_again_in_the_next_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals, "KEPT_PER_HOUR", 1)
    source = make_source()
    with time_machine.travel(NOW, tick=False) as traveller:
        for _ in range(2):
            post(source, headers={})
        traveller.shift(3600)
        post(source, headers={})
    assert list(RefusalCount.objects.order_by("hour").values_list("count", flat=True)) == [2, 1]
    assert Receipt.objects.count() == 2


def test_keeps_the_beginning_of_a_large_body_and_the_hash_of_it_whole() -> None:
    body = orjson.dumps("x" * KEPT_BODY_BYTES)
    post(make_source(), body, headers={})
    receipt = Receipt.objects.get()
    assert bytes(receipt.body) == body[:KEPT_BODY_BYTES]
    assert bytes(receipt.body_sha256) == hashlib.sha256(body).digest()


def test_the_count_is_returned() -> None:
    source = make_source()
    counts = [
        record_refusal(
            source_id=source.pk,
            account_id=source.account_id,
            refused=Refused(Cause.RATE_LIMITED),
            receipt=None,
            now=clock.now(),
        )
        for _ in range(3)
    ]
    assert counts == [1, 2, 3]


def test_a_refused_call_does_not_take_the_provider_s_id() -> None:
    source = make_source()
    headers = github_headers(BODY, x_github_delivery="delivery-1")
    assert post(source, headers={**headers, "x-hub-signature-256": "sha256=00"}).status_code == 401
    assert answer_of(post(source, headers=headers))["status"] == "accepted"


def test_only_what_is_our_own_fault_has_a_status_of_500_or_more() -> None:
    assert set(STATUS_OF) <= set(Cause)
    statuses = {cause.value: STATUS_OF.get(cause, 401) for cause in Cause}
    ours = {cause for cause, status in statuses.items() if not 400 <= status < 500}
    assert ours == {"key_unavailable", "source_misconfigured"}
    assert {statuses[cause] for cause in ours} == {503}


def test_sets_no_cookie_and_needs_no_csrf_token() -> None:
    client = Client(enforce_csrf_checks=True)
    source = make_source()
    answers = [
        post(source, client=client),
        post(source, client=client, headers={}),
        post(source, client=client, method="GET"),
        post("/in/nobody", client=client),
    ]
    assert [answer.status_code for answer in answers] == [200, 401, 405, 404]
    assert all(not answer.cookies for answer in answers)
    assert all("Set-Cookie" not in answer.headers for answer in answers)
    assert not client.cookies
