"""A key that was read before: what is done by it goes by what the database says of it now."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from outgoing.drafting import Draft, NewEvent, draft_events
from outgoing.models import Delivery, Event
from outgoing.publishing import Published
from outgoing.together import Drafted, Publisher
from subscriptions.event_types import add_schema, create_event_type
from subscriptions.models import EventType
from tests.api.calls import Answer, Api
from tests.factories import make_account, make_api_key, make_subscription
from webhooks_project.accounts.known_keys import StaleGeneration, is_current
from webhooks_project.accounts.models import Account, ApiKey, Generation, Role
from webhooks_project.accounts.services import change_account
from webhooks_project.lib import clock
from webhooks_project.lib.ids import new_id
from webhooks_project.lib.together import Waiting

pytestmark = pytest.mark.django_db(transaction=True)

PATH = "outgoing/events"
EVENT = {"type": "invoice.paid", "data": {"n": 1}}


@pytest.fixture(autouse=True)
def _no_wake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("outgoing.publishing.wake", lambda family: None)


@pytest.fixture
def account() -> Account:
    return make_account()


@pytest.fixture
def api(account: Account) -> Api:
    """A caller whose key is known and was confirmed a moment ago."""
    api = Api(make_api_key(account).text)
    for _ in range(2):  # the first notes that it is used
        assert api.post(PATH, EVENT).status == 201
    with CaptureQueriesContext(connection) as queries:
        assert api.post(PATH, EVENT).status == 201
    assert not any("last_used_at" in query["sql"] for query in queries)  # the key is not read
    Event.objects.all().delete()
    return api


def change_key(account: Account, **values: Any) -> None:
    """As another process does."""
    assert ApiKey.objects.filter(account=account).update(**values) == 1


def batch(*events: Any) -> Callable[[Api], Answer]:
    return lambda api: api.post(f"{PATH}/batch", {"events": list(events)})


CALLS: dict[str, Callable[[Api], Answer]] = {
    "one": lambda api: api.post(PATH, EVENT),
    "one that is invalid": lambda api: api.post(PATH, {"type": 7}),
    "one that is refused": lambda api: api.post(PATH, {"type": "-.", "data": 1}),
    "one in an account of nobody": lambda api: api.post(PATH, EVENT | {"account": str(new_id())}),
    "no JSON": lambda api: api.post(PATH, raw=b"{"),
    "a batch": batch(EVENT, EVENT),
    "a batch of what is refused": batch({"type": "-.", "data": 1}),
    "a batch of what is invalid": batch({"type": 7}),
    "an empty batch": batch(),
    "a batch that is none": lambda api: api.post(f"{PATH}/batch", []),
}
ENDS: dict[str, Callable[[Account], Any]] = {
    "revoked": lambda account: change_key(account, revoked_at=clock.now()),
    "expired": lambda account: change_key(account, expires_at=clock.now() - timedelta(seconds=1)),
    "of another secret": lambda account: change_key(account, secret_sha256=b"x" * 32),
    "deleted": lambda account: ApiKey.objects.filter(account=account).delete(),
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_key_that_has_ended_is_refused_whatever_is_sent(
    api: Api, account: Account, call: Callable[[Api], Answer], end: Callable[[Account], Any]
) -> None:
    end(account)
    for _ in range(2):
        answer = call(api)
        assert (answer.status, answer.code) == (401, "authentication_failed")
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="webhooks"'
    assert not Event.objects.exists()


def test_a_repeat_by_a_key_that_was_revoked_is_refused(api: Api, account: Account) -> None:
    sent = EVENT | {"idempotency_key": "k"}
    assert api.post(PATH, sent).status == 201
    assert api.post(PATH, sent).status == 200
    change_key(account, revoked_at=clock.now())
    assert api.post(PATH, sent).status == 401
    assert batch(sent)(api).status == 401


def test_goes_by_the_role_that_the_key_has_now(api: Api, account: Account) -> None:
    change_key(account, scopes=[Role.VIEWER.value])
    for way in (CALLS["one"], CALLS["one that is invalid"], CALLS["a batch"]):
        assert way(api).status == 403
    change_key(account, scopes=[Role.DEVELOPER.value])
    assert api.post(PATH, EVENT).status == 201
    assert Event.objects.count() == 1


def test_what_is_no_json_is_none_after_a_change_either(api: Api, account: Account) -> None:
    change_account(account=account, unknown_event_types="reject")
    answer = CALLS["no JSON"](api)
    assert (answer.status, answer.code) == (400, "parse_error")
    change_account(account=account, unknown_event_types="allow")
    answer = api.call("post", PATH, raw=b"n=1", content_type="application/x-www-form-urlencoded")
    assert (answer.status, answer.code) == (415, "unsupported_media_type")
    change_key(account, scopes=[Role.VIEWER.value])
    assert CALLS["no JSON"](api).status == 403


def test_goes_by_the_catalogue_as_it_is_now(api: Api, account: Account) -> None:
    change_account(account=account, unknown_event_types="reject")
    refused = api.post(PATH, EVENT)
    assert (refused.status, refused.code) == (400, "event_type_unknown")
    assert not Event.objects.exists()
    # What was refused by what is kept is not refused any more.
    known = create_event_type(account=account, name="invoice.paid")
    assert api.post(PATH, EVENT).status == 201
    EventType.objects.filter(pk=known.pk).update(schema_mode=EventType.SchemaMode.REJECT)
    add_schema(event_type=known, schema={"type": "array"})
    assert api.post(PATH, EVENT).code == "schema_mismatch"
    assert Event.objects.count() == 1


@pytest.mark.parametrize("way", ["one", "a batch"])
def test_who_subscribes_before_the_call_gets_it(api: Api, account: Account, way: str) -> None:
    subscription = make_subscription(account, event_types=("invoice.*",))
    answer = CALLS[way](api)
    assert answer.status in (200, 201)
    events = Event.objects.count()
    assert events == (1 if way == "one" else 2)
    assert Delivery.objects.filter(subscription=subscription).count() == events


def test_an_account_without_a_generation_is_asked_each_time(api: Api, account: Account) -> None:
    Generation.objects.all().delete()
    change_key(account, name="Other")
    assert api.post(PATH, EVENT).status == 201
    change_key(account, revoked_at=clock.now())
    assert api.post(PATH, EVENT).status == 401


def drafted(account: Account, generation: Any, count: int = 1) -> Waiting[Drafted]:
    news = [NewEvent(account_id=account.pk, type="a", data=1) for _ in range(count)]
    drafts = [draft for draft in draft_events(news) if isinstance(draft, Draft)]
    return Waiting(Drafted(drafts, {account.pk: generation}), 1)


def generation_of(account: Account) -> Any:
    return Generation.objects.get(account=account).value


@pytest.mark.parametrize("count", [1, 9])
def test_one_that_goes_by_an_old_generation_keeps_no_other_back(count: int) -> None:
    account, other = make_account(), make_account()
    make_subscription(account, event_types=("a",))
    stale, fresh = drafted(account, new_id()), drafted(account, generation_of(account), count)
    of_other, stale_too = drafted(other, generation_of(other)), drafted(other, new_id())
    Publisher().commit([stale, fresh, of_other, stale_too])
    assert [type(each.error) for each in (stale, stale_too)] == [StaleGeneration] * 2
    assert (fresh.error, of_other.error) == (None, None)
    assert [isinstance(one, Published) for one in fresh.outcome] == [True] * count
    assert set(Event.objects.values_list("pk", flat=True)) == {
        one.event.pk for each in (fresh, of_other) for one in each.outcome
    }
    assert Delivery.objects.count() == count


def test_several_accounts_are_confirmed_by_one_statement() -> None:
    accounts = [make_account() for _ in range(3)]
    waiting = [drafted(each, generation_of(each)) for each in accounts]
    with CaptureQueriesContext(connection) as queries:
        Publisher().commit(waiting)
    words = [query["sql"].split()[0] for query in queries]
    together = ["BEGIN", "SELECT", "INSERT", "COMMIT"]
    assert words == (["WITH"] if connection.vendor == "postgresql" else together)
    assert Event.objects.count() == 3


def test_a_generation_is_current_until_it_is_drawn_anew(account: Account) -> None:
    generations = {account.pk: generation_of(account)}
    assert is_current(generations)
    assert not is_current(generations | {new_id(): new_id()})
    change_account(account=account, unknown_event_types="warn")
    assert not is_current(generations)
