"""A row that somebody else deletes between its being looked up and its being changed."""

from __future__ import annotations

from typing import Any, Final

import pytest

from incoming.models import Receipt
from monitoring.models import Incident
from tests.api.calls import Api
from tests.api.routes import CALLS, GROUPS, ROUTES, calls_of_group, make_world, undone
from tests.api.rows import everything
from tests.factories import make_api_key
from webhooks_project.api.scoping import AccountScopedViewSet

pytestmark = pytest.mark.django_db

# Nobody deletes these.
KEPT: Final = frozenset({"account", "subscription", "draft", "source", "api_key", "health_policy"})
# These do nothing with the row, and go by it as it was looked up: of a retry that was released
# meanwhile the delivery is cancelled.
READ: Final = frozenset({"dashboard-copy", "event-type-check-schema", "retry-cancel"})
# These ask for a row that is in some state, which one that is gone is not either.
REFUSED: Final = {
    "dead-letter-discard": "state_not_allowed",
    "dead-letter-redeliver": "state_not_allowed",
    "dead-receipt-discard": "state_not_allowed",
    "delivery-cancel": "state_not_allowed",
    "delivery-redeliver": "state_not_allowed",
    "notification-resend": "resend_not_allowed",
    "receipt-drop": "state_not_allowed",
    "receipt-release": "state_not_allowed",
    "replay-resume": "state_not_allowed",
    "retry-bring-forward": "state_not_allowed",
    "retry-postpone": "state_not_allowed",
    "run-rerun": "state_not_allowed",
}


def _row_of(path: str) -> str:
    """The name of the row that the path is of; empty where it is of none."""
    return path.rpartition("{")[2].partition("}")[0] if "{" in path else ""


WRITES: Final = [
    (name, method)
    for name, method in CALLS
    if method != "get" and _row_of(ROUTES[name].path) not in {"", *KEPT} and name not in READ
]


@pytest.mark.parametrize("group", GROUPS)
def test_what_was_deleted_meanwhile_is_not_there(
    monkeypatch: pytest.MonkeyPatch, group: str
) -> None:
    world = make_world()
    api = Api(make_api_key(world.account).text)
    look_up = AccountScopedViewSet.get_object
    left: list[Any] = []

    def look_up_and_lose(view: AccountScopedViewSet) -> Any:
        row = look_up(view)
        type(row)._default_manager.filter(pk=row.pk).delete()
        left.append(everything())
        return row

    monkeypatch.setattr(AccountScopedViewSet, "get_object", look_up_and_lose)
    ids = world.ids()
    for name, method in calls_of_group(group, WRITES):
        with undone():
            left.clear()
            answer = api.call(method, ROUTES[name].url(ids), ROUTES[name].body(method, ids))
            expected = (409, REFUSED[name]) if name in REFUSED else (404, "not_found")
            assert (answer.status, answer.code) == expected, (name, method)
            assert left == [everything()], (name, method)
            if name not in REFUSED:
                assert answer.json["detail"] == "It was deleted meanwhile.", (name, method)


def test_a_row_that_is_missing_behind_one_that_is_there_is_a_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = make_world()
    api = Api(make_api_key(world.account).text)

    def miss(**given: Any) -> None:
        raise Receipt.DoesNotExist("no receipt matches")

    monkeypatch.setattr("monitoring.api.incidents.acknowledge_incident", miss)
    with pytest.raises(Receipt.DoesNotExist, match="no receipt matches"):
        api.post(f"monitoring/incidents/{world.incident.pk}/acknowledge")
    api.client.raise_request_exception = False
    assert api.post(f"monitoring/incidents/{world.incident.pk}/acknowledge").status == 500
    assert Incident.objects.get(pk=world.incident.pk).status == "open"


def test_a_row_that_is_missing_where_the_address_is_of_none_is_a_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = make_world()
    api = Api(make_api_key(world.account).text)

    def miss(*given: Any, **named: Any) -> None:
        raise Receipt.DoesNotExist("no receipt matches")

    monkeypatch.setattr("monitoring.api.alert_rules.create_rule", miss)
    with pytest.raises(Receipt.DoesNotExist, match="no receipt matches"):
        api.post("monitoring/alert-rules", {"name": "Made", "kind": "backlog_old"})
