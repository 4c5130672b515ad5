"""A body that is sent in chunks, without a length, is read like any other."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest
from django.test import Client

from outgoing.models import Event
from tests.api.calls import ROOT
from tests.factories import make_api_key, make_subscription

pytestmark = pytest.mark.django_db

BODY = b'{"type": "a", "data": [ 1 ]}'


def post(path: str, body: bytes, key: str = "", method: str = "POST", **more: Any) -> Any:
    extra: dict[str, Any] = {
        "CONTENT_LENGTH": "",
        "CONTENT_TYPE": "application/json",
        "HTTP_TRANSFER_ENCODING": "chunked",
        "HTTP_AUTHORIZATION": f"Bearer {key}",
        "wsgi.input": BytesIO(body),
        **more,
    }
    return Client().generic(method, ROOT + path, **extra)


def test_an_event_is_published() -> None:
    answer = post("outgoing/events", BODY, make_api_key().text)
    assert answer.status_code == 201
    assert bytes(Event.objects.get().data) == b"[ 1 ]"


def test_a_change_is_made() -> None:
    subscription = make_subscription()
    key = make_api_key(subscription.account, "developer").text
    answer = post(f"subscriptions/{subscription.pk}", b'{"name": "new"}', key, method="PATCH")
    assert answer.status_code == 200
    subscription.refresh_from_db()
    assert subscription.name == "new"


def test_one_that_is_too_large_is_refused_and_no_more_of_it_read(settings: Any) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100
    stream = BytesIO(b"x" * 5000)
    answer = post("outgoing/events", b"", make_api_key().text, **{"wsgi.input": stream})
    assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")
    assert stream.tell() == 101
    assert answer.headers["Connection"] == "close"
    assert not Event.objects.exists()


def test_nothing_is_read_of_a_stranger() -> None:
    stream = BytesIO(BODY)
    assert post("outgoing/events", b"", **{"wsgi.input": stream}).status_code == 401
    assert stream.tell() == 0


def test_the_door_has_its_own_way(settings: Any) -> None:
    door, ours = "incoming.receiving.door.door", "webhooks_project.middleware.take_chunks"
    assert settings.MIDDLEWARE.index(door) < settings.MIDDLEWARE.index(ours)
