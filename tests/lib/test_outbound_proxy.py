"""The way out through the operator's proxy: what it means for names, addresses and answers."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.lib.certificates import Authority, server_context
from tests.lib.receiver import Line, answer, receiver, status
from tests.lib.test_outbound import finish
from webhooks_project.lib import ssrf
from webhooks_project.lib.outbound import Failure, Outbound, Request, Response
from webhooks_project.lib.ssrf import Policy, parse_networks, parse_proxy

LOOPBACK = parse_networks(["127.0.0.0/8"])


def send(url: str, proxy: str, *, timeout_seconds: float = 5, networks: Any = LOOPBACK) -> Response:
    policy = Policy(allowed_networks=networks, egress_proxy=proxy)
    outbound = Outbound(policy=policy, max_in_flight=2, user_agent="hub-test/1")
    try:
        at_once = outbound.start(Request(url, [], b"{}", timeout_seconds), "token")
        return at_once or finish(outbound)["token"]
    finally:
        outbound.close()


def names(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[str]:
    """Have every name found at these addresses. Returns what was looked up."""
    asked: list[str] = []

    def getaddrinfo(host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
        asked.append(host)
        if not addresses:
            raise socket.gaierror(-2, "not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in addresses]

    monkeypatch.setattr(ssrf.socket, "getaddrinfo", getaddrinfo)
    return asked


def tunnel_to(port: int) -> Callable[[Line], None]:
    """A proxy that leads CONNECT to a port of this machine, whatever it is asked for."""

    def script(line: Line) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += line.socket.recv(1)
        line.receiver.arrived.append(head)  # type: ignore[arg-type]
        line.send(b"HTTP/1.1 200 Connection established\r\nX-Proxy: yes\r\n\r\n")
        with socket.create_connection(("127.0.0.1", port)) as there:
            back = threading.Thread(target=pump, args=(there, line.socket), daemon=True)
            back.start()
            pump(line.socket, there)
            back.join(5)

    return script


def pump(one: socket.socket, other: socket.socket) -> None:
    with suppress(OSError):
        while data := one.recv(65536):
            other.sendall(data)
    with suppress(OSError):
        other.shutdown(socket.SHUT_WR)


def test_a_plain_request_goes_to_the_proxy_with_its_whole_url(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = names(monkeypatch, "8.8.8.8")
    with receiver(answer()) as proxy:
        response = send("http://shop.example:8080/hook?a=b", f"http://127.0.0.1:{proxy.port}")
    assert (response.status, response.failure) == (200, None)
    assert proxy.arrived[0].line == "POST http://shop.example:8080/hook?a=b HTTP/1.1"
    assert asked == ["shop.example"]


def test_tls_goes_through_the_proxy_to_the_receiver(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority()
    (tmp_path / "ca.pem").write_text(authority.certificate)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    context = server_context(tmp_path, authority.issue())
    with (
        receiver(answer(status(201)), context=context) as there,
        receiver(tunnel_to(there.port)) as proxy,
    ):
        response = send(f"https://127.0.0.1:{there.port}/", f"http://127.0.0.1:{proxy.port}")
    assert (response.status, response.failure) == (201, None)
    assert "x-proxy" not in response.headers


@pytest.mark.parametrize("reply", [b"", b"HTTP/1.1 200 OK\r\nContent-Len"])
def test_the_proxy_s_own_answer_is_no_success(reply: bytes, tmp_path: Path) -> None:
    """The tunnel stands, and behind it is nobody, or one that cuts its answer."""

    def script(line: Line) -> None:
        line.socket.recv(65536)
        line.send(b"HTTP/1.1 200 Connection established\r\n\r\n" + reply)

    with receiver(script) as proxy:
        response = send("https://127.0.0.1:8443/", f"http://127.0.0.1:{proxy.port}")
    assert response.status is None
    assert response.failure in (Failure.TLS, Failure.RESET)


def test_a_proxy_that_refuses_the_tunnel_is_a_refusal() -> None:
    with receiver(answer(status(403), close=True)) as proxy:
        response = send("https://127.0.0.1:8443/", f"http://127.0.0.1:{proxy.port}")
    assert (response.status, response.failure) == (None, Failure.REFUSED)


def test_socks_gets_the_name_and_not_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    names(monkeypatch, "8.8.8.8")
    seen: list[bytes] = []

    def script(line: Line) -> None:
        line.socket.recv(64)
        line.send(b"\x05\x00")
        seen.append(line.socket.recv(256))
        line.send(b"\x05\x00\x00\x01" + bytes(6))
        line.read()
        line.send(status(204))

    with receiver(script) as proxy:
        response = send("http://shop.example/hook", f"socks5h://127.0.0.1:{proxy.port}")
    assert (response.status, response.failure) == (204, None)
    assert seen == [b"\x05\x01\x00\x03" + bytes([12]) + b"shop.example" + (80).to_bytes(2, "big")]


@pytest.mark.parametrize("addresses", [("10.0.0.1",), ("8.8.8.8", "127.0.0.1"), ("169.254.1.1",)])
def test_a_name_with_one_forbidden_address_is_not_asked_for(
    monkeypatch: pytest.MonkeyPatch, addresses: tuple[str, ...]
) -> None:
    names(monkeypatch, *addresses)
    with receiver(answer()) as proxy:
        proxy_url = f"http://127.0.0.1:{proxy.port}"
        response = send("http://shop.example/", proxy_url, networks=())
        assert proxy.connections == 0
    assert (response.status, response.failure) == (None, Failure.FORBIDDEN_ADDRESS)


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "169.254.169.254"])
def test_an_address_in_the_url_is_judged_as_always(host: str) -> None:
    with receiver(answer()) as proxy:
        response = send(f"http://{host}/", f"http://127.0.0.1:{proxy.port}", networks=())
        assert proxy.connections == 0
    assert (response.status, response.failure) == (None, Failure.FORBIDDEN_ADDRESS)


@pytest.mark.parametrize("host", ["0x7f.1", "2130706433", "127.1", "0177.0.0.1"])
def test_an_address_written_otherwise_is_not_left_to_the_proxy(host: str) -> None:
    with receiver(answer()) as proxy:
        response = send(f"http://{host}/", f"http://127.0.0.1:{proxy.port}", networks=())
        assert proxy.connections == 0
    assert (response.status, response.failure) == (None, Failure.INVALID_URL)


def test_a_name_that_is_not_found_is_a_dns_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    names(monkeypatch)
    with receiver(answer()) as proxy:
        response = send("http://shop.example/", f"http://127.0.0.1:{proxy.port}")
        assert proxy.connections == 0
    assert (response.status, response.failure) == (None, Failure.DNS)


def test_a_resolver_that_hangs_is_left_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()

    def getaddrinfo(*_: Any, **__: Any) -> list[Any]:
        released.wait(10)
        return []

    monkeypatch.setattr(ssrf.socket, "getaddrinfo", getaddrinfo)
    with receiver(answer()) as proxy:
        proxy_url = f"http://127.0.0.1:{proxy.port}"
        response = send("http://shop.example/", proxy_url, timeout_seconds=0.3)
        assert proxy.connections == 0
    released.set()
    assert (response.status, response.failure) == (None, Failure.TIMEOUT_CONNECT)


def test_a_name_is_looked_up_once_in_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = names(monkeypatch, "8.8.8.8")
    with receiver(answer()) as proxy:
        policy = Policy(egress_proxy=f"http://127.0.0.1:{proxy.port}")
        outbound = Outbound(policy=policy, max_in_flight=4, user_agent="hub-test/1")
        for token in range(4):
            outbound.start(Request("http://shop.example/", [], b"{}", 5), token)
        assert (outbound.free, outbound.in_flight) == (0, 4)
        assert {response.status for response in finish(outbound).values()} == {200}
        assert (outbound.free, outbound.in_flight) == (4, 0)
        outbound.close()
    assert asked == ["shop.example"]


@pytest.mark.parametrize(
    "url", ["", "http://proxy:3128", "https://u:p@proxy.example", "socks5h://10.0.0.1:1080/"]
)
def test_takes_the_kinds_of_proxies_that_look_names_up(url: str) -> None:
    assert parse_proxy(url) == url


@pytest.mark.parametrize(
    "url", ["socks5://p:1", "socks4a://p:1", "ftp://p", "proxy:3128", "http://", "http://p:x",
            "http://p/path"],
)  # fmt: skip
def test_refuses_other_proxies(url: str) -> None:
    with pytest.raises(ValueError, match=r"proxy|[Pp]ort"):
        parse_proxy(url)
