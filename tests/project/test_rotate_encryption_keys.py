from __future__ import annotations

import io
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from incoming.models import SourceSecret
from subscriptions.models import SigningSecret
from tests.factories import SIGNING_SECRET, SOURCE_SECRET, make_source, make_subscription
from webhooks_project.lib.keyring import Keyring, new_key

pytestmark = pytest.mark.django_db

OLD = "t1:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="  # the key of tests/settings.py
NEW = new_key("t2")


@pytest.fixture(autouse=True)
def _a_new_key_before_the_old(settings: Any) -> None:
    make_source()
    make_source()
    make_subscription()
    settings.ENCRYPTION_KEYRING = Keyring.parse(f"{NEW} {OLD}")


def run(**options: int) -> str:
    out = io.StringIO()
    call_command("rotate_encryption_keys", stdout=out, stderr=io.StringIO(), **options)
    return out.getvalue()


def keys_in_use() -> list[str]:
    keys = []
    with connection.cursor() as cursor:
        for table in ("incoming_sourcesecret", "subscriptions_signingsecret"):
            cursor.execute(f"SELECT secret FROM {table}")
            keys += [row[0].split(".")[1] for row in cursor.fetchall()]
    return sorted(keys)


def test_seals_everything_under_the_first_key(settings: Any) -> None:
    assert keys_in_use() == ["t1", "t1", "t1"]
    assert run() == "3 secrets sealed anew, 0 left under old keys\n"
    assert keys_in_use() == ["t2", "t2", "t2"]
    settings.ENCRYPTION_KEYRING = Keyring.parse(NEW)
    assert {row.secret for row in SourceSecret.objects.all()} == {SOURCE_SECRET}
    assert SigningSecret.objects.get().secret == SIGNING_SECRET


def test_does_nothing_a_second_time() -> None:
    run()
    assert run() == "0 secrets sealed anew, 0 left under old keys\n"


@pytest.mark.parametrize("batch", [1, 2, 500])
def test_goes_on_where_it_stopped(batch: int) -> None:
    assert run(limit=2, batch=batch) == "2 secrets sealed anew, 1 left under old keys\n"
    assert keys_in_use() == ["t1", "t2", "t2"]
    assert run(batch=batch) == "1 secrets sealed anew, 0 left under old keys\n"
    assert keys_in_use() == ["t2", "t2", "t2"]


def test_a_limit_of_none_left_over_seals_nothing() -> None:
    assert run(limit=0) == "0 secrets sealed anew, 3 left under old keys\n"
    assert keys_in_use() == ["t1", "t1", "t1"]


def test_says_which_secrets_cannot_be_opened_and_seals_the_rest(settings: Any) -> None:
    settings.ENCRYPTION_KEYRING = Keyring.parse(new_key("lost"))
    lost = make_source()
    settings.ENCRYPTION_KEYRING = Keyring.parse(f"{NEW} {OLD}")
    out, err = io.StringIO(), io.StringIO()
    with pytest.raises(CommandError, match=r"^1 secrets cannot be opened with the keys given$"):
        call_command("rotate_encryption_keys", stdout=out, stderr=err)
    assert out.getvalue() == "3 secrets sealed anew, 1 left under old keys\n"
    assert str(lost.secrets.get().pk) in err.getvalue()
    assert SOURCE_SECRET not in out.getvalue() + err.getvalue()


def test_leaves_a_secret_that_was_changed_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    decrypt = Keyring.decrypt
    row = SigningSecret.objects.get()

    def changed_meanwhile(self: Keyring, stored: str, *, place: str) -> str:
        opened = decrypt(self, stored, place=place)
        if place.startswith("subscriptions"):
            again = SigningSecret.objects.get()
            again.secret = "whsec_another"
            again.save()
        return opened

    monkeypatch.setattr(Keyring, "decrypt", changed_meanwhile)
    out = run()
    monkeypatch.undo()
    assert out == "2 secrets sealed anew, 0 left under old keys\n"
    assert SigningSecret.objects.get(pk=row.pk).secret == "whsec_another"


def test_what_secures_endpoints_is_sealed_anew_too(settings: Any) -> None:
    subscription = make_subscription(
        custom_headers='{"X-Key":"s3cr3t"}',
        authentication='{"kind":"bearer","token":"s3cr3t"}',
        client_key="a key",
    )
    with connection.cursor() as cursor:
        cursor.execute(
            'SELECT custom_headers, authentication, client_key FROM "webhooks.subscriptions" '
            "WHERE custom_headers <> ''"
        )
        (before,) = cursor.fetchall()
    assert [text.split(".")[1] for text in before] == ["t2"] * 3
    settings.ENCRYPTION_KEYRING = Keyring.parse(f"{new_key('t3')} {NEW} {OLD}")
    assert run() == "7 secrets sealed anew, 0 left under old keys\n"
    subscription.refresh_from_db()
    assert subscription.custom_headers == '{"X-Key":"s3cr3t"}'
    assert subscription.client_key == "a key"
