"""Sets of status codes."""

from __future__ import annotations

import pytest

from webhooks_project.lib.statuses import parse_statuses


@pytest.mark.parametrize(
    ("text", "meant", "not_meant"),
    [
        ("500-599,429,!501", {429, 500, 502, 599}, {501, 400, 428}),
        ("!501, 500-599", {500, 502}, {501, 429}),
        ("!404", {200, 400, 500}, {404}),
        ("408", {408}, {409, 500}),
    ],
)
def test_what_is_meant(text: str, meant: set[int], not_meant: set[int]) -> None:
    found = parse_statuses(text)
    assert meant <= found
    assert not found & not_meant


@pytest.mark.parametrize("text", ["", ",", "5xx", "500-", "599-500", ">500", "0500", "50", "٥٠٠"])
def test_refuses_what_is_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"status code|ends before"):
        parse_statuses(text)
