"""A connection is not kept where its next call would begin amid an unread body."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from tests.api.calls import Api
from tests.factories import make_account, make_api_key, make_incident, make_source
from tests.monitoring.receivers import make_rule

pytestmark = pytest.mark.django_db


def test_says_so_where_nobody_read_the_body() -> None:
    account = make_account()
    api = Api(make_api_key(account).text)
    path = f"monitoring/incidents/{make_incident(make_rule(account)).pk}/acknowledge"
    answer = api.post(path, {"a": 1})
    assert (answer.status, answer.headers["Connection"]) == (200, "close")
    answer = api.post(path)
    assert (answer.status, answer.headers.get("Connection")) == (200, None)


@pytest.mark.parametrize(
    ("path", "status"),
    [("/api/v1/webhooks/outgoing/events", 401), ("/api/none", 404), ("/in/none", 404)],
)
def test_so_it_does_of_a_call_that_is_refused_before(path: str, status: int) -> None:
    answer = Client().post(path, b"{}", content_type="application/json")
    assert (answer.status_code, answer.headers["Connection"]) == (status, "close")


def test_so_it_does_of_a_body_that_is_too_large(settings: Any) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 10
    answer = Api(make_api_key().text).post("monitoring/channels", {"name": "x" * 10})
    assert (answer.status, answer.headers["Connection"]) == (413, "close")


def test_a_body_that_was_read_closes_nothing() -> None:
    account = make_account()
    answer = Api(make_api_key(account).text).post(
        "monitoring/channels", {"name": "x", "kind": "webhook"}
    )
    assert (answer.status, answer.headers.get("Connection")) == (201, None)
    source = make_source(account)
    answered = Client().post(f"/in/{source.token}", b"{}", content_type="application/json")
    assert answered.headers.get("Connection") is None
