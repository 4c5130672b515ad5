from django.urls import re_path

from analytics.api.dashboards import DashboardViewSet, DefaultDashboardViewSet, WidgetViewSet
from analytics.api.objectives import ObjectiveViewSet
from analytics.api.queries import IntegrationHealthView, QueryView, TopView, TrendView
from analytics.api.reports import ReportRunViewSet, ReportViewSet
from analytics.api.rollups import ReceiptRollupViewSet, RollupViewSet
from analytics.api.views import OverviewView
from webhooks_project.api.routing import Router

router = Router()
router.register("dashboards", DashboardViewSet, basename="dashboard")
router.register("default-dashboards", DefaultDashboardViewSet, basename="default-dashboard")
router.register("widgets", WidgetViewSet, basename="widget")
router.register("reports", ReportViewSet, basename="report")
router.register("report-runs", ReportRunViewSet, basename="report-run")
router.register("rollups", RollupViewSet, basename="rollup")
router.register("receipt-rollups", ReceiptRollupViewSet, basename="receipt-rollup")
router.register("objectives", ObjectiveViewSet, basename="objective")
urlpatterns = [
    *router.urls,
    re_path("^overview/?$", OverviewView.as_view(), name="overview"),
    re_path("^query/?$", QueryView.as_view(), name="analytics-query"),
    re_path("^top/(?P<kind>[^/.]+)/?$", TopView.as_view(), name="analytics-top"),
    re_path("^trends/?$", TrendView.as_view(), name="analytics-trends"),
    re_path("^integration-health/?$", IntegrationHealthView.as_view(), name="integration-health"),
]
