"""No account sees or changes another's anything, on any route (promise 12)."""

from __future__ import annotations

import re

import pytest
from django.urls import resolve

from outgoing.models import Replay
from tests.api.calls import ROOT, Answer, Api
from tests.api.routes import (
    CALLS,
    GROUPS,
    LISTS,
    ROUTES,
    ROWLESS,
    World,
    api_patterns,
    make_world,
    methods_of,
    no_ids,
    of_group,
    undone,
)
from tests.api.rows import everything
from tests.factories import make_account, make_api_key, make_user
from tests.process_state import forget_process_state
from webhooks_project.accounts.models import Membership, Role
from webhooks_project.api.filters import FilterBackend
from webhooks_project.lib import clock

pytestmark = pytest.mark.django_db

CALLERS = ["key", "session"]
METHODS = ["get", "head", "options", "post", "put", "patch", "delete"]


@pytest.fixture
def world() -> World:
    return make_world()


@pytest.fixture(params=CALLERS)
def stranger(request: pytest.FixtureRequest) -> Api:
    """Somebody who may do everything, in an account of their own."""
    account = make_account()
    if request.param == "key":
        return Api(make_api_key(account, Role.ADMIN).text)
    return Api(user=make_user(account, Role.ADMIN))


def without_ids(answer: Answer) -> tuple[int, str]:
    """An answer in which one id cannot be told from another."""
    text = re.sub(r"[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}", "<id>", answer.text)
    return answer.status, re.sub(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z", "<time>", text)


# --- the table ------------------------------------------------------------------------------------


def test_every_route_is_in_the_table() -> None:
    found = {pattern.name: methods_of(pattern) for _, pattern in api_patterns()}
    assert found == {name: set(route.roles) for name, route in ROUTES.items()}


def test_every_url_of_the_table_leads_to_its_route() -> None:
    ids = no_ids()
    for name, route in ROUTES.items():
        assert resolve(ROOT + route.url(ids)).url_name == name


def test_every_route_with_rows_is_walked(world: World) -> None:
    """Each list and each route with a key shows its own account's rows to the account itself."""
    api = Api(make_api_key(world.account, Role.ADMIN).text)
    for name, route in ROUTES.items():
        if "get" not in route.roles or name in ROWLESS:
            continue
        answer = api.get(route.url(world.ids()))
        assert answer.status == 200, name
        mentioned = str(world.account.pk) in answer.text or any(
            str(key) in answer.text for key in world.ids().values()
        )
        assert mentioned, name


# --- the walk -------------------------------------------------------------------------------------


@pytest.mark.parametrize("group", GROUPS)
def test_finds_no_row_of_another_account(world: World, stranger: Api, group: str) -> None:
    before = everything()
    unknown = no_ids()
    for name in of_group(group, [name for name in ROUTES if "{" in ROUTES[name].path]):
        route = ROUTES[name]
        for method in METHODS:
            answer = stranger.call(method, route.url(world.ids()), route.body(method, world.ids()))
            same = stranger.call(method, route.url(unknown), route.body(method, unknown))
            assert without_ids(answer) == without_ids(same), (name, method)
            if method == "options":
                expected = 200
            else:
                known = method in route.roles or (method == "head" and "get" in route.roles)
                expected = 404 if known else 405
            assert answer.status == expected, (name, method)
        assert everything() == before, name
        forget_process_state()  # so many calls by one are limited


@pytest.mark.parametrize("group", GROUPS)
def test_lists_no_row_of_another_account(world: World, stranger: Api, group: str) -> None:
    # The stranger's own key or membership, and in the stranger's own chain that the key was made.
    own = {"api-key-list", "member-list"}
    for name in of_group(group, LISTS):
        answer = stranger.get(ROUTES[name].path)
        assert [
            row
            for row in answer.rows
            if row.get("action") != "api_key.created"
            and not (name in own and row["account"] != str(world.account.pk))
        ] == [], name
        assert answer.json["next"] is answer.json["previous"] is None
        assert not any(str(key) in answer.text for key in world.ids().values()), name


def filters_of(name: str) -> list[str]:
    (pattern,) = (pattern for _, pattern in api_patterns() if pattern.name == name)
    view = pattern.callback.cls  # type: ignore[attr-defined]
    filterset = FilterBackend().get_filterset_class(view(), view.queryset)
    return list(filterset.base_filters)


@pytest.mark.parametrize("group", GROUPS)
def test_no_filter_tells_whether_a_row_of_another_account_exists(
    world: World, stranger: Api, group: str
) -> None:
    for name in of_group(group, LISTS):
        for parameter in filters_of(name):
            key = world.ids().get(parameter, world.source.pk)
            answer = stranger.get(f"{ROUTES[name].path}?{parameter}={key}")
            same = stranger.get(f"{ROUTES[name].path}?{parameter}={no_ids()['source']}")
            assert answer.status in (200, 400), (name, parameter)
            assert without_ids(answer) == without_ids(same), (name, parameter)
        forget_process_state()


def test_creates_nothing_in_another_account(world: World, stranger: Api) -> None:
    before = everything()
    for name in [name for name, method in CALLS if method == "post" and name in LISTS]:
        route = ROUTES[name]
        body = route.body("post", world.ids())
        answer = stranger.post(route.path, {**body, "account": str(world.account.pk)})
        same = stranger.post(route.path, {**body, "account": str(no_ids()["account"])})
        assert answer.errors == {"/account": "does_not_exist"}, name
        assert without_ids(answer) == without_ids(same), name
        assert everything() == before, name


def test_replays_nothing_to_a_subscription_of_another_account(world: World, stranger: Api) -> None:
    body = ROUTES["replay-list"].body("post", world.ids())
    before = everything()
    answer = stranger.post("outgoing/replays", {**body, "subscription": str(world.subscription.pk)})
    same = stranger.post("outgoing/replays", {**body, "subscription": str(no_ids()["event"])})
    assert answer.errors == {"/subscription": "does_not_exist"}
    assert without_ids(answer) == without_ids(same)
    assert everything() == before


def test_checks_no_signature_for_a_source_of_another_account(world: World, stranger: Api) -> None:
    route = ROUTES["validate-signature"]
    answer = stranger.post(route.path, route.body("post", world.ids()))
    same = stranger.post(route.path, route.body("post", no_ids()))
    assert answer.status == 404
    assert without_ids(answer) == without_ids(same)


def test_counts_nothing_of_another_account(world: World, stranger: Api) -> None:
    answer = stranger.get("analytics/overview")
    for part in ("receipts", "deliveries", "attempts"):
        assert answer.json[part] == {}
    assert answer.json["events"] == 0


def test_routes_without_rows_name_none(world: World, stranger: Api) -> None:
    for name in sorted(ROWLESS):
        (method,) = ROUTES[name].roles
        with undone():
            answer = stranger.call(
                method, ROUTES[name].path, ROUTES[name].body(method, world.ids())
            )
        assert answer.status == 200, name
        assert not any(str(key) in answer.text for key in world.ids().values()), name


@pytest.mark.parametrize(
    "path",
    [
        "subscriptions/{subscription}",
        "subscriptions/event-types/{event_type}",
        "incoming/sources/{source}",
    ],
)
def test_a_row_does_not_move_to_another_account(world: World, path: str) -> None:
    other = make_account()
    user = make_user(world.account, Role.ADMIN)
    Membership.objects.create(account=other, user=user, role=Role.ADMIN)
    before = everything()
    answer = Api(user=user).patch(path.format(**world.ids()), {"account": str(other.pk)})
    assert set(answer.errors) == {"/account"}
    assert everything() == before


# --- those who see more than one account ----------------------------------------------------------


def test_a_user_sees_each_account_in_its_role(world: World) -> None:
    """Administrator here, viewer there: there they read and no more."""
    user = make_user(world.account, Role.VIEWER)
    Membership.objects.create(account=make_account(), user=user, role=Role.ADMIN)
    api = Api(user=user)
    before = everything()
    for name, method in CALLS:
        route = ROUTES[name]
        if name in ROWLESS or name in ("validate-signature", "subscription-import"):
            continue
        body = route.body(method, world.ids())
        names_account = name in LISTS or name.endswith("-many") or name == "default-dashboard-copy"
        if method == "post" and names_account:
            body = {**body, "account": str(world.account.pk)}
        answer = api.call(method, route.url(world.ids()), body)
        allowed = route.roles[method] == Role.VIEWER
        listed = name in LISTS and method == "get"
        assert answer.status == (200 if allowed or listed else 403), (name, method)
    assert everything() == before


def test_a_user_of_several_accounts_names_the_one_to_create_in(world: World) -> None:
    user = make_user(world.account, Role.ADMIN)
    other = make_account()
    Membership.objects.create(account=other, user=user, role=Role.ADMIN)
    body = {"type": "a", "data": {}}
    before = everything()
    assert Api(user=user).post("outgoing/events", body).errors == {"/account": "invalid"}
    assert everything() == before
    answer = Api(user=user).post("outgoing/events", {**body, "account": str(other.pk)})
    assert (answer.status, answer.json["account"]) == (201, str(other.pk))


def test_a_user_of_no_account_sees_nothing(world: World) -> None:
    api = Api(user=make_user(is_staff=True))
    for name, method in CALLS:
        route = ROUTES[name]
        answer = api.call(method, route.url(world.ids()), route.body(method, world.ids()))
        assert (answer.status, answer.code) == (403, "permission_denied"), name


def test_platform_staff_see_everything(world: World) -> None:
    hub_wide = Replay.objects.create(
        since=clock.now(), until=clock.now(), created_at=clock.now(), account=None
    )
    api = Api(user=make_user(is_superuser=True))
    for name in LISTS:
        rows = api.get(ROUTES[name].path).rows
        assert str(world.account.pk) in str(rows) or str(world.ids()[ROUTES[name].row]) in str(rows)
    assert api.get(f"outgoing/replays/{hub_wide.pk}").status == 200
    own = Api(make_api_key(world.account, Role.ADMIN).text)
    assert own.get(f"outgoing/replays/{hub_wide.pk}").status == 404
