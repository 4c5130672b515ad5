"""Client certificates and authorities of one's own: never lent to another. Real TLS on loopback."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lib.certificates import Authority, Pair, server_context
from tests.lib.receiver import OK, Line, Receiver, receiver
from tests.lib.test_outbound import engine, finish
from webhooks_project.lib.outbound import Failure, Identity, Outbound, Request, Response

CLIENTS = Authority("Clients")
SERVERS = Authority("Servers")
STRANGERS = Authority("Strangers")
SERVER = SERVERS.issue()
ALICE = CLIENTS.issue("alice")
BOB = CLIENTS.issue("bob")


def identity(pair: Pair | None = None, authority: Authority = SERVERS) -> Identity:
    return Identity(
        certificate=pair.certificate.encode() if pair else b"",
        key=pair.key.encode() if pair else b"",
        authorities=authority.certificate.encode(),
    )


def request(there: Receiver, who: Identity | None) -> Request:
    url = there.url.replace("http:", "https:")
    return Request(url, ["Expect:"], b"{}", timeout_seconds=5, identity=who)


def send(outbound: Outbound, there: Receiver, who: Identity | None) -> Response:
    assert outbound.start(request(there, who), "it") is None
    return finish(outbound)["it"]


class Guests:
    """Who came on each connection, and whether the session was resumed, by request."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.resumed: list[bool] = []

    def __call__(self, line: Line) -> None:
        assert isinstance(line.socket, ssl.SSLSocket)
        while line.read():
            certificate = line.socket.getpeercert() or {}
            subject = certificate.get("subject", ())
            self.names.append(subject[0][0][1] if subject else "")
            self.resumed.append(bool(line.socket.session_reused))
            line.send(OK)


@pytest.fixture
def guests() -> Guests:
    return Guests()


@pytest.fixture
def there(tmp_path: Path, guests: Guests) -> Iterator[Receiver]:
    """A receiver that asks for a client's certificate and takes those who have none."""
    context = server_context(tmp_path, SERVER, clients=CLIENTS.certificate)
    context.verify_mode = ssl.CERT_OPTIONAL
    with receiver(guests, context=context) as here:
        yield here


def test_shows_its_certificate(there: Receiver, guests: Guests) -> None:
    with engine() as outbound:
        response = send(outbound, there, identity(ALICE))
    assert (response.status, response.failure, guests.names) == (200, None, ["alice"])


def test_a_server_that_demands_a_certificate_refuses_whoever_has_none_or_another(
    tmp_path: Path, guests: Guests
) -> None:
    context = server_context(tmp_path, SERVER, clients=CLIENTS.certificate)
    stranger = STRANGERS.issue("mallory")
    with receiver(guests, context=context) as there, engine() as outbound:
        for who in (identity(), identity(stranger)):
            response = send(outbound, there, who)
            assert response.status is None
            assert response.failure in (Failure.TLS, Failure.RESET)
        assert guests.names == []
        assert send(outbound, there, identity(ALICE)).status == 200
    assert guests.names == ["alice"]


def test_trusts_its_own_authorities_and_no_others(
    there: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    common = tmp_path / "common.pem"
    common.write_text(SERVERS.certificate)
    monkeypatch.setenv("SSL_CERT_FILE", str(common))
    with engine() as outbound:
        assert send(outbound, there, None).status == 200
        response = send(outbound, there, identity(authority=STRANGERS))
        assert (response.status, response.failure) == (None, Failure.TLS)
        assert send(outbound, there, identity(ALICE)).status == 200


def test_an_authority_of_one_s_own_is_nobody_else_s(there: Receiver) -> None:
    with engine(max_in_flight=1) as outbound:
        assert send(outbound, there, identity()).status == 200
        response = send(outbound, there, None)
    assert (response.status, response.failure) == (None, Failure.TLS)


def test_without_authorities_of_its_own_a_client_trusts_the_common_ones(
    there: Receiver, guests: Guests, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = Identity(certificate=ALICE.certificate.encode(), key=ALICE.key.encode())
    with engine() as outbound:
        assert send(outbound, there, alone).failure == Failure.TLS
    common = tmp_path / "common.pem"
    common.write_text(SERVERS.certificate)
    monkeypatch.setenv("SSL_CERT_FILE", str(common))
    with engine() as outbound:
        assert send(outbound, there, alone).status == 200
    assert guests.names == ["alice"]


@pytest.mark.parametrize("max_in_flight", [1, 8])
def test_no_connection_goes_from_one_identity_to_another(
    there: Receiver,
    guests: Guests,
    max_in_flight: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    common = tmp_path / "common.pem"
    common.write_text(SERVERS.certificate)
    monkeypatch.setenv("SSL_CERT_FILE", str(common))
    turns = [("alice", identity(ALICE)), ("bob", identity(BOB)), ("", None), ("", identity())]
    with engine(max_in_flight=max_in_flight) as outbound:
        for _ in range(3):
            for _name, who in turns:
                assert send(outbound, there, who).status == 200
    assert guests.names == [name for name, _ in turns] * 3
    if max_in_flight > 1:  # one alone keeps fewer connections than there are identities
        assert there.connections == len(turns)


def test_no_connection_is_lent_side_by_side(there: Receiver, guests: Guests) -> None:
    with engine() as outbound:
        for number in range(3):
            assert outbound.start(request(there, identity(ALICE)), ("alice", number)) is None
            assert outbound.start(request(there, identity(BOB)), ("bob", number)) is None
        responses = finish(outbound)
    assert {response.status for response in responses.values()} == {200}
    assert sorted(guests.names) == ["alice"] * 3 + ["bob"] * 3


def test_a_session_is_resumed_by_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each connection is closed after its answer, so that a session would be resumed."""
    guests = Guests()

    def once(line: Line) -> None:
        assert isinstance(line.socket, ssl.SSLSocket)
        line.read()
        certificate = line.socket.getpeercert() or {}
        guests.names.append(certificate.get("subject", (((0, ""),),))[0][0][1])
        guests.resumed.append(bool(line.socket.session_reused))
        line.send(OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))

    context = server_context(tmp_path, SERVER, clients=CLIENTS.certificate)
    context.verify_mode = ssl.CERT_OPTIONAL
    common = tmp_path / "common.pem"
    common.write_text(SERVERS.certificate)
    monkeypatch.setenv("SSL_CERT_FILE", str(common))
    with receiver(once, context=context) as there, engine(max_in_flight=1) as outbound:
        for who in (None, None, identity(ALICE), identity(BOB), identity(ALICE), None):
            assert send(outbound, there, who).status == 200
    assert guests.names == ["", "", "alice", "bob", "alice", ""]
    # Plain requests resume the session of a plain one; whoever shows a certificate, none.
    assert guests.resumed == [False, True, False, False, False, True]


def test_what_is_no_certificate_is_a_tls_failure(there: Receiver, guests: Guests) -> None:
    broken = Identity(certificate=b"no certificate", key=b"no key")
    with engine(max_in_flight=1) as outbound:
        response = send(outbound, there, broken)
        assert (response.status, response.failure) == (None, Failure.TLS)
        assert outbound.free == 1
    assert guests.names == []


def test_room_is_free_again_after_each_request(there: Receiver) -> None:
    with engine(max_in_flight=2) as outbound:
        outbound.start(request(there, identity(ALICE)), "a")
        outbound.start(request(there, None), "b")
        assert (outbound.free, outbound.in_flight) == (0, 2)
        finish(outbound)
        assert (outbound.free, outbound.in_flight) == (2, 0)
        outbound.start(request(there, identity(ALICE)), "c")
        outbound.cancel_all()
        assert (outbound.free, outbound.in_flight) == (2, 0)


def test_neither_a_request_nor_an_identity_shows_its_secrets() -> None:
    who = identity(ALICE)
    secret = Request("https://x.test/", ["Authorization: Bearer s3cr3t"], b"s3cr3t", 1, who)
    assert "s3cr3t" not in repr(secret)
    assert "PRIVATE KEY" not in repr(secret)
