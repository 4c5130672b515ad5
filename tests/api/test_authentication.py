"""Who is let in, and how those who are not are told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine

from monitoring.models import AuditEntry
from outgoing.models import Event
from tests.api.calls import Api
from tests.api.routes import CALLS, ROUTES, no_ids
from tests.factories import make_account, make_api_key, make_user
from webhooks_project.accounts.models import ApiKey, Role
from webhooks_project.accounts.services import revoke_api_key
from webhooks_project.lib.actor import current_actor
from webhooks_project.lib.ssrf import parse_networks

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
PUBLISH = {"type": "a", "data": {}}


def assert_refused(api: Api, **options: Any) -> None:
    answer = api.post("outgoing/events", PUBLISH, **options)
    assert answer.status == 401
    assert answer.code in ("not_authenticated", "authentication_failed")
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="webhooks"'
    assert not Event.objects.exists()


@pytest.mark.parametrize(("name", "method"), CALLS)
def test_nobody_is_let_in_anywhere(name: str, method: str) -> None:
    ids = no_ids()
    answer = Api().call(method, ROUTES[name].url(ids), ROUTES[name].body(method, ids))
    assert (answer.status, answer.code) == (401, "not_authenticated")
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="webhooks"'


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer nonsense",
        "Bearer whk_000000000000_" + "A" * 43,
        "Bearer a b",
        "Bearer \xff\xfe",
        "Bearer \x00",
        "Bearer " + "x" * 100_000,
        "Basic dXNlcjpwYXNz",
        "Token abc",
    ],
)
def test_no_header_but_a_right_one_lets_in(header: str) -> None:
    make_api_key()
    assert_refused(Api(), headers={"authorization": header})


def test_a_key_lets_in_and_the_word_may_be_written_in_any_case() -> None:
    key = make_api_key().text
    for word in ("Bearer", "bearer", "BEARER"):
        answer = Api().get("subscriptions", headers={"authorization": f"{word} {key}"})
        assert answer.status == 200


def test_a_revoked_or_expired_key_is_refused() -> None:
    revoked = make_api_key()
    revoke_api_key(api_key=revoked.api_key)
    assert_refused(Api(revoked.text))
    with time_machine.travel(NOW, tick=False):
        expired = make_api_key(expires_at=NOW - timedelta(seconds=1))
        assert_refused(Api(expired.text))


def test_a_key_is_not_shown_in_what_is_said_of_it() -> None:
    made = make_api_key()
    revoke_api_key(api_key=made.api_key)
    answer = Api(made.text).get("subscriptions")
    assert made.text.split("_", 2)[2] not in answer.text


def test_the_use_of_a_key_is_noted() -> None:
    made = make_api_key()
    with time_machine.travel(NOW, tick=False):
        Api(made.text).get("subscriptions")
    assert ApiKey.objects.get().last_used_at == NOW


def test_a_session_needs_its_csrf_token_to_change_something() -> None:
    user = make_user(make_account(), Role.ADMIN)
    api = Api(user=user, csrf=True)
    assert api.get("subscriptions").status == 200
    answer = api.post("outgoing/events", PUBLISH)
    assert (answer.status, answer.code) == (403, "permission_denied")
    assert "CSRF" in answer.json["detail"]
    assert not Event.objects.exists()


def test_a_key_needs_no_csrf_token() -> None:
    assert Api(make_api_key().text, csrf=True).post("outgoing/events", PUBLISH).status == 201


def test_the_session_of_a_user_that_was_deactivated_is_nobody_s() -> None:
    user = make_user(make_account(), Role.ADMIN)
    api = Api(user=user)
    user.is_active = False
    user.save()
    assert_refused(api)


# --- who it was (promise 13) ----------------------------------------------------------------------


def change(api: Api) -> AuditEntry:
    assert api.post("subscriptions/event-types", {"name": "a"}).status == 201
    return AuditEntry.objects.get(action="event_type.created")


def test_the_audit_names_the_key() -> None:
    made = make_api_key()
    entry = change(Api(made.text))
    assert (entry.actor_kind, entry.actor_id) == ("key", str(made.api_key.pk))
    assert (entry.actor_label, entry.actor_address) == ("test", "127.0.0.1")


def test_the_audit_names_the_user() -> None:
    user = make_user(make_account(), Role.ADMIN, username="ann")
    entry = change(Api(user=user))
    assert (entry.actor_kind, entry.actor_id, entry.actor_label) == ("user", str(user.pk), "ann")


@pytest.mark.parametrize(
    ("forwarded", "proxies", "expected"),
    [
        ("192.0.2.7", [], "127.0.0.1"),
        ("192.0.2.7", ["127.0.0.0/8"], "192.0.2.7"),
        ("1.1.1.1, 192.0.2.7", ["127.0.0.0/8"], "192.0.2.7"),
    ],
)
def test_the_audit_names_the_address_behind_our_own_proxies(
    settings: Any, forwarded: str, proxies: list[str], expected: str
) -> None:
    settings.TRUSTED_PROXIES = parse_networks(proxies)
    api = Api(make_api_key().text)
    api.post("subscriptions/event-types", {"name": "a"}, headers={"x-forwarded-for": forwarded})
    assert AuditEntry.objects.get(action="event_type.created").actor_address == expected


def test_a_call_is_not_taken_for_the_one_before_it() -> None:
    """Server threads live on: what the next call changes must not be this caller's doing."""
    Api(make_api_key().text).get("subscriptions")
    Api().get("/healthz")
    assert current_actor.get().kind == "system"
