from outgoing.api.retries import RetryViewSet
from webhooks_project.api.routing import Router

router = Router()
router.register("retry", RetryViewSet, basename="retry")
urlpatterns = router.urls
