"""Which role may do what."""

from __future__ import annotations

import pytest

from tests.api.calls import Api
from tests.api.routes import CALLS, GROUPS, ROUTES, calls_of_group, make_world, undone
from tests.api.rows import everything
from tests.factories import make_api_key, make_user
from webhooks_project.accounts.models import Role

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("group", GROUPS)
def test_a_call_needs_its_role_and_no_more(group: str) -> None:
    world = make_world()
    keys = {role: Api(make_api_key(world.account, role).text) for role in Role}
    before = everything()

    def status_for(role: Role, name: str, method: str) -> int:
        route, ids = ROUTES[name], world.ids()
        return keys[role].call(method, route.url(ids), route.body(method, ids)).status

    for name, method in calls_of_group(group, CALLS):
        with undone():
            needed = ROUTES[name].roles[method]
            for role in Role:
                if role.rank < needed.rank:
                    assert status_for(role, name, method) == 403, (name, method, role)
            assert everything() == before, (name, method)
            expected = {"get": 200, "patch": 200, "delete": 204}.get(method)
            status = status_for(needed, name, method)
            assert status in ((expected,) if expected else (200, 201)), (name, method)


@pytest.mark.parametrize("role", Role)
def test_a_membership_gives_a_user_the_same_role(role: Role) -> None:
    world = make_world()
    api = Api(user=make_user(world.account, role))
    allowed = {
        name
        for name, method in CALLS
        if method == "get" and api.get(ROUTES[name].url(world.ids())).status == 200
    }
    assert allowed == {
        name
        for name, method in CALLS
        if method == "get" and ROUTES[name].roles["get"].rank <= role.rank
    }
    may_publish = role.rank >= Role.DEVELOPER.rank
    may_pause = role.rank >= Role.OPERATOR.rank
    body = {"type": "a", "data": {}}
    assert api.post("outgoing/events", body).status == (201 if may_publish else 403)
    pause = api.post(f"subscriptions/{world.subscription.pk}/pause")
    assert pause.status == (200 if may_pause else 403)


def test_a_refusal_says_so() -> None:
    world = make_world()
    answer = Api(make_api_key(world.account, Role.VIEWER).text).post(
        f"subscriptions/{world.subscription.pk}/pause"
    )
    assert (answer.status, answer.code) == (403, "permission_denied")
