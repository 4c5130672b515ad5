"""A registry of the test's own, and what a handler was told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from incoming.handlers import HANDLERS, Webhook, handles
from incoming.models import HandlerRun, Receipt
from incoming.processing import process_due_receipts
from incoming.runs import Line, run_next
from tests.factories import make_receipt


@pytest.fixture(autouse=True)
def no_handlers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Only what a test registers itself is registered."""
    known = dict(HANDLERS)
    HANDLERS.clear()
    yield
    HANDLERS.clear()
    HANDLERS.update(known)


def add_handler(
    name: str, function: Callable[[Webhook], object] | None = None, **options: Any
) -> list[Webhook]:
    """Register a handler of every GitHub receipt. Returns what it will be told, as it is told."""
    told: list[Webhook] = []

    def handler(webhook: Webhook) -> None:
        told.append(webhook)
        if function is not None:
            function(webhook)

    handles("github", **{"name": name, "retry_seconds": (10, 60)} | options)(handler)
    return told


class Place:
    """A place that is given up after so many looks, and nobody watches."""

    name = "node/processing/1"

    def __init__(self, looks: int = 1_000) -> None:
        self.left = looks
        self.kept_for: list[float] = []

    def goes_on(self) -> bool:
        self.left -= 1
        return self.left >= 0

    @contextmanager
    def kept(self, seconds: float) -> Iterator[None]:
        self.kept_for.append(seconds)
        yield


def make_routed(**fields: Any) -> Receipt:
    """A receipt whose routes were followed: its handlers are waited for."""
    receipt = make_receipt(**fields)
    assert process_due_receipts() == 1
    receipt.refresh_from_db()
    return receipt


def run_due(place: Place | None = None) -> int:
    """Try every run that is due. Returns how many."""
    line, place, count = Line(), place or Place(), 0
    while run_next(line, place):  # type: ignore[arg-type]
        count += 1
    return count


def runs(*columns: str) -> list[tuple[Any, ...]]:
    """These columns of all runs, by the handlers' names."""
    return list(HandlerRun.objects.order_by("handler", "created_at").values_list(*columns))
