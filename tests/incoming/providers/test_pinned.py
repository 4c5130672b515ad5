"""Fetching from pinned hosts: where to, how much, how often, and never an exception."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests

from incoming.providers import pinned

HOST = r"keys\.example\.com"
URL = "https://keys.example.com/k.pem"


class Web:
    """Stands for `requests.Session`: keeps what it was asked and answers what it is told."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, Any]]] = []
        self.status = 200
        self.chunks: list[bytes] = [b"key"]
        self.error: Exception | None = None
        self.sessions: list[Any] = []


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    web = Web()

    class Response:
        status_code = property(lambda self: web.status)

        def __enter__(self) -> Response:
            return self

        def __exit__(self, *_: object) -> None: ...

        def iter_content(self, size: int) -> Iterator[bytes]:
            yield from web.chunks

    class Session:
        trust_env = True

        def __enter__(self) -> Session:
            web.sessions.append(self)
            return self

        def __exit__(self, *_: object) -> None: ...

        def request(self, method: str, url: str, **how: Any) -> Response:
            web.asked.append((method, url, how))
            if web.error:
                raise web.error
            return Response()

    monkeypatch.setattr(requests, "Session", Session)
    with online():
        yield web


@contextmanager
def online() -> Iterator[None]:
    token = pinned._offline.set(False)
    try:
        yield
    finally:
        pinned._offline.reset(token)


def test_fetches_once_and_keeps_it(web: Web) -> None:
    assert [pinned.fetch(URL, host=HOST) for _ in range(3)] == [b"key"] * 3
    assert len(web.asked) == 1


def test_asks_without_redirects_environment_or_compression_and_in_time(web: Web) -> None:
    pinned.fetch(URL, host=HOST)
    method, url, how = web.asked[0]
    assert (method, url) == ("GET", URL)
    assert how["allow_redirects"] is False
    assert how["timeout"] == 5
    assert how["stream"] is True
    assert how["headers"] == {"Accept-Encoding": "identity"}
    assert web.sessions[0].trust_env is False


def test_posts_where_there_is_something_to_post(web: Web) -> None:
    pinned.fetch(URL, host=HOST, json={"key_id": "1"}, kept_as="1")
    pinned.fetch(URL, host=HOST, json={"key_id": "2"}, kept_as="2")
    assert [(method, how["json"]) for method, _, how in web.asked] == [
        ("POST", {"key_id": "1"}),
        ("POST", {"key_id": "2"}),
    ]


@pytest.mark.parametrize("status", [301, 302, 204, 404, 500])
def test_only_200_counts(web: Web, status: int) -> None:
    web.status = status
    assert pinned.fetch(URL, host=HOST) is None


@pytest.mark.parametrize(
    "error",
    [
        requests.ConnectionError(),
        requests.Timeout(),
        requests.exceptions.ChunkedEncodingError(),
        OSError(),
        ValueError(),
    ],
)
def test_a_failure_is_none_and_kept_for_a_while(web: Web, error: Exception) -> None:
    web.error = error
    assert pinned.fetch(URL, host=HOST) is None
    web.error = None
    assert pinned.fetch(URL, host=HOST) is None
    assert len(web.asked) == 1


def test_a_failure_is_forgotten_sooner_than_an_answer(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]
    monkeypatch.setattr(pinned.time, "monotonic", lambda: clock[0])
    web.status = 500
    assert pinned.fetch(URL, host=HOST) is None
    web.status, clock[0] = 200, clock[0] + 61
    assert pinned.fetch(URL, host=HOST) == b"key"
    clock[0] += 3599
    assert pinned.fetch(URL, host=HOST) == b"key"
    assert len(web.asked) == 2
    clock[0] += 2
    assert pinned.fetch(URL, host=HOST) == b"key"
    assert len(web.asked) == 3


def test_too_much_is_none(web: Web) -> None:
    web.chunks = [b"x" * 8192] * 8
    assert pinned.fetch(URL, host=HOST) == b"x" * 65536
    web.chunks = [b"x" * 8192] * 9
    assert pinned.fetch(f"{URL}?2", host=HOST) is None


def test_too_slow_is_none(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]

    def tick() -> float:
        clock[0] += 3
        return clock[0]

    monkeypatch.setattr(pinned.time, "monotonic", tick)
    web.chunks = [b"x"] * 5
    assert pinned.fetch(URL, host=HOST) is None


def test_a_stranger_cannot_make_us_call_without_end(web: Web) -> None:
    answers = [pinned.fetch(f"{URL}?{number}", host=HOST) for number in range(40)]
    assert answers == [b"key"] * 30 + [None] * 10
    assert len(web.asked) == 30


def test_what_is_kept_is_bounded(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pinned, "MAX_KEPT", 2)
    for number in range(3):
        pinned.fetch(f"{URL}?{number}", host=HOST)
    assert list(pinned._kept) == [f"{URL}?1", f"{URL}?2"]


def test_offline_nothing_is_asked(web: Web) -> None:
    with pinned.offline():
        assert pinned.fetch(URL, host=HOST) == b""
    assert web.asked == []


@pytest.mark.parametrize(
    "url",
    [
        "http://keys.example.com/k",
        "https://keys.example.com",
        "https://keys.example.com:443/k",
        "https://keys.example.com.evil.example/k",
        "https://evil.example/keys.example.com/k",
        "https://evil.example\\keys.example.com/k",
        "https://user@keys.example.com/k",
        "https://keysXexample.com/k",
        "https://keys.example.com/k\r\nHost: evil.example",
        "https://keys.example.com/é",
        "https://keys.example.com/\\..",
        "https://keys.example.com/" + "a" * 3000,
        " https://keys.example.com/k",
        "",
        None,
    ],
)
def test_nothing_but_the_pinned_host_is_asked(web: Web, url: Any) -> None:
    assert pinned.fetch(url, host=HOST) is None
    assert web.asked == []
