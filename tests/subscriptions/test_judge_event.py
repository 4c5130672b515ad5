"""What is to be done with an event, by the catalogue of its account."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from subscriptions import schemas
from subscriptions.event_types import (
    add_schema,
    archive_event_type,
    create_event_type,
    deprecate_event_type,
)
from subscriptions.lookup import look_up
from subscriptions.models import EventType
from subscriptions.schemas import Judgement, SchemaError, Verdict, judge_event
from tests.factories import make_account
from webhooks_project.accounts.models import Account

pytestmark = pytest.mark.django_db

NAME = "invoice.paid"
SCHEMA = {"type": "object", "required": ["amount"]}
MISSING = SchemaError("", '"amount" is a required property')


def judge(account: Account, data: Any, *, type: str = NAME, version: str = "") -> Judgement:
    catalogue = look_up([(account.pk, type, version)])[0]
    return judge_event(catalogue, account_id=account.pk, type=type, data=data, version=version)


def make_type(account: Account | None = None, *, mode: str = "reject", **fields: Any) -> EventType:
    event_type = create_event_type(
        account=account or make_account(), name=fields.pop("name", NAME), schema_mode=mode, **fields
    )
    add_schema(event_type=event_type, schema=SCHEMA)
    return event_type


@pytest.mark.parametrize(
    ("setting", "verdict", "code"),
    [
        ("allow", Verdict.FIT, ""),
        ("warn", Verdict.WARN, "event_type_unknown"),
        ("reject", Verdict.REJECT, "event_type_unknown"),
    ],
)
def test_an_unknown_type_is_as_the_account_says(setting: str, verdict: Verdict, code: str) -> None:
    account = make_account(unknown_event_types=setting)
    make_type(make_account())  # another account's
    words = (f"{NAME} is not in the catalogue of event types",) if code else ()
    assert judge(account, {}) == Judgement(verdict, code, warnings=words)
    assert judge(account, {}, version="2") == Judgement(verdict, code, warnings=words)


@pytest.mark.parametrize("mode", ["warn", "reject", "quarantine"])
def test_what_does_not_fit_is_as_the_type_says(mode: str) -> None:
    account = make_type(mode=mode).account
    assert judge(account, {"amount": 1}) == Judgement(Verdict.FIT, schema_version="1.0")
    assert judge(account, {}) == Judgement(
        Verdict(mode),
        "schema_mismatch",
        "1.0",
        (MISSING,),
        (f"the data does not fit {NAME} v1.0",),
    )


def test_nothing_is_checked_where_that_is_off() -> None:
    assert judge(make_type(mode="off").account, {}) == Judgement(Verdict.FIT)


def test_a_type_without_schemas_takes_anything() -> None:
    event_type = create_event_type(account=make_account(), name=NAME)
    assert judge(event_type.account, [1]) == Judgement(Verdict.FIT)


def test_an_archived_type_is_rejected_whatever_its_mode() -> None:
    event_type = make_type(mode="off")
    archive_event_type(event_type=event_type)
    assert judge(event_type.account, {"amount": 1}) == Judgement(
        Verdict.REJECT, "event_type_archived", warnings=(f"{NAME} is archived",)
    )


def test_a_deprecated_type_is_taken_with_a_warning() -> None:
    event_type = make_type()
    deprecate_event_type(event_type=event_type)
    assert judge(event_type.account, {"amount": 1}) == Judgement(
        Verdict.WARN, "event_type_deprecated", "1.0", (), (f"{NAME} is deprecated",)
    )
    successor = create_event_type(account=event_type.account, name="invoice.settled")
    deprecate_event_type(event_type=event_type, successor=successor)
    warning = f"{NAME} is deprecated; use invoice.settled"
    assert judge(event_type.account, {"amount": 1}).warnings == (warning,)
    mismatch = judge(event_type.account, {})
    assert (mismatch.verdict, mismatch.code) == (Verdict.REJECT, "schema_mismatch")
    assert mismatch.warnings == (warning, f"the data does not fit {NAME} v1.0")


@pytest.mark.parametrize(
    ("version", "fits", "number"),
    [("", "c", "2.0"), ("2", "c", "2.0"), ("1", "b", "1.1"), ("1.0", "a", "1.0")],
)
def test_the_version_that_is_asked_for_counts(version: str, fits: str, number: str) -> None:
    event_type = create_event_type(account=make_account(), name=NAME)
    for name, major in (("a", False), ("b", False), ("c", True)):
        add_schema(
            event_type=event_type, schema={"required": [name]}, major=major, allow_breaking=True
        )
    account = event_type.account
    assert judge(account, {fits: 1}, version=version) == Judgement(
        Verdict.FIT, schema_version=number
    )
    assert judge(account, {}, version=version).schema_version == number
    assert judge(account, {}, version=version).verdict == Verdict.REJECT


@pytest.mark.parametrize("version", ["3", "1.9", "x", "1.", "1.0.0", "01"])
def test_a_version_that_is_not_there_is_rejected(version: str) -> None:
    judgement = judge(make_type(mode="off").account, {"amount": 1}, version=version)
    assert judgement == Judgement(
        Verdict.REJECT,
        "schema_version_unknown",
        warnings=(f"{NAME} has no schema version {version}",),
    )


def test_many_are_judged_with_one_query_once_their_schemas_are_known() -> None:
    account, other = make_account(), make_account(unknown_event_types="reject")
    wanted: list[tuple[UUID, str, str]] = []
    for number in range(5):
        make_type(account, name=f"type.{number}")
        wanted.append((account.pk, f"type.{number}", ""))
    wanted.append((other.pk, "type.1", ""))
    counts = []
    for _ in range(2):
        with CaptureQueriesContext(connection) as queries:
            catalogue = look_up(wanted)[0]
            verdicts = [
                judge_event(catalogue, account_id=key, type=name, data={"amount": 1}).verdict
                for key, name, _ in wanted
            ]
        counts.append(len(queries))
    assert verdicts == [Verdict.FIT] * 5 + [Verdict.REJECT]
    assert counts == [2, 1]


def test_a_process_keeps_a_bounded_number_of_schemas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schemas, "MAX_KNOWN", 2)
    monkeypatch.setattr(schemas, "_known_validators", {})
    account = make_account()
    names = [make_type(account, name=f"type.{number}").name for number in range(4)]
    catalogue = look_up([(account.pk, name, "") for name in names])[0]
    for name in names:
        judgement = judge_event(catalogue, account_id=account.pk, type=name, data={})
        assert judgement.errors == (MISSING,)
    assert len(schemas._known_validators) == 2


def test_schemas_that_are_known_are_looked_at_by_key_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other threads add and drop some meanwhile, and a walk over them would end in an error."""

    class Unwalked(dict[Any, Any]):
        def __iter__(self) -> Any:
            raise RuntimeError("dictionary changed size during iteration")

        keys = items = values = __iter__

    account = make_account()
    name = make_type(account).name
    wanted = [(account.pk, name, "")]
    look_up(wanted)
    monkeypatch.setattr(schemas, "_known_validators", Unwalked(schemas._known_validators))
    catalogue = look_up(wanted)[0]
    schemas._known_validators.clear()  # as by another thread
    assert judge_event(catalogue, account_id=account.pk, type=name, data={}).errors == (MISSING,)
