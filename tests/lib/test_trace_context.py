"""W3C Trace Context: https://www.w3.org/TR/trace-context/."""

from __future__ import annotations

import re

import pytest

from webhooks_project.lib.trace_context import accept_trace, child_of

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (PARENT, PARENT),
        (f" {PARENT}\t", PARENT),
        (f"00-{TRACE}-{SPAN}-00", f"00-{TRACE}-{SPAN}-00"),
        (f"01-{TRACE}-{SPAN}-03", PARENT),
        (f"cc-{TRACE}-{SPAN}-01-what-comes", PARENT),
        (f"ff-{TRACE}-{SPAN}-01", ""),
        (f"00-{TRACE}-{SPAN}-01-more", ""),
        (f"01-{TRACE}-{SPAN}-01more", ""),
        (f"00-{'0' * 32}-{SPAN}-01", ""),
        (f"00-{TRACE}-{'0' * 16}-01", ""),
        (f"00-{TRACE.upper()}-{SPAN}-01", ""),
        (f"00-{TRACE}-{SPAN}", ""),
        (f"00-{TRACE[:-1]}-{SPAN}-01", ""),
        ("", ""),
    ],
)
def test_a_parent_is_kept_where_it_is_valid(given: str, kept: str) -> None:
    assert accept_trace(given, "a=1") == (kept, "a=1" if kept else "")


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE", "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"),
        (" a=1 ,, b@c=2\t,", "a=1,b@c=2"),
        ("", ""),
        ("a=1,a=2", ""),
        ("a", ""),
        ("A=1", ""),
        ("a=", ""),
        ("a=é", ""),
        (",".join(f"k{n}=1" for n in range(32)), ",".join(f"k{n}=1" for n in range(32))),
        (",".join(f"k{n}=1" for n in range(33)), ""),
        ("a=" + "1" * 200 + ",b=" + "1" * 200 + ",c=" + "1" * 200, ""),
    ],
)
def test_a_state_is_kept_where_it_is_valid(given: str, kept: str) -> None:
    assert accept_trace(PARENT, given) == (PARENT, kept)


def test_a_child_is_of_the_same_trace_with_a_span_of_its_own() -> None:
    one, other = child_of(PARENT), child_of(PARENT)
    for child in (one, other):
        assert re.fullmatch(rf"00-{TRACE}-[0-9a-f]{{16}}-01", child)
        assert child != PARENT
    assert one != other
