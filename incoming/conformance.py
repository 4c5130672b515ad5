"""Real GitHub webhooks through a whole hub, to a receiver that verifies with another's code.

Each line of a corpus is `{"event": name, "payload": {…}}`. Each is sent four times over HTTP: as
GitHub signs it, and with a body changed after signing, with another secret, and unsigned.
"""

from __future__ import annotations

import hmac
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import requests

from incoming.models import MAX_BODY_BYTES, Receipt, RefusalCount, Source
from incoming.services import create_source
from incoming.sources import public_url_of
from outgoing.models import Delivery, Event
from subscriptions.services import create_subscription
from webhooks_project.accounts.services import create_account
from webhooks_project.lib.ids import new_id

QUIET_SECONDS: Final = 30  # without a delivery for so long, no more is waited for
SETTLE_SECONDS: Final = 2  # after the last delivery, for one that would come twice
REFUSALS: Final = {
    "tampered body": "signature_mismatch",
    "wrong secret": "signature_mismatch",
    "no signature": "signature_missing",
}


@dataclass
class Arrived:
    """What the receiver has got: verified bodies by webhook-id, and what it refused."""

    bodies: dict[str, list[bytes]] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True)
class Outcome:
    """The counts of one run, and in words whatever was not as it should be."""

    counts: dict[str, int]
    passed: int
    failures: Sequence[str]


def read_corpus(file: Path) -> list[dict[str, Any]]:
    """The lines of a corpus. Raises ValueError for one that is not of its shape."""
    lines = [json.loads(line) for line in file.read_text("utf-8").splitlines() if line.strip()]
    for number, line in enumerate(lines, 1):
        if not isinstance(line, dict) or not {"event", "payload"} <= line.keys():
            raise ValueError(f"line {number} has no event and payload")
    return lines


@contextmanager
def verifying_receiver(secret: str) -> Iterator[tuple[str, Arrived]]:
    """A receiver on this machine that verifies with the `standardwebhooks` package.

    Gives its URL, and what has arrived so far. It answers 204, or 400 to what does not verify.
    """
    from standardwebhooks import Webhook

    verifier = Webhook(secret)
    arrived = Arrived()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            try:
                verifier.verify(body, headers)
                status = 204
            except Exception as error:  # its errors are of several families
                status = 400
                with arrived.lock:
                    arrived.refused.append(str(error))
            else:
                with arrived.lock:
                    arrived.bodies.setdefault(headers["webhook-id"], []).append(body)
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook", arrived
    finally:
        server.shutdown()
        server.server_close()


def prepare(receiver_url: str, receiver_secret: str) -> Source:
    """An account with a GitHub source, and the receiver subscribed to all that comes of it."""
    account = create_account(name="Conformance", slug=f"conformance-{new_id().hex[-8:]}")
    source = create_source(
        account=account,
        name="GitHub",
        provider="github",
        max_body_bytes=MAX_BODY_BYTES,
        rate_per_minute=10_000_000,
        rate_per_minute_per_address=10_000_000,
    ).source
    create_subscription(
        account=account,
        name="Verifying receiver",
        url=receiver_url,
        event_types=["github.*"],
        secret=receiver_secret,
    )
    return source


def send_lines(source: Source, lines: Sequence[dict[str, Any]], arrived: Arrived) -> Outcome:
    """Send every line through the hub, wait for the deliveries, and hold all of it to account."""
    secret = source.secrets.get().secret
    url = public_url_of(source)
    failures: list[str] = []
    accepted: dict[str, dict[str, Any]] = {}
    refused = 0
    with requests.Session() as session:
        for number, line in enumerate(lines, 1):
            body = json.dumps(line["payload"], separators=(",", ":")).encode()
            answer = _post(session, url, line["event"], body, _signature(secret, body))
            if answer.status_code == 200 and answer.json().get("status") == "accepted":
                accepted[answer.json()["receipt"]] = line
            else:
                failures.append(f"line {number}: answered {answer.status_code} {answer.text[:100]}")
            for what, (sent, signature) in _forgeries(body, secret).items():
                answer = _post(session, url, line["event"], sent, signature)
                if answer.status_code == 401 and answer.json() == {"cause": REFUSALS[what]}:
                    refused += 1
                else:
                    failures.append(f"line {number}, {what}: answered {answer.status_code}")
    _await_deliveries(arrived, len(accepted))
    verified = sum(
        _is_delivered_once(receipt_id, line, arrived, failures)
        for receipt_id, line in accepted.items()
    )
    counts = _counts(source, arrived) | {"verified": verified, "refused": refused}
    failures += _miscounts(counts, lines=len(lines))
    return Outcome(counts, passed=verified + refused, failures=failures)


def _forgeries(body: bytes, secret: str) -> dict[str, tuple[bytes, str | None]]:
    return {
        "tampered body": (body + b" ", _signature(secret, body)),
        "wrong secret": (body, _signature(secret + "x", body)),
        "no signature": (body, None),
    }


def _signature(secret: str, body: bytes) -> str:
    return "sha256=" + hmac.digest(secret.encode(), body, "sha256").hex()


def _post(
    session: requests.Session, url: str, event: str, body: bytes, signature: str | None
) -> requests.Response:
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "GitHub-Hookshot/conformance",
        "X-GitHub-Event": event,
        "X-GitHub-Delivery": str(new_id()),
        "X-GitHub-Hook-ID": "1",
    }
    if signature is not None:
        headers["X-Hub-Signature-256"] = signature
    return session.post(url, data=body, headers=headers, timeout=30)


def _await_deliveries(arrived: Arrived, expected: int) -> None:
    count, since = 0, time.monotonic()
    while count < expected and time.monotonic() - since < QUIET_SECONDS:
        time.sleep(0.05)
        if len(arrived.bodies) != count:
            count, since = len(arrived.bodies), time.monotonic()
    time.sleep(SETTLE_SECONDS)


def _is_delivered_once(
    receipt_id: str, line: dict[str, Any], arrived: Arrived, failures: list[str]
) -> bool:
    """Whether the receipt became one event that arrived once with the payload it came with."""
    receipt = Receipt.objects.get(pk=receipt_id)
    events = list(Event.objects.filter(causation_id=receipt.causation_id))
    if len(events) != 1:
        failures.append(f"receipt {receipt_id} became {len(events)} events")
        return False
    bodies = arrived.bodies.get(events[0].webhook_id, [])
    if len(bodies) != 1:
        failures.append(f"event {events[0].webhook_id} arrived {len(bodies)} times")
        return False
    sent = json.loads(bodies[0])
    if sent["data"] != line["payload"] or sent["type"] != f"github.{line['event']}":
        failures.append(f"event {events[0].webhook_id} arrived with another type or payload")
        return False
    return True


def _counts(source: Source, arrived: Arrived) -> dict[str, int]:
    statuses = Counter(Receipt.objects.filter(source=source).values_list("status", flat=True))
    deliveries = Delivery.objects.filter(account=source.account)
    return {
        "accepted": statuses["processed"],
        "events": Event.objects.filter(account=source.account).count(),
        "deliveries": deliveries.count(),
        "delivered": deliveries.filter(status=Delivery.Status.DELIVERED).count(),
        "refusals counted": sum(
            RefusalCount.objects.filter(source=source).values_list("count", flat=True)
        ),
        "arrived unverified": len(arrived.refused),
        "arrived twice": sum(len(bodies) > 1 for bodies in arrived.bodies.values()),
    }


def _miscounts(counts: dict[str, int], *, lines: int) -> list[str]:
    expected = {
        "accepted": lines,
        "events": lines,
        "deliveries": lines,
        "delivered": lines,
        "verified": lines,
        "refused": lines * len(REFUSALS),
        "refusals counted": lines * len(REFUSALS),
        "arrived unverified": 0,
        "arrived twice": 0,
    }
    return [
        f"{name}: {counts[name]} instead of {number}"
        for name, number in expected.items()
        if counts[name] != number
    ]
