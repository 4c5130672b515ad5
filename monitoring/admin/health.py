"""How well endpoints and sources do, and what an account calls degraded, failing and down."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from django import forms
from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.dateparse import parse_datetime

from incoming.admin.sources import SourceAdmin
from incoming.models import Source
from monitoring.figures import DAY, FIVE_MINUTES, HOUR
from monitoring.judging import span
from monitoring.models import HealthCheck, HealthPolicy
from monitoring.policies import change_policy
from monitoring.thresholds import THRESHOLDS, limits_with
from subscriptions.admin import SubscriptionAdmin
from subscriptions.models import Subscription
from webhooks_project.admin.base import HistoryAdmin, HubAdmin
from webhooks_project.admin.filters import PeriodFilter, RelatedFilter, ValuesFilter
from webhooks_project.admin.forms import NumberInput, ServiceForm
from webhooks_project.admin.panels import Panel, Table
from webhooks_project.admin.search import id_in
from webhooks_project.admin.values import (
    EMPTY,
    column,
    label,
    link,
    link_to,
    milliseconds,
    moment,
    moment_column,
    page_of,
    short,
    visible,
)

State = HealthCheck.State
STATE_COLOURS: Final = {
    State.HEALTHY: "success",
    State.DEGRADED: "warning",
    State.FAILING: "danger",
    State.DOWN: "danger",
}
_WINDOW_TITLES: Final = {FIVE_MINUTES: "5 minutes", HOUR: "1 hour", DAY: "24 hours"}
SHOWN_CAUSES: Final = 4


def health_of_subscription(subscription: Subscription) -> Panel:
    check = HealthCheck.objects.filter(subscription=subscription).first()
    return _health_panel(check, "Health")


def health_of_source(source: Source) -> Panel:
    return _health_panel(HealthCheck.objects.filter(source=source).first(), "Health")


def _health_panel(check: HealthCheck | None, title: str) -> Panel:
    if check is None:
        empty = "It is judged within a minute once it is active."
        return Table(title, ["Figure", "Value"], [], empty=empty)
    rows: list[list[Any]] = [
        ["State", label(check.state, STATE_COLOURS)],
        ["Since", moment(check.state_since)],
    ]
    if check.wanted_state != check.state:
        asked = f"{check.wanted_state}, since {moment(check.wanted_since)}"
        rows.append(["The figures ask for", asked])
    rows += [["Why", visible(reason)] for reason in check.reasons]
    rows += _facts(check.figures, is_source=check.source_id is not None)
    more = link(page_of("monitoring.healthcheck", check.pk), "Figures by window")
    return Table(title, ["Figure", "Value"], rows, more=more)


def _facts(figures: dict[str, Any], *, is_source: bool) -> list[list[Any]]:
    waiting = f"{figures['backlog']:,}"
    if figures["backlog"]:
        waiting += f"; the oldest for {span(figures['backlog_age_seconds'])}"
    if is_source:
        usual = figures["usual_silence_seconds"]
        rows: list[list[Any]] = [
            ["Last call that counts", _moment(figures["last_received_at"])],
            ["Usual silence now", span(usual) if usual else "not known yet"],
            ["Receipts that wait", waiting],
        ]
    else:
        check = figures["check"]
        rows = [
            ["Failures in a row", f"{figures['consecutive_failures']:,}"],
            ["Breaker", figures["breaker"]],
            ["Due deliveries that wait", waiting],
        ]
        if check["checked_at"]:
            found = check["problem"] or "well"
            when = _moment(check["checked_at"])
            rows.append(["Last check", f"{check['kind']}: {visible(found)} ({when})"])
    ends = figures["ends"].items()
    rows += [[f"The {name.replace('_', ' ')} ends", _moment(end)] for name, end in ends]
    return rows


def _moment(text: str | None) -> str:
    return moment(parse_datetime(text)) if text else EMPTY


def windows_of_check(check: HealthCheck) -> Panel:
    """The figures by window."""
    windows = [
        (title, check.figures["windows"][str(seconds)])
        for seconds, title in _WINDOW_TITLES.items()
        if str(seconds) in check.figures.get("windows", {})
    ]
    if check.source_id is not None:
        headers = ["Window", "Calls", "Accepted", "Refused", "Not proved", "Refused for"]
        rows = [
            [
                title, f"{found['received']:,}", f"{found['accepted']:,}",
                _percent(found["refused_percent"]), f"{found['signature_failures']:,}",
                _causes(found["refused_by_cause"]),
            ]
            for title, found in windows
        ]  # fmt: skip
        return Table("Calls", headers, rows, empty="None in the last 24 hours.")
    headers = ["Window", "Attempts", "Succeeded", "Median", "95 %", "99 %", "Failed for"]
    rows = [
        [
            title, f"{found['attempts']:,}", _percent(found["success_percent"]),
            milliseconds(found["p50_ms"]), milliseconds(found["p95_ms"]),
            milliseconds(found["p99_ms"]), _causes(found["by_cause"]),
        ]
        for title, found in windows
    ]  # fmt: skip
    return Table("Attempts", headers, rows, empty="None in the last 24 hours.")


def facts_of_check(check: HealthCheck) -> Panel:
    rows = _facts(check.figures, is_source=check.source_id is not None)
    return Table("Figures", ["Figure", "Value"], rows)


def why_of_check(check: HealthCheck) -> Panel | None:
    if not check.reasons:
        return None
    return Table("Why it is not healthy", ["Reason"], [[visible(text)] for text in check.reasons])


def _percent(value: float | None) -> str:
    return EMPTY if value is None else f"{value:.1f} %"


def _causes(counts: dict[str, int]) -> str:
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    shown = [f"{cause} {count:,}" for cause, count in ordered[:SHOWN_CAUSES]]
    return ", ".join([*shown, "…"] if len(ordered) > SHOWN_CAUSES else shown) or EMPTY


SubscriptionAdmin.panels.insert(0, health_of_subscription)
SourceAdmin.panels.insert(0, health_of_source)


@admin.register(HealthCheck)
class HealthCheckAdmin(HistoryAdmin):
    deferred = ("figures", "profile")
    empty_text = "Endpoints and sources are judged once a minute, from the first one on."
    panels: ClassVar = [why_of_check, windows_of_check, facts_of_check]
    since = moment_column("Since", "state_since")
    judged = moment_column("Judged", "judged_at")
    asked_since = moment_column("Asked for since", "wanted_since")
    list_display = ("subject", "about", "state_label", "since", "why", "account")
    list_filter = (
        ("state", ValuesFilter),
        ("account", RelatedFilter),
        ("subscription", RelatedFilter),
        ("source", RelatedFilter),
        ("state_since", PeriodFilter),
    )
    prefetched = ("account", "subscription", "source")
    list_select_related = ()
    search_fields = ("pk",)
    search_help_text = "Id of the subscription or of the source"
    ordering = ("-state_since",)
    fields = (
        "subject_link", "account", "state_label", "since", "asked_label", "asked_since", "judged",
    )  # fmt: skip

    def find(self, term: str) -> Q:
        key = id_in(term)
        if key is None:
            return Q(state=term)
        return Q(pk=key) | Q(subscription=key) | Q(source=key)

    @column("Name")
    def subject(self, check: HealthCheck) -> str:
        return short(str(check.subscription or check.source))

    @column("About")
    def subject_link(self, check: HealthCheck) -> str:
        return link_to(check.subscription or check.source)

    @column("About")
    def about(self, check: HealthCheck) -> str:
        return "subscription" if check.subscription_id else "source"

    @column("State")
    def state_label(self, check: HealthCheck) -> str:
        return label(check.state, STATE_COLOURS)

    @column("The figures ask for")
    def asked_label(self, check: HealthCheck) -> str:
        return label(check.wanted_state, STATE_COLOURS)

    @column("Why")
    def why(self, check: HealthCheck) -> str:
        return short("; ".join(check.reasons), 120) or EMPTY


_GROUPS: Final = (
    ("Endpoints", (
        ("min_attempts",), ("degraded_success_percent", "failing_success_percent"),
        ("degraded_p95_ms",), ("degraded_failures", "failing_failures"),
        ("down_failures", "down_seconds"), ("down_checks",),
    )),
    ("Sources", (
        ("min_receipts",), ("degraded_refused_percent", "failing_refused_percent"),
        ("degraded_signature_failures", "degraded_dead_receipts"),
        ("degraded_silence_times", "failing_silence_times"),
    )),
    ("Both", (
        ("degraded_backlog_seconds", "failing_backlog_seconds"), ("ending_days",),
        ("worsens_after_seconds", "recovers_after_seconds"),
    )),
)  # fmt: skip


class PolicyForm(ServiceForm):
    """A field for each threshold, which says what it means and may be."""

    class Meta:
        model = HealthPolicy
        fields: ClassVar[tuple[str, ...]] = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, value in limits_with(self.instance.thresholds).items():
            if name in self.fields:
                self.initial[name] = _plain(value)


def _plain(value: float) -> float | int:
    return int(value) if float(value).is_integer() else value


def _field(name: str) -> forms.FloatField:
    known = THRESHOLDS[name]
    return forms.FloatField(
        required=False,
        min_value=known.lowest,
        max_value=known.highest,
        widget=NumberInput(attrs={"step": "any"}),
        label=name.replace("_", " ").capitalize(),
        help_text=f"{known.text} In {known.unit}, from {known.lowest:g} to {known.highest:,g}; "
        f"{known.default:g} where it is left empty.",
    )


_PolicyForm = type("_PolicyForm", (PolicyForm,), {name: _field(name) for name in THRESHOLDS})


@admin.register(HealthPolicy)
class HealthPolicyAdmin(HubAdmin):
    form = _PolicyForm
    empty_text = "Every account gets one within a minute."
    judged = moment_column("Last judged", "judged_at")
    list_display = ("account", "own", "judged")
    list_filter = (("account", RelatedFilter),)
    list_select_related = ("account",)
    search_fields = ("account__name",)
    ordering = ("-created_at",)
    readonly_fields = ("account", "judged")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        first = (None, {"fields": ("account", "judged")})
        if not self.has_change_permission(request, obj):
            return [first]
        return [first, *((title, {"fields": names}) for title, names in _GROUPS)]

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> type[forms.ModelForm[Any]]:
        kwargs["fields"] = ()  # the form's own; none is a column
        return super().get_form(request, obj, change, **kwargs)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        change_policy(
            policy=HealthPolicy.objects.get(pk=obj.pk),
            thresholds=form.changes(tuple(THRESHOLDS)),
        )

    def get_queryset(self, request: HttpRequest) -> QuerySet[HealthPolicy]:
        return super().get_queryset(request).select_related("account")

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        response = super().render_change_form(request, context, *args, **kwargs)
        if self.has_change_permission(request):  # whose form says it all
            context["panels"] = []
        return response

    @column("Thresholds of its own")
    def own(self, policy: HealthPolicy) -> str:
        return (
            ", ".join(f"{name} {value:g}" for name, value in sorted(policy.thresholds.items()))
            or EMPTY
        )


def thresholds_of_policy(policy: HealthPolicy) -> Panel:
    """For who may only look; and what each is by default."""
    limits = limits_with(policy.thresholds)
    rows = [
        [name.replace("_", " "), f"{limits[name]:g} {known.unit}", f"{known.default:g}", known.text]
        for name, known in THRESHOLDS.items()
    ]
    return Table("Thresholds in force", ["Threshold", "Value", "Default", "Meaning"], rows)


HealthPolicyAdmin.panels = [thresholds_of_policy]
