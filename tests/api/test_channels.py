"""Channels and notifications over the API."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from monitoring.channels import KINDS
from monitoring.models import AuditEntry, Channel, Notification
from tests.api.calls import Api
from tests.factories import make_account, make_api_key, make_incident
from tests.monitoring.receivers import (
    NOW,
    PAGERDUTY,
    SLACK,
    TEAMS,
    Answer,
    WebServer,
    lose_key,
    make_channel,
    make_rule,
    relays,
    web_server,
)
from webhooks_project.accounts.models import Account, Role

pytestmark = pytest.mark.django_db


@pytest.fixture
def account() -> Account:
    return make_account()


@pytest.fixture
def api(account: Account) -> Api:
    return Api(make_api_key(account, Role.OPERATOR).text)


@pytest.fixture
def web(settings: Any) -> Iterator[WebServer]:
    with web_server() as server:
        settings.WEBHOOKS_CHANNEL_RELAYS = relays(server)
        yield server


BODIES = {
    "email": {"recipients": ["ann@example.com", "operator"]},
    "slack": {"secret": SLACK},
    "teams": {"secret": TEAMS},
    "pagerduty": {"secret": PAGERDUTY, "region": "eu"},
    "webhook": {},
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_channel_of_each_kind_is_made_and_its_secret_never_shown(
    api: Api, account: Account, kind: str
) -> None:
    body = {"name": "Ops", "kind": kind, **BODIES[kind]}
    made = api.post("monitoring/channels", body)
    assert made.status == 201
    channel = Channel.objects.get()
    assert (channel.kind, channel.account, channel.hourly_limit) == (kind, account, 30)
    assert channel.secret == body.get("secret", "")
    answers = [
        made,
        api.get("monitoring/channels"),
        api.get(f"monitoring/channels/{channel.pk}"),
        api.patch(f"monitoring/channels/{channel.pk}", {"name": "Other"}),
    ]
    for answer in answers:
        assert answer.status in (200, 201)
        assert not channel.secret or channel.secret not in answer.text
        assert "aVerySecret" not in answer.text
    end = f"…{channel.secret[-4:]}" if channel.secret else ""
    assert answers[-1].json["secret_end"] == end
    entries = AuditEntry.objects.filter(action__startswith="channel.").order_by("sequence")
    assert [entry.action for entry in entries] == ["channel.created", "channel.changed"]
    assert "aVerySecret" not in str(entries.values_list("before", "after"))


@pytest.mark.parametrize(
    ("body", "field", "code"),
    [
        ({"kind": "email"}, "recipients", "required"),
        ({"kind": "email", "recipients": ["nobody"]}, "recipients/0", "invalid_recipient"),
        ({"kind": "email", "recipients": ["a@b.c\nBcc: d@e.f"]}, "recipients/0", None),
        ({"kind": "email", **BODIES["email"], **BODIES["slack"]}, "secret", "not_of_kind"),
        ({"kind": "slack"}, "secret", "invalid_url"),
        ({"kind": "slack", "secret": TEAMS}, "secret", "invalid_url"),
        ({"kind": "slack", "secret": SLACK.replace("https", "http")}, "secret", "invalid_url"),
        (
            {"kind": "slack", "secret": "https://hooks.slack.com.evil.example/services/T/B/12345"},
            "secret",
            "invalid_url",
        ),
        (
            {"kind": "slack", "secret": "https://hooks.slack.com@evil.example/services/T/B/12345"},
            "secret",
            "invalid_url",
        ),
        (
            {"kind": "slack", "secret": "https://hooks.slack.com:8443/services/T/B/12345678"},
            "secret",
            "invalid_url",
        ),
        (
            {"kind": "slack", "secret": "https://hooks.slack.com\\@evil.example/services/T/B"},
            "secret",
            "invalid_url",
        ),
        ({"kind": "slack", **BODIES["slack"], "recipients": ["operator"]}, "recipients",
         "not_of_kind"),
        ({"kind": "teams", "secret": "https://evil-logic.azure.com/x"}, "secret", "invalid_url"),
        ({"kind": "teams", "secret": "https://logic.azure.com/x"}, "secret", "invalid_url"),
        (
            {"kind": "teams", "secret": "https://a.webhook.office.com/webhookb2/x"},
            "secret",
            "retired_connector",
        ),
        ({"kind": "pagerduty", "secret": "short"}, "secret", "invalid_key"),
        ({"kind": "pagerduty", "secret": PAGERDUTY, "region": "mars"}, "region", "invalid_choice"),
        ({"kind": "webhook", "hourly_limit": 0}, "hourly_limit", None),
        ({"kind": "webhook", "hourly_limit": 1001}, "hourly_limit", "out_of_range"),
        ({"kind": "webhook", "time_zone": "Mars/Olympus"}, "time_zone", "unknown_time_zone"),
        ({"kind": "webhook", "time_zone": "../etc/passwd"}, "time_zone", "unknown_time_zone"),
        ({"kind": "webhook", "quiet_from": "22:00"}, "quiet_until", "required"),
        (
            {"kind": "webhook", "quiet_from": "22:00", "quiet_until": "22:00"},
            "quiet_until",
            "no_hours",
        ),
        ({"kind": "webhook", "name": ""}, "name", "blank"),
        ({"kind": "pigeon"}, "kind", "invalid_choice"),
        ({"kind": "webhook", "name": "a\x00b"}, "name", "null_characters_not_allowed"),
    ],
)  # fmt: skip
def test_what_is_not_acceptable_is_refused_at_its_field(
    api: Api, body: dict[str, Any], field: str, code: str | None
) -> None:
    answer = api.post("monitoring/channels", {"name": "Ops", **body})
    assert answer.status == 400
    errors = {error["path"]: error["code"] for error in answer.json["errors"]}
    assert set(errors) == {f"/{field}"}
    if code:
        assert errors[f"/{field}"] == code
    assert not Channel.objects.exists()


@pytest.mark.parametrize(
    "url",
    [
        "https://Hooks.Slack.com/services/T0123456/B0123456/abcdefgh",
        "https://hooks.slack.com:443/services/T0123456/B0123456/abcdefgh",
    ],
)
def test_what_is_the_same_address_is_taken(api: Api, url: str) -> None:
    made = api.post("monitoring/channels", {"name": "Ops", "kind": "slack", "secret": url})
    assert (made.status, made.json["host"]) == (201, "hooks.slack.com")


def test_a_workflow_of_the_power_platform_is_taken(api: Api) -> None:
    host = "default0123456789abcdef.0e.environment.api.powerplatform.com"
    url = f"https://{host}:443/powerautomate/automations/direct/workflows/0123/x?sig=abc"
    made = api.post("monitoring/channels", {"name": "Ops", "kind": "teams", "secret": url})
    assert (made.status, made.json["host"]) == (201, host)


def test_a_name_is_taken_once(api: Api, account: Account) -> None:
    make_channel(account, "webhook", name="Ops")
    answer = api.post("monitoring/channels", {"name": "Ops", "kind": "webhook"})
    assert (answer.status, answer.code) == (409, "channel_exists")
    make_channel(make_account(), "webhook", name="Ops")


def test_a_channel_keeps_its_kind(api: Api, account: Account) -> None:
    channel = make_channel(account, "webhook")
    answer = api.patch(f"monitoring/channels/{channel.pk}", {"kind": "email"})
    assert answer.errors == {"/kind": "unchangeable"}


def test_what_waits_goes_to_the_new_host(api: Api, account: Account) -> None:
    from monitoring.alerting import tell

    channel = make_channel(account, "teams")
    tell(make_incident(make_rule(account, channel)), "opened")
    url = TEAMS.replace("prod-12", "prod-77")
    assert api.patch(f"monitoring/channels/{channel.pk}", {"secret": url}).status == 200
    assert Notification.objects.get().host == "prod-77.westeurope.logic.azure.com"


def test_deleting_is_audited(api: Api, account: Account) -> None:
    channel = make_channel(account, "webhook")
    assert api.delete(f"monitoring/channels/{channel.pk}").status == 204
    assert AuditEntry.objects.order_by("-sequence")[0].action == "channel.deleted"


def test_a_test_says_how_it_ended(api: Api, account: Account, web: WebServer) -> None:
    channel = make_channel(account)
    answer = api.post(f"monitoring/channels/{channel.pk}/test")
    assert (answer.status, answer.json["test_error"]) == (200, "")
    assert answer.json["tested_at"]
    assert web.bodies[0]["text"] == "Test of #slack"
    again = api.post(f"monitoring/channels/{channel.pk}/test")
    assert (again.status, again.code) == (409, "test_too_soon")
    Channel.objects.update(tested_at=None)
    web.give(Answer(404, b"no_service"))
    answer = api.post(f"monitoring/channels/{channel.pk}/test")
    assert answer.json["test_error"] == "not_accepted: Slack answered 404 no_service"


def test_a_test_that_reaches_nobody_says_so(api: Api, account: Account) -> None:
    channel = make_channel(account, "email", recipients=["admin"])
    answer = api.post(f"monitoring/channels/{channel.pk}/test")
    assert answer.json["test_error"] == "unaddressed: it leads to nobody who has an address"


def test_the_kinds_say_what_they_need(api: Api) -> None:
    found = {row["kind"]: row for row in api.get("monitoring/channels/kinds").json}
    assert set(found) == set(Channel.Kind.values)
    assert found["slack"]["asks_for"] == "Webhook URL"
    assert found["pagerduty"]["has_region"] is True
    assert found["email"] | {"explanation": ""} == {
        "kind": "email", "label": "E-mail", "explanation": "", "asks_for": "",
        "has_recipients": True, "has_region": False,
        "moments": ["escalated", "opened", "raised", "reminded", "resolved"],
    }  # fmt: skip


def test_notifications_are_found_by_channel_and_incident(api: Api, account: Account) -> None:
    from monitoring.alerting import tell

    one, two = make_channel(account), make_channel(account, "teams")
    rule = make_rule(account, one, two)
    first, second = make_incident(rule), make_incident(rule)
    for incident in (first, second):
        tell(incident, "opened")
    rows = {
        query: api.get(f"monitoring/notifications?{query}").rows
        for query in (f"channel={one.pk}", f"incident={first.pk}", "via=teams", "moment=opened")
    }
    assert [len(found) for found in rows.values()] == [2, 2, 2, 4]
    assert {row["channel"] for row in rows[f"channel={one.pk}"]} == {str(one.pk)}
    assert {row["incident"] for row in rows[f"incident={first.pk}"]} == {str(first.pk)}


def test_only_what_has_failed_is_sent_again(api: Api, account: Account) -> None:
    row = Notification.objects.create(
        account=account, kind="test", recipient="a@example.com", title="A", text="B",
        status="failed", error="mail_not_sent: no", attempt_count=6, created_at=NOW,
    )  # fmt: skip
    answer = api.post(f"monitoring/notifications/{row.pk}/resend")
    assert (answer.status, answer.json["status"], answer.json["attempt_count"]) == (
        200, "pending", 0,
    )  # fmt: skip
    assert answer.json["next_attempt_at"]
    assert AuditEntry.objects.order_by("-sequence")[0].action == "notification.resent"
    again = api.post(f"monitoring/notifications/{row.pk}/resend")
    assert (again.status, again.code) == (409, "resend_not_allowed")


def test_one_whose_key_is_lost_is_shown_switched_off_and_mended(api: Api, account: Account) -> None:
    channel = make_channel(account, "slack")
    lose_key(channel)
    path = f"monitoring/channels/{channel.pk}"
    assert api.get(path).json["secret_end"] == "…"
    answer = api.patch(path, {"enabled": False})
    assert (answer.status, answer.json["enabled"], answer.json["host"]) == (
        200, False, "hooks.slack.com",
    )  # fmt: skip
    assert api.patch(path, {"hourly_limit": 0}).status == 400
    assert api.patch(path, {"secret": "https://evil.example/"}).status == 400
    answer = api.patch(path, {"secret": SLACK, "enabled": True})
    assert (answer.status, answer.json["secret_end"]) == (200, f"…{SLACK[-4:]}")
