from webhooks_project.accounts.api.views import AccountViewSet
from webhooks_project.api.routing import Router

router = Router()
router.register("accounts", AccountViewSet, basename="account")
urlpatterns = router.urls
