"""Secrets at rest: sealed for their row, opened only where they are used."""

from __future__ import annotations

from typing import Any

import pytest
from django.core import serializers
from django.db import connection, transaction

from incoming.models import SourceSecret
from subscriptions.models import SigningSecret
from tests.factories import SIGNING_SECRET, SOURCE_SECRET, make_source, make_subscription
from webhooks_project.fields import Ciphertext
from webhooks_project.lib.keyring import CannotDecrypt, Keyring, new_key

pytestmark = pytest.mark.django_db


def stored(table: str) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT secret FROM {table} ORDER BY id")
        return [row[0] for row in cursor.fetchall()]


def test_no_table_holds_a_secret_in_clear() -> None:
    make_subscription()
    make_source()
    with connection.cursor() as cursor:
        tables = connection.introspection.table_names(cursor)
        for table in tables:
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            for row in cursor.fetchall():
                for value in row:
                    text = bytes(value) if isinstance(value, memoryview) else str(value).encode()
                    assert SIGNING_SECRET.encode() not in text
                    assert SOURCE_SECRET.encode() not in text
    for text in stored("subscriptions_signingsecret") + stored("incoming_sourcesecret"):
        assert text.startswith("v1.t1.")


def test_reads_back_what_was_stored() -> None:
    make_subscription()
    row = SigningSecret.objects.get()
    assert row.secret == SIGNING_SECRET
    assert type(row.secret) is str


def test_is_opened_only_where_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    make_source()
    opened: list[str] = []
    decrypt = Keyring.decrypt

    def watched(self: Keyring, text: str, *, place: str) -> str:
        opened.append(place)
        return decrypt(self, text, place=place)

    monkeypatch.setattr(Keyring, "decrypt", watched)
    row = SourceSecret.objects.get()
    assert str(row)
    assert opened == []
    assert row.secret == SOURCE_SECRET
    assert opened == [f"incoming_sourcesecret:{row.pk}:secret"]


def test_saving_another_field_leaves_the_ciphertext_as_it_is() -> None:
    make_source()
    before = stored("incoming_sourcesecret")
    row = SourceSecret.objects.get()
    row.save()
    assert stored("incoming_sourcesecret") == before


def test_a_new_text_is_sealed_anew() -> None:
    make_source()
    before = stored("incoming_sourcesecret")
    row = SourceSecret.objects.get()
    row.secret = "another-secret"
    assert row.secret == "another-secret"
    row.save()
    assert stored("incoming_sourcesecret") != before
    assert SourceSecret.objects.get().secret == "another-secret"


def test_a_deferred_secret_is_read_when_it_is_asked_for() -> None:
    make_source()
    assert SourceSecret.objects.defer("secret").get().secret == SOURCE_SECRET


def test_a_value_copied_to_another_row_does_not_open() -> None:
    first, second = make_source(), make_source()
    rows = [first.secrets.get(), second.secrets.get()]
    SourceSecret.objects.filter(pk=rows[1].pk).update(secret=Ciphertext(rows[0].__dict__["secret"]))
    assert first.secrets.get().secret == SOURCE_SECRET
    with pytest.raises(CannotDecrypt):
        _ = second.secrets.get().secret


def test_a_value_copied_to_another_table_does_not_open() -> None:
    make_source()
    make_subscription()
    sealed = SourceSecret.objects.get().__dict__["secret"]
    SigningSecret.objects.update(secret=Ciphertext(sealed))
    with pytest.raises(CannotDecrypt):
        _ = SigningSecret.objects.get().secret


def test_an_update_with_a_plain_text_is_refused() -> None:
    make_source()
    before = stored("incoming_sourcesecret")
    with pytest.raises(TypeError, match="save the row instead"), transaction.atomic():
        SourceSecret.objects.update(secret="plain")
    with pytest.raises(TypeError, match="save the row instead"):
        SourceSecret.objects.filter(secret="plain").exists()
    assert stored("incoming_sourcesecret") == before


def test_bulk_creation_seals_each_row_for_itself() -> None:
    source = make_source(secret=None)
    SourceSecret.objects.bulk_create(
        [SourceSecret(source=source, secret="same"), SourceSecret(source=source, secret="same")]
    )
    first, second = stored("incoming_sourcesecret")
    assert first != second
    assert [row.secret for row in SourceSecret.objects.all()] == ["same", "same"]


def test_a_dump_holds_the_ciphertext() -> None:
    make_source()
    dump = serializers.serialize("json", SourceSecret.objects.all())
    assert SOURCE_SECRET not in dump
    assert stored("incoming_sourcesecret")[0] in dump


def test_without_its_key_a_row_can_be_read_but_not_opened(settings: Any) -> None:
    make_source()
    settings.ENCRYPTION_KEYRING = Keyring.parse(new_key("other"))
    row = SourceSecret.objects.get()
    with pytest.raises(CannotDecrypt, match="t1"):
        _ = row.secret
