"""The endpoint doctor, before receivers in order and out of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from django.core.cache import cache
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from monitoring.models import Activity
from outgoing import doctor
from outgoing.doctor import Diagnosis, Name, Verdict, diagnose, judge
from outgoing.models import Attempt, Delivery, Event
from subscriptions.errors import StateNotAllowed
from subscriptions.models import Subscription
from tests.factories import SIGNING_SECRET, make_subscription
from tests.lib.receiver import Arrived, Line, Receiver, receiver, status
from webhooks_project.lib.outbound import Failure, Response

pytestmark = pytest.mark.django_db(transaction=True)

OK, WARNING, FAILED, INCONCLUSIVE = Verdict


@dataclass
class Shop:
    """A receiver as its owner wrote it: `answers` gives a status for each that arrived."""

    answers: Callable[[Shop, Arrived], int]
    seen: set[str] = field(default_factory=set)
    delay: float = 0

    def __call__(self, line: Line) -> None:
        while arrived := line.read():
            time.sleep(self.delay)
            line.send(status(self.answers(self, arrived)))


def verified(shop: Shop, arrived: Arrived) -> int:
    """What a receiver in order answers."""
    try:
        Webhook(SIGNING_SECRET).verify(arrived.body, arrived.headers)
    except WebhookVerificationError:
        return 401
    return 204


def checks_no_time(shop: Shop, arrived: Arrived) -> int:
    sent_at = datetime.fromtimestamp(int(arrived.headers["webhook-timestamp"]), UTC)
    right = Webhook(SIGNING_SECRET).sign(
        arrived.headers["webhook-id"], sent_at, arrived.body.decode()
    )
    return 200 if right == arrived.headers["webhook-signature"] else 400


def no_duplicates(shop: Shop, arrived: Arrived) -> int:
    found = verified(shop, arrived)
    if found == 204 and arrived.headers["webhook-id"] in shop.seen:
        return 409
    shop.seen.add(arrived.headers["webhook-id"])
    return found


def known_types(shop: Shop, arrived: Arrived) -> int:
    is_known = orjson.loads(arrived.body)["type"] == "webhook.test"
    return verified(shop, arrived) if is_known else 422


def fails_to_refuse(shop: Shop, arrived: Arrived) -> int:
    return 500 if verified(shop, arrived) == 401 else 200


def examine(script: Any, **fields: Any) -> tuple[Diagnosis, Receiver, Subscription]:
    with receiver(script) as there:
        row = make_subscription(url=there.url, **fields)
        return diagnose(subscription=row), there, row


def verdicts(diagnosis: Diagnosis) -> list[Verdict]:
    assert [probe.name for probe in diagnosis.probes] == list(Name)
    return [probe.verdict for probe in diagnosis.probes]


@pytest.mark.parametrize(
    ("answers", "found", "three"),
    [
        (verified, [OK, OK, OK, OK, OK], (True, True, True)),
        (lambda shop, _: 200, [OK, FAILED, FAILED, OK, OK], (False, True, True)),
        (checks_no_time, [OK, OK, FAILED, OK, OK], (False, True, True)),
        (no_duplicates, [OK, OK, OK, FAILED, OK], (True, True, False)),
        (known_types, [OK, OK, OK, OK, FAILED], (True, True, False)),
        (fails_to_refuse, [OK, WARNING, WARNING, OK, OK], (True, True, True)),
        (lambda shop, _: 401, [FAILED, *[INCONCLUSIVE] * 4], (None, True, False)),
        (lambda shop, _: 302, [FAILED, *[INCONCLUSIVE] * 4], (None, True, False)),
        (lambda shop, _: 410, [FAILED, *[INCONCLUSIVE] * 4], (None, True, False)),
        (lambda shop, _: 500, [FAILED, *[INCONCLUSIVE] * 4], (None, True, False)),
    ],
    ids=["right", "blind", "timeless", "duplicate", "types", "500s", "401", "302", "410", "500"],
)
def test_says_whether_a_receiver_verifies_and_answers_rightly(
    answers: Any, found: list[Verdict], three: tuple[bool | None, ...]
) -> None:
    diagnosis, _, _ = examine(Shop(answers))
    assert verdicts(diagnosis) == found
    assert (diagnosis.verifies, diagnosis.is_quick, diagnosis.answers_rightly) == three
    for probe in diagnosis.probes:
        assert bool(probe.advice) == (probe.verdict != OK)
        assert probe.status is not None
        assert probe.milliseconds is not None
        assert probe.milliseconds > 0


def test_sends_five_that_are_what_they_say() -> None:
    _, there, row = examine(Shop(verified))
    right, *others = there.arrived
    hook = Webhook(SIGNING_SECRET)
    assert hook.verify(right.body, right.headers) == orjson.loads(right.body)
    assert orjson.loads(right.body)["data"] == {"subscription": str(row.pk)}
    now = int(right.headers["webhook-timestamp"])
    ages = [now - int(item.headers["webhook-timestamp"]) for item in others]
    (stale,) = (
        item for item, age in zip(others, ages, strict=True) if age >= doctor.STALE_SECONDS - 5
    )
    assert orjson.loads(stale.body)["type"] == "webhook.test"
    (duplicate,) = (
        item for item in others if item.headers["webhook-id"] == right.headers["webhook-id"]
    )
    assert hook.verify(duplicate.body, duplicate.headers)
    (tampered,) = (item for item in others if orjson.loads(item.body).get("tampered"))
    with pytest.raises(WebhookVerificationError):
        hook.verify(tampered.body, tampered.headers)
    (unknown,) = (
        item for item in others if orjson.loads(item.body)["type"] == "webhook.test.unknown"
    )
    assert hook.verify(unknown.body, unknown.headers)
    assert len(others) == 4


def test_a_slow_one_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "QUICK_MS", 50)
    diagnosis, _, _ = examine(Shop(verified, delay=0.1))
    assert verdicts(diagnosis) == [WARNING, OK, OK, OK, OK]
    assert (diagnosis.verifies, diagnosis.is_quick) == (True, False)


def test_one_that_does_not_answer_ends_it_in_time() -> None:
    began = time.monotonic()
    diagnosis, there, _ = examine(Line.hang, timeout_seconds=1)
    assert time.monotonic() - began < 5
    assert verdicts(diagnosis) == [FAILED, *[INCONCLUSIVE] * 4]
    assert (diagnosis.verifies, diagnosis.is_quick, diagnosis.answers_rightly) == (None,) * 3
    assert diagnosis.probes[0].advice == "No answer: it did not answer in time."
    assert diagnosis.probes[1].milliseconds is None
    assert there.connections == 1


def test_the_deadline_holds_whatever_the_subscription_allows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(doctor, "PROBE_SECONDS", 0.5)
    began = time.monotonic()
    diagnosis, _, _ = examine(Line.hang, timeout_seconds=60)
    assert time.monotonic() - began < 5
    assert verdicts(diagnosis)[0] == FAILED


@pytest.mark.parametrize("url", ["http://10.0.0.1/", "http://169.254.169.254/latest"])
def test_nothing_is_sent_to_a_forbidden_address_and_none_is_named(url: str) -> None:
    diagnosis = diagnose(subscription=make_subscription(url=url))
    assert diagnosis.probes[0].advice == (
        "No answer: its name leads to an address that is not allowed."
    )
    assert "10.0.0.1" not in repr(diagnosis)
    assert "169.254" not in repr(diagnosis)


def test_nothing_is_written_down_but_that_it_was_done() -> None:
    _, _, row = examine(Shop(verified))
    assert not Event.objects.exists()
    assert not Delivery.objects.exists()
    assert not Attempt.objects.exists()
    activity = Activity.objects.get()
    assert (activity.kind, activity.object_id) == ("subscription.diagnosed", str(row.pk))
    row.refresh_from_db()
    assert row.failing_since is None


@pytest.mark.parametrize("fields", [{"status": "archived"}, {"secret": None}])
def test_what_cannot_be_examined(fields: dict[str, Any]) -> None:
    with receiver(Shop(verified)) as there:
        with pytest.raises(StateNotAllowed):
            diagnose(subscription=make_subscription(url=there.url, **fields))
        assert there.arrived == []


def test_one_at_a_time() -> None:
    with receiver(Shop(verified)) as there:
        row = make_subscription(url=there.url)
        cache.add(f"diagnosis:{row.pk}", 1)
        with pytest.raises(StateNotAllowed, match="under way"):
            diagnose(subscription=row)
        assert there.arrived == []
        cache.delete(f"diagnosis:{row.pk}")
        for _ in range(2):
            diagnose(subscription=row)


def test_no_answer_to_a_forged_one_tells_nothing() -> None:
    fine = Response(status=200, total_ms=5)
    silent = Response(failure=Failure.RESET, total_ms=5)
    diagnosis = judge(
        {
            Name.RIGHT: fine, Name.TAMPERED: silent, Name.STALE: Response(status=400),
            Name.DUPLICATE: fine, Name.UNKNOWN_TYPE: silent,
        }
    )  # fmt: skip
    assert verdicts(diagnosis) == [OK, INCONCLUSIVE, OK, OK, INCONCLUSIVE]
    assert (diagnosis.verifies, diagnosis.answers_rightly) == (None, None)
