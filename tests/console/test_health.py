"""Health, policies, rules and incidents in the console."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import Client

from monitoring.alert_rules import create_rule
from monitoring.figures import EndpointFigures, SourceFigures
from monitoring.kinds import KINDS
from monitoring.models import AlertRule, AuditEntry, Channel, HealthCheck, HealthPolicy, Incident
from tests.console.conftest import errors_of
from tests.console.test_roles import button_path, member
from tests.factories import make_account, make_check, make_incident, make_source, make_subscription
from tests.monitoring.figures import arrivals, endpoint, outcome
from webhooks_project.accounts.models import Account, Role
from webhooks_project.admin.values import list_of, page_of

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
RULES = list_of("monitoring.alertrule")


@pytest.fixture
def account(db: None) -> Account:
    return make_account()


def make_degraded(
    account: Account, figures: EndpointFigures | SourceFigures, **about: Any
) -> HealthCheck:
    given = {"wanted_state": "healthy", "reasons": ["it is <slow>"], "figures": figures.as_json()}
    return make_check(account, "degraded", **given | about)


def make_failing(account: Account, **fields: Any) -> Incident:
    given = {"severity": "critical", "title": "Shop is <failing>", "text": ""}
    return make_incident(account=account, **given | fields)


# --- health ---------------------------------------------------------------------------------------


def test_a_subscription_and_a_source_show_their_health(console: Client, account: Account) -> None:
    shop, bank = make_subscription(account), make_source(account)
    for model, row in (("subscriptions.subscription", shop), ("incoming.source", bank)):
        text = console.get(page_of(model, row.pk)).content.decode()
        assert "It is judged within a minute once it is active." in text
    figures = endpoint(outcome(20, 1, "tls"), id=shop.pk, consecutive_failures=7)
    make_degraded(account, figures, subscription=shop)
    heard = SourceFigures(id=bank.pk, name="", last_received_at=NOW, windows={3600: arrivals(9)})
    make_degraded(account, heard, source=bank)
    text = console.get(page_of("subscriptions.subscription", shop.pk)).content.decode()
    assert "it is &lt;slow&gt;" in text
    assert "Failures in a row" in text
    text = console.get(page_of("incoming.source", bank.pk)).content.decode()
    assert "Usual silence now" in text


def test_a_page_of_health_has_the_windows(console: Client, account: Account) -> None:
    figures = endpoint(outcome(20, 1, "tls"))
    check = make_degraded(account, figures, subscription=make_subscription(account))
    text = console.get(page_of("monitoring.healthcheck", check.pk)).content.decode()
    for part in ("95.0 %", "tls 1", "80.0 ms", "5 minutes", "24 hours"):
        assert part in text, part


def test_a_policy_is_changed_in_its_form(console: Client, account: Account) -> None:
    policy = HealthPolicy.objects.create(account=account, created_at=NOW)
    path = page_of("monitoring.healthpolicy", policy.pk)
    form = console.get(path).context["adminform"].form
    given = {name: form.initial[name] for name in form.fields}
    assert console.post(path, {**given, "min_attempts": "9"}).status_code == 302
    policy.refresh_from_db()
    assert policy.thresholds == {"min_attempts": 9}
    assert AuditEntry.objects.get().action == "health_policy.changed"
    response = console.post(path, {**given, "failing_success_percent": "99"})
    assert errors_of(response) == {"failing_success_percent": [
        "must not be more than degraded_success_percent"
    ]}  # fmt: skip
    assert console.post(path, {**given, "min_attempts": ""}).status_code == 302
    policy.refresh_from_db()
    assert policy.thresholds == {}


def test_who_may_not_change_a_policy_reads_it(account: Account) -> None:
    policy = HealthPolicy.objects.create(account=account, created_at=NOW)
    page = member(Role.VIEWER, account).get(page_of("monitoring.healthpolicy", policy.pk))
    assert "Thresholds in force" in page.content.decode()


# --- rules ----------------------------------------------------------------------------------------


def test_a_new_rule_begins_with_its_kind(account: Account) -> None:
    for client, is_staff in ((member(Role.ADMIN, account), False),):
        text = client.get(f"{RULES}add/").content.decode()
        for kind, facts in KINDS.items():
            assert (f"?kind={kind.value}" in text) == (is_staff or not facts.is_hub_wide), kind


@pytest.mark.parametrize("kind", list(KINDS))
def test_each_kind_has_a_form_that_explains_itself(
    console: Client, account: Account, kind: str
) -> None:
    page = console.get(f"{RULES}add/?kind={kind}")
    form = page.context["adminform"].form
    facts = KINDS[kind]  # type: ignore[index]
    assert form.fields["threshold"].label == f"Threshold, in {facts.unit}"
    assert form.fields["threshold"].help_text.startswith(facts.text)
    given = {name: form.get_initial_for_field(field, name) for name, field in form.fields.items()}
    given = {name: value for name, value in given.items() if value is not None}
    response = console.post(f"{RULES}add/?kind={kind}", {**given, "account": account.pk})
    assert response.status_code == 302, errors_of(response)
    rule = AlertRule.objects.get()
    assert (rule.account, rule.kind, rule.threshold, rule.enabled) == (
        account, kind, facts.default, True,
    )  # fmt: skip
    assert rule.window_seconds == (facts.windows[0] if facts.windows else 0)
    assert AuditEntry.objects.get().action == "alert_rule.created"


def test_a_rule_is_changed_with_its_channels(console: Client, account: Account) -> None:
    rule = create_rule(account=account, name="Failing", kind="endpoint_failing")
    mine = Channel.objects.create(account=account, name="Mine", kind="email", created_at=NOW)
    foreign = Channel.objects.create(
        account=make_account(), name="Foreign", kind="email", created_at=NOW
    )
    path = page_of("monitoring.alertrule", rule.pk)
    form = console.get(path).context["adminform"].form
    assert list(form.fields["channels"].queryset) == [mine]
    given = {
        "name": "Failing", "severity": "warning", "enabled": "on", "threshold": "30",
        "window_seconds": "3600", "opens_after_seconds": "120", "resolves_after_seconds": "300",
        "channels": [str(mine.pk)], "escalates_after_seconds": "600",
    }  # fmt: skip
    assert console.post(path, given).status_code == 302
    rule.refresh_from_db()
    assert (rule.threshold, rule.window_seconds, rule.severity, list(rule.channels.all())) == (
        30, 3600, "warning", [mine],
    )  # fmt: skip
    changed = AuditEntry.objects.get(action="alert_rule.changed")
    assert '"threshold":30.0' in changed.after
    response = console.post(path, {**given, "channels": [str(foreign.pk)]})
    assert "channels" in errors_of(response)
    response = console.post(path, {**given, "threshold": "101"})
    assert "threshold" in errors_of(response)


def test_a_rule_asks_for_a_rise_or_not(console: Client, account: Account) -> None:
    form = {
        "account": account.pk, "name": "Dead", "severity": "warning", "threshold": "4",
        "window_seconds": "3600", "rise_factor": "2.5", "opens_after_seconds": "0",
        "resolves_after_seconds": "0", "enabled": "on",
    }  # fmt: skip
    assert console.post(f"{RULES}add/?kind=dead_letters_rising", form).status_code == 302
    rule = AlertRule.objects.get()
    assert rule.rise_factor == 2.5
    assert "4 dead letters in 60 min, 2.5 times the usual" in console.get(RULES).content.decode()
    path = page_of("monitoring.alertrule", rule.pk)
    response = console.post(path, {**form, "window_seconds": "86400"})
    assert errors_of(response) == {
        "rise_factor": ["is held against the day: the window must be shorter"]
    }
    assert console.post(path, {**form, "rise_factor": ""}).status_code == 302
    rule.refresh_from_db()
    assert rule.rise_factor is None


def test_an_incident_is_found_by_each_rule_that_sees_it(console: Client, account: Account) -> None:
    first, second, other = (
        create_rule(account=account, name=name, kind="expiring") for name in ("One", "Two", "Three")
    )
    incident = make_failing(account, rule=first)
    incident.rules.add(first, second)
    page = console.get(page_of("monitoring.incident", incident.pk)).content.decode()
    assert page.index(str(first.pk)) < page.index(str(second.pk))
    for rule, is_found in ((first, True), (second, True), (other, False)):
        text = console.get(page_of("monitoring.alertrule", rule.pk)).content.decode()
        assert (str(incident.pk) in text) == is_found
        text = console.get(f"/admin/monitoring/incident/?q={rule.pk}").content.decode()
        assert (str(incident.pk) in text) == is_found


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        ("setup_wrong", 0.0, "it stands for less than an hour"),
        ("setup_wrong", 26.4, "it stands for 26 hours"),
        ("expiring", 6.5, "6.5 days; the threshold is 7, the worst was 6.5"),
    ],
)
def test_an_incident_shows_its_figure(
    console: Client, account: Account, kind: str, value: float, text: str
) -> None:
    figures = {"value": value, "unit": "days", "threshold": 7}
    incident = make_failing(account)
    Incident.objects.filter(pk=incident.pk).update(kind=kind, figures=figures)
    page = console.get(page_of("monitoring.incident", incident.pk)).content.decode()
    assert text in page


def test_a_rule_of_a_taken_name_is_refused_at_its_field(console: Client, account: Account) -> None:
    create_rule(account=account, name="Taken", kind="expiring")
    form = {
        "account": account.pk, "name": "Taken", "severity": "warning", "threshold": "30",
        "opens_after_seconds": "0", "resolves_after_seconds": "0",
    }  # fmt: skip
    response = console.post(f"{RULES}add/?kind=expiring", form)
    assert errors_of(response) == {"name": ["the account has a rule of that name"]}
    both = {
        **form, "name": "Both", "subscription": make_subscription(account).pk,
        "source": make_source(account).pk,
    }  # fmt: skip
    response = console.post(f"{RULES}add/?kind=expiring", both)
    assert errors_of(response) == {
        "source": ["a rule is about a subscription or a source, not both"]
    }


def test_a_rule_is_deleted_and_its_history_stays(account: Account) -> None:
    rule = create_rule(account=account, name="Failing", kind="endpoint_failing")
    incident = make_failing(account, rule=rule)
    path = page_of("monitoring.alertrule", rule.pk).replace("/change/", "/delete/")
    assert member(Role.DEVELOPER, account).post(path, {"post": "yes"}).status_code == 403
    assert member(Role.OPERATOR, account).post(path, {"post": "yes"}).status_code == 302
    incident.refresh_from_db()
    assert (AlertRule.objects.count(), incident.rule) == (0, None)
    assert AuditEntry.objects.filter(action="alert_rule.deleted").count() == 1


# --- incidents ------------------------------------------------------------------------------------


def test_the_first_page_shows_what_is_open(console: Client, account: Account) -> None:
    assert "None: all is well." in console.get("/admin/").content.decode()
    make_failing(account)
    text = console.get("/admin/").content.decode()
    assert "Shop is &lt;failing&gt;" in text


def test_an_incident_is_seen_to(account: Account) -> None:
    incident = make_failing(account)
    client = member(Role.OPERATOR, account, username="ann")
    path = page_of("monitoring.incident", incident.pk)
    for verb, form in (
        ("acknowledge", {}),
        ("comment", {"text": "Looking <at> it."}),
        ("resolve", {"comment": "Mended."}),
    ):
        response = client.post(button_path("monitoring.incident", incident, verb), form)
        assert response.status_code == 302, verb
    incident.refresh_from_db()
    assert (incident.status, incident.acknowledged_by, incident.resolved_by) == (
        "resolved", "ann", "ann",
    )  # fmt: skip
    text = client.get(path).content.decode()
    for part in ("Looking &lt;at&gt; it.", "Mended.", "Somebody is at it."):
        assert part in text, part
    buttons = {item["path"] for item in client.get(path).context["actions_detail"]}
    assert not any("acknowledge" in item or "resolve" in item for item in buttons)
    refused = client.post(button_path("monitoring.incident", incident, "comment"), {"text": " "})
    assert refused.status_code == 200  # asks again
    assert incident.entries.filter(kind="commented").count() == 1
