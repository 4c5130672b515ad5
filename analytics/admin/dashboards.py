"""Dashboards: their list, what they are called and who sees them."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.safestring import SafeString

from analytics import dashboards as services
from analytics.admin.boards import BoardPages, board_of
from analytics.defaults import DEFAULTS
from analytics.models import Dashboard
from webhooks_project.accounts.models import User
from webhooks_project.admin.base import HubAdmin
from webhooks_project.admin.buttons import button
from webhooks_project.admin.filters import RelatedFilter
from webhooks_project.admin.forms import ServiceForm, TextInput
from webhooks_project.admin.panels import Panel, Table
from webhooks_project.admin.values import column, label, link, moment_column


class DashboardForm(ServiceForm):
    class Meta:
        model = Dashboard
        fields = ("account", *services.DASHBOARD_FIELDS)
        widgets: ClassVar = {"description": TextInput}


def widgets_of(dashboard: Dashboard) -> Panel:
    rows = [
        [widget.title, widget.get_kind_display(), ", ".join(widget.measures) or "-"]
        for widget in dashboard.widgets.all()
    ]
    more = link(f"{board_of(dashboard)}?arrange", "Arrange them")
    return Table("Widgets", ["Title", "Shown as", "Measures"], rows, empty="None yet.", more=more)


@admin.register(Dashboard)
class DashboardAdmin(BoardPages, HubAdmin):
    """The list leads to the figures; the form is for names and for who sees them."""

    form = DashboardForm
    autocomplete_fields = ("account",)
    panels: ClassVar = [widgets_of]
    changed = moment_column("Changed", "changed_at")
    list_display = ("board", "account", "kept_by", "sharing", "widget_count", "changed")
    list_display_links = ("changed",)
    list_filter = (("account", RelatedFilter),)
    list_select_related = ("account", "owner")
    list_before_template = "admin/analytics/defaults.html"
    search_fields = ("name", "description")
    ordering = ("name", "id")
    actions_detail = ("open_board", "copy")
    empty_text = (
        "The dashboards above are there for every account. Copy one to change it, or make one of "
        "your own."
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Dashboard]:
        rows: Any = super().get_queryset(request)
        seen: QuerySet[Dashboard] = rows.seen_by(request.user.pk)
        return seen.select_related("account", "owner")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("account", *services.DASHBOARD_FIELDS)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return () if obj is None else ("account",)

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        defaults = [
            (default, reverse("admin:analytics_dashboard_default_board", args=[key]))
            for key, default in DEFAULTS.items()
        ]
        return super().changelist_view(request, {"defaults": defaults, **(extra_context or {})})

    def prepare_rows(self, rows: list[Any]) -> None:
        counts = dict(
            Dashboard.objects.filter(pk__in=[row.pk for row in rows])
            .order_by()
            .annotate(count=Count("widgets"))
            .values_list("pk", "count")
        )
        for row in rows:
            row.widgets_counted = counts.get(row.pk, 0)

    @column("Name", ordering="name")
    def board(self, dashboard: Dashboard) -> SafeString:
        return link(board_of(dashboard), dashboard.name)

    @column("Made by")
    def kept_by(self, dashboard: Dashboard) -> str:
        return str(dashboard.owner or "an API key")

    @column("Seen by")
    def sharing(self, dashboard: Dashboard) -> str:
        word = "the account" if dashboard.is_shared else "its owner"
        return label(word, {"the account": "info"})

    @column("Widgets")
    def widget_count(self, dashboard: Dashboard) -> str:
        return str(getattr(dashboard, "widgets_counted", ""))

    # --- services ---

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        owner = request.user if isinstance(request.user, User) else None
        if change:
            changes = form.changes(services.DASHBOARD_FIELDS)
            if changes:
                services.change_dashboard(dashboard=obj, by=owner, **changes)
            return
        given = {name: form.cleaned_data[name] for name in services.DASHBOARD_FIELDS}
        made = services.create_dashboard(account=form.cleaned_data["account"], owner=owner, **given)
        obj.__dict__.update(made.__dict__)

    def response_add(
        self, request: HttpRequest, obj: Any, post_url_continue: str | None = None
    ) -> HttpResponse:
        super().response_add(request, obj, post_url_continue)
        return HttpResponseRedirect(f"{board_of(obj)}?arrange")

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        services.delete_dashboard(dashboard=obj)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        found = super().get_actions(request)
        found.pop("delete_selected", None)  # one by one, each with its entry in the audit
        return found

    @button(
        "Copy",
        question="A dashboard with the same widgets is made for the account; it is yours.",
        icon="content_copy",
    )
    def copy(self, dashboard: Dashboard) -> str:
        from webhooks_project.lib.actor import current_actor

        actor = current_actor.get()
        owner = User.objects.filter(pk=actor.id).first() if actor.kind == "user" else None
        made = services.copy_dashboard(of=dashboard, account=dashboard.account, owner=owner)
        return f"{made.name} is among the dashboards."
