from incoming.api.views import ReceiptViewSet, RefusalCountViewSet, SourceViewSet
from webhooks_project.api.routing import Router

router = Router()
router.register("sources", SourceViewSet, basename="source")
router.register("receipts", ReceiptViewSet, basename="receipt")
router.register("refusals", RefusalCountViewSet, basename="refusal")
urlpatterns = router.urls
