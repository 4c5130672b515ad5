"""Who changed what, by way of the API: every route that writes leaves its entry, and no secret."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson
import pytest
import time_machine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitoring.anchors import give_out_anchors
from monitoring.journal import record_activity, record_change
from monitoring.models import Activity, AuditEntry, Finding
from subscriptions.models import BulkLine, Subscription
from subscriptions.setup import Name, ok
from tests.api.calls import Api
from tests.api.routes import CALLS, GROUPS, ROUTES, World, calls_of_group, make_world, undone
from tests.factories import (
    make_account,
    make_api_key,
    make_delivery,
    make_source,
    make_subscription,
    make_user,
)
from webhooks_project.accounts.models import Account, Membership, Role
from webhooks_project.lib.actor import session_mark

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 14, 15, 9, 26, tzinfo=UTC)
AGENT = "Browser/1"

# What a call leaves in the audit log. A route that writes and is not here fails a test.
ACTIONS: Final[dict[tuple[str, str], tuple[str, ...]]] = {
    ("account-detail", "patch"): ("account.changed",),
    ("api-key-list", "post"): ("api_key.created",),
    ("api-key-revoke", "post"): ("api_key.revoked",),
    ("member-list", "post"): ("membership.set",),
    ("member-detail", "delete"): ("membership.ended",),
    ("source-list", "post"): ("source.created",),
    ("source-detail", "patch"): ("source.changed",),
    ("source-disable", "post"): ("source.disabled",),
    ("source-enable", "post"): ("source.enabled",),
    ("source-send-sample", "post"): ("source.sample_sent",),
    ("source-rotate-secret", "post"): ("source.secret_rotated",),
    ("source-learned-secret", "post"): ("source.learned_secret_shown",),
    ("source-rotate-token", "post"): ("source.token_rotated",),
    ("route-list", "post"): ("source.route_added",),
    ("route-detail", "patch"): ("source.route_changed",),
    ("route-detail", "delete"): ("source.route_deleted",),
    ("route-disable", "post"): ("source.route_changed",),
    ("route-enable", "post"): ("source.route_changed",),
    ("route-reorder", "post"): ("source.routes_reordered",),
    ("run-rerun", "post"): ("handler.rerun",),
    ("receipt-reprocess", "post"): ("receipt.reprocessed",),
    ("receipt-drop", "post"): ("receipt.dropped",),
    ("receipt-release", "post"): ("receipt.released",),
    ("receipt-replay-list", "post"): ("receipt_replay.planned",),
    ("receipt-replay-cancel", "post"): ("receipt_replay.cancelled",),
    ("receipt-replay-start", "post"): ("receipt_replay.started",),
    ("dead-receipt-reprocess", "post"): ("receipt.reprocessed",),
    ("dead-receipt-discard", "post"): ("receipt.discarded",),
    ("dead-receipt-reprocess-many", "post"): ("dead_receipts.reprocessed",),
    ("dead-receipt-discard-many", "post"): ("dead_receipts.discarded",),
    ("event-cancel", "post"): ("event.cancelled",),
    ("event-release", "post"): ("event.released",),
    ("event-drop", "post"): ("event.dropped",),
    ("delivery-cancel", "post"): ("delivery.cancelled",),
    ("delivery-redeliver", "post"): ("delivery.redelivered",),
    ("dead-letter-redeliver", "post"): ("delivery.redelivered",),
    ("dead-letter-discard", "post"): ("delivery.discarded",),
    ("dead-letter-redeliver-many", "post"): ("dead_letters.redelivered",),
    ("dead-letter-discard-many", "post"): ("dead_letters.discarded",),
    ("replay-list", "post"): ("replay.planned",),
    ("replay-run", "post"): ("replay.started",),
    ("replay-pause", "post"): ("replay.paused",),
    ("replay-resume", "post"): ("replay.resumed",),
    ("replay-cancel", "post"): ("replay.cancelled",),
    ("event-type-list", "post"): ("event_type.created",),
    ("event-type-detail", "patch"): ("event_type.changed",),
    ("event-type-detail", "delete"): ("event_type.deleted",),
    ("event-type-schemas", "post"): ("event_type.schema_added",),
    ("event-type-deprecate", "post"): ("event_type.deprecated",),
    ("event-type-archive", "post"): ("event_type.archived",),
    ("event-type-restore", "post"): ("event_type.restored",),
    ("event-type-import", "post"): ("event_type.created", "event_type.schema_added"),
    ("subscription-list", "post"): (
        "subscription.created", "subscription.verifying", "subscription.setup_requested",
    ),
    ("subscription-detail", "patch"): ("subscription.changed",),
    ("subscription-detail", "delete"): ("subscription.archived",),
    ("subscription-import", "post"): ("bulk_job.started",),
    ("subscription-disable", "post"): ("subscription.disabled",),
    ("subscription-pause", "post"): ("subscription.paused",),
    ("subscription-resume", "post"): ("subscription.active",),
    ("subscription-verify", "post"): ("subscription.setup_requested",),
    ("subscription-activate", "post"): (
        "subscription.verification_skipped", "subscription.active",
    ),
    ("subscription-renew", "post"): ("subscription.renewed",),
    ("subscription-rotate-secret", "post"): ("subscription.secret_rotated",),
    ("bulk-job-list", "post"): ("bulk_job.started",),
    ("bulk-job-start", "post"): ("bulk_job.started",),
    ("bulk-job-cancel", "post"): ("bulk_job.cancelled",),
    ("bulk-job-secrets", "post"): ("bulk_job.secrets_fetched",),
    ("retry-bring-forward", "post"): ("retry.brought_forward",),
    ("retry-postpone", "post"): ("retry.postponed",),
    ("retry-cancel", "post"): ("delivery.cancelled",),
    ("alert-rule-list", "post"): ("alert_rule.created",),
    ("alert-rule-detail", "patch"): ("alert_rule.changed",),
    ("alert-rule-detail", "delete"): ("alert_rule.deleted",),
    ("channel-list", "post"): ("channel.created",),
    ("channel-detail", "patch"): ("channel.changed",),
    ("channel-detail", "delete"): ("channel.deleted",),
    ("channel-test", "post"): ("channel.tested",),
    ("health-policy-detail", "patch"): ("health_policy.changed",),
    ("incident-acknowledge", "post"): ("incident.acknowledged",),
    ("incident-comment", "post"): ("incident.commented",),
    ("incident-resolve", "post"): ("incident.resolved",),
    ("notification-resend", "post"): ("notification.resent",),
    ("dashboard-list", "post"): ("dashboard.created",),
    ("dashboard-detail", "patch"): ("dashboard.changed",),
    ("dashboard-detail", "delete"): ("dashboard.deleted",),
    ("dashboard-arrange", "post"): ("dashboard.arranged",),
    ("dashboard-copy", "post"): ("dashboard.created",),
    ("default-dashboard-copy", "post"): ("dashboard.created",),
    ("widget-list", "post"): ("dashboard.widget_added",),
    ("widget-detail", "patch"): ("dashboard.widget_changed",),
    ("widget-detail", "delete"): ("dashboard.widget_removed",),
    ("objective-list", "post"): ("objective.created",),
    ("objective-detail", "patch"): ("objective.changed",),
    ("objective-detail", "delete"): ("objective.deleted",),
    ("report-list", "post"): ("report.created",),
    ("report-detail", "patch"): ("report.changed",),
    ("report-detail", "delete"): ("report.deleted",),
    ("report-run", "post"): ("report.run",),
    ("audit-log-export", "get"): ("audit_log.exported",),
}  # fmt: skip
# Calls that change nothing, and events, which are themselves the record of what was published.
CHANGELESS: Final = {
    "event-list", "event-batch", "event-type-check-schema", "subscription-match",
    "subscription-diagnose", "validate-filter", "validate-routes", "validate-transformation",
    "validate-payload", "validate-signature", "validate-url",
}  # fmt: skip


@pytest.fixture
def world() -> World:
    world = make_world()
    BulkLine.objects.filter(job=world.bulk_job).update(secret="")
    return world


@pytest.fixture(autouse=True)
def door(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a sample is sent to."""
    from incoming import samples

    class Answer:
        status_code, content = 200, b""

    monkeypatch.setattr(samples.requests.Session, "request", lambda *_, **__: Answer())
    monkeypatch.setattr("incoming.api.views.send_sample", samples.send_sample)


def entries_since(known: set[Any]) -> list[AuditEntry]:
    return list(AuditEntry.objects.exclude(pk__in=known).order_by("account", "sequence"))


def prepare(world: World, name: str) -> None:
    if name == "subscription-resume":
        Subscription.objects.filter(pk=world.subscription.pk).update(status="paused")
    if name == "bulk-job-secrets":
        line = BulkLine.objects.get(job=world.bulk_job)
        line.secret = "whsec_c2VjcmV0"
        line.save()


def test_the_table_has_every_route_that_writes() -> None:
    writing = {(name, method) for name, method in CALLS if method != "get"}
    expected = {call for call in writing if call[0] not in CHANGELESS}
    assert {call for call in ACTIONS if call[1] != "get"} == expected


@pytest.mark.parametrize("group", GROUPS)
def test_every_write_leaves_its_entry_with_who_did_it(world: World, group: str) -> None:
    made = make_api_key(world.account, Role.ADMIN)
    known = set(AuditEntry.objects.values_list("pk", flat=True))
    ids = world.ids()
    for name, method in calls_of_group(group, sorted(ACTIONS)):
        with undone():
            prepare(world, name)
            answer = Api(made.text).call(
                method, ROUTES[name].url(ids), ROUTES[name].body(method, ids),
                headers={"user-agent": AGENT},
            )  # fmt: skip
            assert answer.status < 300, (name, method, answer.text)
            entries = entries_since(known)
            actions = tuple(entry.action for entry in entries)
            assert actions == ACTIONS[name, method], (name, method)
            for entry in entries:
                assert entry.account_id == world.account.pk
                assert (entry.actor_kind, entry.actor_id, entry.actor_label) == (
                    "key", str(made.api_key.pk), "test",
                )  # fmt: skip
                assert (entry.actor_address, entry.actor_agent) == ("127.0.0.1", AGENT)
                assert entry.actor_session == ""
                assert "" not in (entry.object_type, entry.object_id), (name, method)


def test_what_changes_nothing_leaves_none(world: World) -> None:
    api = Api(make_api_key(world.account, Role.ADMIN).text)
    known = set(AuditEntry.objects.values_list("pk", flat=True))
    ids = world.ids()
    for name in sorted(CHANGELESS):
        api.post(ROUTES[name].url(ids), ROUTES[name].body("post", ids))
        assert entries_since(known) == [], name


def test_a_persons_session_is_named_and_not_its_key(world: World) -> None:
    user = make_user(world.account, Role.ADMIN, username="ann")
    entries = []
    for _ in range(2):
        api = Api(user=user)
        known = set(AuditEntry.objects.values_list("pk", flat=True))
        api.patch(f"accounts/{world.account.pk}", {"receipt_days": 90})
        [entry] = entries_since(known)
        assert (entry.actor_kind, entry.actor_id, entry.actor_label) == (
            "user", str(user.pk), "ann",
        )  # fmt: skip
        assert entry.actor_session == session_mark(api.client.session)
        assert len(entry.actor_session) == 16
        assert api.client.session.session_key not in str(entry.__dict__)
        entries.append(entry)
    assert entries[0].actor_session != entries[1].actor_session


@pytest.mark.parametrize(
    ("given", "kept"), [("", ""), ("x" * 500, "x" * 200), ("a\x1b[31mb\u200bc", "a[31mbc")]
)
def test_a_hostile_agent_is_kept_as_far_as_it_can_be_shown(
    world: World, given: str, kept: str
) -> None:
    api = Api(make_api_key(world.account, Role.ADMIN).text)
    known = set(AuditEntry.objects.values_list("pk", flat=True))
    api.client.generic(
        "PATCH", f"/api/v1/webhooks/accounts/{world.account.pk}", b'{"receipt_days":1}',
        content_type="application/json", headers=api._headers, HTTP_USER_AGENT=given,
    )  # fmt: skip
    assert [entry.actor_agent for entry in entries_since(known)] == [kept]


# --- no secret ------------------------------------------------------------------------------------

texts = st.text(st.sampled_from("abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"),
                min_size=24, max_size=40)  # fmt: skip


@settings(
    max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(texts, min_size=8, max_size=8, unique=True))
def test_no_secret_comes_into_the_journal_by_any_write(secrets: list[str]) -> None:
    world = make_world(make_account())
    header, password, client, bearer, source, option, other, _ = secrets
    api = Api(make_api_key(world.account, Role.ADMIN).text)
    authentications = [
        {"kind": "basic", "username": "me", "password": password},
        {"kind": "bearer", "token": bearer},
        {"kind": "oauth2", "token_url": "http://127.0.0.1:8009/token", "client_id": "me",
         "client_secret": client},
    ]  # fmt: skip
    answers = []
    for authentication in authentications:
        fields = {"custom_headers": {"X-Key": header}, "authentication": authentication}
        answers.append(api.patch(f"subscriptions/{world.subscription.pk}", fields))
        answers.append(
            api.post("subscriptions", {"name": "n", "url": "http://127.0.0.1:8009/h",
                                       "event_types": ["*"], **fields})
        )  # fmt: skip
        answers.append(
            api.post("subscriptions/import", [{"name": "n", "url": "http://127.0.0.1:8009/h",
                                               "event_types": ["*"]}])
        )  # fmt: skip
    made = api.post(
        "incoming/sources",
        {"name": "n", "provider": "meta", "secret": source, "options": {"verify_token": option}},
    )
    answers.append(made)
    answers.append(
        api.patch(f"incoming/sources/{made.json['id']}", {"options": {"verify_token": other}})
    )
    answers.append(
        api.post(f"incoming/sources/{world.source.pk}/rotate-secret", {"secret": other + "x"})
    )
    assert [answer.text for answer in answers if answer.status >= 300] == []
    for name, method in ACTIONS:
        ids = world.ids()
        answers.append(api.call(method, ROUTES[name].url(ids), ROUTES[name].body(method, ids)))
    shown = {text for answer in answers for text in _secrets_in(answer.json)}
    assert any(text.startswith("whsec_") for text in shown)
    assert any(text.startswith("whk_") for text in shown)
    journal = str(list(AuditEntry.objects.values_list())) + str(
        list(Activity.objects.values_list())
    )
    assert [text for text in {*secrets, *shown} if text in journal] == []


def _secrets_in(answer: Any) -> Iterator[str]:
    """What an answer shows once: keys and secrets made."""
    if isinstance(answer, dict):
        for name, value in answer.items():
            if name in ("secret", "key", "token") and isinstance(value, str) and len(value) > 16:
                yield value
            yield from _secrets_in(value)
    elif isinstance(answer, list):
        for item in answer:
            yield from _secrets_in(item)


# --- lists, and what stands in them ---------------------------------------------------------------


@pytest.fixture
def account() -> Account:
    return make_account()


@pytest.fixture
def api(account: Account) -> Api:
    return Api(make_api_key(account, Role.ADMIN).text)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("kind=delivery.exhausted", {0}), ("kind_prefix=delivery.", {0, 1}),
        ("kind_prefix=d", {0, 1}),
        ("search=GIVEN", {0, 2}), ("search=%25", set()), ("object_type=incoming.source", {2}),
        ("since=2026-03-15T15:09:26Z", {1, 2}), ("until=2026-03-15T15:09:26Z", {0}),
        ("kind_prefix=receipt.&search=given", {2}),
    ],
)  # fmt: skip
def test_activity_is_filtered(api: Api, account: Account, query: str, found: set[int]) -> None:
    source, delivery = make_source(account), make_delivery(subscription=make_subscription(account))
    for day, (kind, text, subject) in enumerate([
        ("delivery.exhausted", "It was given up.", delivery),
        ("delivery.something", "Else.", delivery),
        ("receipt.dead", "Receipt was given up.", source),
    ]):  # fmt: skip
        with time_machine.travel(NOW + timedelta(days=day), tick=False):
            record_activity(account_id=account.pk, kind=kind, text=text, subject=subject)
    rows = list(Activity.objects.order_by("created_at"))
    answer = api.get(f"monitoring/activities?{query}")
    assert {row["id"] for row in answer.rows} == {str(rows[number].pk) for number in found}
    assert {row["count"] for row in answer.rows} <= {1}
    by_object = api.get(f"monitoring/activities?object_id={source.pk}").rows
    assert [row["id"] for row in by_object] == [str(rows[2].pk)]


def test_a_text_that_no_database_takes_is_refused(api: Api) -> None:
    assert api.get("monitoring/activities?search=%00").errors == {
        "/search": "null_characters_not_allowed"
    }


def test_the_audit_log_is_filtered(api: Api, account: Account) -> None:
    source = make_source(account)
    with time_machine.travel(NOW, tick=False):
        entry = record_change(account_id=account.pk, action="source.changed", subject=source)
    for query in (
        "action=source.changed",
        "action_prefix=source.",
        f"object_id={source.pk}",
        "until=2026-03-14T15:09:27Z",
        "actor_kind=system&action_prefix=source",
    ):
        assert [row["id"] for row in api.get(f"monitoring/audit?{query}").rows] == [str(entry.pk)]


def test_findings_are_filtered(api: Api, account: Account) -> None:
    source = make_source(account)
    for kind, resolved in (("no_route", None), ("never_received", NOW)):
        Finding.objects.create(
            account=account, source=source, kind=kind, text="t", first_seen_at=NOW,
            last_seen_at=NOW, resolved_at=resolved,
        )  # fmt: skip
    for query, kinds in (
        ("is_resolved=false", ["no_route"]),
        ("is_resolved=true", ["never_received"]),
        ("kind=no_route", ["no_route"]),
        (f"source={source.pk}&until=2026-03-15T00:00Z", ["never_received", "no_route"]),
    ):
        rows = api.get(f"monitoring/findings?{query}").rows
        assert sorted(row["kind"] for row in rows) == kinds


def test_an_administrator_here_reads_no_audit_there(account: Account) -> None:
    other = make_account()
    user = make_user(account, Role.ADMIN)
    Membership.objects.create(account=other, user=user, role=Role.OPERATOR)
    for each in (account, other):
        record_change(account_id=each.pk, action="a.b", subject=each)
    give_out_anchors()
    api = Api(user=user)
    for path in ("monitoring/audit", "monitoring/audit/anchors", "members"):
        assert {row["account"] for row in api.get(path).rows} == {str(account.pk)}
    assert api.get(f"monitoring/accounts/{other.pk}/audit-log").status == 403


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_an_export_is_a_file_of_the_period(api: Api, account: Account, form: str) -> None:
    for day in range(4):
        with time_machine.travel(NOW + timedelta(days=day), tick=False):
            record_change(account_id=account.pk, action=f"day.{day}", subject=account)
    period = "since=2026-03-15T00:00:00Z&until=2026-03-17T00:00:00Z"
    answer = api.get(f"monitoring/accounts/{account.pk}/audit-log?{period}&as={form}")
    assert answer.status == 200
    assert answer.headers["Cache-Control"] == "no-store"
    name = f'filename="audit-{account.slug}-'
    assert name in answer.headers["Content-Disposition"]
    assert [f"day.{day}" in answer.text for day in range(4)] == [False, True, True, False]
    last = AuditEntry.objects.filter(account=account).order_by("-sequence").first()
    assert last is not None
    assert last.action == "audit_log.exported"
    assert orjson.loads(last.after) == {
        "format": form, "since": "2026-03-15T00:00:00+00:00", "until": "2026-03-17T00:00:00+00:00",
    }  # fmt: skip


def test_an_export_says_what_it_cannot_read(api: Api, account: Account) -> None:
    path = f"monitoring/accounts/{account.pk}/audit-log"
    assert api.get(f"{path}?as=xml").errors == {"/as": "invalid_choice"}
    assert set(api.get(f"{path}?since=x").errors) == {"/since"}
    turned = "since=2026-03-17T00:00:00Z&until=2026-03-16T00:00:00Z"
    assert api.get(f"{path}?{turned}").errors == {"/until": "invalid"}
    assert not AuditEntry.objects.filter(action="audit_log.exported").exists()


def test_every_moment_is_written_alike(world: World) -> None:
    """With a Z, whoever wrote it; what was hashed stays as it was."""
    world.subscription.setup = [ok(Name.ENDPOINT, "it is").as_json()]
    world.subscription.save()
    api = Api(make_api_key(world.account, Role.ADMIN).text)
    hashed = {"audit-list", "audit-detail", "audit-log-export"}
    for name, route in ROUTES.items():
        if "get" in route.roles and name not in hashed:
            assert "+00:00" not in api.get(route.url(world.ids())).text, name


def test_the_last_administrator_stays(account: Account) -> None:
    user = make_user(account, Role.ADMIN)
    api = Api(make_api_key(account, Role.ADMIN).text)
    member = Membership.objects.get(user=user)
    answer = api.delete(f"members/{member.pk}")
    assert (answer.status, answer.code) == (409, "last_admin")
    answer = api.post("members", {"user": user.username, "role": "viewer"})
    assert (answer.status, answer.code) == (409, "last_admin")
    member.refresh_from_db()
    assert member.role == Role.ADMIN
