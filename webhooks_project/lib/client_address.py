"""Whose call it is, when proxies of our own stand in between."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from webhooks_project.lib.ssrf import Network


def client_address(
    *, remote_address: str, forwarded_for: str, trusted_proxies: Sequence[Network]
) -> str:
    """The address of the caller in front of our own proxies.

    X-Forwarded-For is read from the right, and only as far as the trusted proxies go: whatever a
    caller writes into it itself stands further left and is ignored.
    """
    address = remote_address
    for hop in reversed(forwarded_for.split(",") if forwarded_for else []):
        if not in_networks(address, trusted_proxies):
            break
        try:
            address = str(ipaddress.ip_address(hop.strip()))
        except ValueError:
            break
    return address


def in_networks(address: str, networks: Sequence[Network]) -> bool:
    """Whether the address is in one of the networks; an IPv4-mapped IPv6 address counts as IPv4."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return any(parsed.version == network.version and parsed in network for network in networks)
