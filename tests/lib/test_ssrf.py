from __future__ import annotations

import ipaddress
import socket
from typing import Any

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhooks_project.lib import ssrf
from webhooks_project.lib.ssrf import (
    Policy,
    Problem,
    check_endpoint,
    check_url,
    is_forbidden,
    parse_networks,
)

ANYWHERE = Policy()

FORBIDDEN = {
    "this network": ["0.0.0.0", "0.1.2.3", "0.255.255.255"],
    "private": ["10.0.0.0", "10.255.255.255", "172.16.0.0", "172.31.255.255", "192.168.0.1"],
    "shared": ["100.64.0.0", "100.127.255.255"],
    "loopback": ["127.0.0.1", "127.255.255.255", "127.1.1.1"],
    "link local": ["169.254.0.0", "169.254.255.255"],
    "cloud metadata": [
        "169.254.169.254",
        "169.254.170.2",
        "168.63.129.16",
        "100.100.100.200",
        "192.0.0.192",
        "fd00:ec2::254",
        "fd20:ce::254",
    ],
    "protocol assignments": ["192.0.0.0", "192.0.0.255"],
    "documentation": ["192.0.2.1", "198.51.100.1", "203.0.113.1"],
    "AS112": ["192.31.196.1", "192.175.48.1", "2620:4f:8000::1"],
    "AMT": ["192.52.193.1"],
    "6to4 relay": ["192.88.99.1"],
    "benchmarking": ["198.18.0.0", "198.19.255.255"],
    "multicast": ["224.0.0.1", "239.255.255.255", "ff02::1", "ff0e::1"],
    "reserved": ["240.0.0.0", "255.255.255.254", "255.255.255.255"],
    "unspecified": ["::"],
    "loopback v6": ["::1"],
    "IPv4-compatible": ["::127.0.0.1", "::8.8.8.8"],
    "mapped": ["::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:a9fe:a9fe", "::ffff:168.63.129.16"],
    "translated (SIIT)": ["::ffff:0:127.0.0.1", "::ffff:0:8.8.8.8"],
    "NAT64": ["64:ff9b::127.0.0.1", "64:ff9b::8.8.8.8", "64:ff9b:1::1", "64:ff9b::a9fe:a9fe"],
    "discard": ["100::1", "100:0:0:1::1"],
    "Teredo": ["2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2"],
    "ORCHID": ["2001:10::1", "2001:20::1"],
    "benchmarking v6": ["2001:2::1"],
    "documentation v6": ["2001:db8::1", "3fff::1", "3fff:fff::1"],
    "6to4": ["2002:7f00:1::", "2002:a00:1::1", "2002:808:808::1"],
    "SRv6": ["5f00::1"],
    "unique local": ["fc00::1", "fdff:ffff::1"],
    "link local v6": ["fe80::1", "febf::1", "fe80::1%eth0"],
    "site local": ["fec0::1", "feff::1"],
    "unassigned": ["4000::1", "1fff::1", "e000::1"],
    "ISATAP": [
        "2606:4700::5efe:127.0.0.1",
        "2606:4700::200:5efe:10.0.0.1",
        "2606:4700::5efe:169.254.169.254",
    ],
    "no address": [
        "",
        "localhost",
        "127.1",
        "0x7f.0.0.1",
        "2130706433",
        "1.2.3.4.5",
        "1.2.3.256",
        "]",
    ],
}
ALLOWED = [
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "168.63.129.15",
    "168.63.129.17",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.0",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "::ffff:8.8.8.8",
    "2001:200::1",
    "2001:db7::1",
    "2003::1",
    "2606:4700::1111",
    "2a00:1450:4001::200e",
    "2606:4700::5efe:8.8.8.8",
    "3ffe::1",
]


@pytest.mark.parametrize(
    "address", [pytest.param(a, id=f"{w} {a}") for w, group in FORBIDDEN.items() for a in group]
)
def test_forbids_a_special_address(address: str) -> None:
    assert is_forbidden(address)


@pytest.mark.parametrize("address", ALLOWED)
def test_allows_the_public_internet(address: str) -> None:
    assert not is_forbidden(address)


def test_forbids_every_address_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    class Item:
        def __init__(self, family: int, address: str) -> None:
            self.family, self.address = family, address

    def net_if_addrs() -> dict[str, list[Item]]:
        return {
            "eth0": [
                Item(socket.AF_INET, "8.8.4.4"),
                Item(socket.AF_INET6, "2606:4700::1234%eth0"),
                Item(psutil.AF_LINK, "9.9.9.9"),
            ]
        }

    monkeypatch.setattr(psutil, "net_if_addrs", net_if_addrs)
    ssrf._own_addresses.cache_clear()
    try:
        assert is_forbidden("8.8.4.4")
        assert is_forbidden("::ffff:8.8.4.4")
        assert is_forbidden("2606:4700::1234")
        assert not is_forbidden("9.9.9.9")
        assert not is_forbidden("8.8.4.4", allowed_networks=parse_networks(["8.8.4.4/32"]))
    finally:
        ssrf._own_addresses.cache_clear()


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("10.1.2.3", "10.1.0.0/16"),
        ("::ffff:10.1.2.3", "10.1.0.0/16"),
        ("127.0.0.1", "127.0.0.1/32"),
        ("fd00::7", "fd00::/8"),
        ("169.254.169.254", "169.254.0.0/16"),
    ],
)
def test_the_operators_networks_win_over_every_rule(address: str, network: str) -> None:
    assert is_forbidden(address)
    assert not is_forbidden(address, allowed_networks=parse_networks([network]))


@pytest.mark.parametrize("network", ["0.0.0.0/0", "10.0.0.0/8"])
def test_an_allowed_network_opens_nothing_of_the_other_family(network: str) -> None:
    assert is_forbidden("fd00::1", allowed_networks=parse_networks([network]))
    assert is_forbidden("not an address", allowed_networks=parse_networks([network]))


@pytest.mark.parametrize("text", ["", "10.0.0.1/8", "10.0.0.0/33", "example.com", "10.0.0.0/8/8"])
def test_refuses_what_is_no_network(text: str) -> None:
    with pytest.raises(ValueError, match=r"network|host bits"):
        parse_networks([text])


@given(st.ip_addresses(v=4))
def test_a_mapped_address_is_judged_like_the_plain_one(address: ipaddress.IPv4Address) -> None:
    assert is_forbidden(f"::ffff:{address}") == is_forbidden(str(address))


@given(st.ip_addresses(v=4))
def test_no_embedding_of_any_address_gets_through(address: ipaddress.IPv4Address) -> None:
    high, low = int(address) >> 16, int(address) & 0xFFFF
    for text in (
        f"64:ff9b::{address}",
        f"::{address}",
        f"2002:{high:x}:{low:x}::1",
        f"::ffff:0:{address}",
    ):
        assert is_forbidden(text)


@given(st.text())
def test_never_raises_on_any_text_for_an_address(text: str) -> None:
    assert isinstance(is_forbidden(text), bool)


# --- URLs -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/hook",
        "http://example.com",
        "https://example.com:8443/hook?a=b&c=%20",
        "https://example.com./hook",
        "https://EXAMPLE.com/hook",
        "https://xn--bcher-kva.example/",
        "https://a_b.example.com/",
        "https://8.8.8.8/hook",
        "https://[2606:4700::1111]:8443/hook",
        "https://example.com:65535/",
        "https://1.example/",
        "HTTPS://example.com/",
    ],
)
def test_accepts_a_plain_url(url: str) -> None:
    assert check_url(url, ANYWHERE) is None


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("", Problem.SCHEME_NOT_ALLOWED),
        ("example.com/hook", Problem.SCHEME_NOT_ALLOWED),
        ("//example.com/hook", Problem.SCHEME_NOT_ALLOWED),
        ("ftp://example.com/", Problem.SCHEME_NOT_ALLOWED),
        ("file:///etc/passwd", Problem.SCHEME_NOT_ALLOWED),
        ("gopher://example.com/", Problem.SCHEME_NOT_ALLOWED),
        ("javascript:alert(1)", Problem.SCHEME_NOT_ALLOWED),
        ("https://user:pass@example.com/", Problem.CREDENTIALS_IN_URL),
        ("https://user@example.com/", Problem.CREDENTIALS_IN_URL),
        ("https://@example.com/", Problem.CREDENTIALS_IN_URL),
        ("https://example.com@127.0.0.1/", Problem.CREDENTIALS_IN_URL),
        ("https://example.com/#part", Problem.FRAGMENT_IN_URL),
        ("https://example.com/#", Problem.FRAGMENT_IN_URL),
        ("https://", Problem.HOST_MISSING),
        ("https:///hook", Problem.HOST_MISSING),
        ("https://:443/hook", Problem.HOST_MISSING),
        ("https://?a=b", Problem.HOST_MISSING),
        ("https://127.0.0.1/", Problem.FORBIDDEN_ADDRESS),
        ("https://[::1]/", Problem.FORBIDDEN_ADDRESS),
        ("https://[::ffff:127.0.0.1]/", Problem.FORBIDDEN_ADDRESS),
        ("https://[fe80::1%25eth0]/", Problem.FORBIDDEN_ADDRESS),
        ("https://169.254.169.254/latest/meta-data", Problem.FORBIDDEN_ADDRESS),
        ("https://2130706433/", Problem.HOST_NOT_CANONICAL),
        ("https://017700000001/", Problem.HOST_NOT_CANONICAL),
        ("https://0x7f000001/", Problem.HOST_NOT_CANONICAL),
        ("https://0x7f.1/", Problem.HOST_NOT_CANONICAL),
        ("https://127.1/", Problem.HOST_NOT_CANONICAL),
        ("https://127.0.0.1./", Problem.HOST_NOT_CANONICAL),
        ("https://0177.0.0.1/", Problem.HOST_NOT_CANONICAL),
        ("https://127.0.0.0x1/", Problem.HOST_NOT_CANONICAL),
        ("https://1.2.3.256/", Problem.HOST_NOT_CANONICAL),
        ("https://bücher.example/", Problem.MALFORMED),
        ("https://１２７.０.０.１/", Problem.MALFORMED),
        ("https://ⓔxample.com/", Problem.MALFORMED),
        ("https://example.com /", Problem.MALFORMED),
        ("https://exa mple.com/", Problem.MALFORMED),
        ("https://example.com/a\r\nHost: x", Problem.MALFORMED),
        ("https://example.com/\t", Problem.MALFORMED),
        ("https://example.com/\x00", Problem.MALFORMED),
        ("https://example.com/\x7f", Problem.MALFORMED),
        ("https://example.com\\@127.0.0.1/", Problem.MALFORMED),
        (" https://example.com/", Problem.MALFORMED),
        ("https://example.com:99999/", Problem.MALFORMED),
        ("https://example.com:-1/", Problem.MALFORMED),
        ("https://example.com:http/", Problem.MALFORMED),
        ("https://[::1/", Problem.MALFORMED),
        ("https://[nonsense]/", Problem.MALFORMED),
        ("https://[v1.example]/", Problem.MALFORMED),
        ("https://[2606:4700::1111]x/", Problem.MALFORMED),
        ("https://[2606:4700::1111].example.com/", Problem.MALFORMED),
        ("https://[2606:4700::1111]443/", Problem.MALFORMED),
        ("https://-example.com/", Problem.MALFORMED),
        ("https://example-.com/", Problem.MALFORMED),
        ("https://example..com/", Problem.MALFORMED),
        ("https://exa$mple.com/", Problem.MALFORMED),
        ("https://%31%32%37.0.0.1/", Problem.HOST_NOT_CANONICAL),
        ("https://" + "a" * 64 + ".com/", Problem.MALFORMED),
        ("https://" + "a." * 130 + "com/", Problem.MALFORMED),
        ("https://example.com/" + "a" * 2048, Problem.TOO_LONG),
    ],
)
def test_refuses_a_url_and_says_why(url: str, problem: Problem) -> None:
    assert check_url(url, ANYWHERE) == problem


@pytest.mark.parametrize(
    "port",
    [0, 1, 22, 25, 53, 110, 465, 587, 3306, 4190, 5432, 6379, 6665, 6669, 6679, 11211, 27017],
)
def test_refuses_the_ports_of_services_that_read_lines(port: int) -> None:
    assert check_url(f"http://example.com:{port}/", ANYWHERE) == Problem.PORT_NOT_ALLOWED


@pytest.mark.parametrize("port", [80, 443, 3000, 8000, 8080, 8443, 65535])
def test_takes_other_ports(port: int) -> None:
    assert check_url(f"http://example.com:{port}/", ANYWHERE) is None


def test_takes_a_url_as_long_as_is_allowed() -> None:
    url = "https://example.com/".ljust(ssrf.MAX_URL_LENGTH, "a")
    assert check_url(url, ANYWHERE) is None
    assert check_url(url + "a", ANYWHERE) == Problem.TOO_LONG


def test_takes_only_the_schemes_of_the_policy() -> None:
    policy = Policy(schemes=frozenset({"https"}))
    assert check_url("https://example.com/", policy) is None
    assert check_url("http://example.com/", policy) == Problem.SCHEME_NOT_ALLOWED


def test_the_operators_networks_open_a_literal_address() -> None:
    policy = Policy(allowed_networks=parse_networks(["127.0.0.0/8"]))
    assert check_url("http://127.0.0.1:8000/", policy) is None
    assert check_url("http://10.0.0.1/", policy) == Problem.FORBIDDEN_ADDRESS
    assert check_url("http://2130706433/", policy) == Problem.HOST_NOT_CANONICAL


@given(st.text())
def test_never_raises_on_any_text_for_a_url(text: str) -> None:
    for url in (text, f"https://{text}", f"https://{text}/", f"https://example.com{text}"):
        problem = check_url(url, ANYWHERE)
        assert problem is None or problem in Problem


@given(st.text(alphabet="0123456789abcdefx.:[]%@/\\", max_size=40))
def test_lets_no_text_through_that_the_resolver_reads_as_a_forbidden_address(host: str) -> None:
    url = f"http://{host}/"
    if check_url(url, ANYWHERE) is not None:
        return
    try:
        packed = socket.inet_aton(host.split(":")[0])  # what libc makes of 0x7f.1
    except (OSError, ValueError):
        return
    assert not is_forbidden(str(ipaddress.IPv4Address(packed)))


# --- names ----------------------------------------------------------------------------------------


def answer(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[tuple[Any, ...]]:
    asked: list[tuple[Any, ...]] = []

    def getaddrinfo(host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
        asked.append((host, port))
        return [
            (
                socket.AF_INET6 if ":" in address else socket.AF_INET,
                socket.SOCK_STREAM,
                6,
                "",
                (address, port),
            )
            for address in addresses
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


def test_accepts_a_name_whose_addresses_are_all_public(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answer(monkeypatch, "8.8.8.8", "2606:4700::1111")
    assert check_endpoint("https://example.com/hook", ANYWHERE) is None
    assert asked == [("example.com", 443)]


@pytest.mark.parametrize(
    "addresses",
    [("127.0.0.1",), ("8.8.8.8", "10.0.0.1"), ("::1", "8.8.8.8"), ("::ffff:10.0.0.1",)],
)
def test_one_forbidden_address_refuses_the_name(
    monkeypatch: pytest.MonkeyPatch, addresses: tuple[str, ...]
) -> None:
    answer(monkeypatch, *addresses)
    assert check_endpoint("https://example.com/", ANYWHERE) == Problem.FORBIDDEN_ADDRESS


@pytest.mark.parametrize("error", [socket.gaierror(-2, "no"), OSError("x"), UnicodeError("x")])
def test_says_that_a_name_is_not_found(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def getaddrinfo(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    assert check_endpoint("https://nowhere.example/", ANYWHERE) == Problem.HOST_NOT_FOUND


def test_does_not_look_up_what_is_refused_by_its_text(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answer(monkeypatch, "8.8.8.8")
    assert check_endpoint("ftp://example.com/", ANYWHERE) == Problem.SCHEME_NOT_ALLOWED
    assert check_endpoint("http://example.com:22/", ANYWHERE) == Problem.PORT_NOT_ALLOWED
    assert asked == []
