"""A real browser at the console of a live server."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from playwright.sync_api import Browser, BrowserContext, Page, Request, expect, sync_playwright

from webhooks_project.accounts.models import User

NAMES = ("chromium", "chromium-browser", "google-chrome")
WIDE, NARROW = 1280, 390
TIMEOUT_MS = 10_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.fail(
            f"none of {', '.join(NAMES)} is installed, which the tests of the console drive: "
            "apt-get install chromium",
            pytrace=False,
        )
    expect.set_options(timeout=TIMEOUT_MS)
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        # Playwright keeps an event loop running in this thread, for which Django takes every query
        # of a test to be one of a coroutine.
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        launched = playwright.chromium.launch(executable_path=path)
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def context(browser: Browser, live_server: Any) -> BrowserContext:
    """One for all tests, for its cache of styles and scripts."""
    made = browser.new_context(
        base_url=live_server.url, viewport={"width": WIDE, "height": 900}, reduced_motion="reduce"
    )
    made.set_default_timeout(TIMEOUT_MS)
    return made


@pytest.fixture
def complaints() -> list[str]:
    """What the browser had to say: the console's log, with what a policy blocked; scripts' errors;
    requests that failed or went elsewhere; dialogs."""
    return []


@pytest.fixture
def stranger(
    context: BrowserContext,
    live_server: Any,
    settings: Any,
    complaints: list[str],
    transactional_db: None,
) -> Iterator[Page]:
    """The page of someone who is not logged in. Nothing may be complained of in it."""
    settings.PUBLIC_URL = live_server.url
    context.clear_cookies()
    page = context.new_page()
    _listen(page, live_server.url, complaints)
    yield page
    page.close()
    assert complaints == []


@pytest.fixture
def page(stranger: Page, operator: User, live_server: Any) -> Page:
    """The operator's page."""
    client = Client()
    client.force_login(operator)
    session = client.cookies[settings.SESSION_COOKIE_NAME].value
    stranger.context.add_cookies(
        [{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": live_server.url}]
    )
    return stranger


def _left_behind(request: Request) -> bool:
    """Whether the browser gave up a font itself: the page was left or closed before it came. A font
    that is missing is an answer of 404, and one that a policy blocks says so."""
    return request.resource_type == "font" and request.failure == "net::ERR_ABORTED"


def _listen(page: Page, home: str, complaints: list[str]) -> None:
    def say(text: str) -> None:
        complaints.append(f"{page.url}: {text}")

    page.on("console", lambda message: say(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: say(f"script: {error}"))
    page.on(
        "requestfailed",
        lambda request: None if _left_behind(request) else say(f"{request.url}: {request.failure}"),
    )
    page.on(
        "response",
        lambda answer: say(f"{answer.url}: {answer.status}") if answer.status >= 400 else None,
    )
    page.on(
        "request",
        lambda request: (
            None if request.url.startswith((home, "data:")) else say(f"asked {request.url}")
        ),
    )

    def dismiss(dialog: Any) -> None:
        say(f"dialog: {dialog.message}")
        dialog.dismiss()

    page.on("dialog", dismiss)
