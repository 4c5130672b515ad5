"""Whatever stores receipts leaves a mark of their minute in the same transaction."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock

import pytest
from django import db

from incoming import refusals
from incoming.models import Receipt, RefusalMinute
from incoming.providers import Cause, Refused
from incoming.refusals import record_refusal
from incoming.store import _commit
from tests.factories import make_receipt, make_source
from webhooks_project.lib import clock
from webhooks_project.lib.ids import new_id
from webhooks_project.lib.together import Waiting
from webhooks_project.models import Uncounted
from webhooks_project.uncounted import mark_uncounted

pytestmark = pytest.mark.django_db


def fresh(**fields: Any) -> Receipt:
    receipt = make_receipt(**fields)
    Receipt.objects.all().delete()
    Uncounted.objects.all().delete()
    receipt.pk = new_id()
    return receipt


def marks() -> int:
    return Uncounted.objects.filter(kind=Uncounted.Kind.RECEIPT).count()


def test_each_minute_between_the_first_and_the_last_has_its_mark() -> None:
    first = datetime(2026, 3, 14, 15, 9, 59, tzinfo=UTC)
    moments = [first + timedelta(seconds=seconds) for seconds in (70, 0, 1, 30)]
    mark_uncounted(Uncounted.Kind.ATTEMPT, moments)
    minutes = Uncounted.objects.order_by("minute").values_list("minute", flat=True)
    assert [minute.strftime("%H:%M:%S") for minute in minutes] == [
        "15:09:00",
        "15:10:00",
        "15:11:00",
    ]


def test_a_commit_of_one_or_several_leaves_one() -> None:
    source = make_source()
    one, two = fresh(source=source), fresh(source=source)
    _commit([Waiting(one, 1)])
    assert (Receipt.objects.count(), marks()) == (1, 1)
    three = fresh(source=source)
    Receipt.objects.all().delete()
    _commit([Waiting(two, 1), Waiting(three, 1)])
    assert (Receipt.objects.count(), marks()) == (2, 1)


@pytest.mark.django_db(transaction=True)
def test_a_receipt_that_cannot_be_stored_leaves_none() -> None:
    receipt = fresh()
    _commit([Waiting(receipt, 1)])
    again = Waiting(receipt, 1)
    _commit([again])
    assert again.error is not None
    assert marks() == 1


@pytest.mark.django_db(transaction=True)
def test_a_receipt_whose_mark_cannot_be_stored_is_not_stored() -> None:
    waiting = Waiting(fresh(), 1)
    mark = ("INSERT INTO hub_uncounted (kind) VALUES (%s)", [None])
    with mock.patch("incoming.store.mark_of", return_value=mark):
        _commit([waiting])
    assert isinstance(waiting.error, db.Error)
    assert not Receipt.objects.exists()


def test_refusals_beyond_those_that_are_kept_are_counted_by_the_minute(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(refusals, "KEPT_PER_HOUR", 2)
    source = make_source()
    now = clock.now()
    for _ in range(5):
        receipt = make_receipt(source, status="refused")
        Receipt.objects.filter(pk=receipt.pk).delete()
        record_refusal(
            source_id=source.pk, account_id=source.account_id,
            refused=Refused(Cause.SIGNATURE_MISMATCH), receipt=receipt, now=now,
        )  # fmt: skip
    record_refusal(
        source_id=source.pk, account_id=source.account_id,
        refused=Refused(Cause.RATE_LIMITED), receipt=None, now=now,
    )  # fmt: skip
    assert Receipt.objects.count() == 2
    assert set(RefusalMinute.objects.values_list("cause", "minute", "count")) == {
        ("signature_mismatch", now.replace(second=0, microsecond=0), 3),
        ("rate_limited", now.replace(second=0, microsecond=0), 1),
    }
