"""Servers on this machine that stand where chats, pagers and mail servers stand, and rows to tell
of. What is asked of them is asked over a socket."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller

from monitoring.channels.services import create_channel
from monitoring.models import AlertRule, Channel, Incident
from tests.factories import make_account
from webhooks_project.fields import Ciphertext

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
SLACK = "https://hooks.slack.com/services/T0123456/B0123456/aVerySecretWord12345678"
TEAMS_HOST = "prod-12.westeurope.logic.azure.com"
TEAMS = (
    f"https://{TEAMS_HOST}:443/workflows/0123456789abcdef/triggers/manual/paths/invoke"
    "?api-version=2016-06-01&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig=aVerySecretSignature_12345"
)
PAGERDUTY = "R0123456789abcdef0123456789abcde"


@dataclass
class Answer:
    status: int = 200
    body: bytes = b"ok"
    headers: dict[str, str] = field(default_factory=dict)
    drips: bool = False  # one byte at a time, without an end
    drips_head: bool = False  # a header so, for two seconds, and then nothing more


@dataclass
class Asked:
    method: str
    path: str
    headers: dict[str, str]
    body: Any


class WebServer:
    """Keeps what it is asked, and gives the next of its answers, the last one for ever."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.answers: list[Answer] = [Answer()]
        self.meanwhile: Any = None  # called before it answers
        self.url = ""

    def give(self, *answers: Answer) -> None:
        self.answers = list(answers)

    @property
    def bodies(self) -> list[Any]:
        return [asked.body for asked in self.asked]


@contextmanager
def web_server() -> Iterator[WebServer]:
    kept = WebServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", "0"))
            body = json.loads(self.rfile.read(length))
            headers = {name.lower(): value for name, value in self.headers.items()}
            kept.asked.append(Asked(self.command, self.path, headers, body))
            if kept.meanwhile is not None:
                kept.meanwhile()
            answer = kept.answers.pop(0) if len(kept.answers) > 1 else kept.answers[0]
            if answer.drips_head:
                self._drip_head()
                return
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            size = 1_000_000 if answer.drips else len(answer.body)
            self.send_header("Content-Length", str(size))
            self.end_headers()
            if not answer.drips:
                self.wfile.write(answer.body)
                return
            try:
                while True:
                    self.wfile.write(b"x")
                    self.wfile.flush()
                    time.sleep(0.02)  # the other side gives up, which ends this
            except OSError:
                self.close_connection = True

        def _drip_head(self) -> None:
            self.close_connection = True
            self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
            for _ in range(40):
                self.wfile.write(b"x")
                time.sleep(0.05)

        do_GET = do_POST

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    kept.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield kept
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def relays(*servers: WebServer) -> dict[str, str]:
    """Every pinned host leads to the server."""
    hosts = ["hooks.slack.com", TEAMS_HOST, "events.pagerduty.com", "events.eu.pagerduty.com"]
    return dict.fromkeys(hosts, servers[0].url)


@contextmanager
def nobody() -> Iterator[str]:
    """A URL at which nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


class Mailbox:
    """Keeps what it is sent; refuses who is nobody."""

    def __init__(self) -> None:
        self.envelopes: list[Any] = []

    async def handle_RCPT(
        self, server: Any, session: Any, envelope: Any, address: str, options: Any
    ) -> str:
        if address.startswith("nobody"):
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.envelopes.append(envelope)
        return "250 taken"

    @property
    def told(self) -> list[str]:
        return [address for envelope in self.envelopes for address in envelope.rcpt_tos]


@contextmanager
def mail_server(settings: Any) -> Iterator[Mailbox]:
    kept = Mailbox()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    controller = Controller(kept, hostname="127.0.0.1", port=port)
    controller.start()
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", port
    settings.EMAIL_HOST_USER = settings.EMAIL_HOST_PASSWORD = ""
    settings.EMAIL_USE_TLS = settings.EMAIL_USE_SSL = False
    settings.EMAIL_TIMEOUT = 5
    try:
        yield kept
    finally:
        controller.stop()


# --- rows -----------------------------------------------------------------------------------------

SECRETS = {"slack": SLACK, "teams": TEAMS, "pagerduty": PAGERDUTY}


def make_channel(account: Any = None, kind: str = "slack", **fields: Any) -> Channel:
    given: dict[str, Any] = {"name": f"#{kind}"}
    if kind in SECRETS:
        given["secret"] = SECRETS[kind]
    if kind == "email":
        given["recipients"] = ["ann@example.com"]
    return create_channel(account=account or make_account(), kind=kind, **given | fields)


def lose_key(channel: Channel) -> None:
    """What is stored of its secret was sealed with a key that is no more."""
    Channel.objects.filter(pk=channel.pk).update(secret=Ciphertext("v1.lost.AAAA.AAAA"))


def make_rule(account: Any, *channels: Channel, **fields: Any) -> AlertRule:
    escalation = fields.pop("escalation_channels", ())
    given = {"name": "Endpoint fails", "kind": "endpoint_failing", "threshold": 0.5}
    rule = AlertRule.objects.create(account=account, created_at=NOW, **given | fields)
    rule.channels.set(channels)
    rule.escalation_channels.set(escalation)
    return rule


def resolve(incident: Incident, at: datetime, resolution: str = "recovered") -> Incident:
    incident.status = Incident.Status.RESOLVED
    incident.resolved_at = incident.last_seen_at = at
    incident.resolution = resolution
    incident.save()
    return incident
