"""Set-ups run against real receivers."""

from __future__ import annotations

import ssl
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from standardwebhooks import Webhook

from monitoring.models import AuditEntry
from outgoing import setups
from outgoing.models import Attempt, Delivery, Event
from outgoing.services import publish
from outgoing.setups import run_due_setups
from subscriptions.models import EventType, Subscription
from subscriptions.setup import create_with_setup
from tests.factories import SIGNING_SECRET, make_account, make_subscription
from tests.lib.certificates import make_certificate
from tests.lib.receiver import OK, Line, Script, answer, receiver, status
from tests.outgoing.pump import deliver
from webhooks_project.accounts.models import Account
from webhooks_project.lib import clock

pytestmark = pytest.mark.django_db(transaction=True)

Status = Subscription.Status


def due(url: str, account: Account | None = None, **fields: Any) -> Subscription:
    return make_subscription(
        account, url=url, status=Status.VERIFYING, setup_due_at=clock.now(), **fields
    )


def run(row: Subscription) -> dict[str, tuple[str, str]]:
    """Run its set-up; what each step found."""
    assert run_due_setups() == 1
    row.refresh_from_db()
    assert row.setup_due_at is None
    return {step["step"]: (step["outcome"], step["detail"]) for step in row.setup}


def outcomes(found: dict[str, tuple[str, str]]) -> dict[str, str]:
    return {name: outcome for name, (outcome, _) in found.items()}


SENT = {"endpoint": "ok", "permission": "ok", "configuration": "ok"}
NOT_ENDED = {"activation": "skipped", "health_check": "skipped", "analytics": "skipped"}


# --- a receiver in order --------------------------------------------------------------------------


def test_a_receiver_in_order_makes_it_active() -> None:
    with receiver(answer()) as there:
        row = due(there.url)
        found = run(row)
    assert row.status == Status.ACTIVE
    assert outcomes(found) == {
        **SENT, "certificate": "skipped", "test_delivery": "ok", "ownership": "skipped",
        "activation": "ok", "health_check": "ok", "analytics": "ok",
    }  # fmt: skip
    assert found["certificate"][1] == "the endpoint has none: its URL is plain http"
    assert found["test_delivery"][1].startswith("it answered 200 after ")
    (arrived,) = there.arrived
    assert Webhook(SIGNING_SECRET).verify(arrived.body, arrived.headers)
    body = orjson.loads(arrived.body)
    assert (body["type"], body["data"]) == ("webhook.test", {"subscription": str(row.pk)})
    assert arrived.headers["webhook-id"].startswith("test_")


def test_a_test_delivery_is_written_down_nowhere_else() -> None:
    with receiver(answer()) as there:
        run(due(there.url))
    assert not Event.objects.exists()
    assert not Delivery.objects.exists()
    assert not Attempt.objects.exists()


def test_what_is_published_meanwhile_is_held_and_goes_out_after_it() -> None:
    with receiver(answer()) as there:
        row = due(there.url)
        publish(account=row.account, type="a", data={})
        assert Delivery.objects.get().status == "held"
        run(row)
        assert deliver() == 1
    assert [item.headers["webhook-id"][:4] for item in there.arrived] == ["test", "evt_"]
    assert Delivery.objects.get().status == "delivered"


def test_from_creation_to_active() -> None:
    with receiver(answer()) as there:
        made = create_with_setup(
            account=make_account(), name="Shop", url=there.url, event_types=["a"]
        )
        run(made.subscription)
        assert Webhook(made.secret).verify(there.arrived[0].body, there.arrived[0].headers)
    actions = AuditEntry.objects.order_by("sequence").values_list("action", "actor_kind")
    assert list(actions)[-1] == ("subscription.active", "system")


def test_one_that_is_slow_or_broken_does_not_keep_the_others() -> None:
    with receiver(Line.hang) as slow, receiver(answer()) as quick:
        bad = due(slow.url, timeout_seconds=1)
        good = due(quick.url)
        assert run_due_setups() == 2
    bad.refresh_from_db()
    good.refresh_from_db()
    assert (bad.status, good.status) == (Status.DRAFT, Status.ACTIVE)
    assert bad.status_reason == "test_delivery failed: it did not answer in time"


def test_nothing_due_asks_once_and_writes_nothing(
    django_assert_num_queries: Any,
) -> None:
    make_subscription(setup_due_at=clock.now() + timedelta(minutes=1))
    with django_assert_num_queries(1):
        assert run_due_setups() == 0


# --- what fails it --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "detail"),
    [
        (answer(status(500)), "it answered 500"),
        (answer(status(302, "Location: /x")), "it answered 302"),
        (Line.read, "it hung up without an answer"),
    ],
)
def test_a_test_delivery_that_is_not_accepted_leaves_a_draft(script: Script, detail: str) -> None:
    with receiver(script) as there:
        row = due(there.url)
        found = run(row)
    assert row.status == Status.DRAFT
    assert outcomes(found) == {
        **SENT, "certificate": "skipped", "test_delivery": "failed", "ownership": "skipped",
        **NOT_ENDED,
    }  # fmt: skip
    assert found["test_delivery"][1].startswith(detail)
    assert row.status_reason == f"test_delivery failed: {found['test_delivery'][1]}"


@pytest.mark.parametrize(
    ("url", "detail"),
    [
        ("http://10.0.0.1/", "the URL is refused: forbidden_address"),
        ("ftp://127.0.0.1/", "the URL is refused: scheme_not_allowed"),
    ],
)
def test_an_endpoint_that_is_not_allowed_is_not_called(url: str, detail: str) -> None:
    row = due(url)
    found = run(row)
    assert row.status == Status.DRAFT
    assert found["endpoint"] == ("failed", detail)
    assert found["test_delivery"] == ("skipped", "a step before it failed")


def test_a_port_where_nobody_listens() -> None:
    with receiver(answer()) as there:
        url = there.url
    row = due(url)
    assert run(row)["test_delivery"] == ("failed", "it took no connection")


@pytest.mark.parametrize(
    ("fields", "detail"),
    [
        ({"event_types": ()}, "it hears no event type"),
        ({"secret": None}, "no signing secret can be read"),
        ({"expires_at": datetime(2020, 1, 1, tzinfo=UTC)}, "its time is over"),
        ({"filter": {"a": {"$nonsense": 1}}}, "the filter: "),
        ({"transformation": "(("}, "the transformation: "),
    ],
)
def test_a_configuration_that_cannot_work(fields: dict[str, Any], detail: str) -> None:
    with receiver(answer()) as there:
        found = run(due(there.url, **fields))
    assert found["configuration"][0] == "failed"
    assert found["configuration"][1].startswith(detail)
    assert there.arrived == []


def test_types_that_the_account_may_not_hear() -> None:
    account = make_account(unknown_event_types="reject")
    EventType.objects.create(account=account, name="a")
    types = ("a", "b.*", "subscription.failing")
    with receiver(answer()) as there:
        assert run(due(there.url, account, event_types=types))["permission"][0] == "ok"
        found = run(due(there.url, account, event_types=(*types, "c")))
        assert found["permission"] == ("failed", "not in the catalogue: c")
        EventType.objects.update(archived_at=clock.now())
        found = run(due(there.url, account, event_types=types))
        assert found["permission"] == ("failed", "archived in the catalogue: a")
    assert len(there.arrived) == 1


# --- TLS ------------------------------------------------------------------------------------------


def test_a_certificate_s_end_is_read_off_the_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends_at = datetime(2090, 5, 6, 7, 8, 9, tzinfo=UTC)
    pem = make_certificate(tmp_path, ends_at=ends_at)
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    with receiver(answer(), context=serving(pem)) as there:
        row = due(there.url.replace("http:", "https:"))
        found = run(row)
    assert row.status == Status.ACTIVE
    assert found["certificate"] == ("ok", "valid until 2090-05-06")
    assert row.certificate_expires_at == ends_at


def test_a_certificate_that_nobody_knows_fails_it(tmp_path: Path) -> None:
    pem = make_certificate(tmp_path, ends_at=datetime(2090, 1, 1, tzinfo=UTC))
    with receiver(answer(), context=serving(pem)) as there:
        row = due(there.url.replace("http:", "https:"))
        found = run(row)
    assert row.status == Status.DRAFT
    assert found["certificate"][0] == found["test_delivery"][0] == "failed"
    assert there.arrived == []


@pytest.mark.parametrize("scheme", ["https:", "HTTPS:"])
def test_an_endpoint_without_tls_behind_https(scheme: str) -> None:
    with receiver(answer()) as there:
        found = run(due(there.url.replace("http:", scheme), timeout_seconds=1))
    assert found["certificate"][0] == "failed"


def serving(pem: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


# --- ownership ------------------------------------------------------------------------------------


def echo(make: Any) -> Script:
    """Answer with what `make` gives for the challenge."""

    def script(line: Line) -> None:
        while arrived := line.read():
            headers, body = make(orjson.loads(arrived.body)["data"].get("challenge", ""), arrived)
            lines = [f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}", *headers, "", ""]
            line.send("\r\n".join(lines).encode() + body)

    return script


@pytest.mark.parametrize(
    ("make", "outcome"),
    [
        (lambda text, _: ([f"Webhook-Challenge: {text}"], b""), "ok"),
        (lambda text, _: ([], text.encode()), "ok"),
        (lambda text, _: ([], text.encode() + b"\n"), "ok"),
        (lambda text, _: ([], orjson.dumps({"challenge": text})), "ok"),
        (lambda text, _: ([], b"ok"), "failed"),
        (lambda text, _: ([], text[:-1].encode()), "failed"),
        (lambda text, _: (["Webhook-Challenge: "], b""), "failed"),
        (lambda text, arrived: ([], arrived.body), "failed"),
        (lambda text, _: ([], b"x" + text.encode()), "failed"),
    ],
    ids=["header", "body", "line", "json", "none", "cut", "empty", "mirror", "within"],
)
def test_the_owner_echoes_the_challenge(make: Any, outcome: str) -> None:
    account = make_account(asks_for_ownership=True)
    with receiver(echo(make)) as there:
        row = create_with_setup(
            account=account, name="Shop", url=there.url, event_types=["a"]
        ).subscription
        found = run(row)
    assert found["ownership"][0] == outcome
    assert found["test_delivery"][0] == "ok"
    assert row.status == (Status.ACTIVE if outcome == "ok" else Status.DRAFT)
    assert (row.challenge == "") == (outcome == "ok")


def test_a_challenge_that_comes_with_a_refusal_is_no_proof() -> None:
    with receiver(answer(OK)) as there:
        row = due(there.url, challenge="ok")
        assert run(row)["ownership"][0] == "ok"
    with receiver(answer(OK.replace(b"200 OK", b"403 No"))) as there:
        row = due(there.url, challenge="ok")
        assert run(row)["ownership"][0] == "failed"


def test_the_work_ends_when_its_turn_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setups, "CLAIM_ROWS", 1)
    turns = iter([True, False])
    with receiver(answer()) as there:
        for _ in range(2):
            due(there.url)
        assert run_due_setups(lambda: next(turns)) == 1
    assert Subscription.objects.filter(status=Status.ACTIVE).count() == 1


def test_a_name_server_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setups, "LOOK_UP_SECONDS", 0.2)
    released = threading.Event()
    check = setups.check_endpoint

    def look_up(url: str, policy: Any) -> Any:
        if "hangs" in url:
            released.wait(10)
            return None
        return check(url, policy)

    monkeypatch.setattr(setups, "check_endpoint", look_up)
    try:
        with receiver(answer()) as there:
            hanging, other = due("https://hangs.example.com/"), due(there.url)
            begun = time.perf_counter()
            assert run_due_setups() == 2
            assert time.perf_counter() - begun < 5
    finally:
        released.set()
    hanging.refresh_from_db()
    other.refresh_from_db()
    assert (hanging.status, other.status) == (Status.DRAFT, Status.ACTIVE)
    assert hanging.setup[0]["detail"] == "the URL is refused: host_not_found"
