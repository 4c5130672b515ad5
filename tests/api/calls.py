"""Calls to the API, by key or by session."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson
from django.http import HttpResponse, StreamingHttpResponse
from django.test import Client

from webhooks_project.accounts.models import User

ROOT = "/api/v1/webhooks/"


@dataclass(frozen=True)
class Answer:
    """What came back. `json` is None where there is no body."""

    status: int
    json: Any
    headers: Any
    text: str

    @property
    def code(self) -> str:
        """The machine-readable cause of a problem, which has all its parts."""
        assert self.headers["Content-Type"] == "application/problem+json"
        assert {"type", "title", "status", "code", "detail", "request_id"} <= self.json.keys()
        assert self.json["status"] == self.status
        assert self.json["type"] == f"urn:webhooks-hub:problem:{self.json['code']}"
        assert self.json["request_id"] == self.headers["X-Request-ID"]
        return str(self.json["code"])

    @property
    def errors(self) -> dict[str, str]:
        """The codes of an invalid request's errors, by their paths."""
        assert self.code == "invalid"
        assert all(error["message"] for error in self.json["errors"])
        return {error["path"]: error["code"] for error in self.json["errors"]}

    @property
    def rows(self) -> list[Any]:
        """The rows of a page."""
        assert self.status == 200, self.text
        return list(self.json["results"])


class Api:
    """A caller: a key's text, or a user with a session, or nobody."""

    def __init__(self, key: str = "", *, user: User | None = None, csrf: bool = False) -> None:
        self.client = Client(enforce_csrf_checks=csrf)
        self._headers = {"authorization": f"Bearer {key}"} if key else {}
        if user is not None:
            self.client.force_login(user)

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        raw: bytes | None = None,
        content_type: str = "application/json",
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """One call; `path` is below the API's root unless it starts with a slash."""
        if raw is None:
            raw = b"" if body is None else orjson.dumps(body)
        response: HttpResponse = self.client.generic(
            method.upper(),
            path if path.startswith("/") else ROOT + path,
            raw,
            content_type=content_type,
            headers={**self._headers, **(headers or {})},
        )
        text = _content(response).decode()
        media_type = response.headers.get("Content-Type", "")
        is_json = "json" in media_type and "jsonl" not in media_type
        return Answer(
            response.status_code,
            orjson.loads(text) if text and is_json else None,
            response.headers,
            text,
        )

    def get(self, path: str, **options: Any) -> Answer:
        return self.call("get", path, **options)

    def post(self, path: str, body: Any = None, **options: Any) -> Answer:
        return self.call("post", path, body, **options)

    def patch(self, path: str, body: Any = None, **options: Any) -> Answer:
        return self.call("patch", path, body, **options)

    def delete(self, path: str, **options: Any) -> Answer:
        return self.call("delete", path, **options)


def _content(response: HttpResponse | StreamingHttpResponse) -> bytes:
    if isinstance(response, StreamingHttpResponse):
        return b"".join(response)  # type: ignore[arg-type]
    return response.content
