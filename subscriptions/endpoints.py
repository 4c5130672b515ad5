"""Judging endpoints, many of which may have the same address."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from subscriptions.conf import address_policy
from webhooks_project.lib.ssrf import Problem, check_endpoint

_judged: ContextVar[dict[str, Problem | None] | None] = ContextVar("judged", default=None)


@contextmanager
def judged_once() -> Iterator[None]:
    """Within the body each URL is looked up once, however often it is judged."""
    token = _judged.set({})
    try:
        yield
    finally:
        _judged.reset(token)


def endpoint_problem(url: str) -> Problem | None:
    """Why the URL is not acceptable as an endpoint. Looks its name up."""
    judged = _judged.get()
    if judged is None:
        return check_endpoint(url, address_policy())
    if url not in judged:
        judged[url] = check_endpoint(url, address_policy())
    return judged[url]
