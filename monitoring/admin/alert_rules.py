"""The rules that incidents are opened by. A new one begins with the choice of its kind."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from monitoring.admin.incidents import SEVERITY_COLOURS, STATUS_COLOURS
from monitoring.alert_rules import (
    CHANGEABLE,
    HIGHEST_RISE,
    LOWEST_RISE,
    MANY,
    MAX_SECONDS,
    change_rule,
    create_rule,
)
from monitoring.alert_rules import delete_rule as delete_one
from monitoring.judging import span
from monitoring.kinds import KINDS, SOURCE, SUBSCRIPTION, Kind, KindFacts
from monitoring.models import AlertRule, Channel
from monitoring.models.incidents import Severity
from webhooks_project.admin.access import visible_rows
from webhooks_project.admin.base import HubAdmin
from webhooks_project.admin.filters import RelatedFilter, ValuesFilter
from webhooks_project.admin.forms import Checkboxes, NumberInput, Select, ServiceForm
from webhooks_project.admin.panels import Panel, Table
from webhooks_project.admin.values import (
    column,
    label,
    link,
    link_to,
    list_of,
    moment,
    page_of,
    short,
)

SHOWN_INCIDENTS: Final = 10
SEVERITIES: Final = (
    (Severity.WARNING, "warning: it can wait for the morning"),
    (Severity.CRITICAL, "critical: people are told in their quiet hours too"),
)


def _seconds(help_text: str, lowest: int = 0, **more: Any) -> forms.IntegerField:
    return forms.IntegerField(
        min_value=lowest,
        max_value=MAX_SECONDS,
        widget=NumberInput,
        help_text=help_text,
        **more,
    )


class AlertRuleForm(ServiceForm):
    """What every kind has; `form_for` adds what the kind's threshold means."""

    facts: ClassVar[KindFacts]

    severity = forms.ChoiceField(choices=SEVERITIES, widget=Select)
    opens_after_seconds = _seconds(
        "In seconds: an incident is opened once the problem was seen for so long without a break."
    )
    resolves_after_seconds = _seconds(
        "In seconds: it is resolved once the problem was not seen for so long. Each time that it "
        "comes back meanwhile doubles that, up to eight times."
    )
    escalates_after_seconds = _seconds(
        "In seconds: others are told when nobody acknowledged it for so long; empty for never.",
        lowest=60,
        required=False,
    )
    channels = forms.ModelMultipleChoiceField(
        Channel.objects.none(),
        required=False,
        widget=Checkboxes,
        help_text="How people are told; with none, the account's operators by e-mail.",
    )
    escalation_channels = forms.ModelMultipleChoiceField(
        Channel.objects.none(),
        required=False,
        widget=Checkboxes,
        help_text="Who is told then; with none, the channels above once more.",
    )

    class Meta:
        model = AlertRule
        fields = ("account", *CHANGEABLE, *MANY)
        help_texts: ClassVar = {
            "name": "What people are told that it is.",
            "subscription": "Only this one; a rule that names one stands in place of those of its "
            "kind that are for all. Empty for every subscription of the account.",
            "source": "Only this one; a rule that names one stands in place of those of its kind "
            "that are for all. Empty for every source of the account.",
            "enabled": "While it is off nothing is looked for, and its incidents are resolved.",
        }

    def _get_validation_exclusions(self) -> set[str]:
        # What the constraints are about: the service says what is wrong, at its field.
        found: set[str] = super()._get_validation_exclusions()  # type: ignore[misc]
        return found | {"account", "subscription", "source"}


def form_for(kind: Kind) -> type[AlertRuleForm]:
    facts = KINDS[kind]
    fields: dict[str, Any] = {
        "facts": facts,
        "threshold": forms.FloatField(
            min_value=facts.lowest,
            max_value=facts.highest,
            initial=int(facts.default) if float(facts.default).is_integer() else facts.default,
            widget=NumberInput(attrs={"step": "any"}),
            label=f"Threshold, in {facts.unit}",
            help_text=f"{facts.text} From {facts.lowest:g} to {facts.highest:,g} {facts.unit}; "
            f"{facts.default:g} is a good start.",
        ),
    }
    if facts.windows:
        fields["window_seconds"] = forms.TypedChoiceField(
            choices=[(seconds, span(seconds)) for seconds in sorted(facts.windows)],
            coerce=int,
            initial=facts.windows[0],
            widget=Select,
            label="Window",
            help_text="How far back the rule looks.",
        )
    if facts.rise_factor is not None:
        fields["rise_factor"] = forms.FloatField(
            required=False,
            min_value=LOWEST_RISE,
            max_value=HIGHEST_RISE,
            initial=f"{facts.rise_factor:g}",
            widget=NumberInput(attrs={"step": "any"}),
            label="Times what is usual",
            help_text="Only that many times the count of a window of the same length in the rest "
            "of the day is a rise. Empty: the threshold alone decides, as it must for a day.",
        )
    return type("KindForm", (AlertRuleForm,), {**fields, "__module__": __name__})


def incidents_of_rule(rule: AlertRule) -> Panel:
    rows = [
        [
            link(page_of("monitoring.incident", incident.pk), moment(incident.opened_at)),
            label(incident.status, STATUS_COLOURS),
            short(incident.title, 120),
            moment(incident.resolved_at),
        ]
        for incident in rule.held_incidents.order_by("-opened_at")[:SHOWN_INCIDENTS]
    ]
    headers = ["Opened", "Status", "What", "Resolved"]
    more = link(list_of("monitoring.incident", q=rule.pk), "All") if rows else ""
    return Table("Its incidents", headers, rows, empty="It has opened none.", more=more)


@admin.register(AlertRule)
class AlertRuleAdmin(HubAdmin):
    form = AlertRuleForm
    empty_text = "Every account gets rules of each kind within a minute."
    autocomplete_fields = ("account", "subscription", "source")
    panels: ClassVar = [incidents_of_rule]
    list_display = (
        "name", "kind_text", "severity_label", "threshold_text", "subject", "enabled", "account",
    )  # fmt: skip
    list_filter = (
        ("kind", ValuesFilter),
        ("severity", ValuesFilter),
        ("account", RelatedFilter),
        "enabled",
    )
    list_select_related = ("account", "subscription", "source")
    search_fields = ("name",)
    ordering = ("name",)

    # --- the form ---

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        is_chosen = object_id is not None or _chosen(request) is not None
        if is_chosen or not self.has_add_permission(request):
            return super().changeform_view(request, object_id, form_url, extra_context)
        return self._kind_choice(request)

    def _kind_choice(self, request: HttpRequest) -> HttpResponse:
        kinds = [
            {"value": kind.value, "title": facts.title, "text": facts.text}
            for kind, facts in KINDS.items()
            if not facts.is_hub_wide or request.user.is_superuser
        ]
        context = {
            **self.admin_site.each_context(request),
            "title": "Add alert rule",
            "opts": self.opts,
            "kinds": kinds,
        }
        return TemplateResponse(request, "admin/console/rule_kind_choice.html", context)

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> type[forms.ModelForm[Any]]:
        kind = Kind(obj.kind) if obj is not None else _chosen(request)
        if kind is not None:
            kwargs["form"] = form_for(kind)
        form = super().get_form(request, obj, change, **kwargs)
        channels = visible_rows(request, Channel.objects.order_by("name"))
        if obj is not None:
            channels = channels.filter(account=obj.account_id)
        for name in MANY:
            if name in form.base_fields:
                form.base_fields[name].queryset = channels  # type: ignore[attr-defined]
        return form

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        kind = _chosen(request)
        given = super().get_changeform_initial_data(request)
        if kind is None:
            return given
        facts = KINDS[kind]
        return {
            "name": facts.title,
            "severity": facts.severity.value,
            "opens_after_seconds": facts.opens_after_seconds,
            "resolves_after_seconds": facts.resolves_after_seconds,
            **given,
        }

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        kind = Kind(obj.kind) if obj is not None else _chosen(request)
        facts = KINDS[kind] if kind is not None else None
        about = [name for name in (SUBSCRIPTION, SOURCE) if facts is None or name in facts.about]
        window = ["window_seconds"] if facts is None or facts.windows else []
        if facts is None or facts.rise_factor is not None:
            window.append("rise_factor")
        first = ["account", "name", "severity", "enabled"]
        if obj is not None:
            first.insert(1, "kind_text")
        return [
            (None, {"fields": first}),
            ("What it looks for", {"fields": ["threshold", *window, *about]}),
            (
                "When it opens and resolves",
                {"fields": [("opens_after_seconds", "resolves_after_seconds")]},
            ),
            (
                "Who is told",
                {"fields": ["channels", "escalates_after_seconds", "escalation_channels"]},
            ),
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("account", "kind_text") if obj is not None else ()

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        is_staff = bool(request.user.is_superuser)
        if change:
            changes = form.changes((*CHANGEABLE, *MANY))
            if changes:
                rule = AlertRule.objects.get(pk=obj.pk)
                change_rule(rule=rule, is_staff=is_staff, **_lists(changes))
            return
        kind = _chosen(request)
        made = create_rule(kind=str(kind), is_staff=is_staff, **_lists(form.cleaned_data))
        obj.__dict__.update(made.__dict__)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """The service has stored its channels."""

    def delete_model(self, request: HttpRequest, obj: AlertRule) -> None:
        delete_one(rule=obj)

    @column("Kind")
    def kind_text(self, rule: AlertRule) -> str:
        return KINDS[Kind(rule.kind)].title

    @column("Severity")
    def severity_label(self, rule: AlertRule) -> str:
        return label(rule.severity, SEVERITY_COLOURS)

    @column("Threshold")
    def threshold_text(self, rule: AlertRule) -> str:
        facts = KINDS[Kind(rule.kind)]
        window = f" in {span(rule.window_seconds)}" if facts.windows else ""
        unit = facts.unit.removesuffix("s") if rule.threshold == 1 else facts.unit
        rise = f", {rule.rise_factor:g} times the usual" if rule.rise_factor else ""
        return f"{rule.threshold:,g} {unit}{window}{rise}"

    @column("About")
    def subject(self, rule: AlertRule) -> str:
        row = rule.subscription or rule.source
        if row is not None:
            return link_to(row)
        about = sorted(KINDS[Kind(rule.kind)].about)
        return " and ".join(
            "the hub" if name == "hub" else f"all {name}s" for name in reversed(about)
        )


def _chosen(request: HttpRequest) -> Kind | None:
    """The kind that a new rule shall be of."""
    try:
        return Kind(request.GET.get("kind", ""))
    except ValueError:
        return None


def _lists(values: dict[str, Any]) -> dict[str, Any]:
    return {name: list(value) if name in MANY else value for name, value in values.items()}
