from django.urls import re_path

from subscriptions.api.bulk import BulkJobViewSet, ExportView, ImportView
from subscriptions.api.event_types import CatalogueViewSet, EventTypeViewSet
from subscriptions.api.subscriptions import SubscriptionViewSet
from webhooks_project.api.routing import Router

router = Router()
router.register("subscriptions/event-types", EventTypeViewSet, basename="event-type")
router.register("subscriptions/bulk-jobs", BulkJobViewSet, basename="bulk-job")
router.register("subscriptions", SubscriptionViewSet, basename="subscription")
urlpatterns = [
    re_path(
        r"^accounts/(?P<pk>[^/.]+)/event-types/export/?$",
        CatalogueViewSet.as_view({"get": "export"}),
        name="event-type-export",
    ),
    re_path(
        r"^accounts/(?P<pk>[^/.]+)/event-types/import/?$",
        CatalogueViewSet.as_view({"post": "import_types"}),
        name="event-type-import",
    ),
    re_path(r"^subscriptions/import/?$", ImportView.as_view(), name="subscription-import"),
    re_path(r"^subscriptions/export/?$", ExportView.as_view(), name="subscription-export"),
    *router.urls,
]
