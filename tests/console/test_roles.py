"""Members in the console: their accounts' rows, and what their role may do there.

The table says for every page of every kind of row which role it needs; platform staff are tested
elsewhere.
"""

from __future__ import annotations

import re
from typing import Any, Final

import pytest
from django.contrib import admin
from django.db.models import Model
from django.test import Client

from subscriptions.models import BulkJob, Subscription
from tests.api.rows import everything
from tests.console.conftest import make_rows
from tests.console.test_forms import subscription_fields
from tests.factories import make_account, make_source, make_subscription, make_user
from webhooks_project.accounts.models import Account, ApiKey, Membership, Role
from webhooks_project.accounts.roles import VIEWS
from webhooks_project.admin.values import list_of, page_of

pytestmark = pytest.mark.django_db

VIEWER, DEVELOPER, OPERATOR, ADMIN = Role
NOBODY: Final = None
# By model: who may look, add and change, and press each button.
TABLE: Final[dict[str, dict[str, Role | None]]] = {
    "accounts.account": {"view": VIEWER, "add": NOBODY, "change": ADMIN, "set_member": ADMIN},
    "accounts.apikey": {"view": ADMIN, "add": ADMIN, "change": NOBODY, "revoke": ADMIN},
    "accounts.user": {"view": NOBODY, "add": NOBODY, "change": NOBODY},
    "auth.group": {"view": NOBODY, "add": NOBODY, "change": NOBODY},
    "hub.heartbeat": {"view": NOBODY, "add": NOBODY, "change": NOBODY},
    "subscriptions.subscription": {
        "view": VIEWER, "add": DEVELOPER, "change": DEVELOPER, "pause": OPERATOR,
        "resume": OPERATOR, "disable": OPERATOR, "rotate_secret": DEVELOPER, "archive": DEVELOPER,
        "activate": OPERATOR, "verify": DEVELOPER, "renew": DEVELOPER, "examine": DEVELOPER,
    },
    "subscriptions.eventtype": {
        "view": VIEWER, "add": DEVELOPER, "change": DEVELOPER, "add_schema": DEVELOPER,
        "deprecate": DEVELOPER, "archive": DEVELOPER, "restore": DEVELOPER,
    },
    # The row is a pause.
    "subscriptions.bulkjob": {
        "view": VIEWER, "add": NOBODY, "change": NOBODY, "start": OPERATOR, "cancel": OPERATOR,
        "show_secrets": OPERATOR,
    },
    "outgoing.event": {
        "view": VIEWER, "add": NOBODY, "change": NOBODY, "release": OPERATOR, "drop": OPERATOR,
        "cancel": DEVELOPER,
    },
    "outgoing.delivery": {
        "view": VIEWER, "add": NOBODY, "change": NOBODY, "redeliver": OPERATOR, "cancel": OPERATOR,
        "discard": OPERATOR,
    },
    "outgoing.attempt": {"view": VIEWER, "add": NOBODY, "change": NOBODY},
    "outgoing.retry": {
        "view": VIEWER, "add": NOBODY, "change": NOBODY, "bring_forward": OPERATOR,
        "postpone": OPERATOR, "cancel": OPERATOR,
    },
    "outgoing.replay": {
        "view": VIEWER, "add": OPERATOR, "change": NOBODY, "run": OPERATOR, "pause": OPERATOR,
        "resume": OPERATOR, "cancel": OPERATOR,
    },
    "incoming.source": {
        "view": VIEWER, "add": DEVELOPER, "change": DEVELOPER, "send_sample": DEVELOPER,
        "enable": OPERATOR, "disable": OPERATOR, "rotate_secret": DEVELOPER,
        "show_secret": DEVELOPER, "rotate_url": DEVELOPER,
    },
    "incoming.receipt": {
        "view": VIEWER, "add": NOBODY, "change": NOBODY, "reprocess": OPERATOR,
        "release": OPERATOR, "drop": OPERATOR, "replay_receipt": OPERATOR, "discard": OPERATOR,
    },
    "incoming.handlerrun": {
        "view": VIEWER, "add": NOBODY, "change": NOBODY, "run_again": OPERATOR,
    },
    "incoming.receiptreplay": {
        "view": VIEWER, "add": OPERATOR, "change": NOBODY, "start": OPERATOR, "cancel": OPERATOR,
    },
    "incoming.refusalcount": {"view": VIEWER, "add": NOBODY, "change": NOBODY},
    "monitoring.healthcheck": {"view": VIEWER, "add": NOBODY, "change": NOBODY},
    "monitoring.healthpolicy": {"view": VIEWER, "add": NOBODY, "change": OPERATOR},
    "monitoring.alertrule": {"view": VIEWER, "add": OPERATOR, "change": OPERATOR},
    "monitoring.incident": {
        "view": VIEWER, "add": NOBODY, "change": NOBODY, "acknowledge": OPERATOR,
        "resolve": OPERATOR, "comment": OPERATOR,
    },
    "monitoring.activity": {"view": VIEWER, "add": NOBODY, "change": NOBODY},
    "monitoring.finding": {"view": VIEWER, "add": NOBODY, "change": NOBODY},
    "monitoring.auditanchor": {"view": ADMIN, "add": NOBODY, "change": NOBODY},
    "monitoring.notification": {
        "view": VIEWER, "add": NOBODY, "change": NOBODY, "resend": OPERATOR,
    },
    "monitoring.channel": {
        "view": VIEWER, "add": OPERATOR, "change": OPERATOR, "test": OPERATOR,
    },
    "monitoring.auditentry": {"view": ADMIN, "add": NOBODY, "change": NOBODY},
    "analytics.objective": {"view": VIEWER, "add": OPERATOR, "change": OPERATOR},
    "analytics.dashboard": {
        "view": VIEWER, "add": DEVELOPER, "change": DEVELOPER, "open_board": VIEWER,
        "copy": DEVELOPER,
    },
    "analytics.report": {
        "view": VIEWER, "add": DEVELOPER, "change": DEVELOPER, "run_now": DEVELOPER,
    },
    "analytics.reportrun": {"view": VIEWER, "add": NOBODY, "change": NOBODY},
    "analytics.rollup": {"view": VIEWER, "add": NOBODY, "change": NOBODY},
    "analytics.receiptrollup": {"view": VIEWER, "add": NOBODY, "change": NOBODY},
}  # fmt: skip
OWNED: Final = sorted(set(TABLE) & set(VIEWS))


def member(role: str, *accounts: Any, **fields: Any) -> Client:
    user = make_user(is_staff=True, **fields)
    for account in accounts:
        Membership.objects.create(account=account, user=user, role=role)
    client = Client()
    client.force_login(user)
    return client


def account_of(rows: dict[str, Model]) -> Any:
    return rows["accounts.account"]


def button_path(model: str, row: Model, verb: str) -> str:
    name = verb.replace("_", "-")
    return page_of(model, row.pk).replace("/change/", f"/{name}/")


def is_allowed(role: Role, needed: Role | None) -> bool:
    return needed is not None and role.rank >= needed.rank


def test_the_table_has_every_page_and_button() -> None:
    found = {}
    for model, page in admin.site._registry.items():
        buttons = getattr(page, "actions_detail", ())
        found[model._meta.label_lower] = {"view", "add", "change", *buttons}
    assert found == {model: set(verbs) for model, verbs in TABLE.items()}


@pytest.mark.parametrize("role", Role)
def test_what_a_role_may_open(rows: dict[str, Model], role: Role) -> None:
    client = member(role, account_of(rows))
    for model, verbs in TABLE.items():
        sees = is_allowed(role, verbs["view"])
        listed = client.get(list_of(model))
        assert listed.status_code == (200 if sees else 403), model
        if model == "auth.group":
            continue
        row = rows[model]
        if sees:
            assert [str(item.pk) for item in listed.context["cl"].result_list].count(
                str(row.pk)
            ) == 1, model
        page = client.get(page_of(model, row.pk))
        assert page.status_code == (200 if sees else 403), model
        if sees:
            may_save = 'name="_save"' in page.content.decode()
            assert may_save == is_allowed(role, verbs["change"]), model
        added = client.get(list_of(model) + "add/").status_code
        assert added == (200 if is_allowed(role, verbs["add"]) else 403), model


@pytest.mark.parametrize("role", Role)
def test_what_a_role_may_press(rows: dict[str, Model], role: Role) -> None:
    client = member(role, account_of(rows))
    before = everything()
    for model, verbs in TABLE.items():
        for verb in verbs.keys() - {"view", "add", "change"}:
            allowed = is_allowed(role, verbs[verb])
            path = button_path(model, rows[model], verb)
            assert client.get(path).status_code == (200 if allowed else 403), (model, verb)
            if not allowed:
                assert client.post(path).status_code == 403, (model, verb)
    assert everything() == before


@pytest.mark.parametrize("role", Role)
def test_no_row_of_another_account_is_seen_or_changed(rows: dict[str, Model], role: Role) -> None:
    client = member(role, make_account())
    before = everything()
    for model in OWNED:
        row, verbs = rows[model], TABLE[model]
        listed = client.get(list_of(model))
        if listed.status_code == 200:
            assert str(row.pk) not in {str(item.pk) for item in listed.context["cl"].result_list}
        for path in (page_of(model, row.pk), *(button_path(model, row, verb) for verb in verbs)):
            for call in (client.get, client.post):
                assert call(path).status_code in (302, 403, 404), path
    assert everything() == before


def test_a_role_in_one_account_is_none_in_another(rows: dict[str, Model]) -> None:
    """Administrator here, viewer there: there they look and no more."""
    client = member(VIEWER, account_of(rows))
    Membership.objects.create(
        account=make_account(), user_id=client.session["_auth_user_id"], role=ADMIN
    )
    before = everything()
    for model in OWNED:
        row, verbs = rows[model], TABLE[model]
        expected = 200 if verbs["view"] == VIEWER else 302
        page = client.get(page_of(model, row.pk))
        assert page.status_code == expected, model
        assert 'name="_save"' not in page.content.decode(), model
        assert client.post(page_of(model, row.pk), {"name": "x"}).status_code in (302, 403)
        for verb in verbs.keys() - {"view", "add", "change"}:
            path = button_path(model, row, verb)
            refused = 403 if verbs["view"] == VIEWER else 302
            answer = 200 if verbs[verb] == VIEWER else refused
            assert client.post(path).status_code == answer, (model, verb)
    assert everything() == before


@pytest.mark.parametrize("fields", [{"is_active": False}, {"is_staff": False}])
def test_who_may_not_come_in_stays_out(rows: dict[str, Model], fields: dict[str, bool]) -> None:
    user = make_user(**{"is_staff": True, **fields})
    Membership.objects.create(account=account_of(rows), user=user, role=ADMIN)
    client = Client()
    client.force_login(user)
    assert client.get(list_of("subscriptions.subscription")).status_code == 302


# --- what forms and lists offer -------------------------------------------------------------------


def test_a_row_is_made_only_in_an_account_where_the_role_allows_it() -> None:
    mine, read, foreign = make_account(), make_account(), make_account()
    client = member(DEVELOPER, mine)
    Membership.objects.create(account=read, user_id=client.session["_auth_user_id"], role=VIEWER)
    form = subscription_fields(mine)
    path = list_of("subscriptions.subscription") + "add/"
    for account in (read, foreign):
        response = client.post(path, {**form, "account": account.pk})
        assert "account" in response.context["adminform"].form.errors
    assert Subscription.objects.count() == 0
    client.post(path, {**form, "account": mine.pk})
    assert Subscription.objects.get().account == mine


def test_an_administrator_makes_keys_of_their_own_account_alone() -> None:
    mine, foreign = make_account(), make_account()
    client = member(ADMIN, mine)
    path = list_of("accounts.apikey") + "add/"
    client.post(path, {"account": foreign.pk, "name": "x", "scopes": ["admin"]})
    assert ApiKey.objects.count() == 0
    client.post(path, {"account": mine.pk, "name": "x", "scopes": ["admin"]})
    assert ApiKey.objects.get().account == mine


def test_no_filter_names_another_account() -> None:
    foreign = make_account(name="Very secret")
    client = member(ADMIN, make_account())
    for model in OWNED:
        page = client.get(list_of(model, account__id__exact=foreign.pk), follow=True)
        assert "Very secret" not in page.content.decode(), model


def test_no_search_names_another_account() -> None:
    make_account(name="Very secret")
    mine = make_account(name="Mine")
    path = "/admin/autocomplete/?app_label=subscriptions&model_name=subscription&field_name=account"
    found = member(DEVELOPER, mine).get(path).json()["results"]
    assert [item["text"] for item in found] == ["Mine"]


def test_the_first_page_counts_nothing_of_others(rows: dict[str, Model]) -> None:
    page = member(ADMIN, make_account()).get("/admin/")
    assert (page.context["figures"], page.context["panels"]) == ([], [])


def test_the_sidebar_leads_to_what_may_be_seen(rows: dict[str, Model]) -> None:
    client = member(VIEWER, account_of(rows))
    page = client.get("/admin/").content.decode()
    sidebar = page[page.index('id="nav-sidebar-apps"') :]
    links = set(re.findall(r'href="(/admin/[a-z_]+/[a-z_]+/)"', sidebar))
    assert links == {list_of(model) for model, verbs in TABLE.items() if verbs["view"] == VIEWER}


def test_actions_leave_rows_where_the_role_does_not_allow_them() -> None:
    mine, read = make_account(), make_account()
    client = member(OPERATOR, mine)
    Membership.objects.create(account=read, user_id=client.session["_auth_user_id"], role=VIEWER)
    chosen = [make_subscription(mine), make_subscription(read)]
    client.post(
        list_of("subscriptions.subscription"),
        {"action": "pause_selected", "_selected_action": [row.pk for row in chosen]},
    )
    job = BulkJob.objects.get()
    assert job.account == mine
    assert list(job.lines.values_list("subscription", flat=True)) == [chosen[0].pk]


@pytest.mark.parametrize(
    ("role", "offered"),
    [
        (VIEWER, {"export_selected"}),
        (DEVELOPER, {"export_selected", "rotate_selected", "archive_selected"}),
        (OPERATOR, {"export_selected", "rotate_selected", "archive_selected", "pause_selected",
                    "resume_selected", "disable_selected"}),
    ],
)  # fmt: skip
def test_a_list_offers_the_actions_of_the_role(role: Role, offered: set[str]) -> None:
    account = make_account()
    make_subscription(account)
    page = member(role, account).get(list_of("subscriptions.subscription"))
    form = page.context["action_form"]
    choices = {name for name, _ in form.fields["action"].choices if name} if form else set()
    assert choices == offered


def test_members_are_set_by_name(rows: dict[str, Model]) -> None:
    account = account_of(rows)
    client = member(ADMIN, account)
    ann = make_user(username="ann")
    path = button_path("accounts.account", account, "set_member")
    client.post(path, {"username": "ann", "role": "operator"})
    assert ann.memberships.get().role == "operator"
    client.post(path, {"username": "nobody", "role": "operator"})
    assert Membership.objects.filter(account=account).count() == 3
    client.post(path, {"username": "ann", "role": ""})
    assert not ann.memberships.exists()


def test_routes_of_a_source_are_changed_by_who_may_change_the_source() -> None:
    account = make_account()
    source = make_source(account)
    for role, expected in ((VIEWER, False), (DEVELOPER, True)):
        page = member(role, account).get(page_of("incoming.source", source.pk))
        [inline] = page.context["inline_admin_formsets"]
        assert (inline.has_change_permission, inline.has_view_permission) == (expected, True)


def test_limits_are_the_administrators() -> None:
    account = make_account(receipt_days=None)
    form = {
        "name": account.name, "slug": account.slug, "receipt_days": 5,
        "unknown_event_types": "allow",
    }  # fmt: skip
    path = page_of("accounts.account", account.pk)
    assert member(OPERATOR, account).post(path, form).status_code == 403
    assert Account.objects.get().receipt_days is None
    assert member(ADMIN, account).post(path, form).status_code == 302
    assert Account.objects.get().receipt_days == 5


def test_the_rows_are_of_one_account() -> None:
    assert {account_of(make_rows()).pk} == {Account.objects.get().pk}
