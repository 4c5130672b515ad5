"""Sources and receipts, by way of the API."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
import time_machine

from incoming.models import Receipt, Source, SourceSecret
from incoming.services import learn_secret
from incoming.sources import forget_sources
from monitoring.models import AuditEntry
from tests.api.calls import Api
from tests.api.rows import everything
from tests.factories import make_account, make_api_key, make_receipt, make_source
from tests.incoming.calls import post
from webhooks_project.accounts.models import Account
from webhooks_project.lib.keyring import Keyring, new_key

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


@pytest.fixture
def account() -> Account:
    return make_account()


@pytest.fixture
def api(account: Account) -> Api:
    return Api(make_api_key(account, "operator").text)


def test_creates_one_and_shows_it(api: Api, account: Account) -> None:
    answer = api.post("incoming/sources", {"name": "Shop", "provider": "github"})
    assert answer.status == 201
    row = Source.objects.get()
    shown = {key: value for key, value in answer.json.items() if key != "secret"}
    assert shown == api.get(f"incoming/sources/{row.pk}").json
    assert (row.account, row.name, row.provider) == (account, "Shop", "github")
    assert shown["url"] == f"http://127.0.0.1:8000/in/{row.token}"
    assert [route["type_pattern"] for route in shown["routes"]] == ["*"]
    assert SourceSecret.objects.get().secret == answer.json["secret"]


@pytest.mark.parametrize(
    "change",
    [
        {"provider": "nobody"},
        {"max_body_bytes": 0},
        {"max_body_bytes": 26 * 1024 * 1024},
        {"rate_per_minute": 0},
        {"allowed_networks": ["nonsense"]},
        {"allowed_networks": "10.0.0.0/8"},
        {"options": {"unknown": "option"}},
        {"options": []},
        {"tolerance_seconds": -1},
    ],
)
def test_refuses_what_no_source_can_be(api: Api, change: Any) -> None:
    answer = api.post("incoming/sources", {"name": "x", "provider": "github", **change})
    assert answer.status == 400
    assert answer.code in ("invalid", "source_not_acceptable")
    assert not Source.objects.exists()
    assert not SourceSecret.objects.exists()


def test_changes_what_is_named_and_keeps_provider_and_account(api: Api, account: Account) -> None:
    row = make_source(account)
    path = f"incoming/sources/{row.pk}"
    answer = api.patch(path, {"name": "New", "allowed_networks": ["192.0.2.0/24"]})
    assert (answer.json["name"], answer.json["allowed_networks"]) == ("New", ["192.0.2.0/24"])
    assert set(api.patch(path, {"provider": "stripe"}).errors) == {"/provider"}
    row.refresh_from_db()
    assert (row.name, row.provider) == ("New", "github")


def test_is_switched_off_and_on(api: Api, account: Account) -> None:
    row = make_source(account)
    assert api.post(f"incoming/sources/{row.pk}/disable").json["disabled_at"] is not None
    assert api.post(f"incoming/sources/{row.pk}/enable").json["disabled_at"] is None
    actions = AuditEntry.objects.order_by("sequence").values_list("action", flat=True)
    assert list(actions)[1:] == ["source.disabled", "source.enabled"]


@pytest.mark.parametrize(
    ("body", "seconds"), [(None, 86_400), ({"grace_seconds": 60}, 60), ({"grace_seconds": 0}, 0)]
)
def test_gets_another_address_and_the_old_one_counts_for_the_grace(
    api: Api, account: Account, body: Any, seconds: int
) -> None:
    row = make_source(account)
    with time_machine.travel(NOW, tick=False) as clock:
        answer = api.post(f"incoming/sources/{row.pk}/rotate-token", body)
        assert answer.status == 200
        new = answer.json["url"].removeprefix("http://127.0.0.1:8000")
        assert new == Source.objects.get().path != row.path
        ends_at = NOW + timedelta(seconds=seconds)
        shown = ends_at.strftime("%Y-%m-%dT%H:%M:%SZ") if seconds else None
        assert answer.json["previous_url_expires_at"] == shown
        for moment, known in [(ends_at - MICROSECOND, bool(seconds)), (ends_at, False)]:
            clock.move_to(moment)
            forget_sources()
            assert post(row).status_code == (200 if known else 404)
            assert post(new).status_code == 200
    assert row.token not in answer.text
    entry = AuditEntry.objects.get(object_id=row.pk)
    assert (entry.action, orjson.loads(entry.after)) == (
        "source.token_rotated", {"grace_seconds": float(seconds)}
    )  # fmt: skip
    assert row.token not in entry.before + entry.after
    assert Source.objects.get().token not in entry.before + entry.after


def test_with_another_turn_the_first_address_is_unknown_at_once(api: Api, account: Account) -> None:
    row = make_source(account)
    second = api.post(f"incoming/sources/{row.pk}/rotate-token").json["url"]
    api.post(f"incoming/sources/{row.pk}/rotate-token")
    forget_sources()
    assert post(row).status_code == 404
    assert post(second.removeprefix("http://127.0.0.1:8000")).status_code == 200


@pytest.mark.parametrize("seconds", [-1, 30 * 86_400 + 1, "x", None])
@pytest.mark.parametrize("action", ["rotate-token", "rotate-secret"])
def test_a_grace_that_is_none_is_refused(
    api: Api, account: Account, action: str, seconds: Any
) -> None:
    row = make_source(account)
    before = everything()
    answer = api.post(f"incoming/sources/{row.pk}/{action}", {"grace_seconds": seconds})
    assert (answer.status, set(answer.errors)) == (400, {"/grace_seconds"})
    assert everything() == before


def test_shows_a_learned_secret_once(api: Api, account: Account) -> None:
    row = make_source(account, provider="notion", secret=None)
    learn_secret(source_id=row.pk, secret="told-by-notion")
    path = f"incoming/sources/{row.pk}"
    assert api.get(path).json["has_showable_secret"] is True
    answer = api.post(f"{path}/learned-secret")
    assert (answer.status, answer.json) == (200, {"secret": "told-by-notion"})
    assert api.get(path).json["has_showable_secret"] is False
    before = everything()
    again = api.post(f"{path}/learned-secret")
    assert (again.status, again.code) == (409, "state_not_allowed")
    assert "told-by-notion" not in again.text + api.get(path).text
    assert everything() == before
    entries = AuditEntry.objects.filter(object_id=row.pk).order_by("sequence")
    assert [entry.action for entry in entries] == [
        "source.secret_learned", "source.learned_secret_shown"
    ]  # fmt: skip
    assert not any("told-by-notion" in entry.before + entry.after for entry in entries)


@pytest.mark.parametrize(
    ("provider", "learned"), [("asana", "told-by-asana"), ("notion", ""), ("github", "")]
)
def test_shows_no_other_secret(api: Api, account: Account, provider: str, learned: str) -> None:
    row = make_source(account, provider=provider, secret=None if learned else "ours")
    if learned:
        learn_secret(source_id=row.pk, secret=learned)
    before = everything()
    assert api.get(f"incoming/sources/{row.pk}").json["has_showable_secret"] is False
    answer = api.post(f"incoming/sources/{row.pk}/learned-secret")
    assert (answer.status, answer.code) == (409, "state_not_allowed")
    assert everything() == before


@pytest.mark.parametrize("unreadable", ["expired", "of another key"])
def test_shows_no_learned_secret_that_is_gone(
    api: Api, account: Account, unreadable: str, settings: Any
) -> None:
    row = make_source(account, provider="notion", secret=None)
    learn_secret(source_id=row.pk, secret="told-by-notion")
    if unreadable == "expired":
        SourceSecret.objects.update(expires_at=NOW - MICROSECOND)
    else:
        settings.ENCRYPTION_KEYRING = Keyring.parse(new_key("other"))
    answer = api.post(f"incoming/sources/{row.pk}/learned-secret")
    assert (answer.status, answer.code) == (409, "state_not_allowed")
    assert SourceSecret.objects.values_list("is_showable", flat=True).get() is True


@pytest.mark.parametrize("given", [None, "the-provider-s-own"])
def test_rotates_its_secret(api: Api, account: Account, given: str | None) -> None:
    row = make_source(account)
    answer = api.post(
        f"incoming/sources/{row.pk}/rotate-secret", {"secret": given} if given else None
    )
    assert answer.status == 200
    assert given in (None, answer.json["secret"])
    rows = SourceSecret.objects.order_by("-created_at")
    assert rows[0].secret == answer.json["secret"]
    assert [secret.expires_at is None for secret in rows] == [True, False]


def test_a_receipt_is_shown_with_its_body(api: Api, account: Account) -> None:
    row = make_receipt(make_source(account), body=b'{"a":1}\xff')
    answer = api.get(f"incoming/receipts/{row.pk}")
    assert answer.json["body"] == '{"a":1}\ufffd'
    assert answer.json["headers"] == {"content-type": "application/json"}
    (listed,) = api.get("incoming/receipts").rows
    assert {"body", "headers", "query"} & listed.keys() == set()


@pytest.mark.parametrize("status", ["failed", "dead"])
def test_a_failed_receipt_is_processed_again(api: Api, account: Account, status: str) -> None:
    row = make_receipt(make_source(account), status=status, attempt_count=6, next_attempt_at=None)
    answer = api.post(f"incoming/receipts/{row.pk}/reprocess")
    assert (answer.status, answer.json["status"], answer.json["attempt_count"]) == (
        200,
        "accepted",
        0,
    )
    assert Receipt.objects.get().next_attempt_at is not None


@pytest.mark.parametrize("status", ["accepted", "processed", "processing", "refused", "duplicate"])
def test_another_receipt_is_not(api: Api, account: Account, status: str) -> None:
    row = make_receipt(make_source(account), status=status)
    answer = api.post(f"incoming/receipts/{row.pk}/reprocess")
    assert (answer.status, answer.code) == (409, "state_not_allowed")
    assert Receipt.objects.get().status == status
