"""One JSON object a line, and no secret in any."""

from __future__ import annotations

import logging
import logging.config
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import structlog

from outgoing.services import publish
from tests.factories import SIGNING_SECRET, SOURCE_SECRET, make_source, make_subscription
from tests.incoming.calls import BODY, github_headers, hex_hmac, post
from tests.lib.receiver import answer, receiver, status
from tests.outgoing.pump import deliver
from webhooks_project import logs
from webhooks_project.lib.keyring import Keyring, new_key


@pytest.fixture
def log_file(settings: Any, tmp_path: Path) -> Iterator[Path]:
    """The hub's own logging, into a file, at its most talkative."""
    path = tmp_path / "hub.log"
    logs.configure({"level": "DEBUG", "file": str(path)})
    try:
        yield path
    finally:
        for handler in logging.getLogger().handlers:
            if isinstance(handler, logging.FileHandler):
                handler.close()
        logs.configure(settings.LOGGING)


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in path.read_text().splitlines()]


def test_a_line_is_one_object_with_what_was_bound(log_file: Path) -> None:
    with structlog.contextvars.bound_contextvars(request_id="r-1"):
        structlog.get_logger("hub.test").warning("said\nthis", count=3, name="Zoë")
        logging.getLogger("other.library").error("a %s", "b", extra={"code": 7})
    first, second = lines_of(log_file)
    assert (first["message"], first["level"], first["logger"]) == (
        "said\nthis",
        "warning",
        "hub.test",
    )
    assert (first["count"], first["name"], first["request_id"]) == (3, "Zoë", "r-1")
    assert (second["message"], second["code"], second["request_id"]) == ("a b", 7, "r-1")
    assert first["timestamp"].endswith("Z")


def test_an_exception_is_in_its_line(log_file: Path) -> None:
    try:
        raise RuntimeError("broken")
    except RuntimeError:
        structlog.get_logger("hub.test").exception("it broke")
    (line,) = lines_of(log_file)
    assert "RuntimeError: broken" in line["exception"]


@pytest.mark.django_db
def test_no_line_holds_a_secret_or_a_signature(log_file: Path, settings: Any) -> None:
    source = make_source()
    assert post(source, headers=github_headers(BODY)).status_code == 200
    assert post(source, headers=github_headers(BODY, secret="another")).status_code == 401
    for response in (status(200), status(500, "Set-Cookie: session=very-secret")):
        with receiver(answer(response)) as here:
            subscription = make_subscription(url=here.url)
            publish(account=subscription.account, type="a", data={"card": "4111-secret"})
            deliver()
        (arrived,) = here.arrived
        signature = arrived.headers["webhook-signature"].removeprefix("v1,")
        assert signature not in log_file.read_text()
    settings.ENCRYPTION_KEYRING = Keyring.parse(new_key("other"))
    publish(account=subscription.account, type="a", data={})
    deliver()
    text = log_file.read_text()
    said = {line["message"] for line in lines_of(log_file)}
    assert {"receipt accepted", "call refused", "attempt succeeded", "attempt failed"} <= said
    for secret in (
        SOURCE_SECRET,
        SIGNING_SECRET,
        SIGNING_SECRET.removeprefix("whsec_"),
        hex_hmac(BODY),
        "very-secret",
        "4111-secret",
    ):
        assert secret not in text
