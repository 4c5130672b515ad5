"""Certificates made for a test: an authority, and what it signs."""

from __future__ import annotations

import ipaddress
import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, as PEM."""

    certificate: str
    key: str


def pem_of_key(key: Any) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@dataclass
class Authority:
    """A certificate authority that nobody knows."""

    name: str = "Test CA"
    key: Any = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def __post_init__(self) -> None:
        self._certificate = self._signed(self.name, self.key, timedelta(days=1), is_authority=True)
        self.certificate = self._certificate.public_bytes(Encoding.PEM).decode()

    def issue(
        self,
        name: str = "127.0.0.1",
        *,
        key: Any = None,
        ends: timedelta = timedelta(days=1),
        begins: timedelta = timedelta(days=-1),
    ) -> Pair:
        """A certificate for 127.0.0.1, whatever its name, good for servers and clients."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        made = self._signed(name, key, ends, begins=begins)
        return Pair(made.public_bytes(Encoding.PEM).decode(), pem_of_key(key))

    def _signed(
        self,
        name: str,
        key: Any,
        ends: timedelta,
        *,
        begins: timedelta = timedelta(days=-1),
        is_authority: bool = False,
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, self.name)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + begins)
            .not_valid_after(now + ends)
            .add_extension(x509.BasicConstraints(is_authority, None), critical=True)
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
                critical=False,
            )
        )
        return builder.sign(self.key, hashes.SHA256())


def server_context(directory: Path, server: Pair, *, clients: str = "") -> ssl.SSLContext:
    """TLS for a receiver; with `clients`, a client has to show a certificate of that authority."""
    path = directory / "server.pem"
    path.write_text(server.key + server.certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    if clients:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=clients)
    return context


def make_certificate(folder: Path, *, ends_at: datetime) -> Path:
    """A key and a certificate for 127.0.0.1 that nobody knows, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(ends_at)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "endpoint.pem"
    path.write_bytes(
        key.private_bytes(
            Encoding.PEM,
            PrivateFormat.PKCS8,
            NoEncryption(),
        )
        + certificate.public_bytes(Encoding.PEM)
    )
    return path
