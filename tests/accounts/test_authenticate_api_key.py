from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.factories import make_api_key
from webhooks_project.accounts.models import ApiKey
from webhooks_project.accounts.services import authenticate_api_key, revoke_api_key

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
