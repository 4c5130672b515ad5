from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest
import time_machine
from django.db import connection, connections, transaction
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.factories import make_account, make_api_key
from webhooks_project.accounts import known_keys
from webhooks_project.accounts.models import ApiKey
from webhooks_project.accounts.services import LAST_USED_STEP, authenticate_api_key, revoke_api_key

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


def test_finds_the_key_of_a_text() -> None:
    made = make_api_key()
    assert authenticate_api_key(made.text) == made.api_key


def test_finds_nobody_by_another_secret_or_another_prefix() -> None:
    first, second = make_api_key(), make_api_key()
    _, prefix, secret = first.text.split("_", 2)
    assert authenticate_api_key(f"whk_{prefix}_{second.text.split('_', 2)[2]}") is None
    assert authenticate_api_key(f"whk_{second.api_key.prefix}_{secret}") is None
    assert authenticate_api_key(f"whk_{prefix}_{secret[:-1]}") is None
    assert authenticate_api_key(f"whk_{prefix}_{secret}=") is None
    assert authenticate_api_key(f"WHK_{prefix}_{secret}") is None
    assert ApiKey.objects.filter(last_used_at=None).count() == 2


def test_ends_at_its_moment() -> None:
    made = make_api_key(expires_at=NOW)
    with time_machine.travel(NOW - timedelta(microseconds=1), tick=False):
        assert authenticate_api_key(made.text) == made.api_key
    with time_machine.travel(NOW, tick=False):
        assert authenticate_api_key(made.text) is None


def test_a_revoked_key_is_refused_at_once() -> None:
    made = make_api_key()
    revoke_api_key(api_key=made.api_key)
    assert authenticate_api_key(made.text) is None


def elsewhere(change: Callable[[ApiKey], object], api_key: ApiKey) -> None:
    """By another connection, as another process has."""

    def run() -> None:
        try:
            change(api_key)
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("change", "scopes"),
    [
        (lambda key: revoke_api_key(api_key=key), None),
        (lambda key: key.delete(), None),
        (lambda key: key.account.delete(), None),
        (lambda key: ApiKey.objects.update(secret_sha256=b"0" * 32), None),
        (lambda key: ApiKey.objects.update(expires_at=NOW), None),
        (lambda key: ApiKey.objects.update(prefix="0" * 12), None),
        (lambda key: ApiKey.objects.update(scopes=["viewer"]), ["viewer"]),
        (lambda key: ApiKey.objects.update(last_used_at=NOW), ["admin"]),
    ],
    ids=["revoked", "deleted", "account", "secret", "expiry", "prefix", "scopes", "used"],
)
def test_one_that_is_known_is_as_it_was_changed_last(
    change: Callable[[ApiKey], object], scopes: list[str] | None
) -> None:
    account = make_account()
    made = ApiKey.objects.create(
        account=account, name="a", prefix="abcdefabcdef", secret_sha256=sha256(b"s").digest(),
        scopes=["admin"],
    )  # fmt: skip

    def scopes_found() -> list[str] | None:
        found = authenticate_api_key("whk_abcdefabcdef_s")
        return None if found is None else found.scopes

    assert [scopes_found() for _ in range(3)] == [["admin"]] * 3
    elsewhere(change, made)
    assert scopes_found() == scopes


@pytest.mark.django_db(transaction=True)
def test_what_is_rolled_back_is_not_kept() -> None:
    made = make_api_key()
    for _ in range(2):
        assert authenticate_api_key(made.text) == made.api_key
    with transaction.atomic():
        revoke_api_key(api_key=made.api_key)
        assert authenticate_api_key(made.text) is None
        transaction.set_rollback(True)
    assert authenticate_api_key(made.text) == made.api_key
    with transaction.atomic():
        ApiKey.objects.update(scopes=["viewer"])
        assert authenticate_api_key(made.text).scopes == ["viewer"]  # type: ignore[union-attr]
        transaction.set_rollback(True)
    assert authenticate_api_key(made.text).scopes == ["admin"]  # type: ignore[union-attr]


@pytest.mark.django_db(transaction=True)
def test_of_one_that_is_known_the_generation_alone_is_asked() -> None:
    made = make_api_key()
    asked = []
    for moment in (NOW, NOW, NOW, NOW + LAST_USED_STEP, NOW + LAST_USED_STEP):
        with (
            time_machine.travel(moment, tick=False),
            CaptureQueriesContext(connection) as queries,
        ):
            assert authenticate_api_key(made.text) == made.api_key
        words = [query["sql"].split()[0] for query in queries]
        asked.append((words, "secret_sha256" in queries[0]["sql"]))
    assert asked == [
        (["SELECT", "UPDATE"], True),
        (["SELECT"], True),  # as it was used is read with it
        (["SELECT"], False),
        (["SELECT", "UPDATE"], False),
        (["SELECT"], True),
    ]
    assert ApiKey.objects.get().last_used_at == NOW + LAST_USED_STEP


@pytest.mark.django_db(transaction=True)
def test_a_process_keeps_a_bounded_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_keys, "MAX_KEPT", 2)
    for made in [make_api_key() for _ in range(5)]:
        for _ in range(2):
            assert authenticate_api_key(made.text) == made.api_key
    assert len(known_keys._kept) == 1


def test_notes_its_use_once_a_minute() -> None:
    made = make_api_key()

    def used_at(moment: datetime) -> tuple[datetime | None, int]:
        with (
            time_machine.travel(moment, tick=False),
            CaptureQueriesContext(connection) as queries,
        ):
            assert authenticate_api_key(made.text) is not None
        return ApiKey.objects.get().last_used_at, len(queries)

    assert used_at(NOW) == (NOW, 2)
    assert used_at(NOW + timedelta(seconds=59)) == (NOW, 1)
    later = NOW + timedelta(seconds=60)
    assert used_at(later) == (later, 2)


def test_a_refused_text_is_not_noted_as_a_use() -> None:
    made = make_api_key()
    revoke_api_key(api_key=made.api_key)
    authenticate_api_key(made.text)
    assert ApiKey.objects.get().last_used_at is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "_",
        "__",
        "whk",
        "whk_",
        "whk__",
        "whk_abc_",
        "whk__abc",
        "sk_abcdefabcdef_secret",
        "whk_\x00_secret",
        "whk_abcdefabcdef_\x00",
        "whk_\ud800_secret",
        "whk_abcdefabcdef_\ud800",
        "whk_ñ_ñ",
        "whk_abcdefabcdef_" + "x" * 10_000,
        "whk_" + "a" * 100 + "_secret",
    ],
)
def test_a_malformed_text_is_nobodys(text: str) -> None:
    made = make_api_key()
    ApiKey.objects.filter(pk=made.api_key.pk).update(prefix="abcdefabcdef")
    assert authenticate_api_key(text) is None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.text(st.characters(exclude_categories=()), max_size=40))
def test_no_text_raises(text: str) -> None:
    assert authenticate_api_key(text) is None
    assert authenticate_api_key(f"whk_{text}_x") is None
    assert authenticate_api_key(f"whk_abcdefabcdef_{text}") is None
