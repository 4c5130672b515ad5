"""The public keys, for everybody."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import time_machine
from django.test import Client

from subscriptions.models import SigningSecret
from subscriptions.services import rotate_secret
from tests.factories import make_subscription
from webhooks_project.lib.ids import new_id
from webhooks_project.lib.jwks import key_id

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
ED25519 = SigningSecret.Kind.ED25519


def get(key: UUID, **headers: str) -> Any:
    return Client().get(f"/keys/{key}/jwks.json", headers=headers)


def shown(key: UUID) -> list[str]:
    return [item["kid"] for item in get(key).json()["keys"]]


def test_old_keys_stay_until_their_end() -> None:
    with time_machine.travel(NOW, tick=False):
        subscription = make_subscription()
        old = rotate_secret(subscription=subscription, kind=ED25519)
    with time_machine.travel(NOW + timedelta(hours=1), tick=False):
        new = rotate_secret(subscription=subscription, kind=ED25519)
        assert shown(subscription.pk) == [key_id(new.public_key), key_id(old.public_key)]
    with time_machine.travel(NOW + timedelta(hours=25), tick=False):
        assert shown(subscription.pk) == [key_id(new.public_key)]


def test_shared_secrets_and_others_keys_are_not_shown() -> None:
    subscription, other = make_subscription(), make_subscription()
    made = rotate_secret(subscription=other, kind=ED25519)
    assert get(subscription.pk).json() == {"keys": []}
    assert made.secret.removeprefix("whsk_")[:40] not in get(other.pk).content.decode()


def test_caches_may_keep_it_for_five_minutes() -> None:
    subscription = make_subscription()
    first = get(subscription.pk)
    assert first["Content-Type"] == "application/jwk-set+json"
    assert first["Cache-Control"] == "public, max-age=300"
    assert "Set-Cookie" not in first
    assert "Vary" not in first or "Cookie" not in first["Vary"]
    again = get(subscription.pk, if_none_match=first["ETag"])
    assert (again.status_code, again.content) == (304, b"")
    rotate_secret(subscription=subscription, kind=ED25519)
    assert get(subscription.pk, if_none_match=first["ETag"]).status_code == 200


def test_an_unknown_subscription_is_not_found_and_nothing_is_changed() -> None:
    assert get(new_id()).status_code == 404
    assert Client().get("/keys/nonsense/jwks.json").status_code == 404
    subscription = make_subscription()
    assert Client().post(f"/keys/{subscription.pk}/jwks.json").status_code == 405


def test_takes_two_queries(django_assert_num_queries: Any) -> None:
    subscription = make_subscription()
    with django_assert_num_queries(2):
        get(subscription.pk)
