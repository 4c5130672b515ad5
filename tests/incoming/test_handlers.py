"""Declaring handlers: found by their modules, named, and refused where they cannot work."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from incoming.checks import check_handlers
from incoming.handlers import (
    HANDLERS,
    HandlerNotAcceptable,
    handler_named,
    handlers_for,
    handles,
)
from tests.incoming.handlers import no_handlers  # noqa: F401 - a fixture


def take(webhook: Any) -> None:
    """A handler that does nothing."""


async def take_later(webhook: Any) -> None:
    """What a call would not run."""


def take_by_and_by(webhook: Any) -> Any:
    yield


def take_two(webhook: Any, more: Any) -> None:
    """What a run could not call."""


def test_is_named_after_its_function_and_returns_it() -> None:
    assert handles("stripe", "invoice.*")(take) is take
    handler = handler_named("tests.incoming.test_handlers.take")
    assert handler is not None
    assert handler.function is take
    assert (handler.provider, handler.patterns) == ("stripe", ("invoice.*",))
    assert (handler.time_limit, handler.routed) == (30, False)
    assert handler.retry_seconds == (10, 60, 300, 1_800, 7_200, 21_600)
    assert handler_named("take") is None


@pytest.mark.parametrize(
    ("provider", "patterns", "type_", "taken"),
    [
        ("stripe", ("invoice.*",), "invoice.paid", True),
        ("stripe", ("invoice.*",), "invoice", False),
        ("stripe", ("invoice*",), "invoice", True),
        ("stripe", ("invoice.paid",), "invoice.paid", True),
        ("stripe", ("invoice.paid",), "invoice.paid.late", False),
        ("stripe", ("a", "b"), "b", True),
        ("stripe", ("*",), "", True),
        ("stripe", (), "anything", True),
        ("github", (), "anything", False),
        ("*", ("push",), "push", True),
    ],
)
def test_takes_what_its_provider_and_patterns_say(
    provider: str, patterns: tuple[str, ...], type_: str, taken: bool
) -> None:
    handles(provider, *patterns, name="mine")(take)
    assert [handler.name for handler in handlers_for("stripe", type_)] == ["mine"] * taken


def test_one_that_waits_for_a_route_takes_nothing_by_itself() -> None:
    handles("stripe", name="mine", routed=True)(take)
    assert handlers_for("stripe", "invoice.paid") == []
    assert handler_named("mine") is not None


@pytest.mark.parametrize(
    ("function", "options", "said"),
    [
        (take, {"name": "x" * 256}, "its name has more than 255 characters"),
        (take, {"patterns": ("",)}, "its provider or one of its patterns is empty"),
        (take, {"provider": ""}, "its provider or one of its patterns is empty"),
        (take, {"time_limit": 0}, "its time limit is not between 0 and 60 seconds"),
        (take, {"time_limit": 60.1}, "its time limit is not between 0 and 60 seconds"),
        (take, {"retry_seconds": (1,) * 51}, "it has more than 50 retries"),
        (
            take,
            {"retry_seconds": (-1,)},
            "one of its retries waits not between 0 and 2592000 seconds",
        ),
        (take_two, {}, "it does not take one argument, the webhook"),
        (
            take_later,
            {},
            "it is a coroutine or a generator, and calling it would run nothing of it",
        ),
        (
            take_by_and_by,
            {},
            "it is a coroutine or a generator, and calling it would run nothing of it",
        ),
    ],
)
def test_what_cannot_work_is_refused_as_it_is_imported(
    function: Any, options: dict[str, Any], said: str
) -> None:
    options = {"name": "mine"} | options
    provider, patterns = options.pop("provider", "stripe"), options.pop("patterns", ())
    with pytest.raises(HandlerNotAcceptable) as caught:
        handles(provider, *patterns, **options)(function)
    assert str(caught.value) == f"{options['name'][:255]}: {said}"
    assert HANDLERS == {}


def test_a_name_is_taken_once() -> None:
    handles("stripe", name="mine")(take)
    with pytest.raises(HandlerNotAcceptable) as caught:
        handles("github", name="mine")(take)
    assert str(caught.value) == (
        "mine: tests.incoming.test_handlers.take has this name already; give one of them another "
        "with name="
    )
    assert HANDLERS["mine"].provider == "stripe"


def test_a_handler_of_an_unknown_provider_is_found_by_the_system_check() -> None:
    handles("strype", name="mine")(take)
    handles("stripe", name="right")(take)
    handles("*", name="all")(take)
    assert [(message.id, message.msg) for message in check_handlers()] == [
        ("incoming.E001", "The handler mine is of an unknown provider, 'strype'.")
    ]


def test_modules_of_installed_apps_are_found(tmp_path: Path) -> None:
    package = tmp_path / "shop"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "webhook_handlers.py").write_text(
        "from incoming.handlers import handles\n\n\n"
        '@handles("stripe", "invoice.*")\n'
        "def note_invoice(webhook):\n    pass\n"
    )
    (tmp_path / "shop_settings.py").write_text(
        'from tests.settings import *\nINSTALLED_APPS = [*INSTALLED_APPS, "shop"]\n'
    )
    found = subprocess.run(
        [
            sys.executable,
            "-c",
            "import django; django.setup()\n"
            "from incoming.handlers import HANDLERS\n"
            "print(*HANDLERS)",
        ],
        cwd=settings.BASE_DIR,
        env={
            "PATH": "",
            "PYTHONPATH": f"{settings.BASE_DIR}:{tmp_path}",
            "DJANGO_SETTINGS_MODULE": "shop_settings",
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.split() == ["shop.webhook_handlers.note_invoice"]
