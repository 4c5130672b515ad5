from outgoing.api.subscriptions import SubscriptionDeliveriesViewSet
from webhooks_project.api.routing import Router

router = Router()
router.register("subscriptions", SubscriptionDeliveriesViewSet, basename="subscription")
urlpatterns = router.urls
