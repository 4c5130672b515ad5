"""Telling people: one row for each person, in the caller's transaction."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.db import transaction

from monitoring import journal
from monitoring.journal import record_notification
from monitoring.models import Activity, Notification
from tests.factories import make_account, make_source, make_user
from webhooks_project.accounts.models import Account

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _frozen() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def account() -> Account:
    return make_account()


def tell(account: Account, *recipients: str, **fields: Any) -> list[str]:
    made = record_notification(
        **{"account_id": account.pk, "kind": "test", "recipients": recipients, "title": "A title",
           "text": "A text."} | fields
    )  # fmt: skip
    kept = Notification.objects.filter(pk__in=[item.pk for item in made]).order_by("pk")
    return list(kept.values_list("recipient", flat=True))


def test_a_row_is_due_at_once(account: Account) -> None:
    source = make_source(account)
    assert tell(account, "ann@example.com", subject=source) == ["ann@example.com"]
    assert Notification.objects.values(
        "account", "kind", "via", "recipient", "title", "text", "object_type", "object_id",
        "status", "attempt_count", "next_attempt_at", "error", "created_at", "sent_at",
    ).get() == {
        "account": account.pk, "kind": "test", "via": "email",
        "recipient": "ann@example.com", "title": "A title", "text": "A text.",
        "object_type": "incoming.source", "object_id": str(source.pk), "status": "pending",
        "attempt_count": 0, "next_attempt_at": NOW, "error": "", "created_at": NOW,
        "sent_at": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("role", "told"),
    [
        ("viewer", ["admin", "developer", "operator", "viewer"]),
        ("developer", ["admin", "developer", "operator"]),
        ("operator", ["admin", "operator"]),
        ("admin", ["admin"]),
    ],
)
def test_a_role_is_its_members_and_those_above(
    account: Account, role: str, told: list[str]
) -> None:
    for name in ("viewer", "developer", "operator", "admin"):
        make_user(account, name, email=f"{name}@example.com")
        make_user(make_account(), name, email=f"{name}@elsewhere.example")
    make_user(account, "admin", email="gone@example.com", is_active=False)
    make_user(account, "admin", email="")
    make_user(account, "admin", email="no address")
    assert tell(account, role) == [f"{name}@example.com" for name in told]


def test_an_address_that_is_meant_twice_is_told_once(account: Account) -> None:
    make_user(account, "operator", email="Ann@example.com")
    make_user(account, "admin", email="bob@example.com")
    told = tell(account, "ann@Example.com", "operator", "admin", "bob@example.com", "c@example.com")
    assert told == ["ann@Example.com", "bob@example.com", "c@example.com"]


@pytest.mark.parametrize(
    ("recipients", "text"),
    [
        (["operator"], "Nobody was told: operator has no address. A title"),
        ([], "Nobody was told: no recipient has no address. A title"),
        (["nobody", "admin"], "Nobody was told: nobody, admin has no address. A title"),
    ],
)
def test_where_nobody_is_meant_an_activity_says_so(
    account: Account, recipients: list[str], text: str
) -> None:
    source = make_source(account)
    make_user(account, "developer", email="dev@example.com")
    assert tell(account, *recipients, subject=source) == []
    activity = Activity.objects.get()
    assert (activity.account, activity.kind) == (account, "notification.unaddressed")
    assert (activity.text, activity.object_id) == (text, str(source.pk))


@pytest.mark.parametrize(
    "address",
    [
        "ann@example.com\nBcc: all@example.com", "ann@example.com\r\n", '"a\x0bb"@example.com',
        "ann@example.com,bob@example.com", "Ann <ann@example.com>", "a" * 250 + "@example.com",
    ],
)  # fmt: skip
def test_what_is_no_address_is_not_told(account: Account, address: str) -> None:
    assert tell(account, address) == []


@pytest.mark.parametrize(
    ("title", "line"),
    [
        ("a\nBcc: all@example.com", "a Bcc: all@example.com"),
        ("  a \r\n\t b\u2028c\x85d\x00e\x1bf ", "a b c d\ufffde f"),
        ("half \ud800", "half ?"),
        ("é" * 300, "é" * 200),
        ("\r\n", "test"),
    ],
)
def test_a_stranger_s_title_becomes_one_line(account: Account, title: str, line: str) -> None:
    tell(account, "ann@example.com", title=title)
    assert Notification.objects.get().title == line


def test_a_stranger_s_text_is_kept_as_far_as_it_can_be(account: Account) -> None:
    tell(account, "ann@example.com", text="a\n\x00\udfff" + "b" * 20_000)
    text = Notification.objects.get().text
    assert text[:6] == "a\n\ufffd?bb"
    assert len(text) == 16_384


@pytest.mark.django_db(transaction=True)
def test_it_goes_with_the_caller_s_transaction(monkeypatch: pytest.MonkeyPatch) -> None:
    account = make_account()
    woken: list[str] = []
    monkeypatch.setattr(journal, "wake", woken.append)

    def break_off() -> None:
        with transaction.atomic():
            tell(account, "ann@example.com")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        break_off()
    assert (Notification.objects.count(), woken) == (0, [])

    with transaction.atomic():
        tell(account, "ann@example.com")
        assert woken == []
    assert (Notification.objects.count(), woken) == (1, ["monitoring"])


def test_the_same_about_the_same_is_told_once_within_a_period() -> None:
    account, other = make_account(), make_account()
    given = {"recipients": ["a@example.com"], "title": "A", "text": "B"}
    hour = timedelta(hours=1)

    def tell(subject: Any = account, **changes: Any) -> int:
        fields = {"account_id": account.pk, "kind": "test", "subject": subject, **given, **changes}
        return len(journal.record_notification(**fields, at_most_every=hour))

    with time_machine.travel(NOW, tick=False) as traveller:
        assert [tell(), tell(), tell(other), tell(kind="x"), tell(account_id=other.pk)] == [
            1, 0, 1, 1, 1,
        ]  # fmt: skip
        traveller.shift(hour)
        assert tell() == 1
