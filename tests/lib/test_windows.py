"""Delivery windows."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from webhooks_project.lib.windows import parse_window

OFFICE = {"days": ["mon", "fri"], "from": "08:00", "until": "18:00", "time_zone": "Europe/Berlin"}
NIGHT = {"days": ["fri"], "from": "22:00", "until": "06:00"}


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("window", "moment", "is_open", "opens"),
    [
        # 2 March 2026 is a Monday; Berlin is an hour ahead in winter, two in summer.
        (OFFICE, "2026-03-02T06:59:59", False, "2026-03-02T07:00:00"),
        (OFFICE, "2026-03-02T07:00:00", True, "2026-03-02T07:00:00"),
        (OFFICE, "2026-03-02T16:59:59", True, "2026-03-02T16:59:59"),
        (OFFICE, "2026-03-02T17:00:00", False, "2026-03-06T07:00:00"),
        (OFFICE, "2026-03-03T12:00:00", False, "2026-03-06T07:00:00"),
        (OFFICE, "2026-03-30T06:00:00", True, "2026-03-30T06:00:00"),
        (NIGHT, "2026-03-06T21:59:59", False, "2026-03-06T22:00:00"),
        (NIGHT, "2026-03-07T05:59:59", True, "2026-03-07T05:59:59"),
        (NIGHT, "2026-03-07T06:00:00", False, "2026-03-13T22:00:00"),
        ({"from": "00:00", "until": "00:00"}, "2026-03-07T13:00:00", True, "2026-03-07T13:00:00"),
    ],
)
def test_open_and_next_opening(
    window: dict[str, Any], moment: str, is_open: bool, opens: str
) -> None:
    parsed = parse_window(window)
    assert parsed.is_open(at(moment)) is is_open
    assert parsed.next_opening(at(moment)) == at(opens)


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {},
        {"from": "08:00"},
        {"from": "8:00", "until": "18:00"},
        {"from": "25:00", "until": "18:00"},
        {"from": 8, "until": 18},
        {"from": "08:00", "until": "18:00", "days": []},
        {"from": "08:00", "until": "18:00", "days": "mon"},
        {"from": "08:00", "until": "18:00", "days": ["monday"]},
        {"from": "08:00", "until": "18:00", "days": [["mon"]]},
        {"from": "08:00", "until": "18:00", "time_zone": "Europe/Nowhere"},
        {"from": "08:00", "until": "18:00", "time_zone": "../../etc/passwd"},
        {"from": "08:00", "until": "18:00", "time_zone": 5},
        {"from": "08:00", "until": "18:00", "other": 1},
    ],
)
def test_refuses_what_is_no_window(document: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_window(document)
