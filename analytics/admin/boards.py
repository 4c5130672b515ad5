"""The pages of figures: default dashboards, those that people made, and how these are arranged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseNotAllowed,
    HttpResponseRedirect,
    JsonResponse,
)
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.http import content_disposition_header, url_has_allowed_host_and_scheme

from analytics import dashboards as services
from analytics.admin.editor import WidgetForm
from analytics.admin.looking import Look, link_of, look_of
from analytics.asking import figures_of
from analytics.charts.html import drawn
from analytics.defaults import DEFAULTS, DefaultDashboard
from analytics.models import Dashboard, Report, Widget
from analytics.reports.content import Content
from analytics.reports.csv_file import make
from analytics.shown import Figures
from analytics.widgets import WidgetSpec, spec_of
from webhooks_project.accounts.models import Account, User
from webhooks_project.admin.access import may, rows_for
from webhooks_project.admin.buttons import acting, opens_page
from webhooks_project.admin.values import list_of, page_of
from webhooks_project.lib.errors import DomainError
from webhooks_project.lib.time_zones import is_time_zone

if TYPE_CHECKING:
    from webhooks_project.admin.base import HubAdmin

    _Base = HubAdmin
else:
    _Base = object

PLOT_REM = {1: 7, 2: 11, 3: 20}  # how high a chart is, by its widget's height


def board_of(dashboard: Dashboard) -> str:
    """The path of a dashboard's figures."""
    return page_of("analytics.dashboard", dashboard.pk).replace("/change/", "/open-board/")


class BoardPages(_Base):
    """What the console shows of dashboards beside their list and their forms."""

    def get_urls(self) -> list[Any]:
        pages: dict[str, Callable[..., HttpResponse]] = {
            "default/<slug:key>/": self.default_board,
            "default/<slug:key>/copy/": self.copy_default,
            "time-zone/": self.keep_time_zone,
            "<uuid:pk>/arrange/": self.arrange,
            "<uuid:pk>/widgets/add/": self.add_widget,
            "<uuid:pk>/widgets/preview/": self.preview,
            "<uuid:pk>/widgets/<uuid:widget>/": self.edit_widget,
            "<uuid:pk>/widgets/<uuid:widget>/remove/": self.remove_widget,
        }
        made = [
            path(
                route,
                self.admin_site.admin_view(view),
                name=f"analytics_dashboard_{view.__name__}",
            )
            for route, view in pages.items()
        ]
        return [*made, *super().get_urls()]

    # --- looking ---

    @opens_page("Open", icon="monitoring", variant="primary", is_possible=lambda row: True)
    def open_board(self, request: HttpRequest, row: Dashboard) -> HttpResponse:
        """A dashboard's figures; with `arrange`, and for who may, how its widgets stand."""
        specs = [spec_of(widget) for widget in row.widgets.all()]
        may_change = self.may(request, "change", row)
        return self._board(
            request,
            look_of(request, row.account),
            specs,
            name=row.name,
            description=row.description,
            dashboard=row,
            is_arranged=may_change and "arrange" in request.GET,
            may_change=may_change,
            may_copy=self.may(request, "copy", row),
            here=board_of(row),
        )

    def default_board(self, request: HttpRequest, key: str) -> HttpResponse:
        """The figures of a dashboard that every account has."""
        default = self._default(request, key)
        look = look_of(request)
        addable = rows_for(request, Account.objects.all(), "add", of=Dashboard)
        return self._board(
            request,
            look,
            default.widgets,
            name=default.name,
            description=default.description,
            default=default,
            may_copy=addable.exists(),
            here=reverse("admin:analytics_dashboard_default_board", args=[key]),
        )

    def _board(
        self,
        request: HttpRequest,
        look: Look,
        specs: Sequence[WidgetSpec],
        *,
        name: str,
        description: str,
        here: str,
        **context: Any,
    ) -> HttpResponse:
        found = figures_of(specs, account_ids=look.account_ids, period=look.period)
        if request.GET.get("as") == "csv":
            return _csv(name, description, look, found)
        link = link_of(request)
        page = {
            **self.admin_site.each_context(request),
            "title": name,
            "opts": self.opts,
            "name": name,
            "description": description,
            "here": here,
            "cards": [
                {"spec": figures.spec, "body": drawn(figures, link),
                 "plot": PLOT_REM.get(figures.spec.height, 11)}
                for figures in found
            ],
            "boards": self._boards(request, look),
            "may_report": may(request, Report, "add"),
            **look.context(),
            **context,
        }  # fmt: skip
        part = request.GET.get("part") is not None
        template = "admin/analytics/cards.html" if part else "admin/analytics/board.html"
        return TemplateResponse(request, template, page)

    def _boards(self, request: HttpRequest, look: Look) -> list[dict[str, str]]:
        """The ways to the default dashboards and to the first of the others."""
        query = look.query()
        ways = [
            {
                "name": default.name,
                "url": reverse("admin:analytics_dashboard_default_board", args=[key]) + query,
            }
            for key, default in DEFAULTS.items()
        ]
        mine = self.get_queryset(request)
        if look.account is not None:
            mine = mine.filter(account=look.account)
        return [*ways, *({"name": row.name, "url": board_of(row) + query} for row in mine[:12])]

    # --- copies, time zones ---

    def copy_default(self, request: HttpRequest, key: str) -> HttpResponse:
        """Make a dashboard of one's own out of a default one, and go and arrange it."""
        default = self._default(request, key)
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        addable = rows_for(request, Account.objects.all(), "add", of=Dashboard)
        asked = request.POST.get("account", "")
        account = addable.filter(pk=asked).first() if _is_id(asked) else None
        if account is None and not asked and addable.count() == 1:
            account = addable.get()
        if account is None:
            messages.error(request, "Choose the account that the copy is for.")
            return HttpResponseRedirect(
                reverse("admin:analytics_dashboard_default_board", args=[key])
            )
        return self._copied(request, default, account)

    def _copied(
        self, request: HttpRequest, of: Dashboard | DefaultDashboard, account: Account
    ) -> HttpResponse:
        try:
            with acting(request):
                made = services.copy_dashboard(of=of, account=account, owner=_user(request))
        except DomainError as error:
            messages.error(request, str(error))
            return HttpResponseRedirect(list_of("analytics.dashboard"))
        messages.success(request, f"{made.name} is yours to change.")
        return HttpResponseRedirect(f"{board_of(made)}?arrange")

    def keep_time_zone(self, request: HttpRequest) -> HttpResponse:
        """Show figures to this user in that time zone from now on."""
        zone, back = request.POST.get("zone", ""), request.POST.get("next", "")
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if is_time_zone(zone) and isinstance(request.user, User):
            User.objects.filter(pk=request.user.pk).update(time_zone=zone)
            messages.success(request, f"Figures are shown to you in {zone} from now on.")
        if not url_has_allowed_host_and_scheme(back, {request.get_host()}, request.is_secure()):
            back = list_of("analytics.dashboard")
        return HttpResponseRedirect(back)

    # --- arranging ---

    def arrange(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """Take one step (`widget` and `move`), or the order and sizes of all (`places`)."""
        dashboard = self._changeable(request, pk)
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        wants_json = request.headers.get("Accept", "").startswith("application/json")
        try:
            places = _places(request, dashboard)
            with acting(request):
                services.arrange(dashboard=dashboard, places=places)
        except DomainError as error:
            if wants_json:
                return JsonResponse({"code": error.code, "detail": str(error)}, status=409)
            messages.error(request, str(error))
        if wants_json:
            return JsonResponse({})
        anchor = request.POST.get("widget", "")
        target = f"#widget-{anchor}" if _is_id(anchor) else ""
        return HttpResponseRedirect(f"{board_of(dashboard)}?arrange{target}")

    # --- widgets ---

    def add_widget(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        return self._editor(request, self._changeable(request, pk), None)

    def edit_widget(self, request: HttpRequest, pk: UUID, widget: UUID) -> HttpResponse:
        dashboard = self._changeable(request, pk)
        return self._editor(request, dashboard, _widget(dashboard, widget))

    def preview(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """What the editor's form would show, as a part of a page."""
        dashboard = self._changeable(request, pk)
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        asked = request.GET.get("widget")
        widget = next((row for row in dashboard.widgets.all() if str(row.pk) == asked), None)
        form = WidgetForm(dashboard, request.POST, widget)
        context = self._previewed(request, dashboard, form)
        return TemplateResponse(request, "admin/analytics/preview.html", context)

    def _editor(
        self, request: HttpRequest, dashboard: Dashboard, widget: Widget | None
    ) -> HttpResponse:
        form = WidgetForm(dashboard, request.POST if request.method == "POST" else None, widget)
        if request.method == "POST" and "preview" not in request.POST and form.is_valid():
            try:
                with acting(request):
                    if widget is None:
                        saved = services.add_widget(dashboard=dashboard, **form.fields_given())
                    else:
                        saved = services.change_widget(widget=widget, **form.fields_given())
            except DomainError as error:
                form.refuse(error)
            else:
                messages.success(request, f"{saved.title} is on the dashboard.")
                return HttpResponseRedirect(f"{board_of(dashboard)}#widget-{saved.pk}")
        context = {
            **self.admin_site.each_context(request),
            "title": "Change a widget" if widget else "Add a widget",
            "opts": self.opts,
            "dashboard": dashboard,
            "widget": widget,
            "form": form,
            "back_url": board_of(dashboard),
            "preview_url": reverse("admin:analytics_dashboard_preview", args=[dashboard.pk])
            + (f"?widget={widget.pk}" if widget else ""),
            **self._previewed(request, dashboard, form),
        }
        return TemplateResponse(request, "admin/analytics/widget.html", context)

    def _previewed(
        self, request: HttpRequest, dashboard: Dashboard, form: WidgetForm
    ) -> dict[str, Any]:
        look = look_of(request, dashboard.account)
        spec, problems = form.spec()
        if spec is None:
            return {"problems": problems, "look": look}
        [figures] = figures_of([spec], account_ids=look.account_ids, period=look.period)
        return {
            "look": look,
            "card": {"spec": spec, "body": drawn(figures, link_of(request)),
                     "plot": PLOT_REM.get(spec.height, 11)},
        }  # fmt: skip

    def remove_widget(self, request: HttpRequest, pk: UUID, widget: UUID) -> HttpResponse:
        """Asks first; takes the widget away on POST."""
        dashboard = self._changeable(request, pk)
        row = _widget(dashboard, widget)
        if request.method == "POST":
            with acting(request):
                services.remove_widget(widget=row)
            messages.success(request, f"{row.title} is taken away.")
            return HttpResponseRedirect(f"{board_of(dashboard)}?arrange")
        context = {
            **self.admin_site.each_context(request),
            "title": "Take a widget away",
            "opts": self.opts,
            "dashboard": dashboard,
            "widget": row,
            "back_url": f"{board_of(dashboard)}?arrange",
        }
        return TemplateResponse(request, "admin/analytics/remove.html", context)

    # --- parts ---

    def _default(self, request: HttpRequest, key: str) -> DefaultDashboard:
        if not self.may(request, "view"):
            raise PermissionDenied
        if key not in DEFAULTS:
            raise Http404
        return DEFAULTS[key]

    def _changeable(self, request: HttpRequest, pk: UUID) -> Dashboard:
        if not self.may(request, "change"):
            raise PermissionDenied
        row: Dashboard | None = self.get_queryset(request).filter(pk=pk).first()
        if row is None:
            raise Http404
        if not self.may(request, "change", row):
            raise PermissionDenied
        return row


def _widget(dashboard: Dashboard, key: UUID) -> Widget:
    row = Widget.objects.filter(dashboard=dashboard, pk=key).select_related("dashboard").first()
    if row is None:
        raise Http404
    return row


def _places(request: HttpRequest, dashboard: Dashboard) -> list[services.Place]:
    given = request.POST
    if "places" not in given:
        key = given.get("widget", "")
        known = services.places_of(dashboard)
        return services.moved(known, UUID(key), given.get("move", "")) if _is_id(key) else known
    places = []
    for item in given["places"].split(",")[: services.MAX_WIDGETS]:
        key, _, size = item.partition(":")
        width, _, height = size.partition("x")
        if not (_is_id(key) and width.isdecimal() and height.isdecimal() and len(size) <= 5):
            raise services.ArrangementNotAcceptable
        places.append(services.Place(UUID(key), int(width), int(height)))
    return places


def _is_id(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def _user(request: HttpRequest) -> User | None:
    return request.user if isinstance(request.user, User) else None


def _csv(name: str, description: str, look: Look, found: list[Figures]) -> HttpResponse:
    account = look.account.name if look.account is not None else "all accounts"
    content = Content(name, account, description, look.period, tuple(found))
    file_name = f"{name}-{look.period.local(look.period.since):%Y-%m-%d}.csv"
    return HttpResponse(
        make(content),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": content_disposition_header(True, file_name)},
    )
