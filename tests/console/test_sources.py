"""Sources: made from what their provider needs, changed by the services, their secrets unseen."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.messages import get_messages
from django.test import Client

from incoming.handlers import HANDLERS, Handler
from incoming.models import Receipt, RefusalCount, Route, Source, SourceSecret
from incoming.providers import PROVIDERS
from incoming.services import secret_options_set
from monitoring.models import AuditEntry
from tests.console.conftest import errors_of, make_viewer
from tests.factories import SOURCE_SECRET, make_account, make_receipt, make_source
from webhooks_project.accounts.models import Account
from webhooks_project.admin.values import list_of, moment, page_of
from webhooks_project.lib import clock

ADD = "/admin/incoming/source/add/"


def fields_of_new(account: Account, **changes: Any) -> dict[str, Any]:
    return {
        "account": str(account.pk),
        "provider": "github",
        "name": "GitHub",
        "max_body_bytes": "1000",
        "rate_per_minute": "60",
        "rate_per_minute_per_address": "60",
        "schema_mode": "off",
        "dedup_window_seconds": "86400",
    } | changes


def route_form(source: Source, *routes: dict[str, str], initial: int = 0) -> dict[str, str]:
    fields = {"routes-TOTAL_FORMS": str(len(routes)), "routes-INITIAL_FORMS": str(initial)}
    given = {"type_pattern": "*", "condition": "{}", "action": "publish", "is_enabled": "on"}
    for number, route in enumerate(routes):
        for name, value in (given | {"source": str(source.pk)} | route).items():
            fields[f"routes-{number}-{name}"] = value
    return fields


def without(fields: dict[str, str], *names: str) -> dict[str, str]:
    return {name: value for name, value in fields.items() if not name.endswith(names)}


def change(console: Client, source: Source, **changes: Any) -> Any:
    fields = {
        "name": source.name,
        "max_body_bytes": str(source.max_body_bytes),
        "rate_per_minute": str(source.rate_per_minute),
        "rate_per_minute_per_address": str(source.rate_per_minute_per_address),
        "schema_mode": source.schema_mode,
        "dedup_window_seconds": str(source.dedup_window_seconds),
        "routes-TOTAL_FORMS": "0",
        "routes-INITIAL_FORMS": "0",
    }
    return console.post(page_of("incoming.source", source.pk), fields | changes)


def page(console: Client, source: Source) -> str:
    return console.get(page_of("incoming.source", source.pk)).content.decode()


def press(console: Client, source: Source, button: str, **fields: str) -> Any:
    path = page_of("incoming.source", source.pk).replace("/change/", f"/{button}/")
    return console.post(path, fields)


def actions() -> list[str]:
    return [entry.action for entry in AuditEntry.objects.order_by("sequence")]


@pytest.fixture
def handler(monkeypatch: pytest.MonkeyPatch) -> str:
    """A handler of the platform that runs only where a route names it."""
    made = Handler("app.handlers.pushed", "github", ("*",), print, 1.0, (), routed=True)
    monkeypatch.setitem(HANDLERS, made.name, made)
    return made.name


# --- a new one ------------------------------------------------------------------------------------


def test_a_provider_is_chosen_first(console: Client) -> None:
    text = console.get(ADD).content.decode()

    assert text.count('<a class="bg-white block') == len(PROVIDERS)
    assert 'href="?provider=stripe"' in text
    assert "<form method=" not in text.replace('<form method="post" action="/admin/logout/"', "")


def test_then_its_facts_are_shown(console: Client) -> None:
    text = console.get(ADD, {"provider": "meta"}).content.decode()

    assert "In the App Dashboard: Webhooks, Edit Callback URL" in text
    assert '<code class="hub-code">x-hub-signature-256</code>, after' in text
    assert PROVIDERS["meta"].docs in text
    assert 'name="option_verify_token"' in text
    assert "`" not in text[text.index("Edit Callback URL") : text.index("Another provider")]


@pytest.mark.parametrize("provider", sorted(PROVIDERS))
def test_every_provider_has_a_page(console: Client, provider: str) -> None:
    response = console.get(ADD, {"provider": provider})

    assert response.status_code == 200
    form = response.context["adminform"].form
    assert [name for name in form.fields if name.startswith("option_")] == [
        f"option_{name}" for name in PROVIDERS[provider].options
    ]


def test_url_and_secret_are_shown_once(console: Client, operator: Any) -> None:
    response = console.post(ADD, fields_of_new(make_account()))

    source = Source.objects.get()
    secret = source.secrets.get().secret
    made = response.content.decode()
    assert made.count(secret) == 1
    assert f"http://127.0.0.1:8000/in/{source.token}" in made
    assert "What to do next" in made
    assert secret not in str(response.cookies)
    assert source.max_body_bytes == 1000
    assert [str(route) for route in source.routes.all()] == ["* → publish {provider}.{type}"]
    later = page(console, source)
    assert f"http://127.0.0.1:8000/in/{source.token}" in later
    assert secret not in later
    assert [(entry.action, entry.actor_id) for entry in AuditEntry.objects.all()] == [
        ("source.created", str(operator.pk))
    ]


def test_the_provider_secret_is_not_shown(console: Client) -> None:
    made = console.post(ADD, fields_of_new(make_account(), secret="of-the-provider"))

    assert Source.objects.get().secrets.get().secret == "of-the-provider"
    assert "of-the-provider" not in made.content.decode()


def test_a_secret_of_several_lines_is_kept_whole(console: Client) -> None:
    key = "-----BEGIN PUBLIC KEY-----\r\nMCowBQ\r\n-----END PUBLIC KEY-----\r\n"

    console.post(ADD, fields_of_new(make_account(), secret=key))

    assert Source.objects.get().secrets.get().secret.split() == key.split()


def test_a_secret_is_not_sent_back_with_an_error(console: Client) -> None:
    response = console.post(ADD, fields_of_new(make_account(), secret="s3cret", name=""))

    assert list(errors_of(response)) == ["name"]
    assert "s3cret" not in response.content.decode()


def test_a_secret_that_is_learned_is_waited_for(console: Client) -> None:
    made = console.post(ADD, fields_of_new(make_account(), provider="notion")).content.decode()

    assert not SourceSecret.objects.exists()
    assert "Its secret" not in made
    assert "Wait for its first call" in made


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"allowed_networks": "not a network"}, "allowed_networks"),
        ({"max_body_bytes": "999999999"}, "max_body_bytes"),
        ({"public_url": "gopher://x"}, "public_url"),
        ({"content_types": "image/png"}, "content_types"),
        ({"methods": "BREW"}, "methods"),
        ({"schema": "{"}, "schema"),
        ({"schema": '{"a": NaN}'}, "schema"),
        ({"schema": "[" * 5000}, "schema"),
        ({"schema": '{"type": "nothing"}', "schema_mode": "reject"}, "schema"),
        ({"schema_mode": "reject"}, "schema"),
        ({"schema_mode": "sometimes"}, "schema_mode"),
        ({"dedup_fields": "nowhere"}, "dedup_fields"),
        ({"transformation": "1 +"}, "transformation"),
        ({"answer_status": "404"}, "answer_status"),
        ({"answer_headers": "no header"}, "answer_headers"),
        ({"answer_headers": "Set-Cookie: a=b"}, "answer_headers"),
        ({"answer_body": "x" * 17_000}, "answer_body"),
        ({"provider": "convoy", "option_hash": "md5"}, "option_hash"),
        ({"provider": "aws-sns"}, "option_topic_arn"),
    ],
)
def test_what_is_not_acceptable_is_said_at_its_field(
    console: Client, changes: dict[str, str], field: str
) -> None:
    response = console.post(ADD, fields_of_new(make_account(), **changes))

    assert response.status_code == 200
    assert list(errors_of(response)) == [field]
    assert not Source.objects.exists()
    assert not AuditEntry.objects.exists()


@pytest.mark.parametrize("provider", ["", "nobody", "<script>"])
def test_without_a_provider_one_is_asked_for(console: Client, provider: str) -> None:
    response = console.post(ADD, fields_of_new(make_account(), provider=provider))

    assert response["Location"] == ADD
    assert not Source.objects.exists()


# --- changes --------------------------------------------------------------------------------------


def test_every_group_is_kept(console: Client) -> None:
    source = make_source(routes=())

    response = change(
        console, source, name="Ours", allowed_networks="10.0.0.0/8\r\n2001:db8::/32",
        methods=["POST", "PUT"], content_types="application/json\napplication/xml",
        tolerance_seconds="60", public_url="https://hooks.example.com/x",
        schema='{"type": "object"}', schema_mode="quarantine", dedup_fields="json:id",
        dedup_window_seconds="60", transformation="$$", answer_status="202",
        answer_headers="X-One: 1\nX-Two: a: b", answer_body="taken",
    )  # fmt: skip

    assert response.status_code == 302
    kept = Source.objects.values(
        "name", "allowed_networks", "methods", "content_types", "tolerance_seconds", "public_url",
        "schema", "schema_mode", "dedup_fields", "dedup_window_seconds", "transformation",
        "answer_status", "answer_headers", "answer_body",
    ).get()  # fmt: skip
    assert kept == {
        "name": "Ours",
        "allowed_networks": ["10.0.0.0/8", "2001:db8::/32"],
        "methods": ["POST", "PUT"],
        "content_types": ["application/json", "application/xml"],
        "tolerance_seconds": 60,
        "public_url": "https://hooks.example.com/x",
        "schema": {"type": "object"},
        "schema_mode": "quarantine",
        "dedup_fields": ["json:id"],
        "dedup_window_seconds": 60,
        "transformation": "$$",
        "answer_status": 202,
        "answer_headers": {"X-One": "1", "X-Two": "a: b"},
        "answer_body": "taken",
    }
    assert actions() == ["source.changed"]


def test_saved_as_it_is_nothing_changes(console: Client) -> None:
    source = make_source(
        provider="meta", routes=({"condition": {"data.a": {"$gte": 1}}},), methods=["POST"],
        schema={"type": "object"}, answer_headers={"X-One": "1"}, dedup_fields=["json:b", "json:a"],
    )  # fmt: skip
    form = console.get(page_of("incoming.source", source.pk)).context["adminform"].form
    route = source.routes.get()
    shown = {name: form[name].value() for name in form.fields if form[name].value() is not None}
    shown["schema"] = form["schema"].field.prepare_value(source.schema)
    shown["answer_headers"] = "X-One: 1"
    shown["dedup_fields"] = "json:b\njson:a"
    shown["allowed_networks"] = shown["content_types"] = ""
    same = {
        "id": str(route.pk), "position": "0", "condition": '{"data.a": {"$gte": 1}}',
        "event_type": "{provider}.{type}",
    }  # fmt: skip

    response = change(console, source, **shown, **route_form(source, same, initial=1))

    assert response.status_code == 302
    assert actions() == []


def test_secret_options_are_kept_and_never_shown(console: Client) -> None:
    source = make_source(provider="meta", routes=())

    change(console, source, option_verify_token="v3ry-s3cret")

    source.refresh_from_db()
    kept = source.secrets.get(option="verify_token")
    assert (kept.secret, source.options) == ("v3ry-s3cret", {})
    text = page(console, source)
    assert "v3ry-s3cret" not in text
    assert "…cret</td>" not in text
    assert "Set. Left empty, it stays as it is." in text
    assert "v3ry-s3cret" not in "".join(
        entry.before + entry.after for entry in AuditEntry.objects.all()
    )


def test_a_secret_option_left_empty_stays(console: Client) -> None:
    source = make_source(provider="meta", routes=())
    SourceSecret.objects.create(source=source, option="verify_token", secret="v3ry-s3cret")

    change(console, source, name="Renamed", option_verify_token="")

    assert source.secrets.get(option="verify_token").secret == "v3ry-s3cret"
    assert Source.objects.get().name == "Renamed"


def test_a_secret_option_is_removed(console: Client) -> None:
    source = make_source(provider="meta", routes=())
    SourceSecret.objects.create(source=source, option="verify_token", secret="v3ry-s3cret")

    change(console, source, option_verify_token="", remove_option_verify_token="on")

    assert secret_options_set(source) == []
    assert "Not set." in page(console, source)
    assert 'name="remove_option_verify_token"' not in page(console, source)


def test_plain_options_are_changed_and_emptied(console: Client) -> None:
    source = make_source(
        provider="convoy", routes=(), options={"hash": "sha512", "header": "x-mine"}
    )

    change(console, source, option_hash="", option_header="x-mine", option_encoding="base64")

    assert Source.objects.get().options == {"header": "x-mine", "encoding": "base64"}


def test_a_provider_that_is_gone_does_not_hinder(console: Client) -> None:
    source = make_source(routes=(), options={"a": "b"})
    Source.objects.update(provider="gone-since")

    text = page(console, source)

    assert "There is no provider gone-since in this version" in text
    assert 'name="option_a"' not in text
    assert "try-signature" not in text
    tried = console.get(page_of("incoming.source", source.pk).replace("/change/", "/try-filter/"))
    assert tried["Location"] == page_of("incoming.source", source.pk)
    receipt = make_receipt(source)
    assert console.get(page_of("incoming.receipt", receipt.pk)).status_code == 200


# --- routes ---------------------------------------------------------------------------------------


def test_a_route_of_each_action(console: Client, handler: str) -> None:
    source = make_source(routes=())
    routes = route_form(
        source,
        {"type_pattern": "push", "event_type": "code.pushed", "is_last": "on"},
        {"action": "handle", "handler": handler, "event_type": ""},
        {"action": "update", "expression": '{"plan": data.plan}', "event_type": ""},
        {"action": "notify", "recipients": "operator\na@example.com", "message": "{type} came",
         "condition": '{"data.amount": {"$gte": 100}}', "event_type": ""},
    )  # fmt: skip

    response = change(console, source, **routes)

    assert response.status_code == 302
    names = (
        "position", "type_pattern", "action", "handler", "recipients", "message", "is_last",
    )  # fmt: skip
    assert list(source.routes.values_list(*names)) == [
        (0, "push", "publish", "", [], "", True),
        (1, "*", "handle", handler, [], "", False),
        (2, "*", "update", "", [], "", False),
        (3, "*", "notify", "", ["operator", "a@example.com"], "{type} came", False),
    ]
    assert source.routes.get(action="publish").event_type == "code.pushed"
    assert source.routes.get(action="update").expression == '{"plan": data.plan}'
    assert source.routes.get(action="notify").condition == {"data.amount": {"$gte": 100}}
    assert actions() == ["source.route_added"] * 4


def test_handlers_that_wait_for_a_route_are_named(console: Client, handler: str) -> None:
    assert f"One of {handler}." in page(console, make_source())
    assert "There is none for this provider yet." in page(console, make_source(provider="stripe"))


def test_routes_are_added_changed_moved_and_deleted(console: Client) -> None:
    source = make_source(routes=({}, {"type_pattern": "gone"}))
    first, second = source.routes.all()
    routes = route_form(
        source,
        {"id": str(first.pk), "position": "5", "type_pattern": "push", "event_type": "code.pushed"},
        {"id": str(second.pk), "position": "1", "type_pattern": "gone",
         "event_type": "{provider}.{type}", "DELETE": "on"},
        {"position": "2", "type_pattern": "issues*", "event_type": "issue.{type}"},
        initial=2,
    )  # fmt: skip

    response = change(console, source, **routes)

    assert response.status_code == 302
    assert list(source.routes.values_list("position", "type_pattern", "event_type")) == [
        (2, "issues*", "issue.{type}"),
        (5, "push", "code.pushed"),
    ]
    assert set(actions()) == {
        "source.route_added", "source.route_changed", "source.route_deleted",
    }  # fmt: skip


def test_a_route_is_disabled_and_enabled(console: Client) -> None:
    source = make_source()
    route = source.routes.get()
    same = {"id": str(route.pk), "position": "0", "event_type": "{provider}.{type}"}
    enabled = route_form(source, same, initial=1)

    change(console, source, **without(enabled, "-is_enabled"))
    disabled_at = Route.objects.get().disabled_at
    change(console, source, **enabled)

    assert disabled_at is not None
    assert Route.objects.get().disabled_at is None


def test_a_new_route_as_it_is_offered_is_kept(console: Client) -> None:
    source = make_source(routes=())

    change(console, source, **route_form(source, {"event_type": "{provider}.{type}"}))

    assert [str(route) for route in source.routes.all()] == ["* → publish {provider}.{type}"]


@pytest.mark.parametrize(
    ("route", "field"),
    [
        ({"event_type": "no type"}, "event_type"),
        ({"event_type": "a.{nothing}"}, "event_type"),
        ({"expression": "1 +", "event_type": ""}, "expression"),
        ({"condition": "{"}, "condition"),
        ({"condition": '{"data.a": {"$near": 1}}'}, "condition"),
        ({"condition": "[1]"}, "condition"),
        ({"type_pattern": "a*b"}, "type_pattern"),
        ({"action": "handle", "handler": ""}, "handler"),
        ({"action": "update", "expression": ""}, "expression"),
        ({"action": "notify", "recipients": "", "message": "x"}, "recipients"),
        ({"action": "notify", "recipients": "nobody", "message": "x"}, "recipients"),
        ({"action": "notify", "recipients": "operator", "message": ""}, "message"),
        ({"action": "dance"}, "action"),
    ],
)
def test_a_route_that_is_not_acceptable_is_said_at_its_field(
    console: Client, route: dict[str, str], field: str
) -> None:
    source = make_source(routes=())
    right = {"event_type": "code.pushed"}

    response = change(
        console, source, name="Not kept", **route_form(source, right, {"event_type": "a.b"} | route)
    )

    formset = response.context["inline_admin_formsets"][0].formset
    assert [list(errors) for errors in formset.errors] == [[], [field]]
    assert not Route.objects.exists()
    assert Source.objects.get().name == "GitHub"
    assert not AuditEntry.objects.exists()


# --- buttons --------------------------------------------------------------------------------------


def test_rotate_url_answers_the_old_one_for_a_grace(console: Client) -> None:
    source = make_source()

    response = press(console, source, "rotate-url", grace_hours="2")

    rotated = Source.objects.get()
    assert rotated.previous_token == source.token != rotated.token
    ends = rotated.previous_token_expires_at
    assert ends is not None
    assert abs(ends - clock.now() - timedelta(hours=2)) < timedelta(minutes=1)
    assert [str(message) for message in get_messages(response.wsgi_request)] == [
        f"It has another ingest URL; the old one is answered until {moment(ends)}."
    ]
    assert f"/in/{source.token}</span> until {moment(ends)}" in page(console, source)


def test_rotate_url_without_a_grace_forgets_the_old_one(console: Client) -> None:
    source = make_source()

    press(console, source, "rotate-url", grace_hours="0")

    assert Source.objects.get().previous_token is None
    assert source.token not in page(console, source)


@pytest.mark.parametrize("hours", ["-1", "1000", "soon"])
def test_a_grace_that_is_none_is_asked_for_again(console: Client, hours: str) -> None:
    source = make_source()

    response = press(console, source, "rotate-url", grace_hours=hours)

    assert list(response.context["form"].errors) == ["grace_hours"]
    assert Source.objects.get().token == source.token


def test_a_learned_secret_is_shown_once(console: Client) -> None:
    source = make_source(provider="notion", secret=None)
    SourceSecret.objects.create(source=source, secret="secret_of_notion", is_showable=True)
    assert "/show-secret/" in page(console, source)

    shown = press(console, source, "show-secret")
    again = press(console, source, "show-secret")

    assert shown.content.decode().count("secret_of_notion") == 1
    assert "secret_of_notion" not in str(shown.cookies)
    assert again.status_code == 302
    assert [str(message) for message in get_messages(again.wsgi_request)] == [
        "there is no learned secret that has not been shown"
    ]
    assert "/show-secret/" not in page(console, source)
    assert actions() == ["source.learned_secret_shown"]


# --- what the page tells --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ends_in", "told"),
    [
        (None, "without end"),
        (timedelta(days=30), ""),
        (timedelta(days=6), "ends soon"),
        (timedelta(days=-1), "ended"),
    ],
)
def test_the_end_of_the_secrets_is_warned_of(
    console: Client, ends_in: timedelta | None, told: str
) -> None:
    source = make_source()
    ends = None if ends_in is None else clock.now() + ends_in
    SourceSecret.objects.update(expires_at=ends)

    shown = page(console, source).partition("Secrets valid until")[2][:900]

    assert told in shown
    assert ("ends soon" in shown) == (told == "ends soon")
    if ends is not None:
        assert moment(ends) in shown


def test_counts_times_and_refusals(console: Client) -> None:
    now = clock.now()
    source = make_source(
        accepted_count=1234, duplicate_count=5, refused_count=6, last_received_at=now,
        last_verified_at=now - timedelta(minutes=1), last_error_at=now - timedelta(minutes=2),
        last_error="signature_mismatch", state={"plan": "pro"},
    )  # fmt: skip
    for hours, count in ((1, 3), (30, 100)):
        RefusalCount.objects.create(
            account=source.account, source=source, hour=now - timedelta(hours=hours),
            cause="signature_mismatch", count=count,
        )  # fmt: skip

    text = page(console, source)

    assert "1,234 accepted, 5 duplicate, 6 refused" in text
    assert moment(source.last_verified_at) in text
    assert f"{moment(source.last_error_at)} signature_mismatch" in text
    assert "&quot;plan&quot;: &quot;pro&quot;" in text
    refused = text[text.index("Refused in the last 24 hours") : text.index("Last receipts")]
    assert "cause__exact=signature_mismatch" in refused
    assert re.findall(r">\s*(\d+)\s*<", refused) == ["3"]


def test_who_may_only_look_sees_no_secret_and_changes_nothing(db: None) -> None:
    source = make_source(provider="meta")
    SourceSecret.objects.create(source=source, option="verify_token", secret="v3ry-s3cret")
    viewer = make_viewer("incoming.source")

    text = viewer.get(page_of("incoming.source", source.pk)).content.decode()

    assert "v3ry-s3cret" not in text
    assert SOURCE_SECRET not in text
    assert "/rotate-secret/" not in text
    assert viewer.get(ADD).status_code == 403
    assert change(viewer, source, name="Changed").status_code == 403
    assert Source.objects.get().name == "GitHub"
    for button in ("disable", "rotate-secret", "rotate-url", "show-secret"):
        assert press(viewer, source, button).status_code == 403
    assert not AuditEntry.objects.exists()
    assert not Receipt.objects.exists()


@pytest.mark.parametrize(("disabled_at", "word"), [(None, "enabled"), (clock.now(), "disabled")])
def test_the_list_tells_which_take_calls(console: Client, disabled_at: Any, word: str) -> None:
    make_source(disabled_at=disabled_at, state={"plan": "pro"})

    row = console.get(list_of("incoming.source")).content.decode().partition("field-state_label")[2]

    assert re.sub(r"<[^>]*>", " ", row[:900]).split(">", 1)[1].split()[0] == word
