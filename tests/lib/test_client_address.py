from __future__ import annotations

import pytest

from webhooks_project.lib.client_address import client_address, in_networks
from webhooks_project.lib.ssrf import parse_networks

PROXIES = parse_networks(["10.0.0.0/8", "2001:db8:1::/48"])


@pytest.mark.parametrize(
    ("remote", "forwarded", "expected"),
    [
        ("203.0.113.9", "", "203.0.113.9"),
        # From no proxy of ours: what it says of itself counts for nothing.
        ("203.0.113.9", "198.51.100.1", "203.0.113.9"),
        ("203.0.113.9", "10.0.0.1", "203.0.113.9"),
        # One proxy, then two.
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "198.51.100.1, 10.0.0.2", "198.51.100.1"),
        # What the caller wrote itself stands further left.
        ("10.0.0.1", "127.0.0.1, 198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "10.9.9.9, 198.51.100.1, 10.0.0.2", "198.51.100.1"),
        # Proxies all the way.
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        # Nonsense ends the walk at what is known.
        ("10.0.0.1", "unknown", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1, unknown, 10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", ",", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1:4711", "10.0.0.1"),
        # IPv6, and IPv4 in its clothes.
        ("2001:db8:1::7", "2606:4700::1", "2606:4700::1"),
        ("2001:db8:2::7", "2606:4700::1", "2001:db8:2::7"),
        ("::ffff:10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "2606:4700:0:0::1", "2606:4700::1"),
        # A socket without an address.
        ("", "198.51.100.1", ""),
    ],
)
def test_reads_the_header_only_as_far_as_our_proxies_go(
    remote: str, forwarded: str, expected: str
) -> None:
    address = client_address(
        remote_address=remote, forwarded_for=forwarded, trusted_proxies=PROXIES
    )
    assert address == expected


def test_without_proxies_the_header_is_ignored() -> None:
    address = client_address(
        remote_address="10.0.0.1", forwarded_for="198.51.100.1", trusted_proxies=()
    )
    assert address == "10.0.0.1"


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("10.255.0.1", True),
        ("11.0.0.1", False),
        ("::ffff:10.0.0.1", True),
        ("2001:db8:1::1", True),
        ("2001:db8:1::1%eth0", True),
        ("2001:db8:2::1", False),
        ("", False),
        ("nonsense", False),
    ],
)
def test_finds_an_address_in_networks(address: str, expected: bool) -> None:
    assert in_networks(address, PROXIES) is expected
