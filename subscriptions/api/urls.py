from django.urls import re_path

from subscriptions.api.event_types import CatalogueViewSet, EventTypeViewSet
from subscriptions.api.subscriptions import SubscriptionViewSet
from webhooks_project.api.routing import Router

router = Router()
router.register("subscriptions/event-types", EventTypeViewSet, basename="event-type")
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
    *router.urls,
]
