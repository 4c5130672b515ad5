"""What requests publish at the same moment is committed together."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import DataError, OperationalError, connections, transaction

from outgoing import publishing, together
from outgoing.drafting import NewEvent
from outgoing.errors import EventTypeMalformed, FirstNotRead
from outgoing.models import Delivery, Event
from outgoing.publishing import Published
from outgoing.together import Publisher
from tests.factories import make_subscription
from webhooks_project.accounts.models import Account

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def account() -> Account:
    return make_subscription().account


def new(account: Account, type: str) -> NewEvent:
    return NewEvent(account_id=account.pk, type=type, data=b"{}")


class Transactions:
    """Lets the first begin only once the others stand in line, and notes the types of each."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, publisher: Publisher, others: int) -> None:
        self.types: list[list[str]] = []
        self._publisher, self._others = publisher, others
        self._real = together.store_drafts
        monkeypatch.setattr(together, "store_drafts", self)

    def __call__(self, drafts: Any, **options: Any) -> Any:
        if not self.types:
            while len(self._publisher._line) < self._others:
                threading.Event().wait(0.001)
        self.types.append(sorted(draft.event.type for draft in drafts))
        if "poison" in self.types[-1]:
            raise DataError("the database does not take it")
        return self._real(drafts, **options)


def publish_at_once(publisher: Publisher, new_events: list[NewEvent]) -> list[Any]:
    """Each in a thread of its own; what each got, or what it raised."""

    def publish(new_event: NewEvent) -> Any:
        try:
            return publisher.publish(new_event)
        except Exception as error:
            return error
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(new_events)) as pool:
        return list(pool.map(publish, new_events))


def test_those_that_wait_share_a_transaction_and_each_hears_its_own(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher = Publisher()
    transactions = Transactions(monkeypatch, publisher, others=3)
    outcomes = publish_at_once(publisher, [new(account, name) for name in "abcd"])
    assert sorted(map(len, transactions.types)) == [1, 3]
    assert [outcome.event.type for outcome in outcomes] == ["a", "b", "c", "d"]
    assert [len(outcome.delivery_ids) for outcome in outcomes] == [1] * 4
    assert Event.objects.count() == Delivery.objects.count() == 4


def test_one_that_is_refused_hears_it_alone(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher = Publisher()
    Transactions(monkeypatch, publisher, others=2)
    outcomes = publish_at_once(publisher, [new(account, name) for name in ("a", "-.", "c", "d")])
    assert isinstance(outcomes[1], EventTypeMalformed)
    assert sorted(Event.objects.values_list("type", flat=True)) == ["a", "c", "d"]


def test_one_that_the_database_does_not_take_fails_alone(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher = Publisher()
    Transactions(monkeypatch, publisher, others=3)
    outcomes = publish_at_once(
        publisher, [new(account, name) for name in ("a", "poison", "c", "d")]
    )
    assert isinstance(outcomes[1], DataError)
    assert sorted(Event.objects.values_list("type", flat=True)) == ["a", "c", "d"]


def test_in_a_transaction_it_is_part_of_that(account: Account) -> None:
    publisher = Publisher()
    with transaction.atomic():
        assert publisher.publish(new(account, "a")).is_new
        transaction.set_rollback(True)
    assert not Event.objects.exists()


def keyed(account: Account, type: str, key: str) -> NewEvent:
    return NewEvent(account_id=account.pk, type=type, data=b"{}", idempotency_key=key)


def test_where_the_first_of_a_key_cannot_be_read_the_others_hear_that_they_are_stored(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher = Publisher()
    publisher.publish(keyed(account, "a", "known"))

    def fail(_: Any) -> Any:
        raise OperationalError("the connection is lost")

    with monkeypatch.context() as patched:
        patched.setattr(publishing, "_firsts", fail)
        repeated, stored = publisher.publish_each(
            [keyed(account, "a", "known"), keyed(account, "b", "new")]
        )
    assert isinstance(repeated, FirstNotRead)
    assert (repeated.code, repeated.status) == ("unavailable", 503)
    assert isinstance(stored, Published)
    assert stored.is_new
    assert sorted(Event.objects.values_list("type", flat=True)) == ["a", "b"]
    assert Delivery.objects.count() == 2
    assert not publisher.publish(keyed(account, "a", "known")).is_new


def test_a_key_whose_first_is_pruned_at_that_moment_is_free(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher = Publisher()
    first = publisher.publish(keyed(account, "a", "known")).event
    real = publishing._firsts

    def prune(repeated: Any) -> Any:
        Delivery.objects.filter(event=first.pk).delete()
        Event.objects.filter(pk=first.pk).delete()
        return real(repeated)

    monkeypatch.setattr(publishing, "_firsts", prune)
    outcomes = publisher.publish_each([keyed(account, "b", "known"), keyed(account, "c", "new")])
    assert [outcome.is_new for outcome in outcomes if isinstance(outcome, Published)] == [True] * 2
    assert sorted(Event.objects.values_list("type", flat=True)) == ["b", "c"]
    assert Delivery.objects.count() == 2
