"""Problems: machine-readable, whatever goes wrong."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from monitoring.models import Channel
from outgoing.models import Event
from subscriptions.models import Subscription
from tests.api.calls import Api
from tests.factories import make_account, make_api_key, make_subscription
from webhooks_project.accounts.models import Account, Role

pytestmark = pytest.mark.django_db


@pytest.fixture
def api() -> Api:
    return Api(make_api_key().text)


@pytest.mark.parametrize(
    "raw", [b"{", b"", b"[NaN]", b"\xff\xfe", b'"\\ud800"', b"[" * 100_000, b"{'a':1}", b"\x00"]
)
def test_what_is_no_json_is_a_parse_error(api: Api, raw: bytes) -> None:
    answer = api.post("outgoing/events", raw=raw)
    assert answer.status == 400
    assert answer.code in ("parse_error", "invalid")
    assert not Event.objects.exists()


@pytest.mark.parametrize("body", [[], "text", 5, None, True])
def test_what_is_no_object_is_invalid(api: Api, body: Any) -> None:
    answer = api.post("outgoing/events", body)
    assert (answer.status, answer.code) == (400, "invalid")


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "x"]
)
def test_only_json_is_read(api: Api, content_type: str) -> None:
    answer = api.post("outgoing/events", raw=b"{}", content_type=content_type)
    assert (answer.status, answer.code) == (415, "unsupported_media_type")


@pytest.mark.parametrize(("opens", "closes"), [("[", "]"), ('{"a":', "}")])
@pytest.mark.parametrize("field", ["name", "recipients", "hourly_limit", "kind", "metadata"])
@pytest.mark.parametrize(
    ("levels", "code"), [(199, "invalid"), (200, "parse_error"), (1000, "parse_error")]
)
def test_a_body_that_is_nested_too_deep_is_refused(
    api: Api, opens: str, closes: str, field: str, levels: int, code: str
) -> None:
    value = f"{opens * (levels - 1)}{opens.replace(':', ':1')}{closes * levels}"
    body = f'{{"kind": "webhook", "{field}": {value}}}'
    answer = api.post("monitoring/channels", raw=body.encode())
    assert (answer.status, answer.code) == (400, code)
    assert not Channel.objects.exists()


def test_what_an_event_carries_may_be_nested_deeper(api: Api) -> None:
    data = b"[" * 1000 + b"]" * 1000
    assert api.post("outgoing/events", raw=b'{"type":"a","data":%s}' % data).status == 201
    assert api.post("outgoing/events", raw=b'{"type":"a","metadata":%s}' % data).code == (
        "parse_error"
    )
    assert bytes(Event.objects.get().data) == data


def test_a_body_that_is_too_large_is_not_read(api: Api, settings: Any) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
    right = b'{"type":"a","data":"%s"}'
    fits = right % (b"x" * (1000 - len(right) + 2))
    assert len(fits) == 1000
    assert api.post("outgoing/events", raw=fits).status == 201
    answer = api.post("outgoing/events", raw=fits + b" ")
    assert (answer.status, answer.code) == (413, "payload_too_large")
    assert Event.objects.count() == 1


def test_another_method_is_refused_and_says_which_are_not(api: Api) -> None:
    answer = api.delete("outgoing/events")
    assert (answer.status, answer.code) == (405, "method_not_allowed")
    assert answer.headers["Allow"] == "GET, POST, HEAD, OPTIONS"


@pytest.mark.parametrize(
    "path",
    [
        "subscriptions/01890000-0000-7000-8000-000000000000",
        "outgoing/events/nonsense",
        "outgoing/events/evt_1",
        "incoming/sources/%00",
        "retry/1",
    ],
)
def test_a_row_that_is_not_there_is_not_found(api: Api, path: str) -> None:
    answer = api.get(path)
    assert (answer.status, answer.code) == (404, "not_found")


@pytest.mark.parametrize(
    "path",
    ["nonsense", "/api/v1/", "/api/", "/api/v2/webhooks/subscriptions", "outgoing/events/a/b"],
)
def test_a_path_that_is_not_there_is_not_found(api: Api, path: str) -> None:
    answer = api.get(path)
    assert (answer.status, answer.code) == (404, "not_found")


def test_says_where_a_request_is_wrong(api: Api) -> None:
    answer = api.post(
        "subscriptions",
        {"url": "x" * 3000, "event_types": ["a", "b" * 200, 5], "timeout_seconds": 61},
    )
    assert answer.errors == {
        "/name": "required",
        "/url": "max_length",
        "/event_types/1": "max_length",
        "/timeout_seconds": "max_value",
    }
    assert answer.json["detail"] == "the request does not have the form that is asked for"
    assert not Subscription.objects.exists()


@pytest.mark.parametrize("name", ["not a type", "*", "a.*"])
def test_the_domain_s_own_errors_have_their_codes(api: Api, name: str) -> None:
    answer = api.post("outgoing/events", {"type": name, "data": {}})
    assert (answer.status, answer.code) == (400, "event_type_malformed")
    assert not Event.objects.exists()


def test_a_state_that_does_not_allow_it_is_a_conflict(api: Api) -> None:
    account = Account.objects.get()
    subscription = make_subscription(account, status=Subscription.Status.ARCHIVED)
    answer = api.post(f"subscriptions/{subscription.pk}/resume")
    assert (answer.status, answer.code) == (409, "state_not_allowed")
    assert answer.json["detail"] == "it is archived; what is paused or disabled is resumed"
    assert Subscription.objects.get().status == "archived"


@pytest.mark.parametrize("text", ["a\x00b", "\x00"])
def test_a_nul_is_refused_where_no_database_takes_it(api: Api, text: str) -> None:
    for field in ("name", "description"):
        answer = api.post(
            "subscriptions",
            {"name": "x", "url": "http://127.0.0.1:8009/", "event_types": ["*"], field: text},
        )
        assert answer.errors == {f"/{field}": "null_characters_not_allowed"}
    assert api.post("outgoing/events", {"type": text, "data": {}}).errors == {
        "/type": "null_characters_not_allowed"
    }
    assert not Subscription.objects.exists()


def test_a_problem_carries_the_request_id_that_was_given(api: Api) -> None:
    answer = api.get("outgoing/events/nonsense", headers={"x-request-id": "my-own-id-1"})
    assert answer.code == "not_found"
    assert answer.json["request_id"] == "my-own-id-1"


def test_a_role_that_is_too_low_is_told_before_the_body_is_looked_at() -> None:
    viewer = Api(make_api_key(None, Role.VIEWER).text)
    answer = viewer.post("outgoing/events", raw=b"{")
    assert (answer.status, answer.code) == (403, "permission_denied")


def test_a_form_that_there_is_not_is_told() -> None:
    api = Api(make_api_key(make_account()).text)
    answer = api.get("subscriptions?format=csv")
    assert (answer.status, answer.errors) == (400, {"/format": "invalid_choice"})
    assert api.get("subscriptions?format=json").status == 200


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_a_path_that_is_not_there_is_so_for_every_method(method: str) -> None:
    """Also for a form's guard, which would ask a program for a token."""
    client = Client(enforce_csrf_checks=True)
    answer = client.generic(method, "/api/v1/nothing", b"{}", "application/json")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def _fail(*args: Any, **kwargs: Any) -> None:
    raise RuntimeError("secret")


@pytest.mark.parametrize("path", ["outgoing/events", "monitoring/channels"])
def test_an_error_that_nobody_foresaw_is_a_problem_too(
    api: Api, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rest_framework.views.APIView.check_permissions", _fail)
    api.client.raise_request_exception = False
    answer = api.get(path)
    assert (answer.status, answer.code) == (500, "internal_error")
    assert "secret" not in answer.text


def test_a_page_that_fails_is_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("django.contrib.auth.views.LoginView.dispatch", _fail)
    answer = Client(raise_request_exception=False).get("/admin/login/")
    assert (answer.status_code, answer.headers["Content-Type"]) == (500, "text/html; charset=utf-8")
