"""Which addresses the hub may connect to on a stranger's word.

Python's own `is_global` and `is_private` are not used: on 3.11 to 3.13 they let through cloud
metadata addresses, NAT64 and 6to4 forms of loopback, multicast and others. The lists follow the
IANA special-purpose address registries (IPv4 and IPv6) and, beyond them, two cloud providers'
metadata addresses.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final
from urllib.parse import urlsplit

import psutil

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

PROXY_SCHEMES: Final = frozenset({"http", "https", "socks5h"})
MAX_URL_LENGTH: Final = 2048  # characters
OWN_ADDRESSES_SECONDS: Final = 60  # how long the list of our own interfaces is believed

FORBIDDEN_IPV4: Final = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's WireServer, a public address that reaches the host
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",  # holds 192.0.0.192, Oracle's metadata
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
# Only global unicast is allowed at all: that alone shuts out ::/8 with every embedding in it,
# NAT64, discard-only, SRv6, unique and link local, site local and multicast.
ALLOWED_IPV6: Final = IPv6Network("2000::/3")
FORBIDDEN_IPV6: Final = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",  # IETF protocol assignments, Teredo among them
        "2001:db8::/32",
        "2002::/16",  # 6to4 carries an IPv4 address
        "2620:4f:8000::/48",
        "3fff::/20",
    )
)
MAPPED_IPV4: Final = IPv6Network("::ffff:0:0/96")
# Services that read lines and could take an HTTP request for commands.
FORBIDDEN_PORTS: Final = frozenset(
    {
        0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95,
        101, 102, 103, 104, 109, 110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179,
        389, 427, 445, 465, 512, 513, 514, 515, 526, 530, 531, 532, 540, 548, 554, 556, 563, 587,
        601, 636, 989, 990, 993, 995, 1433, 1521, 1719, 1720, 1723, 2049, 3306, 3389, 3659, 4045,
        4190, 5060, 5061, 5432, 6379, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 9200, 11211,
        27017,
    }
)  # fmt: skip


class Problem(StrEnum):
    """Why a URL is not acceptable as an endpoint."""

    TOO_LONG = "too_long"
    MALFORMED = "malformed"
    SCHEME_NOT_ALLOWED = "scheme_not_allowed"
    CREDENTIALS_IN_URL = "credentials_in_url"
    FRAGMENT_IN_URL = "fragment_in_url"
    HOST_MISSING = "host_missing"
    HOST_NOT_CANONICAL = "host_not_canonical"
    PORT_NOT_ALLOWED = "port_not_allowed"
    HOST_NOT_FOUND = "host_not_found"
    FORBIDDEN_ADDRESS = "forbidden_address"


@dataclass(frozen=True, slots=True)
class Policy:
    """What the operator allows beyond the public internet, and the proxy that leads out.

    `egress_proxy` is an http, https or socks5h URL, or empty. It looks names up itself, so each is
    judged by our own resolver before it is asked; an address in the URL is judged as always.
    """

    allowed_networks: tuple[Network, ...] = ()
    schemes: frozenset[str] = frozenset({"https", "http"})
    egress_proxy: str = field(default="", repr=False)


def parse_proxy(text: str) -> str:
    """An egress proxy's URL, or empty. Raises ValueError for what is none.

    Not `socks5`, which would leave the names to this machine: `socks5h`.
    """
    if not text:
        return ""
    parts = urlsplit(text)
    if parts.scheme not in PROXY_SCHEMES or not parts.hostname or parts.path not in ("", "/"):
        raise ValueError("an egress proxy is http://…, https://… or socks5h://host:port")
    parts.port  # noqa: B018 - raises where that is no number
    return text


def parse_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Networks in CIDR form. Raises ValueError for one that is not."""
    return tuple(ipaddress.ip_network(text) for text in texts)


def is_forbidden(address: str, *, allowed_networks: Sequence[Network] = ()) -> bool:
    """Whether we must not connect to this address. What is no address is forbidden too.

    An IPv4 address mapped into IPv6 is judged as the IPv4 address that the socket will reach; the
    operator's networks win over every rule.
    """
    try:
        parsed: Address = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return True
    if isinstance(parsed, IPv6Address) and parsed in MAPPED_IPV4:
        parsed = IPv4Address(int(parsed) & 0xFFFFFFFF)
    if any(parsed.version == net.version and parsed in net for net in allowed_networks):
        return False
    return _is_special(parsed) or str(parsed) in _own_addresses(
        int(time.monotonic() // OWN_ADDRESSES_SECONDS)
    )


def _is_special(address: Address) -> bool:
    if isinstance(address, IPv4Address):
        return any(address in network for network in FORBIDDEN_IPV4)
    if address not in ALLOWED_IPV6 or any(address in network for network in FORBIDDEN_IPV6):
        return True
    # ISATAP (RFC 5214): an interface identifier of [02]00:5efe and an IPv4 address.
    if (int(address) >> 32) & 0xFDFFFFFF == 0x00005EFE:
        return _is_special(IPv4Address(int(address) & 0xFFFFFFFF))
    return False


@lru_cache(maxsize=1)
def _own_addresses(_period: int) -> frozenset[str]:
    return frozenset(
        item.address.partition("%")[0]
        for interface in psutil.net_if_addrs().values()
        for item in interface
        if item.family in (socket.AF_INET, socket.AF_INET6)
    )


def check_url(url: str, policy: Policy) -> Problem | None:
    """Judge the text of a URL, without looking any name up."""
    if len(url) > MAX_URL_LENGTH:
        return Problem.TOO_LONG
    if not url.isascii() or re.search(r"[\x00-\x20\x7f\\]", url):
        return Problem.MALFORMED
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return Problem.MALFORMED
    if parts.scheme not in policy.schemes:
        return Problem.SCHEME_NOT_ALLOWED
    if parts.username is not None or parts.password is not None:
        return Problem.CREDENTIALS_IN_URL
    if "#" in url:
        return Problem.FRAGMENT_IN_URL
    if not host:
        return Problem.HOST_MISSING
    # urlsplit takes more for an address in brackets than libcurl, and passes over what follows it.
    if "[" in parts.netloc and not re.fullmatch(
        r"\[[0-9a-f:.]+(%\w+)?\](:\d*)?", parts.netloc, re.I
    ):
        return Problem.MALFORMED
    if port is not None and port in FORBIDDEN_PORTS:
        return Problem.PORT_NOT_ALLOWED
    return _check_host(host, policy)


def _check_host(host: str, policy: Policy) -> Problem | None:
    try:
        address: Address | None = ipaddress.ip_address(host)
    except ValueError:
        address = None
    if address is not None:
        if is_forbidden(str(address), allowed_networks=policy.allowed_networks):
            return Problem.FORBIDDEN_ADDRESS
        return None
    # 0x7f.1, 2130706433, 017700000001 and their like: libc reads them as addresses, people do not.
    last = host.rstrip(".").rpartition(".")[2]
    if re.fullmatch(r"\d+|0x[0-9a-f]*", last, re.I):
        return Problem.HOST_NOT_CANONICAL
    labels = host.rstrip(".").split(".")
    if len(host) > 253 or not all(
        re.fullmatch(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?", label, re.I) for label in labels
    ):
        return Problem.MALFORMED
    return None


def check_endpoint(url: str, policy: Policy) -> Problem | None:
    """Judge a URL and every address its name has now. One forbidden address refuses the name.

    Looks the name up with the system's resolver: may take as long as that takes.
    """
    problem = check_url(url, policy)
    if problem is not None:
        return problem
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        answers = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return Problem.HOST_NOT_FOUND
    if any(
        is_forbidden(str(answer[4][0]), allowed_networks=policy.allowed_networks)
        for answer in answers
    ):
        return Problem.FORBIDDEN_ADDRESS
    return None
