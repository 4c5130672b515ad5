"""Lists come in pages, by a cursor."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest

from outgoing.services import NewEvent, publish_many
from subscriptions.event_types import create_event_type
from tests.api.calls import Api
from tests.factories import make_api_key, make_attempt, make_delivery, make_event, make_retry
from webhooks_project.accounts.models import Account
from webhooks_project.api.pagination import CursorPagination

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


@pytest.fixture
def api() -> Api:
    return Api(make_api_key().text)


@pytest.fixture
def account(api: Api) -> Account:
    return Account.objects.get()


def walk(api: Api, path: str) -> list[list[str]]:
    """The ids of each page."""
    pages = []
    following: str | None = path
    while following is not None:
        answer = api.get(following)
        pages.append([row["id"] for row in answer.rows])
        assert len(pages) < 100
        following = answer.json["next"]
        if following is not None:
            following = "/" + following.split("/", 3)[3]
    return pages


def test_the_pages_hold_every_row_once_and_the_newest_first(api: Api, account: Account) -> None:
    events = [make_event(account, created_at=NOW + timedelta(seconds=n)) for n in range(5)]
    pages = walk(api, "outgoing/events?page_size=2")
    expected = [str(event.pk) for event in reversed(events)]
    assert pages == [expected[:2], expected[2:4], expected[4:]]


def test_rows_of_one_moment_are_paged_too(api: Api, account: Account) -> None:
    for _ in range(7):
        make_event(account, created_at=NOW)
    pages = walk(api, "outgoing/events?page_size=3")
    assert [len(page) for page in pages] == [3, 3, 1]
    assert len({key for page in pages for key in page}) == 7


def test_more_rows_of_one_moment_than_the_library_counts_are_paged(
    api: Api, account: Account
) -> None:
    """An event may have a thousand deliveries: they are all of one moment."""
    publish_many([NewEvent(account.pk, "a", n) for n in range(1250)])
    pages = walk(api, "outgoing/events?page_size=200")
    assert len({key for page in pages for key in page}) == 1250
    assert CursorPagination.offset_cutoff > 1000


def test_new_rows_do_not_move_what_follows(api: Api, account: Account) -> None:
    old = [make_event(account, created_at=NOW + timedelta(seconds=n)) for n in range(4)]
    first = api.get("outgoing/events?page_size=2")
    make_event(account, created_at=NOW + timedelta(days=1))
    second = api.get("/" + first.json["next"].split("/", 3)[3])
    assert [row["id"] for row in second.rows] == [str(old[1].pk), str(old[0].pk)]
    back = api.get("/" + second.json["previous"].split("/", 3)[3])
    assert [row["id"] for row in back.rows] == [str(old[3].pk), str(old[2].pk)]


@pytest.mark.parametrize(
    ("asked", "given"), [("", 50), ("page_size=0", 50), ("page_size=x", 50), ("page_size=500", 120)]
)
def test_a_page_is_bounded(api: Api, account: Account, asked: str, given: int) -> None:
    publish_many([NewEvent(account.pk, "a", n) for n in range(120)])
    assert len(api.get(f"outgoing/events?{asked}").rows) == given
    assert CursorPagination.max_page_size == 200


def test_filters_go_on_over_the_pages(api: Api, account: Account) -> None:
    for n in range(6):
        make_event(account, type="odd" if n % 2 else "even", created_at=NOW + timedelta(seconds=n))
    pages = walk(api, "outgoing/events?page_size=2&type=odd")
    assert [len(page) for page in pages] == [2, 1]


@pytest.mark.parametrize(
    ("path", "order"),
    [
        ("outgoing/attempts", "started_at"),
        ("retry", "due_at"),
        ("subscriptions/event-types", "name"),
    ],
)
def test_each_list_has_its_own_order(api: Api, account: Account, path: str, order: str) -> None:
    for n in (2, 0, 1):
        create_event_type(account=account, name=f"type.{n}")
        delivery = make_delivery(make_event(account))
        make_attempt(delivery, started_at=NOW + timedelta(seconds=n))
        make_retry(make_delivery(make_event(account), lane=None), due_at=NOW + timedelta(hours=n))
    rows = [row[order] for row in api.get(path).rows]
    assert len(rows) == 3
    assert rows == sorted(rows, reverse=order == "started_at")


@pytest.mark.parametrize(
    "cursor",
    ["nonsense", "====", base64.b64encode(b"o=x").decode(), base64.b64encode(b"\xff").decode()],
)
def test_a_malformed_cursor_is_not_found(api: Api, cursor: str) -> None:
    answer = api.get(f"outgoing/events?cursor={quote(cursor)}")
    assert answer.status in (200, 404)
    if answer.status == 404:
        assert answer.code == "not_found"


@pytest.mark.parametrize("path", ["outgoing/events", "subscriptions/event-types", "retry"])
@pytest.mark.parametrize("position", ["p=%00", "p=x", "p=", "p=2026-99-99", "p=%ED%A0%80"])
def test_a_made_up_cursor_does_no_harm(api: Api, path: str, position: str) -> None:
    cursor = base64.b64encode(position.encode()).decode()
    assert api.get(f"{path}?cursor={quote(cursor)}").status in (200, 400, 404)
