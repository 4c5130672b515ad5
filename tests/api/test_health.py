"""Health, policies, alert rules and incidents over the API."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from monitoring.alert_rules import create_rule
from monitoring.kinds import KINDS
from monitoring.models import (
    AlertRule,
    AuditEntry,
    Channel,
    HealthPolicy,
    Incident,
    Notification,
    Sighting,
)
from monitoring.thresholds import DEFAULTS, THRESHOLDS
from tests.api.calls import Api
from tests.factories import (
    make_account,
    make_account_with_operator,
    make_api_key,
    make_check,
    make_incident,
    make_source,
    make_subscription,
    make_user,
)
from webhooks_project.accounts.models import Account, Role

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clock")]

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


@pytest.fixture
def account() -> Account:
    return make_account_with_operator()


@pytest.fixture
def api(account: Account) -> Api:
    return Api(make_api_key(account, Role.ADMIN).text)


def make_failing(account: Account, **fields: Any) -> Incident:
    given = {"severity": "critical", "title": "Shop is failing", "text": ""}
    return make_incident(account=account, **given | fields)


# --- health ---------------------------------------------------------------------------------------


def test_health_is_listed_by_state_and_subject(api: Api, account: Account) -> None:
    shop = make_subscription(account, name="Shop")
    bank = make_source(account, name="Bank")
    one = make_check(account, "failing", subscription=shop, reasons=["it is slow"])
    two = make_check(account, source=bank)
    make_check(make_account(), "failing", source=make_source())
    for query, found in [
        ("", {one, two}), ("state=failing", {one}), (f"subscription={shop.pk}", {one}),
        (f"source={bank.pk}", {two}), ("about=source", {two}), ("about=subscription", {one}),
    ]:  # fmt: skip
        rows = api.get(f"monitoring/health?{query}").rows
        assert {row["id"] for row in rows} == {str(row.pk) for row in found}, query
    row = api.get(f"monitoring/health/{one.pk}").json
    assert (row["name"], row["state"], row["reasons"]) == ("Shop", "failing", ["it is slow"])
    assert api.get("monitoring/health?state=nonsense").errors == {"/state": "invalid_choice"}


def test_a_policy_says_and_takes_thresholds(api: Api, account: Account) -> None:
    policy = HealthPolicy.objects.create(account=account, created_at=NOW)
    path = f"monitoring/health-policies/{policy.pk}"
    assert api.get(path).json["thresholds"] == DEFAULTS
    answer = api.patch(path, {"thresholds": {"min_attempts": 9, "down_checks": 3}})
    assert answer.json["own"] == ["down_checks", "min_attempts"]
    assert answer.json["thresholds"]["min_attempts"] == 9
    answer = api.patch(path, {"thresholds": {"min_attempts": None, "down_checks": 2}})
    assert (answer.json["own"], answer.json["thresholds"]) == ([], DEFAULTS)
    changes = AuditEntry.objects.filter(action="health_policy.changed")
    assert [entry.after for entry in changes.order_by("sequence")] == [
        '{"down_checks":3.0,"min_attempts":9.0}', "{}",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("thresholds", "path", "code"),
    [
        ({"nonsense": 1}, "/nonsense", "unknown"),
        ({"min_attempts": -1}, "/min_attempts", "out_of_range"),
        ({"failing_success_percent": 99}, "/failing_success_percent", "out_of_order"),
    ],
)
def test_a_policy_refuses_what_cannot_be(
    api: Api, account: Account, thresholds: Any, path: str, code: str
) -> None:
    policy = HealthPolicy.objects.create(account=account, created_at=NOW)
    answer = api.patch(f"monitoring/health-policies/{policy.pk}", {"thresholds": thresholds})
    assert (answer.status, answer.code) == (400, "health_policy_not_acceptable")
    assert [(item["path"], item["code"]) for item in answer.json["errors"]] == [(path, code)]
    policy.refresh_from_db()
    assert policy.thresholds == {}


@pytest.mark.parametrize(
    "body", [{}, {"thresholds": 1}, {"thresholds": {"min_attempts": "many"}}, []]
)
def test_a_policy_refuses_what_has_no_form(api: Api, account: Account, body: Any) -> None:
    policy = HealthPolicy.objects.create(account=account, created_at=NOW)
    assert api.patch(f"monitoring/health-policies/{policy.pk}", body).status == 400


def test_thresholds_and_kinds_explain_themselves(api: Api) -> None:
    found = api.get("monitoring/health-policies/thresholds").json
    assert [item["name"] for item in found] == list(THRESHOLDS)
    assert found[0] == {
        "name": "min_attempts", "unit": "attempts", "default": 5, "lowest": 1, "highest": 1_000,
        "text": THRESHOLDS["min_attempts"].text,
    }  # fmt: skip
    kinds = api.get("monitoring/alert-rules/kinds").json
    assert [item["kind"] for item in kinds] == [kind.value for kind in KINDS]
    assert all(item["text"] and item["unit"] for item in kinds)


# --- alert rules ----------------------------------------------------------------------------------


def test_a_rule_starts_with_what_its_kind_has(api: Api, account: Account) -> None:
    answer = api.post("monitoring/alert-rules", {"name": "Slow", "kind": "latency_above"})
    assert answer.status == 201
    rule = AlertRule.objects.get()
    assert (rule.account, rule.threshold, rule.window_seconds, rule.severity) == (
        account, 10_000, 300, "warning",
    )  # fmt: skip
    assert (answer.json["unit"], answer.json["opens_after_seconds"]) == ("milliseconds", 300)
    entry = AuditEntry.objects.get(action="alert_rule.created")
    assert '"threshold":10000' in entry.after


def test_a_rule_is_changed_and_deleted(api: Api, account: Account) -> None:
    rule = create_rule(account=account, name="Failing", kind="endpoint_failing")
    channel = Channel.objects.create(account=account, name="On call", kind="email", created_at=NOW)
    path = f"monitoring/alert-rules/{rule.pk}"
    answer = api.patch(
        path, {"threshold": 20, "channels": [str(channel.pk)], "escalates_after_seconds": 900}
    )
    assert answer.status == 200
    rule.refresh_from_db()
    assert (rule.threshold, list(rule.channels.all()), rule.escalates_after_seconds) == (
        20, [channel], 900,
    )  # fmt: skip
    assert api.patch(path, {"kind": "backlog_old"}).status == 400
    assert api.call("delete", path).status == 204
    assert AlertRule.objects.count() == 0
    actions = AuditEntry.objects.filter(action__startswith="alert_rule").order_by("sequence")
    assert [entry.action.partition(".")[2] for entry in actions] == [
        "created", "changed", "deleted",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "path", "code"),
    [
        ({"threshold": 0}, "/threshold", "out_of_range"),
        ({"threshold": 101}, "/threshold", "out_of_range"),
        ({"window_seconds": 60}, "/window_seconds", "invalid_choice"),
        ({"opens_after_seconds": 700_000}, "/opens_after_seconds", "out_of_range"),
        ({"escalates_after_seconds": 1}, "/escalates_after_seconds", "out_of_range"),
        ({"name": "Taken"}, "/name", "unique"),
        ({"rise_factor": 3}, "/rise_factor", "not_of_kind"),
        ({"kind": "dead_letters_rising", "rise_factor": 1}, "/rise_factor", "out_of_range"),
        ({"kind": "backlog_old", "window_seconds": 300}, "/window_seconds", "not_of_kind"),
        ({"kind": "queue_not_drained"}, "/kind", "staff_only"),
    ],
)
def test_a_rule_refuses_what_cannot_be(
    api: Api, account: Account, body: Any, path: str, code: str
) -> None:
    create_rule(account=account, name="Taken", kind="expiring")
    given = {"name": "New", "kind": "endpoint_failing", **body}
    answer = api.post("monitoring/alert-rules", given)
    assert (answer.status, answer.code) == (400, "alert_rule_not_acceptable")
    assert [(item["path"], item["code"]) for item in answer.json["errors"]] == [(path, code)]
    assert AlertRule.objects.count() == 1


@pytest.mark.parametrize(
    "body",
    [
        {"kind": "nonsense"}, {"threshold": "x"}, {"threshold": 1e400}, {"window_seconds": -1},
        {"name": "\x00"}, {"name": "x" * 121}, {"channels": ["x"]}, {"severity": "bad"},
    ],
)  # fmt: skip
def test_a_rule_refuses_what_has_no_form(api: Api, body: Any) -> None:
    given = {"name": "New", "kind": "endpoint_failing", **body}
    assert api.post("monitoring/alert-rules", given).status == 400
    assert AlertRule.objects.count() == 0


def test_a_rule_names_nothing_of_anothers_account(api: Api, account: Account) -> None:
    foreign = make_account()
    channel = Channel.objects.create(account=foreign, name="x", kind="email", created_at=NOW)
    for fields in (
        {"subscription": str(make_subscription(foreign).pk)},
        {"source": str(make_source(foreign).pk), "kind": "source_silent"},
        {"channels": [str(channel.pk)]},
        {"escalation_channels": [str(channel.pk)]},
    ):
        given = {"name": "New", "kind": "endpoint_failing", **fields}
        assert api.post("monitoring/alert-rules", given).status == 400
    assert AlertRule.objects.count() == 0


def test_a_rule_names_no_channel_that_was_deleted_meanwhile(
    api: Api, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel = Channel.objects.create(account=account, name="x", kind="email", created_at=NOW)

    def create_late(**given: Any) -> AlertRule:
        Channel.objects.all().delete()
        return create_rule(**given)

    monkeypatch.setattr("monitoring.api.alert_rules.create_rule", create_late)
    given = {"name": "New", "kind": "expiring", "channels": [str(channel.pk)]}
    answer = api.post("monitoring/alert-rules", given)
    assert (answer.status, answer.code) == (400, "alert_rule_not_acceptable")
    assert [(item["path"], item["code"]) for item in answer.json["errors"]] == [
        ("/channels", "does_not_exist")
    ]
    assert AlertRule.objects.count() == 0


@pytest.mark.parametrize("of_staff", [True, False])
def test_staff_in_two_accounts_keep_them_apart(of_staff: bool) -> None:
    """Who may see both still cannot put one's subscription into the other's rule."""
    one, two = make_account(), make_account()
    user = make_user(one, Role.ADMIN, is_superuser=of_staff)
    two.memberships.create(user=user, role=Role.ADMIN)
    api = Api(user=user)
    given = {"account": str(one.pk), "name": "New", "kind": "endpoint_failing"}
    answer = api.post(
        "monitoring/alert-rules", {**given, "subscription": str(make_subscription(two).pk)}
    )
    assert (answer.status, answer.code) == (400, "alert_rule_not_acceptable")
    queue = api.post("monitoring/alert-rules", {**given, "kind": "queue_not_drained"})
    assert queue.status == (201 if of_staff else 400)


def test_a_kind_is_about_what_it_looks_at(api: Api, account: Account) -> None:
    source = make_source(account)
    given = {"name": "New", "kind": "endpoint_failing", "source": str(source.pk)}
    answer = api.post("monitoring/alert-rules", given)
    assert [item["code"] for item in answer.json["errors"]] == ["not_of_kind"]
    both = {
        "name": "New", "kind": "expiring", "source": str(source.pk),
        "subscription": str(make_subscription(account).pk),
    }  # fmt: skip
    assert [item["code"] for item in api.post("monitoring/alert-rules", both).json["errors"]] == [
        "both"
    ]


# --- incidents ------------------------------------------------------------------------------------


def test_incidents_are_filtered(api: Api, account: Account) -> None:
    one = make_failing(account, key="a:b:", cause="tls")
    two = make_failing(
        account, key="c:d:", status="resolved", resolution="person", kind="backlog_old",
        severity="warning", opened_at=NOW - timedelta(days=1),
    )  # fmt: skip
    make_failing(make_account(), key="e:f:")
    rules = [create_rule(account=account, name=str(n), kind="expiring") for n in range(3)]
    one.rules.set(rules[:2])
    two.rules.set(rules[1:2])
    for query, found in [
        (f"rule={rules[0].pk}", [one]), (f"rule={rules[1].pk}", [one, two]),
        (f"rule={rules[2].pk}", []),
        ("", [one, two]), ("open=true", [one]), ("open=false", [two]), ("status=resolved", [two]),
        ("kind=backlog_old", [two]), ("severity=critical", [one]), ("cause=tls", [one]),
        ("until=2026-03-04T00:00:00Z", [two]), ("since=2026-03-04T00:00:00Z", [one]),
    ]:  # fmt: skip
        rows = api.get(f"monitoring/incidents?{query}").rows
        assert [row["id"] for row in rows] == [str(row.pk) for row in found], query


def test_an_incident_is_acknowledged_once(api: Api, account: Account) -> None:
    incident = make_failing(account)
    path = f"monitoring/incidents/{incident.pk}"
    for _ in range(2):
        answer = api.post(f"{path}/acknowledge")
        assert (answer.status, answer.json["status"]) == (200, "acknowledged")
    incident.refresh_from_db()
    assert (incident.acknowledged_by, incident.acknowledged_at) == ("test", NOW)
    entries = [row["kind"] for row in api.get(f"{path}/timeline").rows if row["kind"] != "told"]
    assert entries == ["acknowledged"]
    assert AuditEntry.objects.filter(action="incident.acknowledged").count() == 1


def test_an_incident_is_resolved_with_a_word(api: Api, account: Account) -> None:
    incident = make_failing(account)
    rule = create_rule(account=account, name="Failing", kind="endpoint_failing")
    incident.rules.add(rule)
    path = f"monitoring/incidents/{incident.pk}"
    answer = api.post(f"{path}/resolve", {"comment": "Restarted."})
    assert answer.json["rules"] == [str(rule.pk)]
    assert (answer.json["status"], answer.json["resolution"], answer.json["resolved_by"]) == (
        "resolved", "person", "test",
    )  # fmt: skip
    assert api.post(f"{path}/resolve", {}).status == 200
    [entry] = [row for row in api.get(f"{path}/timeline").rows if row["kind"] == "resolved"]
    assert (entry["text"], entry["actor_label"]) == ("Restarted.", "test")
    sighting = Sighting.objects.get()
    assert sighting.key == f"{rule.pk.hex}:{incident.key}"
    assert sighting.quiet_until == NOW + timedelta(hours=1)
    assert AuditEntry.objects.filter(action="incident.resolved").count() == 1
    refused = api.post(f"{path}/acknowledge")
    assert (refused.status, refused.code) == (409, "incident_resolved")
    assert Notification.objects.filter(kind="incident.acknowledged").count() == 0


def test_an_incident_is_commented_also_afterwards(api: Api, account: Account) -> None:
    incident = make_failing(account, status="resolved", resolution="person")
    path = f"monitoring/incidents/{incident.pk}"
    answer = api.post(f"{path}/comment", {"text": "It was the certificate."})
    assert (answer.status, answer.json["kind"]) == (201, "commented")
    [entry] = api.get(f"{path}/timeline").rows
    assert entry["text"] == "It was the certificate."
    entry = AuditEntry.objects.get(action="incident.commented")
    assert "It was the certificate." in entry.after


@pytest.mark.parametrize("text", ["", " ", "x" * 1_001, "\x00", None, 1.5])
def test_no_words_are_no_comment(api: Api, account: Account, text: Any) -> None:
    incident = make_failing(account)
    answer = api.post(f"monitoring/incidents/{incident.pk}/comment", {"text": text})
    if text != 1.5:  # which is a text, too
        assert answer.status == 400
        assert incident.entries.count() == 0


def test_no_timeline_of_anothers_incident(api: Api) -> None:
    foreign = make_failing(make_account())
    assert api.get(f"monitoring/incidents/{foreign.pk}/timeline").status == 404
    assert api.post(f"monitoring/incidents/{foreign.pk}/resolve", {}).status == 404
    assert Incident.objects.get().status == "open"
