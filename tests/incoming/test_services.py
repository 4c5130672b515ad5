"""What is done with sources and their routes, and how it is audited."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
import time_machine

from incoming import services
from incoming.errors import SourceNotAcceptable
from incoming.models import Receipt, Route, Source, SourceSecret
from incoming.services import NewSource, create_source
from incoming.sources import options_of
from monitoring.models import AuditEntry
from monitoring.verifying import verify_account
from tests.factories import make_account, make_source
from tests.incoming.calls import BODY, answer_of, github_headers, post
from webhooks_project.lib.actor import Actor, current_actor

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 14, 15, 9, 26, tzinfo=UTC)


def create(**fields: Any) -> NewSource:
    given = {"account": make_account(), "name": "Repository", "provider": "github"} | fields
    return create_source(**given)


def audited() -> list[tuple[str, Any, Any]]:
    rows = AuditEntry.objects.order_by("sequence").values_list("action", "before", "after")
    return [(action, orjson.loads(before), orjson.loads(after)) for action, before, after in rows]


DEFAULTS = {
    "name": "Repository",
    "provider": "github",
    "options": {},
    "public_url": "",
    "tolerance_seconds": None,
    "allowed_networks": [],
    "max_body_bytes": 5 * 1024 * 1024,
    "rate_per_minute": 6000,
    "rate_per_minute_per_address": 6000,
    "disabled_at": None,
    "methods": [],
    "content_types": [],
    "answer_status": None,
    "answer_headers": {},
    "answer_body": "",
    "schema": None,
    "schema_mode": "off",
    "dedup_fields": [],
    "dedup_window_seconds": 86_400,
    "transformation": "",
    "secret_options": [],
}


def test_makes_a_source_with_an_unguessable_url_and_a_secret_of_ours() -> None:
    made = [create() for _ in range(3)]
    assert len({each.source.token for each in made}) == 3
    assert len({each.secret for each in made}) == 3
    for each in made:
        assert re.fullmatch(r"/in/[A-Za-z0-9_-]{32}", each.source.path)
        assert re.fullmatch(r"whsec_[A-Za-z0-9+/]{32,}={0,2}", each.secret)
        secret = each.source.secrets.get()
        assert (secret.secret, secret.expires_at) == (each.secret, None)
    assert post(
        made[0].source, headers=github_headers(BODY, secret=made[0].secret)
    ).status_code == (200)


def test_takes_the_provider_s_secret_and_shows_it_nowhere() -> None:
    made = create(secret="the-provider's-own")
    assert made.secret == "the-provider's-own"
    assert made.source.secrets.get().secret == "the-provider's-own"
    assert "the-provider's-own" not in repr(made) + str(made.source) + str(audited())
    assert audited() == [("source.created", {}, DEFAULTS)]


def test_tells_no_token_that_is_an_option() -> None:
    source = create(provider="meta", options={"verify_token": "a-token-of-mine"}).source
    services.change_source(source=source, name="Other")
    assert "a-token-of-mine" not in str(audited())


def test_publishes_everything_unless_told_otherwise() -> None:
    routes = create().source.routes.values_list("position", "type_pattern", "event_type")
    assert list(routes) == [(0, "*", "{provider}.{type}")]


def test_makes_the_routes_it_was_given_in_their_order() -> None:
    given = ({"type_pattern": "push"}, {"type_pattern": "issues*", "event_type": "issue.{type}"})
    routes = create(routes=given).source.routes.values_list(
        "position", "type_pattern", "event_type"
    )
    assert list(routes) == [(0, "push", "{provider}.{type}"), (1, "issues*", "issue.{type}")]


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"provider": "geocities"}, "provider"),
        ({"name": ""}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"options": {"header": "x"}}, "options"),
        ({"options": ["header"]}, "options"),
        ({"options": {"header": 1}, "provider": "generic-hmac"}, "options"),
        ({"options": {"hash": "md4"}, "provider": "generic-hmac"}, "options"),
        ({"options": {"header": " "}, "provider": "generic-hmac"}, "options"),
        ({"options": {"type": "body.type"}, "provider": "generic-hmac"}, "options"),
        ({"allowed_networks": ["192.0.2.1/24"]}, "allowed_networks"),
        ({"allowed_networks": ["everywhere"]}, "allowed_networks"),
        ({"allowed_networks": 7}, "allowed_networks"),
        ({"max_body_bytes": 0}, "max_body_bytes"),
        ({"max_body_bytes": 25 * 1024 * 1024 + 1}, "max_body_bytes"),
        ({"rate_per_minute": 0}, "rate_per_minute"),
        ({"rate_per_minute_per_address": 0}, "rate_per_minute_per_address"),
        ({"tolerance_seconds": -1}, "tolerance_seconds"),
        ({"public_url": "x" * 2049}, "public_url"),
        ({"routes": ({}, {"event_type": "no type"})}, "event_type"),
        ({"routes": ({"event_type": ""},)}, "event_type"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_makes_no_source_that_is_not_acceptable(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(SourceNotAcceptable) as caught:
        create(**fields)
    assert set(caught.value.extra["fields"]) == {named}  # type: ignore[call-overload]
    for model in (Source, SourceSecret, Route, AuditEntry):
        assert model.objects.count() == 0


@pytest.mark.parametrize(
    ("provider", "options"),
    [
        ("generic-hmac", {"header": "X-Sig", "hash": "sha512", "timestamp": "header:x-t"}),
        ("meta", {"verify_token": "my-token"}),
        ("github", {}),
    ],
)
def test_takes_the_options_that_the_provider_knows(provider: str, options: dict[str, str]) -> None:
    source = create(provider=provider, options=options).source
    source = Source.objects.get()
    assert options_of(source) == options
    assert "verify_token" not in source.options


# --- changing -------------------------------------------------------------------------------------


def test_a_change_counts_at_once_and_is_audited(django_capture_on_commit_callbacks: Any) -> None:
    source = make_source(name="Before")
    assert post(source).status_code == 200
    with django_capture_on_commit_callbacks(execute=True):
        services.change_source(source=source, name="After", max_body_bytes=10)
    assert answer_of(post(source))["cause"] == "payload_too_large"
    source.refresh_from_db()
    assert (source.name, source.max_body_bytes) == ("After", 10)
    ((action, before, after),) = audited()
    assert action == "source.changed"
    assert {
        name: (before[name], after[name]) for name in before if before[name] != after[name]
    } == {
        "name": ("Before", "After"),
        "max_body_bytes": (5 * 1024 * 1024, 10),
    }


def test_a_change_writes_only_what_it_names() -> None:
    source = make_source()
    Source.objects.update(last_received_at=NOW, disabled_at=NOW)  # by another process meanwhile
    services.change_source(source=source, name="After")
    services.change_source(source=source)
    source.refresh_from_db()
    assert (source.name, source.last_received_at, source.disabled_at) == ("After", NOW, NOW)


@pytest.mark.parametrize(
    ("changes", "named"),
    [({"rate_per_minute": 0}, "rate_per_minute"), ({"options": {"no": "such"}}, "options")],
)
def test_refuses_a_change_that_is_not_acceptable(changes: dict[str, Any], named: str) -> None:
    source = make_source()
    with pytest.raises(SourceNotAcceptable) as caught:
        services.change_source(source=source, **changes)
    assert set(caught.value.extra["fields"]) == {named}  # type: ignore[call-overload]
    source.refresh_from_db()
    assert (source.rate_per_minute, source.options) == (6000, {})
    assert AuditEntry.objects.count() == 0


@time_machine.travel(NOW, tick=False)
def test_a_source_is_disabled_and_enabled_at_once(django_capture_on_commit_callbacks: Any) -> None:
    source = make_source()
    statuses = [post(source).status_code]
    for enabled in (False, True):
        with django_capture_on_commit_callbacks(execute=True):
            services.set_source_enabled(source=source, enabled=enabled)
        source.refresh_from_db()
        assert source.disabled_at == (None if enabled else NOW)
        statuses.append(post(source).status_code)
    assert statuses == [200, 403, 200]
    assert [action for action, _, _ in audited()] == ["source.disabled", "source.enabled"]


# --- rotating -------------------------------------------------------------------------------------


def test_a_new_secret_counts_at_once_and_the_old_one_for_the_grace(
    django_capture_on_commit_callbacks: Any,
) -> None:
    source = make_source()
    with time_machine.travel(NOW, tick=False) as traveller:
        assert post(source).status_code == 200
        with django_capture_on_commit_callbacks(execute=True):
            made = services.rotate_source_secret(source=source)
        fresh = lambda: github_headers(BODY, secret=made.secret)  # noqa: E731
        assert re.fullmatch(r"whsec_[A-Za-z0-9+/]{32,}={0,2}", made.secret)
        assert made.secret not in repr(made)
        assert post(source, headers=fresh()).status_code == 200
        assert post(source).status_code == 200
        ends = dict(source.secrets.values_list("expires_at", "id"))
        assert set(ends) == {None, NOW + timedelta(hours=24)}
        traveller.shift(24 * 3600)
        assert answer_of(post(source)) == {"cause": "signature_mismatch"}
        assert post(source, headers=fresh()).status_code == 200
    assert audited() == [("source.secret_rotated", {}, {"grace_seconds": 86400.0})]


def test_a_grace_once_given_is_made_shorter_but_not_longer() -> None:
    source = make_source()
    with time_machine.travel(NOW, tick=False) as traveller:
        services.rotate_source_secret(source=source, secret="the-next-one")
        traveller.shift(3600)
        services.rotate_source_secret(
            source=source, secret="the-last-one", grace=timedelta(minutes=1)
        )
    ends = {row.secret: row.expires_at for row in source.secrets.all()}
    assert ends == {
        "a-source-secret": NOW + timedelta(hours=1, minutes=1),
        "the-next-one": NOW + timedelta(hours=1, minutes=1),
        "the-last-one": None,
    }
    assert "-one" not in str(audited())


def test_without_a_grace_the_old_secret_ends_at_once(
    django_capture_on_commit_callbacks: Any,
) -> None:
    source = make_source()
    assert post(source).status_code == 200
    with django_capture_on_commit_callbacks(execute=True):
        services.rotate_source_secret(source=source, secret="new", grace=timedelta())
    assert answer_of(post(source)) == {"cause": "signature_mismatch"}
    assert post(source, headers=github_headers(BODY, secret="new")).status_code == 200


def test_no_old_secret_outlives_the_grace_of_the_last_rotation() -> None:
    """Nor does one whose own grace ended before live longer by it."""
    source = make_source(secret="first")
    with time_machine.travel(NOW, tick=False):
        ended = SourceSecret.objects.create(source=source, secret="ended", expires_at=NOW)
        services.rotate_source_secret(source=source, secret="second")
        services.rotate_source_secret(source=source, secret="third", grace=timedelta(hours=1))
        services.rotate_source_secret(source=source, secret="fourth", grace=timedelta())
        services.rotate_source_secret(source=source, secret="fifth", grace=timedelta(days=2))
    ended.refresh_from_db()
    assert ended.expires_at == NOW
    ends = {row.secret: row.expires_at for row in source.secrets.all()}
    assert ends == {
        "ended": NOW,
        "first": NOW,
        "second": NOW,
        "third": NOW,
        "fourth": NOW + timedelta(days=2),
        "fifth": None,
    }


def test_the_old_url_is_unknown_at_once(django_capture_on_commit_callbacks: Any) -> None:
    source = make_source()
    old = source.path
    assert post(old).status_code == 200
    with django_capture_on_commit_callbacks(execute=True):
        services.rotate_token(source=source, grace=timedelta(0))
    response = post(old)
    assert (response.status_code, answer_of(response)) == (404, {"cause": "unknown_source"})
    assert source.path != old
    assert post(source).status_code == 200
    assert Receipt.objects.count() == 2
    assert audited() == [("source.token_rotated", {}, {"grace_seconds": 0.0})]


# --- routes ---------------------------------------------------------------------------------------


def test_routes_are_added_changed_and_deleted_and_each_is_audited() -> None:
    source = make_source(routes=())
    route = services.add_route(source=source, type_pattern="push")
    services.change_route(route=route, event_type="code.pushed", disabled_at=NOW)
    assert Route.objects.values_list("type_pattern", "event_type", "disabled_at").get() == (
        "push",
        "code.pushed",
        NOW,
    )
    key = str(route.pk)
    services.delete_route(route=route)
    assert Route.objects.count() == 0
    first = {
        "route": key,
        "position": 0,
        "type_pattern": "push",
        "event_type": "{provider}.{type}",
        "disabled_at": None,
        "condition": {},
        "action": "publish",
        "expression": "",
        "handler": "",
        "recipients": [],
        "message": "",
        "is_last": False,
    }
    second = first | {"event_type": "code.pushed", "disabled_at": "2026-03-14T15:09:26+00:00"}
    assert audited() == [
        ("source.route_added", {}, first),
        ("source.route_changed", first, second),
        ("source.route_deleted", second, {}),
    ]


@pytest.mark.parametrize("event_type", ["no type", "", ".", "a..b", "{types}", "é.{type}"])
def test_refuses_a_route_that_makes_no_event_type(event_type: str) -> None:
    source = make_source()
    route = source.routes.get()
    with pytest.raises(SourceNotAcceptable):
        services.add_route(source=source, event_type=event_type)
    with pytest.raises(SourceNotAcceptable):
        services.change_route(route=route, event_type=event_type)
    assert source.routes.values_list("event_type", flat=True).get() == "{provider}.{type}"
    assert AuditEntry.objects.count() == 0


# --- the chain ------------------------------------------------------------------------------------


def test_every_change_is_in_the_account_s_chain_by_who_made_it() -> None:
    current_actor.set(Actor("user", id="7", label="ann", address="192.0.2.1"))
    source = create().source
    services.change_source(source=source, name="Other")
    services.set_source_enabled(source=source, enabled=False)
    services.rotate_source_secret(source=source)
    services.rotate_token(source=source)
    services.add_route(source=source)
    entries = AuditEntry.objects.filter(account=source.account).order_by("sequence")
    assert [entry.action for entry in entries] == [
        "source.created",
        "source.changed",
        "source.disabled",
        "source.secret_rotated",
        "source.token_rotated",
        "source.route_added",
    ]
    assert set(entries.values_list("actor_kind", "actor_id", "actor_label", "actor_address")) == {
        ("user", "7", "ann", "192.0.2.1")
    }
    assert set(entries.values_list("object_type", "object_id")) == {
        ("incoming.source", str(source.pk))
    }
    assert verify_account(source.account).breaches == []
    told = str(audited())
    for row in source.secrets.all():
        assert row.secret not in told
    assert source.token not in told
