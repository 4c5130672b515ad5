from __future__ import annotations

import pytest

from webhooks_project.lib.fingerprints import fingerprint_of, normalised


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("Not  Found\n", "not found"),
        ("order 17 of 4,200", "order <number> of <number>,<number>"),
        ("id 0190F3A2-7b1c-7def-8123-456789abcdef gone", "id <uuid> gone"),
        ("at 2026-03-04T05:06:07.123Z", "at <time>"),
        ("at 2026-03-04 05:06:07+01:00", "at <time>"),
        ("on 2026-03-04", "on <time>"),
        ("at 05:06:07", "at <time>"),
        ("Wed, 04 Mar 2026 05:06:07 GMT", "<time> <time> gmt"),
        ("trace 7f3a9c21bd", "trace <hex>"),
        ("at 0xdeadbeef", "at <hex>"),
        ("12345678", "<hex>"),
        ("a facade is defaced", "a facade is defaced"),  # words are none
        ("500ms", "<number>ms"),
    ],
)
def test_puts_a_word_in_place_of_what_varies(text: str, expected: str) -> None:
    assert normalised(text) == expected


def test_keeps_the_first_200_characters() -> None:
    assert normalised("x y " * 500) == ("x y " * 50)
    assert normalised("1 " * 100) == ("<number> " * 23)[:200]


@pytest.mark.parametrize("other", [("a", 2, ""), ("b", 1, ""), ("a", 1, "x")])
def test_differs_by_every_fact_and_by_the_text(other: tuple[str, int, str]) -> None:
    *facts, text = other
    assert fingerprint_of(*facts, text=text) != fingerprint_of("a", 1)


def test_is_the_same_for_what_is_alike() -> None:
    first = fingerprint_of("a", 1, text="request 17 failed")
    assert first == fingerprint_of("a", 1, text="request  4711 FAILED")
    assert len(first) == 32
    assert set(first) <= set("0123456789abcdef")


def test_facts_do_not_run_into_one_another() -> None:
    assert fingerprint_of("ab", "c") != fingerprint_of("a", "bc")


def test_takes_a_lone_surrogate() -> None:
    assert len(fingerprint_of("a", text="\ud800")) == 32
