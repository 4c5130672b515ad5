from django.urls import re_path

from analytics.api.views import OverviewView, RollupViewSet
from webhooks_project.api.routing import Router

router = Router()
router.register("rollups", RollupViewSet, basename="rollup")
urlpatterns = [*router.urls, re_path("^overview/?$", OverviewView.as_view(), name="overview")]
