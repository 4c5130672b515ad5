from __future__ import annotations

import re

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory
from structlog.contextvars import bind_contextvars, get_contextvars

from webhooks_project.lib.actor import Actor, current_actor
from webhooks_project.middleware import request_id


def call(given: str | None = None) -> tuple[HttpRequest, HttpResponse, dict[str, object]]:
    seen: dict[str, object] = {}

    def view(request: HttpRequest) -> HttpResponse:
        seen.update(get_contextvars(), actor=current_actor.get().kind)
        return HttpResponse()

    headers = {} if given is None else {"x-request-id": given}
    request = RequestFactory().get("/", headers=headers)
    return request, request_id(view)(request), seen


@pytest.mark.parametrize("given", ["12345678", "a" * 64, "A-b_c.1-2345", "0190-abcd-ef01"])
def test_keeps_the_one_that_is_given(given: str) -> None:
    request, response, seen = call(given)
    assert request.request_id == response["X-Request-ID"] == seen["request_id"] == given


@pytest.mark.parametrize(
    "given",
    [
        None,
        "",
        "1234567",
        "a" * 65,
        "with space",
        "a\nb-injected",
        "<script>",
        "é" * 10,
        "x;y=z-abc",
    ],
)
def test_makes_one_where_none_is_given_or_it_is_not_plain(given: str | None) -> None:
    request, response, seen = call(given)
    assert re.fullmatch(r"[0-9a-f]{32}", response["X-Request-ID"])
    assert request.request_id == response["X-Request-ID"] == seen["request_id"] != given


def test_every_request_has_its_own() -> None:
    assert len({call()[1]["X-Request-ID"] for _ in range(20)}) == 20


def test_nothing_of_the_request_before_is_left_in_the_thread() -> None:
    bind_contextvars(left="over")
    token = current_actor.set(Actor("user", "7", "ann"))
    try:
        assert call()[2].keys() == {"request_id", "actor"}
        assert call()[2]["actor"] == "system"
    finally:
        current_actor.reset(token)


def test_is_in_every_answer() -> None:
    answer = Client().get("/healthz", headers={"x-request-id": "my-request-1"})
    assert answer["X-Request-ID"] == "my-request-1"
