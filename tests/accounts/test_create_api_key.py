from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection

from monitoring.models import AuditEntry
from tests.factories import make_account
from webhooks_project.accounts.models import ApiKey, Role
from webhooks_project.accounts.services import create_api_key, revoke_api_key

pytestmark = pytest.mark.django_db


def test_makes_a_key_of_32_random_bytes() -> None:
    account = make_account()
    texts = {create_api_key(account=account, name="ci").text for _ in range(5)}
    assert len(texts) == 5
    for text in texts:
        assert re.fullmatch(r"whk_[0-9a-f]{12}_[A-Za-z0-9_-]{43}", text)


def test_keeps_only_the_sha_256_of_the_secret() -> None:
    made = create_api_key(account=make_account(), name="ci")
    _, prefix, secret = made.text.split("_", 2)
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM accounts_apikey")
        (row,) = cursor.fetchall()
    kept = [bytes(value) if isinstance(value, memoryview) else value for value in row]
    assert prefix in kept
    assert hashlib.sha256(secret.encode()).digest() in kept
    assert all(secret not in str(value) for value in kept)


def test_shows_its_text_nowhere_but_in_the_result() -> None:
    made = create_api_key(account=make_account(), name="ci")
    secret = made.text.split("_", 2)[2]
    assert secret not in repr(made)
    assert secret not in str(made.api_key)
    entry = AuditEntry.objects.get(action="api_key.created")
    assert secret not in entry.after + entry.before


@pytest.mark.parametrize(
    ("scopes", "role"),
    [
        (["viewer"], Role.VIEWER),
        (["developer"], Role.DEVELOPER),
        (["operator", "viewer"], Role.OPERATOR),
        (["viewer", "admin", "developer"], Role.ADMIN),
    ],
)
def test_the_highest_scope_is_the_role(scopes: list[str], role: Role) -> None:
    made = create_api_key(account=make_account(), name="ci", scopes=scopes)
    assert ApiKey.objects.get().scopes == scopes
    assert made.api_key.role is role


@pytest.mark.parametrize("scopes", [[], ["nonsense"], [None, 7]])
def test_what_is_no_scope_gives_no_more_than_reading(scopes: list[object]) -> None:
    assert ApiKey(scopes=scopes).role is Role.VIEWER


def test_refuses_an_unknown_scope() -> None:
    with pytest.raises(ValueError, match="root"):
        create_api_key(account=make_account(), name="ci", scopes=["root"])
    assert ApiKey.objects.count() == 0
    assert AuditEntry.objects.count() == 0


def test_is_in_the_audit_chain() -> None:
    until = datetime(2027, 1, 1, tzinfo=UTC)
    made = create_api_key(
        account=make_account(), name="ci", scopes=[Role.OPERATOR], expires_at=until
    )
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.object_id) == ("api_key.created", str(made.api_key.pk))
    assert entry.after == (
        '{"expires_at":"2027-01-01T00:00:00+00:00","name":"ci","scopes":["operator"]}'
    )


def test_revoking_is_audited_once_and_keeps_its_moment(time_machine: Any) -> None:
    api_key = create_api_key(account=make_account(), name="ci").api_key
    revoke_api_key(api_key=api_key)
    first = ApiKey.objects.get().revoked_at
    time_machine.move_to(datetime.now(UTC) + timedelta(days=1))
    revoke_api_key(api_key=api_key)
    assert ApiKey.objects.get().revoked_at == first is not None
    assert AuditEntry.objects.filter(action="api_key.revoked").count() == 1
