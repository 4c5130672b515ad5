"""The form of a widget."""

from __future__ import annotations

from typing import Any, Final

from django import forms

from analytics.dashboards import WIDGET_FIELDS
from analytics.measures import dimension_choices, dimension_label, measure_choices
from analytics.models import Dashboard, Widget
from analytics.query import Dimension
from analytics.widgets import GRANULARITIES, MAX_ROWS, WidgetSpec, spec_of, widget_problems
from incoming.models import Source
from subscriptions.models import Subscription
from webhooks_project.admin.forms import (
    Checkbox,
    Checkboxes,
    LinesField,
    NumberInput,
    Select,
    Textarea,
    TextInput,
)
from webhooks_project.lib.errors import DomainError

MAX_CHOICES: Final = 300  # endpoints and sources that a filter offers
_STEPS: Final = {
    "": "by the period that is looked at", "none": "none: over the whole period",
    "minute": "minutes", "hour": "hours", "day": "days", "week": "weeks", "month": "months",
}  # fmt: skip
_IDS: Final = {"source": Source, "subscription": Subscription}
_LINES: Final = (
    Dimension.EVENT_TYPE, Dimension.CAUSE, Dimension.STATUS_CLASS, Dimension.VERDICT,
)  # fmt: skip
_WIDTHS: Final = {1: "a quarter", 2: "half", 3: "three quarters", 4: "the whole width"}
_HEIGHTS: Final = {1: "low", 2: "middle", 3: "high"}


class WidgetForm(forms.Form):
    """A stored query as people fill it in. What is acceptable the widget itself says."""

    title = forms.CharField(max_length=120, widget=TextInput)
    kind = forms.ChoiceField(choices=Widget.Kind.choices, widget=Select, label="Shown as")
    measures = forms.MultipleChoiceField(
        choices=measure_choices, required=False, widget=Checkboxes, label="What is counted"
    )
    dimension = forms.ChoiceField(
        choices=lambda: [("", "nothing"), *dimension_choices()],
        required=False,
        widget=Select,
        label="Told apart by",
    )
    dimension_2 = forms.ChoiceField(
        choices=lambda: [("", "nothing"), *dimension_choices()],
        required=False,
        widget=Select,
        label="and by",
        help_text="Of tables alone.",
    )
    granularity = forms.ChoiceField(
        choices=[(name, _STEPS[name]) for name in ("", *GRANULARITIES)],
        required=False,
        widget=Select,
        label="Steps of time",
    )
    order_by = forms.ChoiceField(
        choices=lambda: [("", "what is counted first"), *measure_choices()],
        required=False,
        widget=Select,
        label="Ranked by",
    )
    limit = forms.IntegerField(
        min_value=1, max_value=MAX_ROWS, required=False, widget=NumberInput, label="At most",
        help_text="Rows, bars or colours; empty for ten, of colours eight.",
    )  # fmt: skip
    compare = forms.BooleanField(
        required=False, widget=Checkbox, label="Compare with the period before"
    )
    subscription = forms.MultipleChoiceField(
        required=False, widget=Checkboxes, label="Only these subscriptions"
    )
    source = forms.MultipleChoiceField(
        required=False, widget=Checkboxes, label="Only these sources"
    )
    width = forms.TypedChoiceField(
        choices=list(_WIDTHS.items()), coerce=int, initial=2, widget=Select
    )
    height = forms.TypedChoiceField(
        choices=list(_HEIGHTS.items()), coerce=int, initial=2, widget=Select
    )

    def __init__(
        self, dashboard: Dashboard, data: Any = None, widget: Widget | None = None
    ) -> None:
        self.dashboard = dashboard
        self.kept: dict[str, list[str]] = {}  # filters that the form does not offer
        super().__init__(data, initial=_initial(widget) if widget is not None else None)
        for name, model in _IDS.items():
            rows = model._default_manager.filter(account=dashboard.account_id).order_by("name")
            chosen: Any = self.fields[name]
            choices = {str(pk): text for pk, text in rows.values_list("pk", "name")[:MAX_CHOICES]}
            # What is chosen is among them, also beyond the first ones, or deleted.
            if more := [key for key in _filter(widget, name) if key not in choices]:
                names = {str(pk): text for pk, text in
                         rows.filter(pk__in=more).values_list("pk", "name")}  # fmt: skip
                choices |= {key: names.get(key, f"deleted (…{key[-4:]})") for key in more}
            chosen.choices = list(choices.items())
            if not chosen.choices:
                del self.fields[name]
        for dimension in _LINES:
            self.fields[dimension.value] = LinesField(
                required=False,
                label=f"Only these: {dimension_label(dimension.value).lower()}",
                widget=Textarea(attrs={"rows": 2}),
                help_text="One a line.",
            )
        if widget is not None:
            self.kept = {name: values for name, values in widget.filters.items()
                         if name not in self.fields}  # fmt: skip
        self.order_fields([
            "title", "kind", "measures", "dimension", "dimension_2", "granularity", "order_by",
            "limit", "compare", "width", "height",
        ])  # fmt: skip

    def spec(self) -> tuple[WidgetSpec | None, list[str]]:
        """What the form asks for so far, or what is wrong with it. A title may yet be missing."""
        if not self.is_bound:
            return (spec_of(Widget(**self._started())), []) if self.initial else (None, [])
        if not self.is_valid() and self.errors.keys() - {"title"}:
            return None, [str(text) for texts in self.errors.values() for text in texts]
        row = Widget(dashboard=self.dashboard, **{**self.fields_given(), "title": self._title()})
        problems = [problem.message for problem in widget_problems(row)]
        return (None, problems) if problems else (spec_of(row), [])

    def _title(self) -> str:
        return self.cleaned_data.get("title") or "Without a title yet"

    def _started(self) -> dict[str, Any]:
        return {name: self.initial[name] for name in WIDGET_FIELDS if name in self.initial}

    def fields_given(self) -> dict[str, Any]:
        """As the services take them."""
        given = self.cleaned_data
        names = (*_IDS, *(item.value for item in _LINES))
        return {
            "title": given.get("title", ""),
            "kind": given["kind"],
            "measures": given["measures"],
            "dimensions": [given[name] for name in ("dimension", "dimension_2") if given.get(name)],
            "granularity": given["granularity"],
            "filters": self.kept | {name: given[name] for name in names if given.get(name)},
            "order_by": given["order_by"],
            "limit": given["limit"],
            "compare": given["compare"],
            "width": given["width"],
            "height": given["height"],
        }

    def refuse(self, error: DomainError) -> None:
        """Show a service's refusal at its fields."""
        fields = error.extra.get("fields")
        named = {"dimensions": "dimension", "filters": "dimension"}
        for name, texts in (fields if isinstance(fields, dict) else {"": [str(error)]}).items():
            at = named.get(name, name)
            self.add_error(at if at in self.fields else None, texts)

    def sections(self) -> list[tuple[str, list[Any], bool]]:
        """The fields in groups, and whether the group is open at first."""
        asked = ["title", "kind", "measures", "dimension", "granularity"]
        more = ["dimension_2", "order_by", "limit", "compare"]
        size = ["width", "height"]
        rest = [name for name in self.fields if name not in (*asked, *more, *size)]
        return [
            ("", [self[name] for name in asked], True),
            ("Size", [self[name] for name in size], True),
            ("Order, comparison", [self[name] for name in more], self._uses(more)),
            ("Filters", [self[name] for name in rest], self._uses(rest)),
        ]

    def _uses(self, names: list[str]) -> bool:
        return any(self[name].value() not in (None, "", [], False) for name in names) or any(
            name in self.errors for name in names
        )


def _filter(widget: Widget | None, name: str) -> list[str]:
    return list(widget.filters.get(name, ())) if widget is not None else []


def _initial(widget: Widget) -> dict[str, Any]:
    spec = spec_of(widget)
    dimensions = [*spec.dimensions, "", ""]
    return {
        **spec.columns(),
        "dimension": dimensions[0],
        "dimension_2": dimensions[1],
        **{name: list(values) for name, values in spec.filters.items()},
    }
