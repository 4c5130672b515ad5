"""What a receiver may do to us, and what we make of it. Real sockets on loopback."""

from __future__ import annotations

import gzip
import ipaddress
import json
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pycurl
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.lib.receiver import OK, Line, answer, receiver, status
from webhooks_project.lib.outbound import Failure, Outbound, Request, Response, transfer
from webhooks_project.lib.outbound.transfer import (
    KEPT_BODY_BYTES,
    KNOWN_HEAD_BYTES,
    MAX_BODY_BYTES,
    Settings,
    Transfer,
    known_head,
)
from webhooks_project.lib.ssrf import Policy, parse_networks
from webhooks_project.running import free_port

LOOPBACK = Policy(allowed_networks=parse_networks(["127.0.0.0/8", "::1/128"]))
DEADLINE = 0.5  # seconds
MARGIN = 1.5  # seconds that a busy machine may add to a deadline


@contextmanager
def engine(policy: Policy = LOOPBACK, max_in_flight: int = 8) -> Iterator[Outbound]:
    outbound = Outbound(policy=policy, max_in_flight=max_in_flight, user_agent="hub-test/1")
    try:
        yield outbound
    finally:
        outbound.close()


def finish(outbound: Outbound, *, within: float = 10) -> dict[Any, Response]:
    ended: dict[Any, Response] = {}
    give_up = time.monotonic() + within
    while outbound.in_flight and time.monotonic() < give_up:
        ended.update(outbound.wait(0.05))
    assert not outbound.in_flight
    return ended


def send(
    url: str,
    *,
    policy: Policy = LOOPBACK,
    body: bytes = b"{}",
    headers: tuple[str, ...] = (),
    timeout_seconds: float = 5,
) -> Response:
    with engine(policy) as outbound:
        request = Request(url, list(headers), body, timeout_seconds)
        at_once = outbound.start(request, "token")
        return at_once or finish(outbound)["token"]


# --- a good receiver ------------------------------------------------------------------------------


def test_posts_the_body_and_reads_the_answer() -> None:
    reply = (
        b"HTTP/1.1 202 Accepted\r\nContent-Type: text/plain\r\nX-Thing: a\r\nx-thing:  b \r\n"
        b"Content-Length: 5\r\n\r\nhello"
    )
    with receiver(answer(reply)) as there:
        response = send(there.url, body=b'{"a":1}', headers=("webhook-id: evt_1", "Expect:"))
    (arrived,) = there.arrived
    assert arrived.line == "POST /hook HTTP/1.1"
    assert arrived.body == b'{"a":1}'
    assert arrived.headers["host"] == f"127.0.0.1:{there.port}"
    assert arrived.headers["webhook-id"] == "evt_1"
    assert arrived.headers["user-agent"] == "hub-test/1"
    assert "accept-encoding" not in arrived.headers
    assert "expect" not in arrived.headers
    assert response.status == 202
    assert response.failure is None
    assert response.detail == ""
    assert response.headers == {
        "content-type": "text/plain",
        "x-thing": "a, b",
        "content-length": "5",
    }
    assert (response.body, response.body_bytes) == (b"hello", 5)
    assert (response.address, response.protocol) == ("127.0.0.1", "HTTP/1.1")
    assert response.connect_ms is not None
    assert response.first_byte_ms is not None
    assert 0 < response.connect_ms <= response.first_byte_ms <= response.total_ms < 5000
    assert response.tls_ms is None


@pytest.mark.parametrize(
    ("reply", "body"),
    [
        pytest.param(b"HTTP/1.0 200 OK\r\n\r\nbye", b"bye", id="HTTP/1.0, ended by the close"),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\n", b"", id="no body"),
        pytest.param(b"HTTP/1.1 204 No Content\r\n\r\n", b"", id="204"),
        pytest.param(b"HTTP/1.1 200 OK\n\nbare", b"bare", id="bare line ends"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n"
            b"X-Trailer: t\r\n\r\n",
            b"ok",
            id="chunked, with a trailer",
        ),
        pytest.param(
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            b"ok",
            id="after 100 and 103",
        ),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", b"ok", id="body cut short"),
    ],
)
def test_a_complete_head_is_an_answer(reply: bytes, body: bytes) -> None:
    with receiver(answer(reply, close=True)) as there:
        response = send(there.url)
    assert response.failure is None
    assert response.status in (200, 204)
    assert response.body == body
    assert "x-trailer" not in response.headers
    assert "link" not in response.headers


def test_heads_that_are_alike_are_read_once_and_only_short_ones_are_kept() -> None:
    short = b"HTTP/1.1 200 OK\r\nX-Short: 1\r\nContent-Length: 0\r\n\r\n"
    long = b"HTTP/1.1 200 OK\r\nX-Long: %b\r\nContent-Length: 0\r\n\r\n" % (b"x" * KNOWN_HEAD_BYTES)
    known_head.cache_clear()
    with receiver(answer(short)) as one, receiver(answer(long)) as other:
        responses = [send(url) for url in (one.url, one.url, other.url, other.url)]
    assert [response.status for response in responses] == [200] * 4
    assert responses[0].headers == {"x-short": "1", "content-length": "0"}
    assert responses[0].headers is responses[1].headers
    assert len(responses[2].headers["x-long"]) == KNOWN_HEAD_BYTES
    assert known_head.cache_info().currsize == 1


def test_uses_a_connection_again() -> None:
    with receiver(answer()) as there, engine() as outbound:
        for token in range(3):
            outbound.start(Request(there.url, [], b"{}", 5), token)
            assert finish(outbound)[token].status == 200
        assert len(there.arrived) == 3
        assert there.connections == 1


def test_drives_many_requests_side_by_side() -> None:
    def slow(line: Line) -> None:
        line.read()
        time.sleep(0.2)
        line.send(OK)

    with receiver(slow) as there, engine(max_in_flight=20) as outbound:
        began = time.monotonic()
        for token in range(20):
            assert outbound.start(Request(there.url, [], b"{}", 5), token) is None
        assert (outbound.in_flight, outbound.free) == (20, 0)
        ended = finish(outbound)
        assert time.monotonic() - began < 2  # 4 s one after the other
        assert (outbound.in_flight, outbound.free) == (0, 20)
    assert sorted(ended) == list(range(20))
    assert {response.status for response in ended.values()} == {200}


# --- an answer that is none -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"H",
        b"HTTP/1.1 200 OK",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Ty",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0",
    ],
)
def test_a_cut_header_block_is_no_success(reply: bytes) -> None:
    with receiver(answer(reply, close=True)) as there:
        response = send(there.url)
    assert response.status is None
    assert response.failure in (Failure.RESET, Failure.BAD_RESPONSE)
    assert response.headers == {}
    assert response.detail


@pytest.mark.parametrize(
    "reply",
    [
        b"hello\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"\x00" * 100,
        b"220 mail.example ESMTP\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/7.7 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
    ],
)
def test_garbage_is_a_bad_response(reply: bytes) -> None:
    with receiver(answer(reply, close=True)) as there:
        response = send(there.url)
    assert (response.status, response.failure) == (None, Failure.BAD_RESPONSE)


def test_a_switch_of_protocols_is_no_success() -> None:
    reply = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"
    with receiver(answer(reply, close=True)) as there:
        response = send(there.url)
    assert response.status is None
    assert response.failure is not None


def test_a_reset_is_a_reset() -> None:
    def script(line: Line) -> None:
        line.read()
        line.reset()

    with receiver(script) as there:
        response = send(there.url)
    assert (response.status, response.failure) == (None, Failure.RESET)


def test_a_reset_before_the_request_is_no_success() -> None:
    with receiver(lambda line: line.reset()) as there:
        response = send(there.url)
    # By which of the two it is seen is a matter of microseconds.
    assert response.status is None
    assert response.failure in (Failure.RESET, Failure.REFUSED)


def test_a_closed_port_refuses() -> None:
    response = send(f"http://127.0.0.1:{free_port()}/hook")
    assert (response.status, response.failure) == (None, Failure.REFUSED)
    assert response.connect_ms is None


def test_a_name_that_does_not_exist_is_a_dns_failure() -> None:
    response = send("http://" + "a" * 64 + ".example/")
    assert (response.status, response.failure) == (None, Failure.DNS)


@pytest.mark.parametrize("url", ["http://exämple.com/", "ftp://127.0.0.1/", "http://", "://x"])
def test_what_is_no_http_url_is_not_sent(url: str) -> None:
    response = send(url)
    assert (response.status, response.failure) == (None, Failure.INVALID_URL)


def test_an_engine_that_has_worked_still_knows_what_is_no_http_url() -> None:
    with receiver(answer()) as there, engine(max_in_flight=1) as outbound:
        outbound.start(Request(there.url, [], b"{}", 5), "first")
        assert finish(outbound)["first"].status == 200
        outbound.start(Request("ftp://127.0.0.1/", [], b"{}", 5), "second")
        assert finish(outbound)["second"].failure == Failure.INVALID_URL


# --- time -----------------------------------------------------------------------------------------


def in_time(began: float) -> bool:
    return DEADLINE * 0.9 <= time.monotonic() - began < DEADLINE + MARGIN


def test_a_receiver_that_says_nothing_is_left_at_the_deadline() -> None:
    with receiver(Line.hang) as there:
        began = time.monotonic()
        response = send(there.url, timeout_seconds=DEADLINE)
        assert in_time(began)
    assert (response.status, response.failure) == (None, Failure.TIMEOUT_RESPONSE)
    assert response.total_ms >= DEADLINE * 900


def test_a_receiver_that_hangs_on_a_used_connection_has_not_answered() -> None:
    def script(line: Line) -> None:
        line.read()
        line.send(OK)
        line.read()
        line.hang()

    with receiver(script) as there, engine() as outbound:
        outbound.start(Request(there.url, [], b"{}", 5), "first")
        assert finish(outbound)["first"].status == 200
        outbound.start(Request(there.url, [], b"{}", DEADLINE), "second")
        response = finish(outbound)["second"]
        assert there.connections == 1
    assert (response.status, response.failure) == (None, Failure.TIMEOUT_RESPONSE)


def test_a_receiver_that_drips_its_headers_is_left_at_the_deadline() -> None:
    def script(line: Line) -> None:
        line.read()
        line.drip(b"HTTP/1.1 200 OK\r\n" + b"X-Drip: drop\r\n" * 100)

    with receiver(script) as there:
        began = time.monotonic()
        response = send(there.url, timeout_seconds=DEADLINE)
        assert in_time(began)
    assert (response.status, response.failure) == (None, Failure.TIMEOUT_RESPONSE)


def test_a_receiver_that_drips_its_body_has_answered_and_is_left_at_the_deadline() -> None:
    def script(line: Line) -> None:
        line.read()
        line.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        line.drip(b"x" * 1000)

    with receiver(script) as there:
        began = time.monotonic()
        response = send(there.url, timeout_seconds=DEADLINE)
        assert in_time(began)
    assert (response.status, response.failure) == (200, None)
    assert 0 < response.body_bytes < 1000


def test_a_receiver_that_does_not_read_is_left_at_the_deadline() -> None:
    with receiver(Line.hang) as there:
        began = time.monotonic()
        response = send(there.url, body=b"x" * 20_000_000, timeout_seconds=DEADLINE)
        assert in_time(began)
    assert (response.status, response.failure) == (None, Failure.TIMEOUT_RESPONSE)


def test_a_receiver_that_takes_no_connection_is_left_at_the_deadline() -> None:
    with socket.socket() as listener, ExitStack() as queue:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)  # one may wait; the next ones get no answer at all
        for _ in range(3):
            waiting = queue.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        began = time.monotonic()
        port = listener.getsockname()[1]
        response = send(f"http://127.0.0.1:{port}/", timeout_seconds=DEADLINE)
        assert in_time(began)
    assert (response.status, response.failure) == (None, Failure.TIMEOUT_CONNECT)


@pytest.mark.parametrize("scheme", ["https:", "HTTPS:"])
def test_a_receiver_that_hangs_in_the_tls_handshake_is_left_at_the_deadline(scheme: str) -> None:
    with receiver(Line.hang) as there:
        response = send(there.url.replace("http:", scheme), timeout_seconds=DEADLINE)
    assert (response.status, response.failure) == (None, Failure.TIMEOUT_TLS)


def test_gives_up_on_everything_when_asked() -> None:
    with receiver(Line.hang) as there, engine() as outbound:
        for token in range(3):
            outbound.start(Request(there.url, [], b"{}", 30), token)
        outbound.wait(0)
        ended = dict(outbound.cancel_all())
        assert sorted(ended) == [0, 1, 2]
        assert {response.failure for response in ended.values()} == {Failure.CANCELLED}
        assert (outbound.in_flight, outbound.free) == (0, 8)


# --- size -----------------------------------------------------------------------------------------


def test_reads_64_kib_of_a_body_and_keeps_16() -> None:
    def script(line: Line) -> None:
        line.read()
        line.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
        for _ in range(1500):
            line.send(b"y" * 65536)

    with receiver(script) as there:
        began = time.monotonic()
        response = send(there.url)
        assert time.monotonic() - began < 2
    assert (response.status, response.failure) == (200, None)
    assert response.body == b"y" * KEPT_BODY_BYTES
    assert MAX_BODY_BYTES < response.body_bytes <= MAX_BODY_BYTES + 512 * 1024


@pytest.mark.parametrize(
    "flood",
    [
        pytest.param(b"X-Flood: z\r\n", id="many short headers"),
        pytest.param(b"X-Flood: " + b"z" * 900 + b"\r\n", id="many long headers"),
        pytest.param(b"X-Flood: " + b"z" * 65_000, id="one endless header"),
    ],
)
def test_a_header_flood_is_too_large(flood: bytes) -> None:
    def script(line: Line) -> None:
        line.read()
        line.send(b"HTTP/1.1 200 OK\r\n")
        for _ in range(200):
            line.send(flood * 100)

    with receiver(script) as there:
        response = send(there.url)
    assert (response.status, response.failure) == (None, Failure.TOO_LARGE), response.detail
    assert response.headers == {}


def test_a_head_that_is_too_large_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the same name so often each line would copy all values before it."""
    read: list[int] = []
    monkeypatch.setattr(transfer, "parse_head", lambda lines: read.append(len(lines)))
    lines = b"a: %b\r\n" % (b"z" * 40) * 2_000
    reply = b"HTTP/1.1 200 OK\r\n%bContent-Length: 0\r\n\r\n" % lines
    with receiver(answer(reply)) as there:
        response = send(there.url)
    assert (response.status, response.failure, read) == (None, Failure.TOO_LARGE, [])


def test_starts_afresh_after_a_flood() -> None:
    floods = [True, False]

    def script(line: Line) -> None:
        line.read()
        if floods.pop(0):
            line.send(b"HTTP/1.1 200 OK\r\n" + b"X-Flood: z\r\n" * 10_000)
        line.send(OK)

    with receiver(script) as there, engine(max_in_flight=1) as outbound:
        outbound.start(Request(there.url, [], b"{}", 5), "first")
        assert finish(outbound)["first"].failure == Failure.TOO_LARGE
        outbound.start(Request(there.url, [], b"{}", 5), "second")
        assert finish(outbound)["second"].status == 200


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "gzip, gzip"])
def test_expands_nothing(encoding: str) -> None:
    bomb = gzip.compress(bytes(10_000_000))
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {encoding}\r\nContent-Length: {len(bomb)}\r\n\r\n"
    with receiver(answer(head.encode() + bomb)) as there:
        response = send(there.url)
    assert (response.status, response.body_bytes) == (200, len(bomb))
    assert response.body == bomb[:KEPT_BODY_BYTES]


# --- where to -------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_follows_no_redirect(code: int) -> None:
    with receiver(answer()) as elsewhere:
        reply = status(code, f"Location: {elsewhere.url}")
        with receiver(answer(reply)) as there:
            response = send(there.url)
        assert len(there.arrived) == 1
        assert elsewhere.connections == 0
    assert (response.status, response.failure) == (code, None)
    assert response.headers["location"] == elsewhere.url


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "0x7f.1", "2130706433", "0177.0.0.1", "127.1", "[::ffff:127.0.0.1]"],
)
def test_connects_to_no_forbidden_address_however_it_is_written(host: str) -> None:
    with receiver(answer()) as there:
        response = send(f"http://{host}:{there.port}/hook", policy=Policy())
        assert there.connections == 0
    assert (response.status, response.failure) == (None, Failure.FORBIDDEN_ADDRESS)
    assert response.connect_ms is None
    assert "127.0.0.1" in response.detail or "::1" in response.detail


def test_judges_the_address_of_each_socket_and_not_the_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The name was good when it was registered: what counts is where the socket goes."""
    from webhooks_project.lib.outbound import transfer as module

    judged: list[str] = []

    def is_forbidden(address: str, **_: Any) -> bool:
        judged.append(address)
        return len(judged) > 1

    monkeypatch.setattr(module, "is_forbidden", is_forbidden)
    with receiver(answer(close=True)) as there, engine() as outbound:
        for token, failure in ((1, None), (2, Failure.FORBIDDEN_ADDRESS)):
            outbound.start(Request(there.url, [], b"{}", 5), token)
            assert finish(outbound)[token].failure == failure
        assert there.connections == 1
    assert judged == ["127.0.0.1", "127.0.0.1"]


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])
def test_takes_no_proxy_from_the_environment(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    with receiver(answer()) as proxy, receiver(answer()) as there:
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        assert send(there.url).status == 200
        assert proxy.connections == 0


def test_takes_no_credentials_from_a_netrc_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    with receiver(answer()) as there:
        assert send(there.url).status == 200
    assert "authorization" not in there.arrived[0].headers


# --- TLS ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate for 127.0.0.1 that nobody knows, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def test_trusts_no_unknown_certificate(certificate: Path) -> None:
    with receiver(answer(), context=tls(certificate)) as there:
        response = send(there.url.replace("http:", "https:"))
    assert (response.status, response.failure) == (None, Failure.TLS)
    assert response.detail.startswith("self_signed: ")
    assert there.arrived == []


def test_trusts_the_certificates_that_the_operator_names(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with receiver(answer(), context=tls(certificate)) as there:
        response = send(there.url.replace("http:", "https:"))
    assert (response.status, response.failure) == (200, None)
    assert response.tls_ms is not None
    assert response.connect_ms is not None
    assert response.connect_ms <= response.tls_ms <= response.total_ms


def test_says_when_the_server_s_certificate_ends_where_that_is_asked_for(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    ends_at = x509.load_pem_x509_certificate(certificate.read_bytes()).not_valid_after_utc
    found = []
    with receiver(answer(), context=tls(certificate)) as there:
        for reads_certificates in (False, True):
            outbound = Outbound(
                policy=LOOPBACK, user_agent="test", reads_certificates=reads_certificates
            )
            request = Request(there.url.replace("http:", "https:"), [], b"{}", 5)
            assert outbound.start(request, "token") is None
            found.append(finish(outbound)["token"].certificate_expires_at)
            outbound.close()
    assert found == [None, ends_at]


def test_a_receiver_without_tls_is_a_tls_failure() -> None:
    with receiver(answer(b"HTTP/1.1 400 Bad Request\r\n\r\n", close=True)) as there:
        response = send(there.url.replace("http:", "https:"), timeout_seconds=2)
    assert response.status is None
    assert response.failure in (Failure.TLS, Failure.TIMEOUT_TLS)


class _Handle:
    """A libcurl handle of a transfer that has sent nothing."""

    def getinfo(self, _option: int) -> int:
        return 0


def may_have_namespaces() -> bool:
    unshare = shutil.which("unshare")
    return (
        bool(unshare)
        and not subprocess.run(
            [unshare, "-rmn", "true"], check=False, capture_output=True
        ).returncode
    )


@pytest.mark.skipif(not may_have_namespaces(), reason="no namespace may be made here")
def test_a_name_server_that_never_answers_holds_nobody_past_the_deadline() -> None:
    ran = subprocess.run(
        ["unshare", "-rmn", sys.executable, "-m", "tests.lib.silent_resolver", "1.5"],
        check=True, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    said = json.loads(ran.stdout)
    assert (said["failure"], said["asked"]) == ("timeout_dns", True)
    assert (said["dns_ms"], said["address"]) == (None, "")
    assert 1.4 < said["seconds"] < 6


@pytest.mark.parametrize(
    ("phases", "failure"),
    [
        ({}, Failure.TIMEOUT_DNS),
        ({"dns_ms": 1.0}, Failure.TIMEOUT_CONNECT),
        ({"dns_ms": 1.0, "connect_ms": 2.0}, Failure.TIMEOUT_TLS),
        ({"dns_ms": 1.0, "connect_ms": 2.0, "tls_ms": 3.0}, Failure.TIMEOUT_RESPONSE),
    ],
)
def test_a_timeout_is_told_by_its_phase(phases: dict[str, float], failure: Failure) -> None:
    transfer = Transfer(Settings(LOOPBACK, "test"))
    transfer.begin(Request("https://example.com/", [], b"", 5), "token")
    transfer.handle = _Handle()  # type: ignore[assignment]
    assert transfer._failure(pycurl.E_OPERATION_TIMEDOUT, "", Response(**phases)) == failure
