"""Which check of TLS failed is told. Real TLS on loopback."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.lib.certificates import Authority, Pair, make_certificate, server_context
from tests.lib.receiver import answer, receiver
from tests.lib.test_outbound import engine, finish, tls
from webhooks_project.lib.outbound import Failure, Identity, Request, Response
from webhooks_project.lib.tls_checks import failed_check, is_refusal

DAY = timedelta(days=1)
KNOWN = Authority("Known CA")
UNKNOWN = Authority("Unknown CA")


def send(
    context: ssl.SSLContext, *, host: str = "127.0.0.1", shown: Pair | None = None
) -> Response:
    """Post to a receiver that has this TLS; the known authority is trusted, and no other."""
    with receiver(answer(), context=context) as there, engine() as outbound:
        identity = Identity(
            certificate=shown.certificate.encode() if shown else b"",
            key=shown.key.encode() if shown else b"",
            authorities=KNOWN.certificate.encode(),
        )
        url = f"https://{host}:{there.port}/hook"
        outbound.start(Request(url, [], b"{}", 5, identity), "token")
        response: Response = finish(outbound)["token"]
    return response


def check_of(response: Response) -> str:
    assert (response.status, response.failure) == (None, Failure.TLS)
    check, _, message = response.detail.partition(": ")
    assert message
    return check


def test_a_certificate_of_a_known_authority_is_taken(tmp_path: Path) -> None:
    assert send(server_context(tmp_path, KNOWN.issue())).status == 200


@pytest.mark.parametrize(
    ("authority", "begins", "ends", "check"),
    [
        (KNOWN, -9 * DAY, -DAY, "expired"),
        (KNOWN, DAY, 9 * DAY, "not_yet_valid"),
        (UNKNOWN, -DAY, DAY, "unknown_authority"),
    ],
)
def test_tells_what_is_wrong_with_the_certificate(
    tmp_path: Path, authority: Authority, begins: timedelta, ends: timedelta, check: str
) -> None:
    server = authority.issue(begins=begins, ends=ends)
    assert check_of(send(server_context(tmp_path, server))) == check


def test_tells_that_it_is_another_ones(tmp_path: Path) -> None:
    context = server_context(tmp_path, KNOWN.issue())
    assert check_of(send(context, host="localhost")) == "name_mismatch"


def test_tells_that_it_is_signed_by_itself(tmp_path: Path) -> None:
    path = make_certificate(tmp_path, ends_at=datetime.now(UTC) + DAY)
    assert check_of(send(tls(path))) == "self_signed"


def test_tells_that_it_does_not_take_our_certificate(tmp_path: Path) -> None:
    context = server_context(tmp_path, KNOWN.issue(), clients=UNKNOWN.certificate)
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # 1.3 may close before its alert is read
    assert check_of(send(context, shown=KNOWN.issue())) == "client_certificate"


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1:DeprecationWarning")
def test_tells_that_it_speaks_an_old_version_only(tmp_path: Path) -> None:
    context = server_context(tmp_path, KNOWN.issue())
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    assert check_of(send(context)) == "protocol_version"


def test_tells_that_no_cipher_is_shared(tmp_path: Path) -> None:
    context = server_context(tmp_path, KNOWN.issue())
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256")  # the certificate has an EC key
    assert check_of(send(context)) == "handshake"


@pytest.mark.parametrize(
    ("result", "message", "check"),
    [
        (19, "", "unknown_authority"),
        (23, "", "revoked"),
        (62, "", "name_mismatch"),
        (10, "alert unknown ca", "expired"),  # what we found counts more than words
        (1, "SSL: certificate subject name 'a' does not match target host name 'b'",
         "name_mismatch"),
        (1, "error:0A00010B:SSL routines::wrong version number", "no_tls"),
        (0, "", "handshake"),
    ],
)  # fmt: skip
def test_reads_numbers_and_words(result: int, message: str, check: str) -> None:
    assert failed_check(result, message) == check


def test_an_alert_after_the_handshake_is_a_refusal_and_a_reset_is_none() -> None:
    alert = "error:0A00045C:SSL routines::tlsv13 alert certificate required, errno 0"
    assert is_refusal(f"OpenSSL SSL_read: OpenSSL/3.6.5: {alert}")
    assert not is_refusal("OpenSSL SSL_read: Connection reset by peer, errno 104")
    assert not is_refusal("")
