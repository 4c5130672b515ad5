from subscriptions.api.event_types import EventTypeViewSet
from subscriptions.api.subscriptions import SubscriptionViewSet
from webhooks_project.api.routing import Router

router = Router()
router.register("subscriptions/event-types", EventTypeViewSet, basename="event-type")
router.register("subscriptions", SubscriptionViewSet, basename="subscription")
urlpatterns = router.urls
