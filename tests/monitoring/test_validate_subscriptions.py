"""What keeps subscriptions, sources and accounts from their work: found, told once, resolved."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
import time_machine
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from analytics.counting import count_marked
from incoming.models import Route, Source, SourceSecret
from monitoring.models import Activity, Finding, Notification
from monitoring.validation import running, validate
from outgoing.models import Attempt, Delivery
from subscriptions.models import (
    EventSchema,
    EventType,
    SigningSecret,
    SubscribedType,
    Subscription,
)
from tests.factories import (
    make_account,
    make_api_key,
    make_attempt,
    make_delivery,
    make_event,
    make_source,
    make_subscription,
    make_user,
)
from webhooks_project.accounts.models import Account, Membership, Role
from webhooks_project.fields import Ciphertext
from webhooks_project.uncounted import Kind as Counted
from webhooks_project.uncounted import mark_uncounted

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 14, 15, 9, 26, tzinfo=UTC)
OLD = NOW - timedelta(days=8)
UNREADABLE = "v1.gone.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"


@pytest.fixture(autouse=True)
def moment(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(running, "PAUSE_SECONDS", 0)
    with time_machine.travel(NOW, tick=False) as traveller:
        yield traveller


@pytest.fixture
def account() -> Account:
    account = make_account()
    make_user(account, Role.ADMIN)
    return account


def of(row: Any, **fields: Any) -> None:
    type(row).objects.filter(pk=row.pk).update(**fields)


def kinds(row: Any) -> list[str]:
    name = {Subscription: "subscription", Source: "source", Account: "account"}[type(row)]
    found = Finding.objects.filter(**{name: row}, resolved_at=None)
    return sorted(found.values_list("kind", flat=True))


def text(row: Any) -> str:
    return row.findings.get(resolved_at=None).text


# --- subscriptions --------------------------------------------------------------------------------


def test_of_what_works_nothing_is_found(account: Account) -> None:
    make_subscription(account, filter={"data.amount": 1}, transformation="data")
    make_source(account)
    done = validate()
    assert (done.rows, done.open, done.is_complete) == (3, 0, True)
    assert not Finding.objects.exists()
    assert not Activity.objects.exists()


def sealed_with_a_lost_key(subscription: Subscription) -> None:
    SigningSecret.objects.update(secret=Ciphertext(UNREADABLE))


def headers_sealed_with_a_lost_key(subscription: Subscription) -> None:
    of(subscription, custom_headers=Ciphertext(UNREADABLE))


def secrets_ended(subscription: Subscription) -> None:
    SigningSecret.objects.update(expires_at=NOW)


def failed_setup(subscription: Subscription) -> None:
    step = {"step": "tls", "outcome": "failed", "detail": "no", "at": NOW.isoformat()}
    of(subscription, status="draft", setup=[step])


def verifying(subscription: Subscription) -> None:
    of(subscription, status="verifying", created_at=NOW - timedelta(days=1))


def all_failing(subscription: Subscription) -> None:
    of(subscription, created_at=OLD, failing_since=OLD)
    make_delivery(make_event(subscription.account), subscription, status="exhausted")


def pinned(subscription: Subscription) -> None:
    type_ = EventType.objects.create(account=subscription.account, name="invoice.paid")
    EventSchema.objects.create(event_type=type_, version=1, major=2, schema={})
    of(subscription, schema_versions={"invoice.paid": 1})


def pinned_without_a_way_back(subscription: Subscription) -> None:
    type_ = EventType.objects.create(account=subscription.account, name="invoice.paid")
    for major in (1, 2):
        EventSchema.objects.create(event_type=type_, version=major, major=major, schema={})
    of(subscription, schema_versions={"invoice.paid": 1})


SUBSCRIPTIONS: list[tuple[Callable[[Subscription], None], str, str]] = [
    (lambda row: of(row, status="expired", expires_at=OLD), "expired",
     "It ended on 2026-03-06. Renew it, or archive it."),
    (verifying, "unverifiable", "It has been verifying since 2026-03-13 without an end."),
    (failed_setup, "setup_failing", "The last set-up failed at tls: no"),
    (sealed_with_a_lost_key, "secret_unreadable", "No encryption key opens its signing secret."),
    (headers_sealed_with_a_lost_key, "secret_unreadable",
     "No encryption key opens its custom headers."),
    (secrets_ended, "no_valid_secret",
     "It has no valid signing secret: nothing can be delivered."),
    (lambda row: of(row, created_at=OLD), "never_delivered",
     "No event has matched it since it was made on 2026-03-06."),
    (all_failing, "never_delivered",
     "Not one delivery has succeeded; the first failed on 2026-03-06."),
    (pinned, "schema_version_gone", "It stays with versions that are gone: invoice.paid 1."),
    (pinned_without_a_way_back, "schema_version_gone",
     "It stays with versions that are gone: invoice.paid 1."),
]  # fmt: skip


@pytest.mark.parametrize(("spoil", "kind", "expected"), SUBSCRIPTIONS)
def test_finds_what_is_wrong_with_a_subscription(
    account: Account, spoil: Callable[[Subscription], None], kind: str, expected: str
) -> None:
    subscription, other = make_subscription(account), make_subscription()
    make_user(other.account, Role.ADMIN)
    SigningSecret.objects.filter(subscription=other).delete()
    SigningSecret.objects.create(subscription=other, secret="whsec_MDEy")
    spoil(subscription)
    if spoil in (sealed_with_a_lost_key, secrets_ended):
        other.delete()
    validate()
    assert (kinds(subscription), text(subscription)) == ([kind], expected)
    assert Finding.objects.count() == 1


@pytest.mark.parametrize(
    ("fields", "kind", "begins"),
    [
        ({"filter": {"data.a": {"nonsense": 1}}}, "filter_broken", "Its filter cannot be used"),
        ({"filter": ["a"]}, "filter_broken", "Its filter cannot be used"),
        ({"transformation": "((("}, "transformation_broken", "Its transformation is no expression"),
    ],
)
def test_finds_what_no_longer_compiles(
    account: Account, fields: dict[str, Any], kind: str, begins: str
) -> None:
    subscription = make_subscription(account, **fields)
    validate()
    assert kinds(subscription) == [kind]
    assert text(subscription).startswith(begins)


def test_finds_types_that_are_gone_or_deprecated(account: Account) -> None:
    newer = EventType.objects.create(account=account, name="b.new")
    EventType.objects.create(account=account, name="a", archived_at=OLD)
    EventType.objects.create(account=account, name="b", deprecated_at=OLD, successor=newer)
    hears = ("a", "b", "b.new", "unknown", "any.*", "delivery.exhausted")
    subscription = make_subscription(account, event_types=hears)
    validate()
    assert kinds(subscription) == ["type_deprecated", "type_gone"]
    assert [row.text for row in subscription.findings.order_by("kind")] == [
        "It hears deprecated types: b (now b.new).", "No event is published as a any more.",
    ]  # fmt: skip
    of(account, unknown_event_types="reject")
    validate()
    gone = subscription.findings.get(kind="type_gone")
    assert gone.text == "No event is published as a, unknown any more."


@pytest.mark.parametrize(
    "fields",
    [{"status": "archived", "filter": ["a"]}, {"status": "draft"}, {"status": "disabled"},
     {"created_at": NOW}],
)  # fmt: skip
def test_what_is_not_to_deliver_is_not_missed(account: Account, fields: dict[str, Any]) -> None:
    subscription = make_subscription(account)
    of(subscription, **({"created_at": OLD} | fields))
    validate()
    assert kinds(subscription) == []


@pytest.mark.parametrize("failing_since", [None, OLD])
def test_one_delivery_is_enough(account: Account, failing_since: datetime | None) -> None:
    subscription = make_subscription(account)
    of(subscription, created_at=OLD, failing_since=failing_since)
    for status in ("exhausted", "delivered", "exhausted"):
        make_delivery(make_event(account), subscription, status=status)
    validate()
    assert kinds(subscription) == []


def test_what_was_delivered_once_stays_so_when_its_deliveries_are_pruned(account: Account) -> None:
    good, bad, none = (make_subscription(account) for _ in range(3))
    for subscription, outcome in ((good, "succeeded"), (bad, "failed")):
        delivery = make_delivery(make_event(account), subscription)
        cause = "" if outcome == "succeeded" else "dns"
        make_attempt(delivery, started_at=OLD, outcome=outcome, cause=cause)
    for subscription in (good, bad, none):
        of(subscription, created_at=OLD, failing_since=OLD)
    mark_uncounted(Counted.ATTEMPT, [OLD])
    count_marked()
    Attempt.objects.all().delete()
    Delivery.objects.all().delete()
    validate()
    assert kinds(good) == []
    assert kinds(bad) == kinds(none) == ["never_delivered"]
    assert text(bad) == "Not one delivery has succeeded; the first failed on 2026-03-06."
    assert text(none) == "No event has matched it since it was made on 2026-03-06."


# --- sources and accounts -------------------------------------------------------------------------

DAY = timedelta(days=1)

SOURCES: list[tuple[Callable[[Source], Any], str, str]] = [
    (lambda row: of(row, created_at=OLD), "never_received",
     "Nothing has called it since it was made on 2026-03-06."),
    (lambda row: of(row, provider="gone"), "provider_unknown",
     "The hub knows no provider gone any more: every call is refused."),
    (lambda row: SourceSecret.objects.update(secret=Ciphertext(UNREADABLE)), "secret_unreadable",
     "No encryption key opens one of its secrets."),
    (lambda row: SourceSecret.objects.update(expires_at=NOW), "no_valid_secret",
     "It has no valid secret: no call can be verified."),
    (lambda row: (Route.objects.update(disabled_at=NOW), of(row, created_at=NOW - DAY)),
     "no_route",
     "It has no route that is enabled: nothing follows from its receipts."),
    (lambda row: Route.objects.update(action="handle", handler="gone"), "handler_unknown",
     "Its routes name handlers that are not there: gone"),
]  # fmt: skip


def test_a_new_source_may_be_without_a_route_for_a_day(account: Account) -> None:
    source = make_source(account)
    make_subscription(account)
    Route.objects.update(disabled_at=NOW)
    of(source, created_at=NOW - DAY + timedelta(seconds=1))
    validate()
    assert kinds(source) == []


@pytest.mark.parametrize(("spoil", "kind", "expected"), SOURCES)
def test_finds_what_is_wrong_with_a_source(
    account: Account, spoil: Callable[[Source], Any], kind: str, expected: str
) -> None:
    source = make_source(account)
    make_subscription(account)
    spoil(source)
    validate()
    assert (kinds(source), text(source)) == ([kind], expected)
    of(source, disabled_at=NOW)
    validate()
    assert kinds(source) == []


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"condition": {"type": {"nonsense": 1}}}, "filter_broken"),
        ({"expression": "((("}, "transformation_broken"),
    ],
)
def test_finds_what_no_longer_compiles_in_a_route(
    account: Account, fields: dict[str, Any], kind: str
) -> None:
    source = make_source(account)
    Route.objects.update(**fields)
    validate()
    assert kinds(source) == [kind]


PUBLISHES = {"action": "publish", "event_type": "invoice.paid"}
OPEN_ENDED = {"action": "publish", "event_type": "{provider}.{type}"}
HANDLED_BY_NOBODY = {"action": "handle", "handler": "gone"}


@pytest.mark.parametrize(
    ("routes", "patterns", "status", "is_orphaned"),
    [
        ([PUBLISHES], ["invoice.*"], "active", False),
        ([PUBLISHES], ["*"], "paused", False),
        ([PUBLISHES], ["*"], "archived", True),
        ([PUBLISHES], ["*"], "expired", True),
        ([PUBLISHES], ["order.*", "invoice"], "active", True),
        ([PUBLISHES], [], "active", True),
        ([PUBLISHES, {"action": "notify", "recipients": ["operator"]}], [], "active", False),
        ([PUBLISHES, OPEN_ENDED], ["order.*"], "active", False),  # who knows what comes
        ([OPEN_ENDED], ["*"], "archived", True),
        ([PUBLISHES, HANDLED_BY_NOBODY], ["order.*"], "active", True),
        ([PUBLISHES, HANDLED_BY_NOBODY], ["invoice.paid"], "active", False),
    ],
)
def test_a_source_whose_routes_lead_to_nobody_is_orphaned(
    account: Account, routes: Any, patterns: Any, status: str, is_orphaned: bool
) -> None:
    make_subscription(account, event_types=tuple(patterns), status=status)
    make_subscription(event_types=("*",))  # another account's
    source = make_source(account, routes=tuple(routes), last_received_at=NOW)
    validate()
    assert "orphaned" not in kinds(source)  # it may not be finished yet
    of(source, created_at=OLD)
    validate()
    assert ("orphaned" in kinds(source)) == is_orphaned


def test_an_orphan_is_told_what_nobody_hears(account: Account) -> None:
    source = make_source(account, routes=(PUBLISHES,), last_received_at=NOW)
    of(source, created_at=OLD)
    validate()
    assert text(source) == (
        "Its routes lead to nobody: no handler is there, no subscription hears invoice.paid."
    )


def test_a_source_that_learns_its_secret_waits_for_it(account: Account) -> None:
    source = make_source(account, provider="asana")
    SourceSecret.objects.all().delete()
    validate()
    assert kinds(source) == []


def test_finds_accounts_that_nobody_looks_after() -> None:
    alone, empty, keyed, looked_after = (make_account() for _ in range(4))
    for account in (alone, keyed, looked_after):
        make_subscription(account)
    make_user(alone, Role.OPERATOR)
    make_user(alone, Role.ADMIN, is_active=False)
    make_api_key(alone, Role.DEVELOPER)
    make_api_key(alone, Role.ADMIN, expires_at=NOW)
    make_api_key(keyed, Role.ADMIN)
    make_user(looked_after, Role.ADMIN)
    validate()
    assert [kinds(account) for account in (alone, empty, keyed, looked_after)] == [
        ["no_admin"], [], [], [],
    ]  # fmt: skip
    Membership.objects.update(role=Role.ADMIN)
    validate()
    assert kinds(alone) == []


# --- what is kept and told ------------------------------------------------------------------------


def test_a_finding_lasts_until_it_is_mended_and_comes_anew(account: Account, moment: Any) -> None:
    subscription = make_subscription(account, filter=["a"])
    assert validate().opened == 1
    moment.shift(3600)
    done = validate()
    assert (done.open, done.opened, done.resolved) == (1, 0, 0)
    finding = Finding.objects.get()
    assert (finding.first_seen_at, finding.last_seen_at) == (NOW, NOW + timedelta(hours=1))
    of(subscription, filter=None)
    moment.shift(3600)
    assert validate().resolved == 1
    finding.refresh_from_db()
    assert finding.resolved_at == NOW + timedelta(hours=2)
    of(subscription, filter=["a"])
    assert validate().opened == 1
    assert Finding.objects.count() == 2
    told = Activity.objects.order_by("created_at", "pk").values_list("kind", "object_id")
    assert list(told) == [
        (f"finding.{word}", str(subscription.pk)) for word in ("opened", "resolved", "opened")
    ]
    assert Activity.objects.first().text.startswith("filter_broken: Its filter")  # type: ignore[union-attr]


def test_many_of_a_kind_are_one_line_and_nobody_is_mailed(account: Account) -> None:
    make_user(account, Role.OPERATOR, email="bob@example.com")
    for _ in range(7):
        make_subscription(account, filter=["a"])
    make_subscription(account, transformation="(((")
    validate()
    assert sorted(Activity.objects.values_list("text", flat=True))[0] == "filter_broken: 7 times."
    assert Activity.objects.count() == 2
    SigningSecret.objects.all().delete()
    validate()
    assert Activity.objects.filter(text="no_valid_secret: 8 times.").count() == 1
    assert not Notification.objects.exists()


def test_takes_as_many_queries_whatever_is_in_a_batch(account: Account) -> None:
    counts = []
    for more in (2, 20):
        for _ in range(more):
            subscription = make_subscription(
                account, event_types=("a", "b.*"), schema_versions={"a": 1}, filter=["x"]
            )
            of(subscription, created_at=OLD, failing_since=OLD)
            make_delivery(make_event(account), subscription, status="exhausted")
            of(make_source(account), created_at=OLD)
        validate()
        with CaptureQueriesContext(connection) as queries:
            validate()
        counts.append(len(queries))
    assert counts[0] == counts[1] <= 50


def test_goes_through_all_batches(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "BATCH_ROWS", 2)
    rows = [make_subscription(account, filter=["a"]) for _ in range(5)]
    told: list[int] = []
    assert validate(progress=told.append).open == 5
    assert sorted(told) == [1, 1, 2, 2]
    assert all(kinds(row) == ["filter_broken"] for row in rows)


def test_a_look_that_was_cut_off_goes_on_there(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "BATCH_ROWS", 2)
    for _ in range(5):
        make_subscription(account, filter=["a"])
    seen = []
    for _ in range(9):
        ticks = iter([0.0, 0.5, 0.5, 2.0, 2.0, 2.0])  # one batch a call, or two of two looks
        # Its clock alone: the cache's client looks at the clock too.
        clock = SimpleNamespace(
            monotonic=lambda ticks=ticks: next(ticks, 2.0), sleep=lambda seconds: None
        )
        monkeypatch.setattr(running, "time", clock)
        done = validate(seconds=1.0)
        seen.append(done.rows)
        if done.is_complete:
            break
    assert Finding.objects.count() == 5
    assert max(seen) <= 3


def test_an_account_may_subscribe_for_the_first_time_meanwhile(account: Account) -> None:
    source = make_source(account, routes=(PUBLISHES,), last_received_at=NOW)
    of(source, created_at=OLD)

    def subscribe(execute: Any, sql: str, *more: Any) -> Any:
        """Before the patterns are read, after the accounts that have a subscription were."""
        if f'FROM "{SubscribedType._meta.db_table}"' in sql and not Subscription.objects.exists():
            make_subscription(account, event_types=("invoice.paid",))
        return execute(sql, *more)

    with connection.execute_wrapper(subscribe):
        validate()
    assert Subscription.objects.exists()
    assert kinds(source) == []


def test_the_command_says_which(account: Account) -> None:
    subscription = make_subscription(account, filter=["a"])
    source = make_source()
    of(source, created_at=OLD)
    out = io.StringIO()
    call_command("validate_subscriptions", "--account", account.slug, stdout=out)
    line, last = out.getvalue().splitlines()
    assert line.startswith(f"{account.slug} subscription {subscription.pk}: filter_broken: Its")
    assert last == "4 looked at: 4 findings, 4 of them new, 0 resolved"
    out = io.StringIO()
    call_command("validate_subscriptions", "--json", stdout=out)
    *findings, total = [orjson.loads(line) for line in out.getvalue().splitlines()]
    assert total == {"rows": 4, "open": 4, "opened": 0, "resolved": 0}
    assert {(row["about"], row["id"], row["kind"]) for row in findings} == {
        ("subscription", str(subscription.pk), "filter_broken"),
        ("source", str(source.pk), "never_received"),
        ("source", str(source.pk), "orphaned"),
        ("account", str(source.account_id), "no_admin"),
    }
    assert {row["first_seen_at"] for row in findings} == {"2026-03-14T15:09:26Z"}
