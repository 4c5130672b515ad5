"""What is kept of an account is what the account says: whoever changes it, and by whatever way."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.core.management import call_command
from django.db import connection, connections, transaction
from django.db.models import F
from django.test.utils import CaptureQueriesContext

from outgoing.breakers import half_open
from outgoing.expiry import watch_expiry
from subscriptions import lookup
from subscriptions.event_types import (
    add_schema,
    archive_event_type,
    change_event_type,
    change_examples,
    create_event_type,
    delete_event_type,
    deprecate_event_type,
    restore_event_type,
)
from subscriptions.generations import WATCHED, before_migrations
from subscriptions.lookup import look_up
from subscriptions.models import EventSchema, EventType, SubscribedType, Subscription
from subscriptions.schemas import catalogues
from subscriptions.services import (
    change_subscription,
    create_subscription,
    rotate_secret,
    set_status,
)
from tests.factories import make_account, make_api_key, make_subscription
from webhooks_project.accounts.generations import unwatch, watch
from webhooks_project.accounts.models import Account, ApiKey, Generation
from webhooks_project.accounts.services import authenticate_api_key, change_account
from webhooks_project.lib import clock
from webhooks_project.lib.ids import new_id

pytestmark = pytest.mark.django_db(transaction=True)

POSTGRESQL = connection.vendor == "postgresql"
NAME = "invoice.paid"
Status = Subscription.Status
Breaker = Subscription.Breaker


@dataclass(frozen=True)
class World:
    """An account with a type of two versions, one that is archived, and who hears them."""

    account: Account
    key: str
    type: EventType
    successor: EventType
    subscription: Subscription
    pinned: Subscription
    draft: Subscription

    @property
    def wanted(self) -> list[tuple[UUID, str, str]]:
        names = (NAME, "invoice.sent", "invoice.old", "late.made")
        return [(self.account.pk, name, "") for name in names]

    def told(self) -> Any:
        """What is known with the generation that a call by key reads, as publishing asks for it."""
        key = authenticate_api_key(self.key)
        assert key is not None
        return look_up(self.wanted, generations={key.account_id: key.generation})


@pytest.fixture
def world() -> World:
    account = make_account()
    event_type = create_event_type(account=account, name=NAME)
    successor = create_event_type(account=account, name="invoice.settled")
    add_schema(event_type=event_type, schema={"type": "object"})
    add_schema(event_type=event_type, schema={"type": "array"}, major=True, downgrade="data")
    archive_event_type(event_type=create_event_type(account=account, name="invoice.old"))
    return World(
        account,
        make_api_key(account).text,
        event_type,
        successor,
        make_subscription(account, event_types=("invoice.*",)),
        make_subscription(account, event_types=(NAME,), schema_versions={NAME: 1}),
        make_subscription(account, event_types=("invoice.sent",), status=Status.DRAFT),
    )


def elsewhere(change: Callable[[], Any]) -> None:
    """By another connection, as another process has; committed when it returns."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            change()
        except BaseException as error:
            errors.append(error)
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert errors == []


def execute(sql: str, *parameters: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            sql, [value.hex if isinstance(value, UUID) else value for value in parameters]
        )


def generation(account: Account) -> UUID:
    return Generation.objects.get(account=account).value


def update(row: Any, **values: Any) -> None:
    assert type(row).objects.filter(pk=row.pk).update(**values) == 1


def save(row: Any, fields: list[str] | None = None, **values: Any) -> None:
    fresh = type(row).objects.get(pk=row.pk)
    for name, value in values.items():
        setattr(fresh, name, value)
    fresh.save(update_fields=fields)


def expire(world: World) -> None:
    update(world.subscription, expires_at=clock.now() - timedelta(seconds=1))
    assert watch_expiry() == 1


def of_two_accounts(world: World) -> None:
    """In one transaction, and more than once in each."""
    other = make_account()
    with transaction.atomic():
        for account in (other, world.account, other):
            for name in ("late.made", "later.made"):
                with transaction.atomic():
                    EventType.objects.get_or_create(account=account, name=name)


CHANGES: dict[str, Callable[[World], Any]] = {
    "subscription created": lambda w: create_subscription(
        account=w.account, name="New", url="http://127.0.0.1:8009/", event_types=["invoice.*"]
    ),
    "subscription made by row": lambda w: make_subscription(w.account, event_types=("*",)),
    "types changed": lambda w: change_subscription(
        subscription=w.subscription, event_types=["invoice.sent", "late.*"]
    ),
    "types taken away": lambda w: SubscribedType.objects.filter(
        subscription=w.subscription
    ).delete(),
    "a type for another": lambda w: SubscribedType.objects.filter(
        subscription=w.subscription
    ).update(pattern="late.made"),
    "types in bulk": lambda w: SubscribedType.objects.bulk_create(
        [
            SubscribedType(subscription=w.pinned, account=w.account, pattern=pattern)
            for pattern in ("late.made", "invoice.sent")
        ]
    ),
    "a type put in its place": lambda w: SubscribedType.objects.bulk_create(
        [SubscribedType(subscription=w.draft, account=w.account, pattern="late.made")],
        update_conflicts=True,
        unique_fields=["subscription", "pattern"],
        update_fields=["account"],
    ),
    "a type of another account's": lambda w: SubscribedType.objects.filter(
        subscription=w.subscription
    ).update(account=make_account()),
    "filter": lambda w: change_subscription(
        subscription=w.subscription, filter={"data.amount": {"$gt": 5}}
    ),
    "filter taken away": lambda w: (
        update(w.subscription, filter={"data.amount": 5}),
        update(w.pinned, filter={"data.amount": 6}),
        update(w.subscription, filter=None),
    ),
    "channels": lambda w: change_subscription(subscription=w.subscription, channels=["eu"]),
    "schema version": lambda w: change_subscription(subscription=w.pinned, schema_versions={}),
    "order": lambda w: change_subscription(subscription=w.subscription, ordering="strict"),
    "order's path": lambda w: change_subscription(
        subscription=w.subscription, ordering="strict", order_key="data.id"
    ),
    "rate": lambda w: change_subscription(subscription=w.subscription, rate_limit=5),
    "paused": lambda w: set_status(subscription=w.subscription, status=Status.PAUSED),
    "paused and resumed": lambda w: (
        set_status(subscription=w.pinned, status=Status.PAUSED),
        set_status(subscription=w.subscription, status=Status.PAUSED),
        set_status(subscription=w.pinned, status=Status.ACTIVE),
    ),
    "disabled": lambda w: set_status(subscription=w.subscription, status=Status.DISABLED),
    "archived": lambda w: set_status(subscription=w.subscription, status=Status.ARCHIVED),
    "activated": lambda w: set_status(subscription=w.draft, status=Status.ACTIVE),
    "expired": expire,
    "breaker open": lambda w: save(w.subscription, ["breaker"], breaker=Breaker.OPEN),
    "breaker open by statement": lambda w: update(
        w.subscription, breaker=Breaker.OPEN, is_limited=True
    ),
    "subscription deleted": lambda w: w.subscription.delete(),
    "subscriptions in bulk": lambda w: Subscription.objects.filter(account=w.account).update(
        status=Status.PAUSED
    ),
    "rows in bulk": lambda w: Subscription.objects.bulk_update(
        [Subscription(pk=w.subscription.pk, status=Status.PAUSED)], ["status"]
    ),
    "by SQL": lambda w: execute(
        "UPDATE \"webhooks.subscriptions\" SET status = 'paused' WHERE id = %s", w.subscription.pk
    ),
    "type created": lambda w: create_event_type(account=w.account, name="late.made"),
    "types created in bulk": lambda w: EventType.objects.bulk_create(
        [EventType(account=w.account, name=name) for name in ("late.made", "later.made")]
    ),
    "type's mode": lambda w: change_event_type(event_type=w.type, schema_mode="quarantine"),
    "type deprecated": lambda w: deprecate_event_type(event_type=w.type, successor=w.successor),
    "successor renamed": lambda w: (
        update(w.type, deprecated_at=clock.now(), successor=w.successor),
        update(w.successor, name="invoice.closed"),
    ),
    "successor deleted": lambda w: (
        update(w.type, deprecated_at=clock.now(), successor=w.successor),
        delete_event_type(event_type=w.successor),
    ),
    "type archived": lambda w: archive_event_type(event_type=w.type),
    "type restored": lambda w: restore_event_type(
        event_type=EventType.objects.get(name="invoice.old")
    ),
    "type renamed": lambda w: update(w.type, name="late.made"),
    "type deleted": lambda w: delete_event_type(event_type=w.type),
    "type given away": lambda w: update(w.type, account=make_account()),
    "schema added": lambda w: add_schema(event_type=w.type, schema={}, allow_breaking=True),
    "schema's number": lambda w: EventSchema.objects.filter(version=2).update(major=3),
    "schema of another type": lambda w: EventSchema.objects.filter(version=2).update(
        event_type=w.successor
    ),
    "schema deleted": lambda w: EventSchema.objects.filter(version=2).delete(),
    "step down": lambda w: EventSchema.objects.filter(version=2).update(downgrade="data.x"),
    "step down taken away": lambda w: EventSchema.objects.update(downgrade=""),
    "unknown types": lambda w: change_account(account=w.account, unknown_event_types="reject"),
    "unknown types by statement": lambda w: update(w.account, unknown_event_types="warn"),
    "of two accounts": of_two_accounts,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_the_next_call_sees_a_change_of_another_process(
    world: World, change: Callable[[World], Any]
) -> None:
    before = world.told()
    assert world.told() == before == look_up(world.wanted)
    elsewhere(lambda: change(world))
    after = world.told()
    assert after == look_up(world.wanted)
    assert after != before
    # What was asked anew is kept again.
    with CaptureQueriesContext(connection) as queries:
        assert world.told() == after
    assert len(queries) == 1


def load(world: World) -> None:
    """The account as it was dumped, its generation with it: rows of subscriptions stay."""
    call_command("loaddata", str(world.account.pk), verbosity=0)


def test_a_dump_that_is_loaded_brings_no_generation_back(
    world: World, tmp_path: Any, settings: Any
) -> None:
    settings.FIXTURE_DIRS = [tmp_path]
    dump = tmp_path / f"{world.account.pk}.json"
    call_command("dumpdata", "accounts", output=str(dump), verbosity=0)
    first = world.told()
    first_generation = generation(world.account)
    set_status(subscription=world.subscription, status=Status.PAUSED)
    lookup.forget()
    second = world.told()
    elsewhere(lambda: load(world))
    assert generation(world.account) != first_generation
    assert world.told() == second != first


OPERATIONAL: dict[str, Callable[[World], Any]] = {
    "fails": lambda w: update(
        w.subscription, failing_since=clock.now(), last_failed_at=clock.now()
    ),
    "told of": lambda w: update(w.subscription, failing_noticed_percent=50, expiry_noticed_days=3),
    "looked at": lambda w: update(
        w.subscription, health_checked_at=clock.now(), health_check_failures=2,
        health_check_due_at=clock.now(), health_problem="silent", health_check_result={"a": 1},
    ),
    "set-up": lambda w: update(w.subscription, setup=[{"step": "a"}], setup_due_at=clock.now()),
    "half open": lambda w: half_open(w.subscription.pk),
    "saved as it is": lambda w: save(w.subscription),
    "saved with another name": lambda w: save(w.subscription, name="Other", url="http://a/"),
    "secret": lambda w: rotate_secret(subscription=w.subscription),
    "types set as they are": lambda w: SubscribedType.objects.update(pattern=F("pattern")),
    "type described": lambda w: change_event_type(event_type=w.type, description="Paid."),
    "examples": lambda w: change_examples(
        schema=EventSchema.objects.get(version=1), examples=[{"a": 1}]
    ),
    "account renamed": lambda w: change_account(account=w.account, name="Other", event_days=3),
    "key used": lambda w: authenticate_api_key(w.key),
    "another account": lambda w: make_subscription(make_account(), status=Status.PAUSED),
}  # fmt: skip


@pytest.mark.parametrize("change", OPERATIONAL.values(), ids=OPERATIONAL)
def test_what_is_no_change_of_what_is_read_draws_nothing(
    world: World, change: Callable[[World], Any]
) -> None:
    update(world.subscription, breaker=Breaker.OPEN, is_limited=True)
    before = generation(world.account)
    change(world)
    assert generation(world.account) == before


def test_only_what_stands_there_is_read() -> None:
    """A column that `look_up` begins to read must be watched."""
    read = {
        Account: {"id", "unknown_event_types"},
        ApiKey: {
            field.attname for field in ApiKey._meta.concrete_fields if field.name != "last_used_at"
        },
        EventType: {
            "id", "account_id", "name", "schema_mode", "archived_at", "deprecated_at",
            "successor_id",
        },
        EventSchema: {"id", "event_type_id", "major", "minor", "version", "downgrade", "schema"},
        SubscribedType: {"account_id", "pattern", "subscription_id"},
        Subscription: {
            "id", "account_id", "status", "channels", "filter", "schema_versions", "is_limited",
            "ordering", "order_key",
        },
    }  # fmt: skip
    assert {each.table: set(each.columns) | {"id"} for each in WATCHED} == {
        model._meta.db_table: columns | {"id"} for model, columns in read.items()
    }
    account = make_account()
    make_subscription(account, event_types=(NAME,), schema_versions={NAME: 1})
    with CaptureQueriesContext(connection) as queries:
        look_up([(account.pk, NAME, "")])
    assert len(queries) == 2
    text = " ".join(query["sql"] for query in queries)
    others = {
        (model, field.column)
        for model, columns in read.items()
        for field in model._meta.concrete_fields
        if field.column not in columns
        and any(f'{alias}."{field.column}"' in text for alias in _aliases(model))
    }
    assert others == set()


def _aliases(model: type[Any]) -> list[str]:
    """How the statements call a model's table."""
    return [f'"{model._meta.db_table}"', *(["T5", '"known"'] if model is EventType else [])]


def test_what_is_rolled_back_is_neither_kept_nor_seen_by_others(world: World) -> None:
    before = world.told()
    first = generation(world.account)
    with transaction.atomic():
        set_status(subscription=world.subscription, status=Status.PAUSED)
        within = world.told()
        assert within == look_up(world.wanted) != before
        if POSTGRESQL:  # SQLite lets nobody else read while the test's database is written to
            elsewhere(lambda: _is(world, before))
        transaction.set_rollback(True)
    assert generation(world.account) == first
    with CaptureQueriesContext(connection) as queries:
        assert world.told() == before
    assert len(queries) == 1
    # What follows draws a value that the one before did not have.
    update(world.subscription, channels=["eu"])
    assert world.told() == look_up(world.wanted)
    assert world.told() not in (before, within)


def _is(world: World, told: Any) -> None:
    assert world.told() == told


def test_in_a_transaction_nothing_is_taken_from_what_is_kept(world: World) -> None:
    before = world.told()
    with transaction.atomic():
        point = transaction.savepoint()
        set_status(subscription=world.subscription, status=Status.PAUSED)
        assert world.told() != before
        transaction.savepoint_rollback(point)
        assert world.told() == before
        update(world.subscription, channels=["eu"])
        assert world.told() != before
    assert world.told() != before
    assert world.told() == look_up(world.wanted)


@pytest.mark.skipif(not POSTGRESQL, reason="SQLite lets one write at a time")
def test_who_changes_waits_for_nobody_who_has_not_committed(world: World) -> None:
    before = world.told()
    with transaction.atomic():
        set_status(subscription=world.subscription, status=Status.PAUSED)
        elsewhere(lambda: update(world.pinned, channels=["eu"]))
        assert generation(world.account) != before
        between: list[Any] = []
        elsewhere(lambda: between.append(world.told()))
    after = world.told()
    assert after == look_up(world.wanted)
    assert len([told for told in (before, between[0]) if told == after]) == 0


def test_an_answer_is_kept_under_the_generation_that_it_was_read_in(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change between the look at the key and the question: the answer is the newer one's."""
    key = authenticate_api_key(world.key)
    assert key is not None
    update(world.subscription, status=Status.PAUSED)
    told = look_up(world.wanted, generations={key.account_id: key.generation})
    assert told == look_up(world.wanted)
    # With the old generation it is asked again, and with the new one it is not.
    with CaptureQueriesContext(connection) as queries:
        look_up(world.wanted, generations={key.account_id: key.generation})
    assert len(queries) == 2
    with CaptureQueriesContext(connection) as queries:
        assert world.told() == told
    assert len(queries) == 1


def test_a_process_keeps_a_bounded_number(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup, "MAX_KEPT", 6)
    lookup.forget()
    account_id = world.account.pk
    generations = {account_id: generation(world.account)}

    def asks(name: str) -> int:
        with CaptureQueriesContext(connection) as queries:
            look_up([(account_id, name, "")], generations=generations)
        return len(queries)

    assert [asks(name) for name in ("a", "b", "a")] == [1, 1, 0]
    assert [asks("invoice.sent"), asks("a"), asks("b")] == [1, 0, 0]  # 1 and its 2 hearers
    assert [asks("c"), asks("d"), asks("a"), asks("invoice.sent")] == [1, 1, 0, 1]
    # What is larger than all that is kept keeps nothing else out.
    world.told()
    lookup.forget()
    assert [asks("a"), asks(NAME), asks(NAME), asks("a")] == [1, 2, 0, 0]
    monkeypatch.setattr(lookup, "MAX_KEPT", 4)
    lookup.forget()
    assert [asks("a"), asks(NAME), asks(NAME), asks("a")] == [1, 2, 2, 0]


def test_an_account_without_a_generation_is_asked_each_time(world: World) -> None:
    world.told()
    Generation.objects.all().delete()
    for _ in range(2):
        with CaptureQueriesContext(connection) as queries:
            assert world.told() == look_up(world.wanted)
        assert len(queries) == 5  # the key, and twice both


def test_an_account_has_one_for_as_long_as_it_is_there() -> None:
    account = make_account()
    before = generation(account)
    execute("DELETE FROM _accounts WHERE id = %s", account.pk)
    assert Generation.objects.count() == 0
    Account.objects.bulk_create([Account(pk=account.pk, name="Again", slug="again")])
    assert generation(account) != before
    account.delete()
    assert Generation.objects.count() == 0


@pytest.mark.skipif(not POSTGRESQL, reason="SQLite has no TRUNCATE")
def test_an_emptied_table_is_a_change_of_all(world: World) -> None:
    world.told()
    execute("TRUNCATE subscriptions_subscribedtype")
    assert world.told() == look_up(world.wanted)
    assert not any(world.told()[1].values())


def test_the_triggers_are_away_while_migrations_run_and_with_them_the_generations(
    world: World,
) -> None:
    before = generation(world.account)
    before_migrations(using="default", plan=[])
    assert generation(world.account) == before
    before_migrations(using="default", plan=[object()])
    assert Generation.objects.count() == 0
    set_status(subscription=world.subscription, status=Status.PAUSED)
    assert Generation.objects.count() == 0
    call_command("migrate", verbosity=0)
    after = generation(world.account)
    assert after != before
    call_command("migrate", verbosity=0)  # nothing is to be done
    assert generation(world.account) == after
    assert world.told() == look_up(world.wanted)


def test_a_trigger_that_is_gone_is_made_again(world: World) -> None:
    before = generation(world.account)
    watch(connection, WATCHED[:-1])  # as an older release, which watched less
    assert generation(world.account) != before
    update(world.subscription, status=Status.PAUSED)
    watch(connection, WATCHED)
    assert world.told() == look_up(world.wanted)
    unwatch(connection)
    unwatch(connection)
    watch(connection, WATCHED)
    update(world.subscription, status=Status.ACTIVE)
    assert world.told() == look_up(world.wanted)


def test_no_prepared_statement_reads_a_generation_by_itself() -> None:
    """It is read by the statement that reads what it is of, so that both are of one moment."""
    account = make_account()
    (row,) = catalogues.rows([account.pk], [str(new_id())])
    assert row[:2] == (generation(account), account.pk)
