"""The queue in the database and the one in Redis: which queues a cluster takes from."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.utils import timezone
from django_q.conf import Conf
from django_q.models import OrmQ

from webhooks_project import brokers
from webhooks_project.brokers import OrmBroker, queues_served, redis_broker


@pytest.fixture(autouse=True)
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long an idle broker slept each time."""
    seconds: list[float] = []
    monkeypatch.setattr(brokers, "sleep", seconds.append)
    return seconds


@pytest.fixture
def two_families(settings: Any) -> None:
    settings.QM_WEBHOOKS = {
        family: family in ("processing", "delivery") for family in settings.FAMILIES
    }


@pytest.mark.usefixtures("two_families")
def test_the_shared_cluster_serves_the_families_that_are_switched_on() -> None:
    assert queues_served("hub") == ["hub", "processing", "delivery"]
    assert queues_served("delivery") == ["delivery"]
    assert queues_served("retry") == ["retry"]


def put(key: str, payload: str, *, ago: float = 1) -> OrmQ:
    return OrmQ.objects.create(
        key=key, payload=payload, lock=timezone.now() - timedelta(seconds=ago)
    )


@pytest.mark.django_db
@pytest.mark.usefixtures("two_families")
class TestOrmBroker:
    def test_takes_only_from_the_queues_it_serves(self) -> None:
        put("delivery", "mine")
        put("retry", "not served here")
        broker = OrmBroker(list_key="hub")
        ((key, payload),) = broker.dequeue() or []
        assert payload == "mine"
        broker.acknowledge(key)
        assert broker.dequeue() is None
        assert [row.payload for row in OrmQ.objects.all()] == ["not served here"]

    def test_takes_the_oldest_first_whichever_family_s_it_is(self) -> None:
        for number, key in enumerate(["delivery", "hub", "processing", "delivery"]):
            put(key, str(number), ago=1)
        broker = OrmBroker(list_key="hub")
        taken = []
        for _ in range(4):
            taken += [payload for _, payload in broker.dequeue() or []]
        assert taken == ["0", "1", "2", "3"]

    def test_takes_none_that_another_has_locked(self, naps: list[float]) -> None:
        put("delivery", "mine")
        broker, other = OrmBroker(list_key="hub"), OrmBroker(list_key="hub")
        assert broker.dequeue()
        assert naps == []
        assert other.dequeue() is None
        assert naps == [Conf.POLL]
        row = OrmQ.objects.get()
        assert row.lock > timezone.now() + timedelta(seconds=Conf.RETRY - 5)

    def test_takes_none_that_another_was_faster_to_lock(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        put("delivery", "mine")
        timeout = OrmBroker.timeout

        def lock_meanwhile(self: OrmBroker, task: OrmQ) -> datetime:
            OrmQ.objects.update(lock=timezone.now() + timedelta(seconds=300))
            return timeout(self, task)

        monkeypatch.setattr(OrmBroker, "timeout", lock_meanwhile)
        broker = OrmBroker(list_key="hub")
        assert not broker.dequeue()

    def test_gives_again_what_was_not_acknowledged_in_time(self) -> None:
        put("delivery", "mine")
        broker = OrmBroker(list_key="delivery")
        broker.dequeue()
        OrmQ.objects.update(lock=timezone.now() - timedelta(seconds=1))
        ((_, payload),) = broker.dequeue() or []
        assert payload == "mine"

    def test_sleeps_where_there_is_nothing(
        self, naps: list[float], django_assert_num_queries: Any
    ) -> None:
        with django_assert_num_queries(1):
            assert OrmBroker(list_key="hub").dequeue() is None
        assert naps == [Conf.POLL]


@pytest.mark.skipif(not django_settings.REDIS_URL, reason="there is no Redis")
@pytest.mark.usefixtures("two_families")
class TestRedisBroker:
    def test_takes_only_from_the_queues_it_serves(self) -> None:
        for family in ("retry", "delivery"):
            redis_broker(family).enqueue(family)
        hub = redis_broker("hub")
        assert hub.dequeue() == [(None, b"delivery")]
        assert hub.dequeue() is None
        assert redis_broker("retry").dequeue() == [(None, b"retry")]

    def test_keeps_the_order_of_a_queue(self) -> None:
        broker = redis_broker("delivery")
        for number in range(3):
            broker.enqueue(str(number))
        assert broker.queue_size() == 3
        assert [broker.dequeue() for _ in range(3)] == [
            [(None, str(number).encode())] for number in range(3)
        ]

    def test_two_hubs_may_share_a_server(self, settings: Any) -> None:
        redis_broker("delivery").enqueue("mine")
        settings.REDIS_PREFIX += "-other"
        assert redis_broker("delivery").queue_size() == 0
