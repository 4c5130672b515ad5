"""Making, changing, copying and arranging dashboards and their widgets."""

from __future__ import annotations

from typing import Any

import pytest
from orjson import loads

from analytics import dashboards as services
from analytics.dashboards import (
    ArrangementNotAcceptable,
    DashboardNotAcceptable,
    Place,
    TooMany,
    WidgetNotAcceptable,
    add_widget,
    arrange,
    change_dashboard,
    change_widget,
    copy_dashboard,
    create_dashboard,
    delete_dashboard,
    moved,
    places_of,
    remove_widget,
)
from analytics.defaults import DEFAULTS, OVERVIEW
from analytics.models import Dashboard, Widget
from analytics.widgets import WidgetSpec, spec_of
from monitoring.models import AuditEntry
from tests.factories import make_account, make_dashboard, make_user, make_widget
from webhooks_project.lib.ids import new_id

pytestmark = pytest.mark.django_db


def last_entry() -> AuditEntry:
    return AuditEntry.objects.latest("sequence")


def widget_fields(**fields: Any) -> dict[str, Any]:
    return {"title": "Attempts", "kind": "number", "measures": ["attempts"]} | fields


# --- dashboards -----------------------------------------------------------------------------------


def test_a_dashboard_is_made_and_the_audit_says_so() -> None:
    owner = make_user()
    made = create_dashboard(account=make_account(), owner=owner, name="Ours", is_shared=False)
    assert (made.name, made.owner, made.is_shared) == ("Ours", owner, False)
    assert made.widgets.count() == 0
    assert (last_entry().action, last_entry().object_id) == ("dashboard.created", str(made.pk))


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"name": ""}, "blank"),
        ({"name": "  "}, "required"),
        ({"name": "x" * 121}, "max_length"),
        ({"name": "a\x00b"}, "null_characters_not_allowed"),
        ({"name": "Ours", "description": "x" * 501}, "max_length"),
        ({"name": "Ours", "owner": None, "is_shared": False}, "needs_an_owner"),
    ],
)
def test_refuses_what_is_no_dashboard(fields: dict[str, Any], code: str) -> None:
    given = {"owner": make_user()} | fields
    with pytest.raises(DashboardNotAcceptable) as refused:
        create_dashboard(account=make_account(), **given)
    assert [error["code"] for error in refused.value.extra["errors"]] == [code]  # type: ignore[attr-defined]
    assert not Dashboard.objects.exists()


def test_an_account_has_so_many_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "MAX_DASHBOARDS", 1)
    account = make_account()
    create_dashboard(account=account, owner=None, name="One")
    with pytest.raises(TooMany):
        create_dashboard(account=account, owner=None, name="Two")
    create_dashboard(account=make_account(), owner=None, name="Another's")


def test_a_change_is_recorded_with_what_was_before() -> None:
    dashboard = make_dashboard(name="Old")
    change_dashboard(dashboard=dashboard, name="New")
    entry = last_entry()
    assert (loads(entry.before), loads(entry.after)) == ({"name": "Old"}, {"name": "New"})
    dashboard.refresh_from_db()
    assert dashboard.name == "New"
    assert dashboard.changed_at > dashboard.created_at


def test_a_deleted_dashboard_takes_its_widgets_along() -> None:
    dashboard = make_dashboard()
    delete_dashboard(dashboard=dashboard)
    assert not Widget.objects.exists()
    assert last_entry().action == "dashboard.deleted"


@pytest.mark.parametrize("key", DEFAULTS)
def test_a_copy_of_a_default_shows_the_same(key: str) -> None:
    made = copy_dashboard(of=DEFAULTS[key], account=make_account(), owner=make_user())
    copied = [spec_of(widget) for widget in made.widgets.all()]
    assert [spec.columns() for spec in copied] == [spec.columns() for spec in DEFAULTS[key].widgets]
    assert made.name == f"{DEFAULTS[key].name} (copy)"
    for widget in made.widgets.all():  # each could be saved as it is
        change_widget(widget=widget, title=widget.title)


def test_a_copy_is_apart_from_what_it_is_of() -> None:
    first = copy_dashboard(of=OVERVIEW, account=make_account(), owner=make_user())
    second = copy_dashboard(of=first, account=first.account, owner=make_user(), name="Second")
    change_widget(widget=second.widgets.all()[0], title="Changed")
    assert first.widgets.all()[0].title == OVERVIEW.widgets[0].title


def test_a_private_one_is_seen_by_its_owner_and_one_without_owner_by_the_account() -> None:
    ann, bob = make_user(), make_user()
    account = make_account()
    private = make_dashboard(account, owner=ann, is_shared=False)
    shared = make_dashboard(account, owner=ann)
    assert set(Dashboard.objects.seen_by(ann.pk)) == {private, shared}
    assert set(Dashboard.objects.seen_by(bob.pk)) == {shared}
    assert set(Dashboard.objects.seen_by(None)) == {shared}
    ann.delete()
    assert set(Dashboard.objects.seen_by(bob.pk)) == {private, shared}


# --- widgets --------------------------------------------------------------------------------------


def test_a_widget_is_added_behind_the_others_changed_and_taken_away() -> None:
    dashboard = make_dashboard()
    made = add_widget(dashboard=dashboard, **widget_fields(title="Last"))
    assert [widget.title for widget in dashboard.widgets.all()] == [
        "Attempts", "Over time", "Last",
    ]  # fmt: skip
    change_widget(widget=made, title="Still last", measures=["failed"])
    entry = last_entry()
    assert entry.action == "dashboard.widget_changed"
    assert loads(entry.after)["widget"]["measures"] == ["failed"]
    remove_widget(widget=made)
    assert dashboard.widgets.count() == 2
    assert loads(last_entry().before)["widget"]["title"] == "Still last"


def test_a_dashboard_has_so_many_widgets_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "MAX_WIDGETS", 2)
    with pytest.raises(TooMany):
        add_widget(dashboard=make_dashboard(), **widget_fields())


@pytest.mark.parametrize(
    ("fields", "field", "code"),
    [
        ({"title": " "}, "title", "required"),
        ({"kind": "pie"}, "kind", "invalid_choice"),
        ({"measures": []}, "measures", "required"),
        ({"measures": "attempts"}, "measures", "not_a_list"),
        ({"measures": ["speed"]}, "measures", "unknown"),
        ({"measures": ["failed", "failed"]}, "measures", "repeated"),
        ({"kind": "line", "measures": ["attempts", "success_rate"]}, "measures", "mixed_units"),
        ({"kind": "stacked", "measures": ["success_rate"]}, "measures", "not_additive"),
        ({"kind": "heat_map", "measures": ["attempts", "failed"]}, "measures", "too_many"),
        ({"kind": "line", "measures": ["attempts", "failed"], "dimensions": ["cause"]},
         "measures", "too_many"),
        ({"dimensions": ["cause"]}, "dimensions", "too_many"),
        ({"kind": "table", "dimensions": ["colour"]}, "dimensions", "unknown"),
        ({"kind": "bar", "granularity": "none"}, "dimensions", "required"),
        ({"granularity": "decade"}, "granularity", "unknown"),
        ({"kind": "line", "granularity": "none"}, "granularity", "needs_time"),
        ({"filters": ["cause"]}, "filters", "not_a_mapping"),
        ({"filters": {"colour": ["red"]}}, "filters", "unknown"),
        ({"filters": {"cause": "dns"}}, "filters", "not_a_list"),
        ({"filters": {"cause": ["x"] * 51}}, "filters", "too_many"),
        ({"filters": {"subscription": ["mine"]}}, "filters", "not_an_id"),
        ({"filters": {"cause": ["d\0ns"]}}, "filters", "not_storable"),
        ({"filters": {"event_type": ["a", "b\ud800"]}}, "filters", "not_storable"),
        *(
            ({"kind": kind, "measures": [], "dimensions": dimensions,
              "filters": {"subscription": [str(new_id())]}}, "filters", "not_filtered")
            for kind, dimensions in (
                ("dead_letters", []), ("objectives", []), ("unused", []),
                ("health", ["subscription"]),
            )
        ),
        ({"order_by": "failed"}, "order_by", "unknown"),
        ({"limit": 501}, "limit", "max_value"),
        ({"width": 5}, "width", "max_value"),
        ({"height": 0}, "height", "min_value"),
        ({"kind": "table", "measures": ["receipts"], "dimensions": ["subscription"]},
         "dimensions", "not_of_incoming"),
        ({"kind": "table", "dimensions": ["source"]}, "dimensions", "not_of_outgoing"),
        ({"kind": "table", "measures": ["receipts", "attempts"], "dimensions": ["cause"]},
         "dimensions", "mixed_directions"),
    ],
)  # fmt: skip
def test_refuses_what_is_no_widget(fields: dict[str, Any], field: str, code: str) -> None:
    dashboard = make_dashboard()
    with pytest.raises(WidgetNotAcceptable) as refused:
        add_widget(dashboard=dashboard, **widget_fields(**fields))
    [error] = refused.value.extra["errors"]  # type: ignore[misc]
    assert (error["path"].split("/")[1], error["code"]) == (field, code)
    assert dashboard.widgets.count() == 2


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "line", "measures": ["response_p50_ms", "response_p95_ms"]},
        {"kind": "bar", "dimensions": ["event_type"]},
        {"kind": "stacked", "measures": ["receipts"], "dimensions": ["source"]},
        {"kind": "table", "dimensions": ["subscription", "cause"], "limit": 500},
        {"kind": "table", "measures": ["attempts", "receipts"], "dimensions": ["account"]},
        {"kind": "dead_letters", "measures": []},
        {"kind": "dead_letters", "measures": [], "filters": {"cause": []}},
        {"filters": {"subscription": [str(new_id())], "cause": ["dns", "timeout"]}},
    ],
)
def test_takes_what_can_be_drawn(fields: dict[str, Any]) -> None:
    assert add_widget(dashboard=make_dashboard(), **widget_fields(**fields)).pk


# --- arranging ------------------------------------------------------------------------------------


def test_a_forecast_without_whole_days_says_so_and_not_that_nothing_was_sent() -> None:
    spec = WidgetSpec(title="Expected", kind="forecast", measures=("attempts",))
    assert spec.empty_text == (
        "Nothing was counted on a whole day up to the end of this period. A forecast begins once "
        "there were seven days."
    )


def titles(dashboard: Dashboard) -> list[str]:
    return [widget.title for widget in dashboard.widgets.all()]


def test_widgets_stand_where_they_are_put() -> None:
    dashboard = make_dashboard()
    first, second = places_of(dashboard)
    arrange(dashboard=dashboard, places=[Place(second.id, 4, 3), Place(first.id, 1, 1)])
    assert titles(dashboard) == ["Over time", "Attempts"]
    assert places_of(dashboard) == [Place(second.id, 4, 3), Place(first.id, 1, 1)]
    assert last_entry().action == "dashboard.arranged"


def test_what_changes_nothing_is_not_in_the_audit() -> None:
    dashboard = make_dashboard()
    arrange(dashboard=dashboard, places=places_of(dashboard))
    assert not AuditEntry.objects.exists()


@pytest.mark.parametrize("wrong", ["missing", "strange", "twice", "too wide", "too low"])
def test_refuses_an_arrangement_that_does_not_fit(wrong: str) -> None:
    dashboard = make_dashboard()
    first, second = places_of(dashboard)
    strange = make_widget(make_dashboard())
    places = {
        "missing": [first],
        "strange": [first, Place(strange.pk, 1, 1)],
        "twice": [first, first],
        "too wide": [first, Place(second.id, 5, 1)],
        "too low": [first, Place(second.id, 1, 0)],
    }[wrong]
    with pytest.raises(ArrangementNotAcceptable):
        arrange(dashboard=dashboard, places=places)
    assert places_of(dashboard) == [first, second]


@pytest.mark.parametrize(
    ("move", "expected"),
    [
        ("earlier", ["b", "a", "c"]), ("later", ["a", "c", "b"]), ("sideways", ["a", "b", "c"]),
    ],
)  # fmt: skip
def test_a_step_moves_one_widget(move: str, expected: list[str]) -> None:
    ids = dict(zip("abc", (new_id() for _ in range(3)), strict=True))
    places = [Place(key, 2, 2) for key in ids.values()]
    found = moved(places, ids["b"], move)
    assert [place.id for place in found] == [ids[name] for name in expected]


@pytest.mark.parametrize(
    ("move", "place", "size"),
    [
        ("earlier", 0, (2, 2)), ("later", -1, (2, 2)), ("wider", 0, (3, 2)),
        ("narrower", 0, (1, 2)), ("taller", 0, (2, 3)), ("shorter", 0, (2, 1)),
    ],
)  # fmt: skip
def test_a_step_ends_at_the_edge(move: str, place: int, size: tuple[int, int]) -> None:
    places = [Place(new_id(), 2, 2), Place(new_id(), 2, 2)]
    key = places[place].id
    once = moved(places, key, move)
    assert (once[place].width, once[place].height) == size
    often = once
    for _ in range(9):
        often = moved(often, key, move)
    assert often[place].id == key
    assert 1 <= often[place].width <= 4
    assert 1 <= often[place].height <= 3


def test_what_is_not_there_is_not_moved() -> None:
    places = [Place(new_id(), 2, 2)]
    assert moved(places, new_id(), "wider") == places
