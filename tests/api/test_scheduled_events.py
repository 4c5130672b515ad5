from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import time_machine

from outgoing.models import Delivery, Event
from tests.api.calls import Api
from tests.factories import make_account, make_api_key, make_event, make_subscription
from webhooks_project.accounts.models import Account, Role

pytestmark = pytest.mark.django_db

PATH = "outgoing/events"
NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
LATER = "2026-03-05T05:06:07Z"


@pytest.fixture
def account() -> Account:
    return make_subscription().account


@pytest.fixture
def api(account: Account) -> Api:
    return Api(make_api_key(account, Role.DEVELOPER).text)


@time_machine.travel(NOW, tick=False)
def test_shows_what_waits_for_its_time_and_takes_it_back(api: Api) -> None:
    made = api.post(PATH, {"type": "a", "data": 1, "deliver_at": LATER})
    assert (made.status, made.json["deliver_at"], made.json["cancelled_at"]) == (201, LATER, None)
    event = f"{PATH}/{made.json['id']}"
    (delivery,) = api.get(f"{event}/deliveries").json
    assert (delivery["status"], delivery["scheduled_for"]) == ("pending", LATER)
    answer = api.post(f"{event}/cancel")
    assert (answer.status, answer.json["cancelled_at"]) == (200, "2026-03-04T05:06:07Z")
    (delivery,) = api.get(f"{event}/deliveries").json
    assert (delivery["status"], delivery["scheduled_for"]) == ("cancelled", None)
    again = api.post(f"{event}/cancel")
    assert (again.status, again.code) == (409, "state_not_allowed")


def test_once_the_time_has_come_it_is_a_conflict(api: Api) -> None:
    with time_machine.travel(NOW, tick=False):
        made = api.post(PATH, {"type": "a", "data": 1, "deliver_at": LATER})
    with time_machine.travel(NOW + timedelta(days=1), tick=False):
        answer = api.post(f"{PATH}/{made.json['id']}/cancel")
        (delivery,) = api.get(f"{PATH}/{made.json['id']}/deliveries").json
    assert (answer.status, answer.code) == (409, "state_not_allowed")
    assert (delivery["status"], delivery["scheduled_for"]) == ("pending", None)


@time_machine.travel(NOW, tick=False)
def test_it_is_at_most_30_days_ahead(api: Api) -> None:
    answer = api.post(PATH, {"type": "a", "data": 1, "deliver_at": "2026-04-03T05:06:08Z"})
    assert (answer.status, answer.code) == (400, "event_not_acceptable")
    assert answer.json["errors"] == [
        {"path": "/deliver_at", "code": "too_late", "message": "is more than 30 days ahead"}
    ]
    assert not Event.objects.exists()


def test_lists_what_waits_for_its_time(api: Api, account: Account) -> None:
    later = NOW + timedelta(days=1)
    with time_machine.travel(NOW, tick=False):
        waiting = make_event(account, deliver_at=later)
        others = [
            make_event(account),
            make_event(account, deliver_at=NOW),
            make_event(account, deliver_at=later, cancelled_at=NOW),
        ]
        found = api.get(f"{PATH}?scheduled=true").rows
        rest = api.get(f"{PATH}?scheduled=false").rows
    assert [row["id"] for row in found] == [str(waiting.pk)]
    assert {row["id"] for row in rest} == {str(event.pk) for event in others}


def test_a_viewer_does_not_cancel(account: Account) -> None:
    event = make_event(account, deliver_at=datetime.now(UTC) + timedelta(days=1))
    api = Api(make_api_key(account, Role.VIEWER).text)
    assert api.post(f"{PATH}/{event.pk}/cancel").status == 403
    event.refresh_from_db()
    assert event.cancelled_at is None


def test_another_accounts_event_is_not_found() -> None:
    event = make_event(deliver_at=datetime.now(UTC) + timedelta(days=1))
    api = Api(make_api_key(make_account()).text)
    assert api.post(f"{PATH}/{event.pk}/cancel").status == 404
    assert not Delivery.objects.exists()
