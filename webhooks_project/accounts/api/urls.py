from webhooks_project.accounts.api.keys import ApiKeyViewSet
from webhooks_project.accounts.api.members import MembershipViewSet
from webhooks_project.accounts.api.views import AccountViewSet
from webhooks_project.api.routing import Router

router = Router()
router.register("accounts", AccountViewSet, basename="account")
router.register("api-keys", ApiKeyViewSet, basename="api-key")
router.register("members", MembershipViewSet, basename="member")
urlpatterns = router.urls
