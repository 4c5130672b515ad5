"""Publishing by the API: an event a request against the bare view, and 50 against one."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

import orjson
from django.conf import settings

from outgoing.models import Delivery
from subscriptions.services import create_subscription
from tests.bench import bare
from tests.bench.ingest import running_web_server
from tests.bench.load import Load, put_load
from tests.bench.report import Mark, said, say, show_ratio
from webhooks_project.accounts.services import create_account, create_api_key

SENDERS: Final = 8  # at the same time
SECONDS: Final = 2.5
WARM_UP_SECONDS: Final = 1.0
DATA_BYTES: Final = 1024
TOGETHER: Final = 50
EVENT_TYPE: Final = "bench.published"
PATH: Final = "/api/v1/webhooks/outgoing/events"
MARKS: Final = {"publish": Mark(">=", 0.6), "publish_batch": Mark(">=", 4.0)}
NAMES: Final = tuple(MARKS)

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Way:
    """A way to publish: its requests, how many events each has, and how many are stored."""

    next_request: Callable[[], bytes]
    status: int
    stored: Callable[[], int]
    events: int = 1

    def rate(self, *, port: int, seconds: float) -> float:
        """Events a second. Raises RuntimeError where one was refused or is not stored."""
        before = self.stored()
        load: Load = put_load(self.next_request, port=port, seconds=seconds, connections=SENDERS)
        count = self.events * load.statuses[self.status]
        if set(load.statuses) != {self.status} or self.stored() - before != count:
            raise RuntimeError(f"answers {dict(load.statuses)}, rows {self.stored() - before}")
        return count / load.seconds


def measure_publish(*, runs: int, only: Collection[str]) -> None:
    """Print `publish`: events published a second by the bare view's; each has an idempotency key
    and one delivery. And `publish_batch`: events a second in batches by those one at a time."""
    bare.make_table()
    ways = _ways()
    with running_web_server() as port:
        for way in ways.values():
            way.rate(port=port, seconds=WARM_UP_SECONDS)
        rates: dict[str, list[float]] = {name: [] for name in ways}
        for run in range(runs):
            for name, way in ways.items():
                rates[name].append(way.rate(port=port, seconds=SECONDS))
            say(f"publish {run + 1}/{runs}: {said(rates)}")
    for name, pair in (("publish", ("hub", "bare")), ("publish_batch", ("batch", "hub"))):
        if name in only:
            show_ratio(
                name,
                {key: rates[key] for key in pair},
                mark=MARKS[name],
                server=f"granian {settings.WEB_PROCESSES}x{settings.WEB_THREADS}",
                senders=SENDERS,
                data_bytes=DATA_BYTES,
                **({"together": TOGETHER} if name == "publish_batch" else {}),
            )


def _ways() -> dict[str, Way]:
    account = create_account(name="Publish", slug="bench-publish")
    create_subscription(
        account=account, name="Receiver", url="http://127.0.0.1:8009/", event_types=[EVENT_TYPE]
    )
    key = create_api_key(account=account, name="bench").text
    data = orjson.dumps({"text": "x" * (DATA_BYTES - 11)})
    event = b'{"type":"%b","data":%b' % (EVENT_TYPE.encode(), data)
    deliveries = Delivery.objects.filter(account=account)

    def one() -> bytes:
        return _post(PATH, event + b"}", f"Idempotency-Key: one-{next(_numbers)}", key)

    def many() -> bytes:
        events = b",".join(
            b'%b,"idempotency_key":"many-%d"}' % (event, next(_numbers)) for _ in range(TOGETHER)
        )
        return _post(f"{PATH}/batch", b'{"events":[%b]}' % events, "Accept: */*", key)

    def plain() -> bytes:
        return _post("/bare-publish", event + b"}", "Accept: */*", key)

    return {
        "hub": Way(one, 201, deliveries.count),
        "bare": Way(plain, 201, bare.Row.objects.count),
        "batch": Way(many, 200, deliveries.count, TOGETHER),
    }


def _post(path: str, body: bytes, header: str, key: str) -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n"
        f"Content-Type: application/json\r\nAuthorization: Bearer {key}\r\n{header}\r\n\r\n"
    )
    return head.encode() + body
